# frozen_string_literal: true

module Licorne
  module Conversion
    # The rules for a configuration of Unicorn's: it works as it is, and gets remarks where something is not needed.
    class Unicorn
      REMARKS = {
        /\.oldbin|oldbin/ => "Not needed with `licorne reload --wait`: there is no old master to stop.",
        /BUNDLE_GEMFILE/ => "Not needed: what Bundler pinned to the old release follows the link to the new one.",
        /trap.*TERM|TERM.*trap/ => "Not needed: TERM finishes the requests, unless there is `term_signal :quick`.",
        /^\s*sleep\b/ => "Not needed for signals: none is lost while workers are forked.",
        /WorkerKiller/ => "Instead: max_requests, max_age, max_memory (docs/memory.md#recycling)."
      }.freeze
      private_constant :REMARKS

      def server = "Unicorn"
      def adds_hooks? = false

      def survey(calls)
        @given = calls.map { |call, _| call.name }
      end

      def rewrite(call)
        return Rewrite.keep(remarks(call)) if ours?(call.name)
        return if call.block || Kernel.respond_to?(call.name, true)

        advice = Native.foreign_directive(call.name)&.last || misspelled(call.name)
        advice && Rewrite.gone("unknown directive: #{advice}")
      end

      def unneeded(_call) = nil
      def objection(_calls, _constants, _text) = nil
      def looks_for?(calls) = calls.any? { |name| ours?(name) }
      def before = []

      def header(path)
        "# #{path} works unchanged: licorne -c #{path}. This is the same, with remarks and with what is new here.\n"
      end

      def after
        suggestions = SUGGESTIONS.reject { |line| @given.any? { |name| line.match?(/\A# #{name}\b/) } }
        "\n# Worth a look (docs/migrating.md, docs/reference.md):\n#{suggestions.join}"
      end

      private

      def ours?(name)
        Native.directives.any? { |entry| entry[:name] == name }
      end

      def remarks(call)
        return unless call.block

        found = REMARKS.select { |pattern, _| call.block.body.match?(pattern) }.values
        found.join("\n") unless found.empty?
      end

      def misspelled(name)
        near = Native.nearest_directive(name)
        near && "did you mean #{near}?"
      end

      SUGGESTIONS = <<~TEXT.lines.freeze
        # preload_app true                  # workers share memory; a reload loads new code all the same
        # worker_processes 2..8             # the number follows the load
        # probe "/up"                       # what a new worker has to answer before it serves
        # canary workers: 1, watch: 60      # a reload tries new code on one worker first
        # max_requests 1000, jitter: 0.2    # then the next one takes its place
        # gc :between_requests              # garbage is collected when no request waits
        # access_log :stdout                # a line of JSON for each request
      TEXT
      private_constant :SUGGESTIONS
    end
  end
end
