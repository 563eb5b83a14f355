# frozen_string_literal: true

require "licorne/conversion/puma_tables"

module Licorne
  module Conversion
    # Directives of Puma's that are others here.
    module PumaDirectives
      include PumaTables

      # The method for each.
      SPECIAL = {
        "bind" => :bind, "port" => :port, "workers" => :workers, "threads" => :threads, "environment" => :environment,
        "preload_app!" => :preload_app, "worker_timeout" => :worker_timeout, "directory" => :directory,
        "worker_boot_timeout" => :worker_boot_timeout, "persistent_timeout" => :persistent_timeout,
        "stdout_redirect" => :stdout_redirect, "plugin" => :plugin, "log_requests" => :log_requests,
        "fork_worker" => :fork_worker, "enable_keep_alives" => :enable_keep_alives, "early_hints" => :early_hints,
        "clear_binds!" => :clear_binds, "set_remote_address" => :remote_address, "out_of_band" => :out_of_band
      }.freeze
      # Those that may have no argument.
      ALONE = %w[preload_app! log_requests fork_worker enable_keep_alives early_hints clear_binds! set_remote_address
                 out_of_band stdout_redirect].freeze

      private

      def environment(call)
        value = call.argument
        value = "#{value} || \"development\"" if value.match?(/\AENV\[["']\w+["']\]\z/)
        # The command line wins, as with Puma; without -E this is `development` by now.
        Rewrite.to("ENV[\"RACK_ENV\"] = #{value} if ENV[\"RACK_ENV\"] == \"development\"",
                   remark: "Another -E on the command line wins.")
      end

      def preload_app(call)
        value = call.argument || "true"
        value = "(#{value} ? true : false)" unless %w[true false].include?(value)
        Rewrite.to("preload_app#{" " unless value.start_with?("(")}#{value}")
      end

      def worker_timeout(call)
        Rewrite.to("timeout #{Values.integer(call.argument)}",
                   remark: "In Puma for a worker that hangs, here for each request: it has so many seconds.")
      end

      def worker_boot_timeout(call)
        Rewrite.to("boot_timeout #{seconds(call.argument)}")
      end

      def persistent_timeout(call)
        Rewrite.to("keepalive_timeout #{Values.integer(call.argument)}")
      end

      def seconds(expression)
        expression.match?(/\AENV\b/) ? Values.integer(expression) : expression
      end

      def directory(call)
        Rewrite.to("working_directory #{call.argument}")
      end

      def stdout_redirect(call)
        out, err = call.arguments
        statements = { "stdout_path" => out, "stderr_path" => err }.reject { |_, path| [nil, "nil"].include?(path) }
        return Rewrite.gone("nothing is redirected") if statements.empty?

        Rewrite.to(*statements.map { |name, path| "#{name} #{path}" })
      end

      def plugin(call)
        name = call.argument.to_s.delete(":\"'")
        return Rewrite.to(PLUGINS[name]) if PLUGINS.key?(name)

        Rewrite.gone(PLUGINS_GONE[name] ||
                     "nothing like it; programs beside the server are services (docs/services.md)")
      end

      def log_requests(call)
        value = call.argument
        return Rewrite.gone("not needed: requests are logged only where there is an access_log") if value == "false"

        condition = value && value != "true" && !call.modifier ? " if #{value}" : ""
        Rewrite.to("access_log :stdout, format: :combined#{condition}")
      end

      def fork_worker(call)
        after = call.argument ? Values.integer(call.argument) : "1000"
        return Rewrite.to("refork_after [#{after}, false]") unless after == "0"

        Rewrite.gone("instead, to share more memory: refork_after [1000, false] (docs/memory.md)")
      end

      def enable_keep_alives(call)
        return Rewrite.to("keepalive_timeout 0") if call.argument == "false"

        Rewrite.gone("not needed: connections are kept; keepalive_timeout says how long")
      end

      def early_hints(call)
        Rewrite.to("early_hints #{call.argument || "true"}")
      end

      def clear_binds(_call)
        Rewrite.to("listeners []")
      end

      def remote_address(call)
        given = call.arguments.join(", ")
        Rewrite.gone(
          if given.include?("proxy_protocol") then "instead, as an option of each listener: proxy_protocol: :v1"
          elsif [":socket", ""].include?(given) then "not needed: that is the address of the connection"
          else "instead: trusted_proxies, with the addresses of the proxies; REMOTE_ADDR is then the client's"
          end
        )
      end

      def out_of_band(call)
        return Rewrite.gone("nothing like it") unless call.block&.body.to_s.include?("GC.")

        done = call.block.body.strip.gsub(/\s*\n\s*/, "; ")
        Rewrite.to("gc :between_requests", remark: "Instead of what Puma called out of band: #{done}")
      end
    end
  end
end
