# frozen_string_literal: true

require "licorne/conversion/puma_directives"
require "licorne/conversion/puma_hooks"
require "licorne/conversion/puma_listeners"
require "licorne/conversion/puma_tables"
require "licorne/conversion/puma_workers"

module Licorne
  module Conversion
    # The rules for a configuration of Puma's, of any version.
    class Puma
      include PumaTables
      include PumaListeners
      include PumaWorkers
      include PumaHooks
      include PumaDirectives

      def server = "Puma"

      # A block that is given again does not replace the one before.
      def adds_hooks? = true

      # `overridden` are directives that a command line has decided; what it says comes behind the file's lines.
      # `port` is where it listens when nothing says it.
      def initialize(overridden: [], upto: 0, port: 9292)
        @overridden = overridden
        @upto = upto
        @port = port
        @calls = []
        @threads = "5"
      end

      def survey(calls)
        @calls = calls.reject { |call, _| overridden?(call) }
        @threads = @calls.find { |call, _| call.name == "threads" }&.first&.arguments&.last
        @plain = plain?
        @preloads = @calls.none? { |call, _| call.name == "prune_bundler" || unpreloaded?(call) }
      end

      def rewrite(call)
        name = call.name
        return hook(call) if HOOKS.key?(name) && call.block
        return Rewrite.gone("not in force: the command line says otherwise") if overridden?(call)
        return equivalent(call) if RENAMED.key?(name) || SPECIAL.key?(name)

        reason = GONE[name] || unneeded(call) || advice(name)
        reason && Rewrite.gone(reason)
      end

      # Why a call of any library's goes.
      def unneeded(call)
        return unless %w[require require_relative].include?(call.name)

        library = Values.string(call.argument.to_s)&.content.to_s
        LIBRARIES.find { |pattern, _| library.match?(pattern) }&.last
      end

      # Why a statement cannot stay as it is, which calls and names these.
      def objection(calls, constants, text)
        constant = constants.find { |name| CONSTANTS.key?(name) }
        return CONSTANTS[constant] if constant
        return SETTINGS if text.match?(/@(?:config|options)\b/)

        directive = calls.find { |name| directive?(name) }
        directive && "`#{directive}` within an expression: write it by itself (#{said(directive)})"
      end

      def looks_for?(_calls) = false

      def parameters(directive)
        directive == "after_mold_fork" ? "server, mold" : "server, worker"
      end

      def header(path)
        "# From #{path}. What Puma has and Licorne has not is commented out, with what to do instead (^).\n" \
          "# Whether a server would start with this: licorne check -c config/licorne.rb\n"
      end

      def before
        variables
      end

      def after
        [worker_processes, *defaults, SUGGESTIONS].join
      end

      private

      # A name alone sets nothing, but for those that are settings by themselves.
      def equivalent(call)
        name = call.name
        return if call.arguments.empty? && !ALONE.include?(name)

        SPECIAL.key?(name) ? send(SPECIAL[name], call) : Rewrite.to("#{RENAMED[name]} #{call.arguments.join(", ")}")
      end

      def named?(name)
        @calls.any? { |call, _| call.name == name }
      end

      def directive?(name)
        RENAMED.key?(name) || SPECIAL.key?(name) || HOOKS.key?(name) || (GONE.key?(name) && name != "load")
      end

      def advice(name)
        server, text = Native.foreign_directive(name)
        text if server == "Puma"
      end

      def said(name)
        Native.foreign_directive(name)&.last || GONE[name] || "there is the same here"
      end

      def unpreloaded?(call)
        call.name == "preload_app!" && call.argument == "false"
      end

      def overridden?(call)
        call.line <= @upto && @overridden.include?(call.name == "port" ? "bind" : call.name)
      end

      # What Puma does where its configuration is silent.
      def defaults
        all = []
        all << "preload_app #{@preloads} # #{@preloads ? PRELOADED : NOT_PRELOADED}\n" unless named?("preload_app!")
        all << "listen Integer(ENV.fetch(\"PORT\", \"#{@port}\")) # the default there\n" unless listens?
        all << "timeout 60 # seconds for a request; Puma has no limit\n" unless named?("worker_timeout")
        all << "# Otherwise a request has 60 seconds; Puma has no limit.\n" if nested?("worker_timeout")
        all << "default_middleware false # Puma adds none\n"
        ["\n", *all]
      end

      PRELOADED = "workers share the memory of what is loaded; a reload loads new code all the same"
      NOT_PRELOADED = "as with prune_bundler; `true` shares memory, and a reload loads new code all the same"
      private_constant :PRELOADED, :NOT_PRELOADED

      def listens?
        !(%w[bind port] & @calls.map { |call, _| call.name }).empty?
      end

      SUGGESTIONS = <<~TEXT

        # New here, and worth a look (docs/reference.md):
        # probe "/up"                       # what a new worker has to answer before it serves
        # canary workers: 1, watch: 60      # a reload tries new code on one worker first
        # memory_budget 0.8                 # of the container's limit: over it, fewer workers
        # access_log :stdout                # a line of JSON for each request
      TEXT
      private_constant :SUGGESTIONS
    end
  end
end
