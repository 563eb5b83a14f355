# frozen_string_literal: true

require "licorne/native"
require "licorne/boot"
require "licorne/configurator"
require "licorne/double_fork"
require "licorne/exec"
require "licorne/exit_status"
require "licorne/failure"
require "licorne/logs"
require "licorne/mold_logs"
require "licorne/options"
require "licorne/rackup_options"
require "licorne/server"
require "licorne/service_fork"
require "licorne/settings"
require "licorne/shared_memory"
require "licorne/signals"
require "licorne/worker"
require "licorne/worker_process"
require "licorne/preparation"
require "licorne/compat"

module Licorne
  # The main of a mold: it evaluates the configuration, loads the application if it is to be preloaded, and forks a
  # worker whenever the master asks. Only its control socket moves it.
  class Mold
    include MoldLogs

    COMPATIBILITY = File.expand_path("compat/load_path", __dir__)
    private_constant :COMPATIBILITY
    # The mold as `after_mold_fork` sees it.
    Info = Struct.new(:generation, :pid)

    # The process is a mold, or a worker that was started afresh; a mold's fork comes back from `run` as a worker, so
    # that a worker's stack holds nothing of the mold.
    def self.start
      provide_unicorn
      control = ENV.delete("LICORNE_CONTROL_FD")
      role = control ? new(Native::Control.new(Integer(control))) : Exec.resume
      role = role.run while role
    end

    # All of its files at once: what is loaded already is not looked for again, so that a real Unicorn that is still in
    # the Gemfile does not come on top of it.
    def self.provide_unicorn
      $LOAD_PATH.unshift(COMPATIBILITY)
      Dir.glob("**/*.rb", base: COMPATIBILITY).sort.each { |path| require path.delete_suffix(".rb") }
    end
    private_class_method :provide_unicorn

    def initialize(control)
      @control = control
      @workers = {}
    end

    # Returns the worker in each process that it forks; in the mold itself it returns nothing, it exits.
    def run
      Signals.deaf
      boot
      tell(:ready)
      loop do
        MasterMethods.sleep(@server, @control)
        worker = handle(receive)
        return worker if worker
      end
    end

    private

    def boot
      prepare
      Signals.deaf # the configuration may have set traps
    rescue Exception => e # rubocop:disable Lint/RescueException -- SyntaxError and exit are failures to boot as well
      tell(:failed, text: meant?(e) ? "" : Failure.text(e, seen: @boot&.first?))
      exit(Failure.status(e))
    end

    def prepare
      first = receive
      @boot = Boot.from(first[:json])
      @board = first[:fds].first
      Native.keep_from_children([@control.fileno, @board])
      @prepared = Preparation.new(@boot)
      @prepared.evaluate
      @server = @prepared.server
      tell(:settings, json: @prepared.settings)
      wait_until_applied
      @prepared.finish
      call_hook if @prepared.app
      SharedMemory.prepare(@prepared, @control)
    end

    def hook_given?
      @prepared.settings["after_mold_fork"]
    end

    def call_hook
      @server.after_mold_fork.call(@server, Info.new(@boot.generation, Process.pid))
    end

    # `exit` in a configuration, and `-v` or `-h` in a rackup file, have said what there is to say.
    def meant?(exception)
      @boot&.first? && exception.is_a?(SystemExit) && exception.success?
    end

    def wait_until_applied
      loop do
        message = receive
        case message[:kind]
        when :proceed then return
        when :retire then exit!(0) # the settings could not be applied: that is the master's failure to tell, not ours
        else handle(message)
        end
      end
    end

    # The end of the channel is the end of the master, and nothing is left to do for a mold.
    def receive
      @control.receive || exit!(0)
    end

    def tell(kind, fields = {})
      @control.send_message(kind, fields)
    rescue IOError, Errno::EPIPE, Errno::ECONNRESET
      exit!(0)
    end

    def handle(message)
      case message[:kind]
      when :fork then return fork_worker(message)
      when :fork_service then return fork_service(message)
      when :worker_exited then worker_exited(message)
      when :worker_processes then @server.worker_processes = message[:count]
      when :pid_path then @server.pid = message[:path].empty? ? nil : message[:path]
      when :before_exec then tell(:exec_environment, json: Exec.environment(@server, @control))
      when :log then log(message)
      when :reopen_logs then reopen_logs
      when :retire then exit(0)
      end
      nil
    end

    def worker_exited(message)
      slot = message[:slot]
      worker = slot && (@workers[slot] || Worker.new(slot))
      status = ExitStatus.build(message[:pid], message[:status])
      @server.after_worker_exit.call(@server, worker, status)
    rescue StandardError => e
      Failure.log(@server.logger, "master loop error", e)
    end

    # Returns the worker in the new process, nil in the mold.
    def fork_worker(message)
      control = Native::Control.new(message[:fds].first)
      page, *queue = message[:fds][1, 3]
      listeners = message[:fds].drop(4).zip(message[:names], message[:proxies])
      Native.keep_from_children(message[:fds])
      worker = Worker.new(message[:slot])
      @server.listener_names = message[:names]
      if before_fork(worker) && double_fork(worker, control)
        return become_worker(worker, control, page, queue, listeners, message)
      end

      control.close
      message[:fds].drop(1).each { |fd| IO.for_fd(fd).close }
      nil
    end

    # Returns the service in the new process, nil in the mold.
    def fork_service(message)
      ServiceFork.new(@server, @boot, @prepared, method(:tell)).call(message, @control, @board)
    end

    # Returns whether the fork may go on.
    def before_fork(worker)
      @server.before_fork.call(@server, worker)
      Signals.deaf # the hook may have set traps; only the control socket moves a mold
      true
    rescue Exception => e # rubocop:disable Lint/RescueException -- not even `exit` in a hook ends the server
      fork_failed(worker, e)
    end

    # Returns true in the worker.
    def double_fork(worker, control)
      return true if DoubleFork.call(control)

      @workers[worker.nr] = worker
      false
    rescue SystemCallError, DoubleFork::Failed => e
      fork_failed(worker, e)
    end

    def fork_failed(worker, exception)
      tell(:fork_failed, slot: worker.nr, text: Failure.text(exception))
      false
    end

    def become_worker(worker, control, page, queue, listeners, message)
      @control.close
      inheritance = WorkerProcess::Inheritance.new(
        boot: @boot, prepared: @prepared, worker: worker, control: control, board: @board, page: page,
        seat: message[:seat], queue: queue, listeners: listeners
      )
      Exec.fresh_worker(inheritance) if @prepared.settings["worker_exec"]
      WorkerProcess.new(inheritance)
    end
  end
end

require "licorne/promotion"
