# frozen_string_literal: true

require "licorne/failure"
require "licorne/logs"
require "licorne/native"

module Licorne
  # What a mold does about logs: it writes the master's lines where the configuration has its own logger, and opens its
  # own files anew.
  module MoldLogs
    SEVERITIES = %i[debug info warn error fatal].freeze
    private_constant :SEVERITIES

    private

    def log(message)
      severity = message[:severity]
      severity = SEVERITIES.fetch(severity) if severity.is_a?(Integer)
      @server.logger.public_send(severity, message[:text])
    rescue StandardError => e
      warn(message[:text], Native.printable_lines(Failure.summary(e)))
    end

    # Tells the master when it is done: then the workers find files that were given to them.
    def reopen_logs
      Logs.reopen
    rescue IOError, SystemCallError => e
      @server.logger.error("#{e.message}; the log that was open stays")
    rescue StandardError => e
      @server.logger.error(e)
    ensure
      tell(:reopen_logs)
    end
  end
end
