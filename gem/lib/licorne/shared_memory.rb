# frozen_string_literal: true

require "licorne/double_fork"
require "licorne/native"
require "licorne/worker"
require "licorne/worker_process"

module Licorne
  # What a mold does for the memory of its workers before it forks them. They share what none of them writes to, page by
  # page.
  module SharedMemory
    module_function

    # What runs for the first time fills Ruby's caches all over the memory.
    def prepare(prepared, control)
      DoubleFork.rehearse
      rehearse(prepared, control)
      tidy
    end

    # Garbage, and gaps between objects, are where each worker would write next.
    def tidy
      Process.respond_to?(:warmup) ? Process.warmup : GC.start
      Native.close_heap_gaps
    end

    # The mold's own socket stands for the listeners.
    def rehearse(prepared, control)
      inheritance = WorkerProcess::Inheritance.new(prepared: prepared, worker: Worker.new(0), control: control,
                                                   listeners: [[control.fileno]])
      WorkerProcess.new(inheritance).rehearse
    end
    private_class_method :rehearse
  end
end
