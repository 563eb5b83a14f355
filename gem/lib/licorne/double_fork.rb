# frozen_string_literal: true

module Licorne
  # Two forks, and the process between them leaves at once: so the master, a subreaper, becomes the worker's parent.
  # They are Ruby's own, so that what libraries hook into Process.fork runs.
  module DoubleFork
    # The process between could not fork.
    class Failed < StandardError; end

    module_function

    # Returns true in the worker, false in the mold.
    def call(control)
      middle = Native.fork_ours
      return middle_process(control) unless middle

      _, status = Process.wait2(middle)
      raise Failed, "cannot fork twice: #{status}" unless status.success?

      false
    rescue Errno::ECHILD
      # A thread or trap of the configuration waited for it first. If it failed, the master misses the worker.
      false
    end

    # Does all but to fork.
    def rehearse
      told, telling = IO.pipe
      wait_for_end(told, telling, nil)
    end

    def middle_process(control)
      told, telling = IO.pipe
      middle = Process.pid
      pid = Native.fork_ours
      return worker_process(control, told, telling, middle) unless pid

      exit!(0)
    rescue SystemCallError
      exit!(1)
    end

    # The worker begins when it is the master's child, and has told the master so before anything else. The pipe ends a
    # moment before the process between does.
    def worker_process(control, told, telling, middle)
      wait_for_end(told, telling, middle)
      control.forked
      true
    rescue IOError, SystemCallError
      # The master is gone, or does not want this worker any more.
      exit!(0)
    end

    def wait_for_end(told, telling, middle)
      telling.close
      told.read
      told.close
      Thread.pass while Process.ppid == middle
    end
    private_class_method :middle_process, :worker_process, :wait_for_end
  end
end
