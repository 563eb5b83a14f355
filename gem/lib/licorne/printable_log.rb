# frozen_string_literal: true

require "English"
require "logger"
require "licorne/native"

module Licorne
  # For the logger that is used where the configuration brings none, which stays a plain Logger to its callers. Messages
  # and backtraces may have the text of clients in them: what a terminal would act upon is escaped. A formatter that was
  # given to it says what it wants.
  module PrintableLog
    # A device of a Logger, which rescues what keeps it from writing, and warns of it.
    module CountsLosses
      attr_writer :engine

      private

      def warn(*)
        error = $ERROR_INFO
        @engine&.count_lost_line(error.is_a?(SystemCallError) ? error.errno : 0)
        super
      end
    end

    def self.extended(logger)
      logger.instance_exec { @logdev.extend(CountsLosses) }
    end

    # Lines that are lost from now on are counted on the seat of this worker; without an engine they are not.
    def count_losses(engine)
      @logdev.engine = engine
    end

    private

    def format_message(severity, datetime, progname, message)
      formatted = super
      formatter.nil? || formatter.instance_of?(Logger::Formatter) ? Native.printable_lines(formatted) : formatted
    end
  end
end
