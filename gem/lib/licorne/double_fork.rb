# frozen_string_literal: true

module Licorne
  # Two forks, and the process between them leaves at once: so the master, a subreaper, becomes the worker's parent.
  # They are Ruby's own, so that what libraries hook into Process.fork runs.
  module DoubleFork
    # The process between could not fork.
    class Failed < StandardError; end

    module_function

    # Returns true in the worker, false in the mold. The process between tells the worker's pid on the worker's own
    # control socket.
    def call(control)
      middle = Process.fork
      return middle_process(control) unless middle

      _, status = Process.wait2(middle)
      raise Failed, "cannot fork twice: #{status}" unless status.success?

      false
    rescue Errno::ECHILD
      # A thread or trap of the configuration waited for it first. If it failed, the master misses the worker.
      false
    end

    def middle_process(control)
      told, telling = IO.pipe
      middle = Process.pid
      pid = Process.fork
      return worker_process(told, telling, middle) unless pid

      announce(control, pid)
      exit!(0)
    rescue SystemCallError
      exit!(1)
    end

    # The worker begins when its pid is told, which the end of the pipe says: whatever it tells itself comes after that.
    # The pipe ends a moment before the process between does, and hooks that ask for the parent must find the master.
    def worker_process(told, telling, middle)
      telling.close
      told.read
      told.close
      Thread.pass while Process.ppid == middle
      true
    end

    # When the master is gone, the worker finds that out itself.
    def announce(control, pid)
      control.send_message(:forked, pid: pid)
    rescue IOError, SystemCallError
      exit!(0)
    end
    private_class_method :middle_process, :worker_process, :announce
  end
end
