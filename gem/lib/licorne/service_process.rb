# frozen_string_literal: true

require "licorne/app_loader"
require "licorne/failure"
require "licorne/logs"
require "licorne/signals"

module Licorne
  # The main of a service that is a block, from the fork to its end. It ends when the block returns.
  class ServiceProcess
    # What a mold hands to the service that it forks; `app` is nil unless it was preloaded.
    Inheritance = Struct.new(:boot, :configurator, :settings, :server, :service, :control, :app, keyword_init: true)

    def initialize(inheritance)
      @boot = inheritance.boot
      @settings = inheritance.settings
      @server = inheritance.server
      @service = inheritance.service
      @control = inheritance.control
      @app = inheritance.app
      @block = inheritance.configurator.service_blocks.fetch(@service.name)
      @stop_signal = inheritance.configurator[:service].find { |given| given[:name] == @service.name }[:stop_signal]
    end

    def run
      prepare
      @block.call(@service, @server)
      nil
    rescue Exception => e # rubocop:disable Lint/RescueException -- LoadError and exit end it, too
      report(e)
      exit(Failure.status(e))
    end

    private

    def prepare
      install_traps
      Native.keep_from_children([@control.fileno])
      Process.setsid
      @server.send(:proc_name, "service #{@service.name}")
      Server::START_CTX.clear
      Configurator::RACKUP.clear
      @server.after_service_fork.call(@server, @service)
      @service.user(*@settings["user"].compact) if @settings["user"] && !@service.switched
      Logs.access = Logs.access&.close
      @server.config = nil
      heed_master
      @server.app = @app || AppLoader.fresh(@boot, @settings, @server)
    end

    # The block may set others.
    def install_traps
      Signals.deaf(Signals::ALL - Signals::STOPS)
      (Signals::STOPS | [@stop_signal]).each { |name| trap(name) { |_| @service.stop } }
      trap("CHLD", "DEFAULT")
    end

    # The end of the socket is the end of the master: the service is told to leave as the master would tell it.
    def heed_master
      Thread.new do
        while (message = @control.receive)
          reopen_logs if message[:kind] == :reopen_logs
        end
        Process.kill(@stop_signal, Process.pid)
      end
    end

    def reopen_logs
      Logs.reopen
    rescue IOError, SystemCallError => e
      @server.logger.error("#{e.message}; the log that was open stays")
    end

    def report(exception)
      return if exception.is_a?(SystemExit)

      Failure.log(@server.logger, "service=#{@service.name} error", exception)
    end
  end
end
