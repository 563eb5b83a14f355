# frozen_string_literal: true

require "licorne/backtraces"

module Licorne
  # What a worker tells of its request shortly before `timeout` ends both, or when it is slow. Made in a trap of the
  # main thread, which is where the application runs: its backtrace is what the trap's caller was doing.
  class TimeoutReport
    # What `after_worker_timeout` gets: the thread of the application, the env, and how long it has taken in seconds.
    Info = Struct.new(:thread, :rack_env, :elapsed) do
      # Gives the calling thread the variables of the application's, for those who report with context.
      def copy_thread_variables!
        thread.keys.each { |name| Thread.current[name] = thread[name] }
        thread.thread_variables.each do |name|
          Thread.current.thread_variable_set(name, thread.thread_variable_get(name))
        end
      end
    end

    attr_reader :info

    # `request` is what the engine tells: generation, request line, seconds, env. `what` is why it is reported.
    def initialize(worker, request, backtrace, what)
      @what = what
      generation, @line, elapsed, env = request
      @who = "worker=#{worker.nr} gen=#{generation} pid=#{Process.pid}"
      @info = Info.new(Thread.main, env, elapsed)
      @backtraces = Backtraces.new(backtrace)
    end

    # One entry for the log.
    def to_s
      age_ms = (@info.elapsed * 1_000).floor
      "#{@who} #{@what}, after #{age_ms} ms in \"#{@line}\"\n#{@backtraces}"
    end
  end
end
