# frozen_string_literal: true

require "io/wait"
require "licorne/failure"

module Licorne
  # What the master does by itself, by the names that configurations and agents look for, alias and redefine. The master
  # runs no Ruby, so that redefining most of these changes nothing; they are here so that doing so is no error.
  module MasterMethods
    IDLE = %i[murder_lazy_workers reap_all_workers spawn_missing_workers maintain_worker_count build_app!
              http_response_write handle_error init_worker_process reopen_worker_logs].freeze
    private_constant :IDLE

    # Comes back when there is a message for the mold, where `master_sleep` is wrapped. One that fails is called again
    # after a pause.
    def self.sleep(server, control)
      return if server.method(:master_sleep).source_location == MASTER_SLEEP

      channel = IO.for_fd(control.fileno, autoclose: false)
      server.master_wait = channel.method(:wait_readable)
      until channel.wait_readable(0)
        begin
          server.send(:master_sleep, server.timeout - 1)
        rescue StandardError => e
          Failure.log(server.logger, "master loop error", e)
          channel.wait_readable(1)
        end
      end
    end

    # Stops the server: when its requests are done, or at once.
    def stop(graceful = true)
      Process.kill(graceful ? :QUIT : :INT, Process.ppid)
    end

    private

    IDLE.each { |name| define_method(name) { |*_given, **_options| } }
    private(*IDLE) # rubocop:disable Style/AccessModifierDeclarations -- define_method in a block makes them public

    # Waits for the master's next message, at most so long. Configurations wrap it to do something periodically beside
    # the workers; the mold calls it then.
    def master_sleep(seconds)
      @master_wait&.call(seconds)
    end
    MASTER_SLEEP = instance_method(:master_sleep).source_location.freeze

    def kill_worker(signal, pid)
      Process.kill(signal, pid)
    rescue Errno::ESRCH
      nil
    end

    # Asks the master for an upgrade.
    def reexec
      Process.kill(:USR2, Process.ppid)
    end
  end
end
