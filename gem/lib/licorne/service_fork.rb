# frozen_string_literal: true

require "licorne/double_fork"
require "licorne/failure"
require "licorne/service"
require "licorne/service_process"

module Licorne
  # How a mold forks a service.
  class ServiceFork
    # `tell` tells the master.
    def initialize(server, boot, prepared, tell)
      @server = server
      @boot = boot
      @prepared = prepared
      @tell = tell
    end

    # Returns the service in the new process, which does without the mold's control socket and board; nil in the mold.
    def call(message, control_of_mold, board)
      control = Native::Control.new(message[:fds].first)
      Native.keep_from_children(message[:fds])
      service = Service.new(message[:name])
      if before_fork(service, message) && double_fork(control, message)
        control_of_mold.close
        IO.for_fd(board).close
        return become(service, control)
      end

      [service, control].each(&:close)
      nil
    end

    private

    # Returns whether the fork may go on.
    def before_fork(service, message)
      @server.before_service_fork.call(@server, service)
      Signals.deaf # the hook may have set traps
      true
    rescue Exception => e # rubocop:disable Lint/RescueException -- not even `exit` in a hook ends the server
      fork_failed(message, e)
    end

    # Returns true in the service.
    def double_fork(control, message)
      DoubleFork.call(control)
    rescue SystemCallError, DoubleFork::Failed => e
      fork_failed(message, e)
    end

    def fork_failed(message, exception)
      @tell.call(:service_fork_failed, service: message[:service], text: Failure.text(exception))
      false
    end

    def become(service, control)
      inheritance = ServiceProcess::Inheritance.new(
        boot: @boot, configurator: @prepared.configurator, settings: @prepared.settings, server: @server,
        service: service, control: control, app: @prepared.app
      )
      ServiceProcess.new(inheritance)
    end
  end
end
