# frozen_string_literal: true

require "licorne/failure"
require "licorne/logs"
require "licorne/rails_errors"

module Licorne
  # What the engine calls in a worker.
  class Events
    # The exit status of a worker whose logs could not be opened anew.
    LOGS_LOST = 77

    # What ends the worker, once it has retired: `exit`, most often.
    attr_reader :end
    # What opens the access log anew.
    attr_writer :engine

    def initialize(server, worker, retire)
      @server = server
      @worker = worker
      @retire = retire
    end

    def app_error(exception)
      notice(exception)
      tell_rails(exception)
    end

    # What the server itself has to tell, in the form of an exception.
    def notice(exception)
      Failure.log(@server.logger, "app error", exception)
    end

    # Recipes that look at the memory after each request call `exit` there. The response is out, but there may be others
    # on their way: the worker leaves as it does when it is told to.
    def after_reply_error(exception)
      if exception.is_a?(StandardError)
        Failure.log(@server.logger, "listen loop error", exception)
        return tell_rails(exception)
      end

      @end ||= exception
      @retire.call
    end

    # A worker opens its logs anew between requests: one that hangs in this one has not done so since they were rotated.
    def timeout(report)
      reopen_rotated
      @server.logger.error(report.to_s)
      @server.after_worker_timeout.call(@server, @worker, report.info)
    rescue StandardError => e
      Failure.log(@server.logger, "after_worker_timeout", e)
    end

    def slow(report)
      reopen_rotated
      @server.logger.warn(report.to_s)
    rescue StandardError => e
      Failure.log(@server.logger, "slow_request", e)
    end

    def reopen_logs
      @server.logger.info("worker=#{@worker.nr} reopening logs...")
      Logs.reopen
      reopen_access_log
      @server.logger.info("worker=#{@worker.nr} done reopening logs")
    rescue StandardError => e
      log_quietly(e)
      exit!(LOGS_LOST)
    end

    private

    def tell_rails(exception)
      RailsErrors.report(exception, @worker, @engine&.running_env)
    rescue StandardError => e
      Failure.log(@server.logger, "Rails.error", e)
    end

    # A log is not worth a request: without a new file the old one goes on.
    def reopen_access_log
      @engine&.reopen_access_log
    rescue IOError => e
      @server.logger.error("worker=#{@worker.nr} goes on with the old access log: #{e.message}")
    end

    # A log that cannot be opened must not keep the report from the old one.
    def reopen_rotated
      Logs.reopen
    rescue StandardError => e
      log_quietly(e)
    end

    # The log itself may be what is broken.
    def log_quietly(exception)
      @server.logger.error(exception)
    rescue StandardError
      nil
    end
  end
end
