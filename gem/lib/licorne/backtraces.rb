# frozen_string_literal: true

require "licorne/native"

module Licorne
  # Where each thread of this process is. Made in a trap of the main thread: its backtrace is what the trap
  # interrupted.
  class Backtraces
    # Of a deeper one the innermost and the outermost frames are told.
    FRAMES = 200
    OUTERMOST = 50
    private_constant :FRAMES, :OUTERMOST

    def initialize(main)
      others = (Thread.list - [Thread.main]).map { |thread| [thread.inspect, thread.backtrace] }
      @threads = [["main thread", main], *others]
    end

    # A line for each thread, and one for each of its frames, the innermost first. Names of threads and files may be in
    # any encoding.
    def to_s
      lines = @threads.flat_map { |name, backtrace| [name, *frames(backtrace).map { |frame| "  #{frame}" }] }
      lines.map { |line| Native.printable_lines(line) }.join("\n")
    end

    private

    # A thread that has just ended has no backtrace.
    def frames(backtrace)
      backtrace = backtrace.to_a
      return backtrace if backtrace.size <= FRAMES

      left_out = "... #{backtrace.size - FRAMES} more"
      [*backtrace.first(FRAMES - OUTERMOST), left_out, *backtrace.last(OUTERMOST)]
    end
  end
end
