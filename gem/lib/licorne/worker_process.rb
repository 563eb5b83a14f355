# frozen_string_literal: true

require "licorne/answers"
require "licorne/events"
require "licorne/probe"
require "licorne/process_client"
require "licorne/signals"

module Licorne
  # The main of a worker, from the fork to its end.
  class WorkerProcess
    include Answers

    # What a mold hands to the worker that it forks. `prepared` has the application if it was preloaded; `board` is what
    # all workers share, `page` the worker's own seat, whose number is `seat`; `queue` are the ends of the queue between
    # workers, `listeners` are triples of descriptor, name and version of the PROXY protocol.
    Inheritance = Struct.new(:boot, :prepared, :worker, :control, :board, :page, :seat, :queue, :listeners,
                             keyword_init: true)

    def initialize(inheritance)
      @prepared = inheritance.prepared
      @settings = @prepared.settings
      @server = @prepared.server
      @worker = inheritance.worker
      @control = inheritance.control
      @inheritance = inheritance
    end

    # Serves until it is told to leave. Afterwards the process ends as any Ruby program does, at_exit handlers included.
    # In a mold that it forks this returns the mold.
    def run
      @server.worker_main = method(:serve)
      @server.send(:worker_loop, @worker)
      return @mold if @mold

      @worker.close
      nil
    end

    # Does what touches nothing but this process, in a mold.
    def rehearse
      fill_listeners
      Server::LISTENERS.clear
      Events.new(@server, @worker, method(:leave))
      RackEnv.reasons
    end

    private

    def serve
      boot_or_fail
      app = ProcessClient.around(@app, @server)
      outcome = @engine.run(app, @events)
      while outcome == :promoted
        return if (@mold = @promotion.call(@engine, @app))

        outcome = @engine.go_on(app, @events)
      end
      @server.logger.warn("worker=#{@worker.nr} lost its master, leaving") if outcome == :orphaned
      raise @events.end if @events.end
    end

    def boot_or_fail
      prepare
      open_access_log
      @server.after_fork.call(@server, @worker)
      @worker.user(*@settings["user"].compact) if @settings["user"] && !@worker.switched
      Logs.access = Logs.access&.close
      @server.config = nil
      @app = @prepared.app || @prepared.load_app("worker=#{@worker.nr} ")
      @server.app = @app
      build_engine
      pass_probe
      open_listeners
      @server.after_worker_ready.call(@server, @worker)
    rescue Exception => e # rubocop:disable Lint/RescueException -- LoadError and exit are failures to boot as well
      report(e)
      exit(Failure.status(e))
    end

    def prepare
      install_traps
      Native.note_fatal_signals(@inheritance.page)
      heed_questions
      Native.keep_from_children([@control.fileno, @inheritance.board, @inheritance.page, *@inheritance.queue,
                                 *@inheritance.listeners.map(&:first)])
      @server.send(:proc_name, "worker[#{@worker.nr}]")
      @promotion = Promotion.new(@inheritance, start: Server::START_CTX.dup) if Promotion.directive(@settings)
      Server::START_CTX.clear
      Configurator::RACKUP.clear
      fill_listeners
      @events = Events.new(@server, @worker, method(:leave))
    end

    # With the rights that a worker begins with; the mold has opened it before. A log is not worth a request.
    def open_access_log
      path = @settings["access_log"]&.fetch("path")
      @access_log = Native.open_log(path, @settings["user"], nil) if path
    rescue IOError, SystemCallError => e
      @server.logger.error("worker=#{@worker.nr} writes no access log until SIGUSR1: #{e.message}")
    end

    # The descriptors are the engine's: these objects only let others ask for addresses.
    def fill_listeners
      require "socket"
      sockets = @inheritance.listeners.map { |fd, _| Socket.for_fd(fd).tap { |socket| socket.autoclose = false } }
      Server::LISTENERS.replace(sockets)
    end

    # Until there is an engine, nothing was begun that would have to be finished.
    def install_traps
      trap("QUIT") { |_| leave }
      trap("TERM") { |_| @settings["term_signal"] == "quick" ? leave_at_once : leave }
      trap("INT") { |_| leave_at_once }
      Signals.deaf(Signals::ALL - Signals::STOPS)
      trap("CHLD", "DEFAULT")
    end

    def leave
      @engine ? @engine.retire : exit!(0)
    end

    # What was served is in the log.
    def leave_at_once
      @engine&.flush_access_log
    ensure
      exit!(0)
    end

    def build_engine
      engine = Native::Engine.new(control: @control, **@inheritance.to_h.slice(:board, :page, :seat),
                                  settings: @prepared.engine_settings, header_limit: Configurator.header_limit,
                                  env: RackEnv::DEFAULTS, reasons: RackEnv.reasons,
                                  asks_for_arrays: RackEnv.nil_for_an_array?, access_log: @access_log)
      IO.for_fd(@inheritance.page).close
      @events.engine = @engine = engine
      @server.logger.count_losses(engine) if @server.logger.is_a?(PrintableLog)
      # Hooks may have taken these over.
      trap("QUIT") { |_| leave }
      # Not in the trap itself: a Logger cannot lock there.
      trap("USR1") { |_| Thread.new { @events.reopen_logs } }
      heed_questions
    end

    # Before there are listeners: what fails meets no client.
    def pass_probe
      settings = @settings["probe"] or return
      @probe = Probe.new(settings)
      exit!(0) unless @probe.pass?(@engine, @app, @events)
    end

    def open_listeners
      @engine.join_queue(*@inheritance.queue)
      @inheritance.listeners.each { |fd, name, proxy| @engine.add_listener(fd, name, proxy) }
      @server.own_listeners.each { |socket, name, proxy| @engine.add_listener(socket.fileno, name, proxy) }
    end

    # At once: where the application hangs, its handlers may do so, too.
    def give_up(text)
      @control.failed(text)
    ensure
      exit!(1)
    end

    def report(exception)
      return if exception.is_a?(SystemExit) && exception.success?

      @control.failed(exception.is_a?(Probe::Failed) ? exception.message : Failure.text(exception))
    rescue StandardError
      # The master cannot be told any more, and nothing else wants to know; the exit status remains.
      nil
    end
  end
end
