# frozen_string_literal: true

module Licorne
  # What happens where the configuration sets no hook: the log lines that Unicorn writes, or nothing.
  module Hooks
    DEFAULTS = {
      before_fork: lambda { |server, worker| server.logger.info("worker=#{worker.nr} spawning...") },
      after_fork: lambda { |server, worker| server.logger.info("worker=#{worker.nr} spawned pid=#{Process.pid}") },
      after_worker_ready: lambda { |server, worker| server.logger.info("worker=#{worker.nr} ready") },
      after_worker_exit: lambda { |server, worker, status|
        line = "reaped #{status.inspect} worker=#{worker ? worker.nr : "unknown"}"
        status.success? ? server.logger.info(line) : server.logger.error(line)
      },
      before_service_fork: lambda { |server, service| server.logger.info("service=#{service.name} spawning...") },
      after_service_fork: lambda { |server, service|
        server.logger.info("service=#{service.name} spawned pid=#{Process.pid}")
      },
      before_exec: lambda { |server| server.logger.info("forked child re-executing...") },
      after_mold_fork: ->(_server, _mold) {},
      after_worker_timeout: ->(_server, _worker, _info) {}
    }.freeze
  end
end
