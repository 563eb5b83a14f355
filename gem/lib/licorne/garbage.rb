# frozen_string_literal: true

module Licorne
  # `gc :between_requests`: the engine collects all garbage between requests. From Ruby 3.4 on Ruby can be told to do so
  # nowhere else; before, it does so in a request only if that allocates much after the engine has looked.
  module Garbage
    # Children that the application forks have no engine: there, Ruby collects as usual.
    module OfChildren
      def _fork
        super.tap { |pid| GC.config(rgengc_allow_full_mark: true) if pid.zero? }
      end
    end

    module_function

    # From now on this process, a worker, leaves it to the engine.
    def leave_to_engine
      return unless GC.respond_to?(:config)

      Process.singleton_class.prepend(OfChildren)
      GC.config(rgengc_allow_full_mark: false)
    end
  end
end
