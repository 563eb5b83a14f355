# frozen_string_literal: true

module Unicorn
  # The middleware of the gem unicorn-worker-killer: a worker that has served, or grown, enough is replaced. The limit
  # of each worker is drawn between the two that are given, so that they do not all leave at once.
  #
  #   use Unicorn::WorkerKiller::MaxRequests, 3072, 4096
  #   use Unicorn::WorkerKiller::Oom, 192 * (1024**2), 256 * (1024**2)
  module WorkerKiller
    # Accepted for the sake of configurations. A worker here is asked to leave once, and finishes what it has begun; if
    # it hangs meanwhile, `timeout` applies. Harder and harder signals are of no use.
    Configuration = Struct.new(:max_quit, :max_term, :sleep_interval)

    @configuration = Configuration.new(10, 15, 1)
    @asked = nil

    class << self
      attr_reader :configuration

      def configure
        yield(configuration)
      end

      # A number from 0 to below `integer`.
      def randomize(integer)
        Random.rand(integer.abs)
      end

      # Asks this worker to leave when the request is done.
      def kill_self(logger, start_time)
        return if @asked == Process.pid

        @asked = Process.pid
        alive = Time.now - start_time
        logger.warn("#{self} send SIGQUIT (pid: #{Process.pid}) alive: #{alive.round} sec (trial 1)")
        Process.kill(:QUIT, Process.pid)
      end
    end

    # What both have in common: something is looked at once the response is out.
    class Watch
      def initialize(app, min, max, verbose)
        @app = app
        @min = min
        @max = max
        @verbose = verbose
      end

      def call(env)
        begin_life unless @pid == Process.pid
        (env["rack.after_reply"] ||= []) << method(:look)
        @app.call(env)
      end

      private

      # In the worker, also where the application was loaded before it was forked.
      def begin_life
        @pid = Process.pid
        @started = Time.now
        @count = 0
        @limit = @min + WorkerKiller.randomize(@max - @min + 1)
      end

      def logger
        Licorne::Server.current.logger
      end

      def leave(reason)
        logger.warn("#{self.class}: worker (pid: #{@pid}) #{reason}")
        WorkerKiller.kill_self(logger, @started)
      end
    end

    # Replaces a worker after so many requests.
    class MaxRequests < Watch
      def initialize(app, min = 3072, max = 4096, verbose = false)
        super
      end

      private

      def look
        @count += 1
        logger.info("#{self.class}: worker (pid: #{@pid}) has #{@limit - @count} left before being killed") if @verbose
        leave("exceeds max number of requests (limit: #{@limit})") if @count >= @limit
      end
    end

    # Replaces a worker that uses more memory than so many bytes; looked at after every `cycle`-th request.
    class Oom < Watch
      def initialize(app, min = 1024**3, max = 2 * (1024**3), cycle = 16, verbose = false)
        super(app, min, max, verbose)
        @cycle = cycle
      end

      private

      def look
        @count += 1
        return unless (@count % @cycle).zero?

        bytes = resident_bytes
        logger.info("#{self.class}: worker (pid: #{@pid}) using #{bytes} bytes.") if @verbose
        leave("exceeds memory limit (#{bytes} bytes > #{@limit} bytes)") if bytes > @limit
      end

      # See proc(5), VmRSS in status: it is in kB.
      def resident_bytes
        File.foreach("/proc/self/status").find { |line| line.start_with?("VmRSS:") }.to_s[/\d+/].to_i * 1024
      end
    end
  end
end
