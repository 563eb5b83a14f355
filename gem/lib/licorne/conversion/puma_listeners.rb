# frozen_string_literal: true

require "licorne/conversion/puma_tables"

module Licorne
  module Conversion
    # Where Puma listens, as `listen` has it.
    module PumaListeners
      include PumaTables

      SCHEMES = %r{\A(tcp|unix|ssl)://}
      NUMBER = /\A(?:0o?)?(\d+)\z/
      private_constant :SCHEMES, :NUMBER

      private

      def bind(call)
        text = Values.string(call.argument)
        return expression(call.argument) unless text

        scheme, rest = text.content.match?(SCHEMES) ? text.content.split("://", 2) : ["tcp", text.content]
        return Rewrite.gone(GONE["ssl_bind"]) if scheme == "ssl"

        address, query = rest.match(/\A(.*?)(?:\?([\w=&.-]*))?\z/m).captures
        options, lost = options(query.to_s)
        Rewrite.to(["listen #{address(scheme, address, text.quote)}", *options].join(", "), remark: lost)
      end

      # What is known when it is evaluated.
      def expression(argument)
        Rewrite.to("listen #{Values.grouped(argument)}.sub(\"unix://\", \"unix:\").delete_prefix(\"tcp://\")")
      end

      def address(scheme, text, quote)
        return "#{quote}#{text.start_with?("/") ? "" : "unix:"}#{text}#{quote}" if scheme == "unix"

        text = "0.0.0.0#{text}" if text.start_with?(":")
        text = "#{text}:9292" if text.match?(/\A(?:[\w.-]+|\[[\h:.]+\])\z/)
        "#{quote}#{text}#{quote}"
      end

      def options(query)
        lost = []
        told = query.split("&").filter_map do |pair|
          name, value = pair.split("=", 2)
          option(name, value.to_s) || (lost << name && nil)
        end
        [told, lost.empty? ? nil : "Not possible here: #{lost.join(", ")}."]
      end

      def option(name, value)
        digits = value[NUMBER, 1]
        case name
        when "backlog" then "backlog: #{digits}" if digits
        when "umask" then format("umask: 0o%03o", digits.oct) if digits
        when "mode" then format("umask: 0o%03o", 0o777 & ~digits.oct) if digits
        when "low_latency" then "tcp_nodelay: #{value != "false"}"
        end
      end

      def port(call)
        port, host = call.arguments
        return Rewrite.to("listen #{Values.number(port) || port}") unless host

        host = inserted(host).sub(/\A(?:\h*:)+\h*\z/) { |address| "[#{address}]" }
        Rewrite.to("listen \"#{host}:#{inserted(port)}\"")
      end

      # As a part of a string.
      def inserted(expression)
        text = Values.string(expression)
        return text.content if text&.plain?

        Values.number(expression) || "\#{#{expression}}"
      end
    end
  end
end
