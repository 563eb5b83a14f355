# frozen_string_literal: true

module Licorne
  module Conversion
    # Puma's blocks, by their names of Puma 7 and before, as those here.
    module PumaHooks
      # By their names of Puma 7 and before.
      HOOKS = {
        %w[before_fork] => { directive: "after_mold_fork", parameters: "_server, _mold" },
        %w[before_worker_boot on_worker_boot] => { directive: "after_fork" },
        %w[before_worker_fork on_worker_fork] => { directive: "before_fork" },
        %w[after_worker_fork after_worker_boot] => { directive: "after_worker_ready" },
        %w[before_worker_shutdown on_worker_shutdown] => { directive: "after_fork", within: "at_exit" },
        %w[before_refork on_refork] => { directive: "after_mold_fork", parameters: "_server, _mold" },
        %w[before_thread_start on_thread_start] => { directive: "after_worker_ready" },
        %w[before_thread_exit on_thread_exit] => { directive: "after_fork", within: "at_exit" }
      }.flat_map { |names, hook| names.map { |name| [name, hook] } }.to_h.freeze
      REMARKS = {
        "before_fork" => "Once before the first worker, as in Puma: in each mold, when the application is loaded.",
        "after_worker_fork" => "In Puma this runs in the master; here in the worker, when it is ready.",
        "after_worker_boot" => "In Puma this runs in the master; here in the worker, when it is ready.",
        "before_thread_start" => "A worker serves in one thread.", "on_thread_start" => "A worker serves in one thread."
      }.freeze
      # Without an application in the mold there is nothing to do there once.
      UNPRELOADED = { directive: "before_fork" }.freeze
      private_constant :REMARKS, :UNPRELOADED

      private

      def hook(call)
        parts = HOOKS[call.name]
        given = call.block.params.to_s
        return Rewrite.gone("write it with `#{parts[:directive]}`") if given.include?(",")

        parts = UNPRELOADED if call.name == "before_fork" && !@preloads
        index = given[/\w+/] unless parts[:parameters]
        parameters = parts[:parameters] || (index ? "_server, worker" : "_server, _worker")
        opening = "#{index} = worker.nr" if index
        Rewrite.hook(Hook.new(**parts, parameters: parameters, opening: opening), remark: remark(call.name, parts))
      end

      def remark(name, parts)
        REMARKS[name] unless parts == UNPRELOADED
      end
    end
  end
end
