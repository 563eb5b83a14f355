# frozen_string_literal: true

module Licorne
  # Shows Rails' log on standard output as well, as `rails server` does in its own process: in development, and where it
  # is asked to by `--log-to-stdout`. The handler has this loaded by `-r`, so that a reload and an upgrade keep it.
  module RailsLog
    module_function

    # Call it when the application is loaded: its logger is what is shown.
    def show
      logger = ::Rails.logger if defined?(::Rails.logger)
      return if logger.nil? || ActiveSupport::Logger.logger_outputs_to?(logger, $stdout, $stderr)

      console = ActiveSupport::Logger.new($stdout)
      console.level = logger.level
      console.formatter = logger.formatter
      # Rails 7.1 has a logger for that.
      if logger.respond_to?(:broadcast_to)
        logger.broadcast_to(console)
      else
        logger.extend(ActiveSupport::Logger.broadcast(console))
      end
    end
  end
end
