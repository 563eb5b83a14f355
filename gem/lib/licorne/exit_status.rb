# frozen_string_literal: true

module Licorne
  # How a process ended, as the master learned it. It answers what a Process::Status answers: Ruby makes those only for
  # the children of the asking process, and workers are the master's.
  class ExitStatus < Process::Status
    class << self
      # `status` is the raw one of wait(2).
      def build(pid, status)
        allocate.tap { |made| made.send(:fill, pid, status) }
      end
    end

    attr_reader :pid, :to_i

    def exited? = termination.zero?
    def signaled? = !exited? && !stopped?
    def stopped? = (@to_i & 0xff) == 0x7f
    def exitstatus = exited? ? (@to_i >> 8) & 0xff : nil
    def termsig = signaled? ? termination : nil
    def stopsig = stopped? ? (@to_i >> 8) & 0xff : nil
    def coredump? = signaled? && (@to_i & 0x80) != 0
    def success? = exited? ? exitstatus.zero? : nil
    def &(other) = @to_i & other
    def >>(other) = @to_i >> other
    def ==(other) = @to_i == (other.is_a?(Process::Status) ? other.to_i : other)
    def hash = @to_i.hash
    def inspect = "#<Process::Status: #{self}>"

    def to_s
      return "pid #{@pid} exit #{exitstatus}" if exited?

      number = stopped? ? stopsig : termsig
      name = Signal.signame(number)
      words = name ? "SIG#{name} (signal #{number})" : "signal #{number}"
      "pid #{@pid} #{"stopped " if stopped?}#{words}#{" (core dumped)" if coredump?}"
    end

    private

    def fill(pid, status)
      @pid = pid
      @to_i = status
    end

    def termination = @to_i & 0x7f
  end
end
