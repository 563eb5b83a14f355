# frozen_string_literal: true

require "logger"
require "licorne/native"

module Licorne
  # For the logger that is used where the configuration brings none, which stays a plain Logger to its callers. Messages
  # and backtraces may have the text of clients in them: what a terminal would act upon is escaped. A formatter that was
  # given to it says what it wants.
  module PrintableLog
    private

    def format_message(severity, datetime, progname, message)
      formatted = super
      formatter.nil? || formatter.instance_of?(Logger::Formatter) ? Native.printable_lines(formatted) : formatted
    end
  end
end
