# frozen_string_literal: true

require "licorne/conversion/unicorn"

module Licorne
  module Conversion
    # The rules for a configuration of Pitchfork's.
    class Pitchfork < Unicorn
      RENAMED = { "after_worker_fork" => "after_fork", "spawn_timeout" => "boot_timeout" }.freeze
      GONE = {
        "setpgid" => "nothing like it: workers stay in the master's group, and a debugger can read the terminal",
        "refork_max_unavailable" => "nothing like it: reforked workers come one by one, as in a reload (surge)",
        "max_consecutive_spawn_errors" => "not needed: a worker that dies again and again is started later each time",
        "after_monitor_ready" => "nothing like it: the master runs no Ruby",
        "after_worker_hard_timeout" => "instead: after_worker_exit; the master logs the request that it killed",
        "before_service_worker_exit" => "write what it does behind `service.wait` in the block of `service`",
        "after_request_complete" => "instead: rack.response_finished in the application; " \
                                    "for limits max_requests and max_memory (docs/memory.md#recycling)"
      }.freeze
      SERVICES = %w[before_service_worker_ready after_service_worker_ready].freeze
      OURS = /\bPitchfork(?!\.prevent_fork|::Info)\b/
      QUEUES = /\A:?queues(?:_per_worker)?(?::|\s*=>)/
      GENERATIONS = "The first generation is 1 here, not 0; each reload and each refork begins another."
      private_constant :RENAMED, :GONE, :SERVICES, :OURS, :QUEUES, :GENERATIONS

      def server = "Pitchfork"

      def rewrite(call)
        name = call.name
        return between_requests(call) if name == "after_request_complete" && collects?(call)
        return Rewrite.gone(GONE[name]) if GONE.key?(name)
        return block(call) || super if call.block
        return Rewrite.to("#{RENAMED[name]}(#{call.arguments.join(", ")})") if RENAMED.key?(name)
        return listen(call) if name == "listen"

        super
      end

      def objection(calls, _constants, text)
        return "this speaks to Pitchfork" if text.match?(OURS)

        directive = calls.find { |name| RENAMED.key?(name) || GONE.key?(name) || SERVICES.include?(name) }
        said = RENAMED[directive] || GONE[directive]
        directive && "`#{directive}` within an expression: write it by itself (#{said})"
      end

      def header(path)
        "# From #{path}. What Pitchfork has and Licorne has not is commented out, with what to do instead (^).\n" \
          "# Whether a server would start with this: licorne check -c config/licorne.rb\n"
      end

      def after
        @given << "preload_app"
        own = @given.include?("timeout") ? [] : ["timeout 20, cleanup: 2 # Pitchfork's own default\n"]
        "\npreload_app true # Pitchfork always does\n#{own.join}#{super}"
      end

      private

      def collects?(call)
        call.block&.body.to_s.include?("GC.start")
      end

      def block(call)
        name = call.name
        if SERVICES.include?(name) then service(call)
        elsif RENAMED.key?(name) || name == "before_fork" || call.block.body.include?(".generation")
          hook(call, RENAMED.fetch(name, name))
        end
      end

      # `before_fork` has one argument in Pitchfork.
      def hook(call, directive)
        given = call.block.params.to_s.split(",").map(&:strip)
        parameters = given + %w[_server _worker].drop(given.size)
        remark = GENERATIONS if call.block.body.include?(".generation")
        Rewrite.hook(Hook.new(directive: directive, parameters: parameters.join(", ")), remark: remark)
      end

      def service(call)
        server, service = call.block.params.to_s.split(",").map(&:strip)
        service = service.to_s.delete_prefix("_")
        service = "service" if service.empty?
        Rewrite.hook(Hook.new(directive: "service(\"pitchfork\")", parameters: "#{service}, #{server || "_server"}",
                              closing: "#{service}.wait"),
                     remark: "A process beside the workers, replaced by each reload (docs/services.md).")
      end

      def between_requests(call)
        body = call.block.body.strip.gsub(/\s*\n\s*/, "; ")
        Rewrite.to("gc :between_requests", remark: "Instead of what was done after each request: #{body}")
      end

      def listen(call)
        kept = call.arguments.grep_v(QUEUES)
        return Rewrite.keep(nil) if kept.size == call.arguments.size

        Rewrite.to("listen #{kept.join(", ")}", remark: "Without queues: connections go to idle workers.")
      end
    end
  end
end
