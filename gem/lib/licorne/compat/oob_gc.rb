# frozen_string_literal: true

module Unicorn
  # Collects garbage between requests: after every `interval`-th request whose path matches, once its response is out.
  #
  #   use Unicorn::OobGC, 5, %r{\A/expensive}
  class OobGC
    def initialize(app, interval = 5, path = %r{\A/})
      @app = app
      @interval = interval
      @path = path
      @left = interval
    end

    def call(env)
      collect_after(env) if @path.match?(env["PATH_INFO"].to_s)
      @app.call(env)
    end

    private

    # Counts before the application runs, so that a request that fails counts as well.
    def collect_after(env)
      @left -= 1
      return if @left.positive?

      @left = @interval
      (env["rack.after_reply"] ||= []) << method(:collect)
    end

    # An application that keeps the collector disabled while it serves has it disabled again afterwards.
    def collect
      disabled = GC.enable
      GC.start
      GC.disable if disabled
    end
  end
end
