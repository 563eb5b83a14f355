# frozen_string_literal: true

require "licorne/failure"
require "licorne/logs"

module Licorne
  # What the engine calls in a worker.
  class Events
    # The exit status of a worker whose logs could not be opened anew.
    LOGS_LOST = 77

    def initialize(server, worker)
      @server = server
      @worker = worker
    end

    def app_error(exception)
      Failure.log(@server.logger, "app error", exception)
    end

    def after_reply_error(exception)
      Failure.log(@server.logger, "listen loop error", exception)
    end

    def timeout(report)
      @server.logger.error(report.to_s)
      @server.after_worker_timeout.call(@server, @worker, report.info)
    rescue StandardError => e
      Failure.log(@server.logger, "after_worker_timeout", e)
    end

    def reopen_logs
      @server.logger.info("worker=#{@worker.nr} reopening logs...")
      Logs.reopen
      @server.logger.info("worker=#{@worker.nr} done reopening logs")
    rescue StandardError => e
      log_quietly(e)
      exit!(LOGS_LOST)
    end

    private

    # The log itself may be what is broken.
    def log_quietly(exception)
      @server.logger.error(exception)
    rescue StandardError
      nil
    end
  end
end
