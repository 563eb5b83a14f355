# frozen_string_literal: true

require "licorne/worker_process"

module Licorne
  # Programs that are executed: a worker in a Ruby of its own (`worker_exec`), and what `before_exec` leaves behind for
  # the next master.
  module Exec
    # The variable that tells a fresh Ruby which worker it is. Marshal, not JSON: the json gem must not be loaded
    # before the application says which version it wants.
    VARIABLE = "LICORNE_WORKER"
    # How long `before_exec` may take: less than the master waits for a new program, and no fork can be made meanwhile.
    HOOK_SECONDS = 50
    private_constant :VARIABLE, :HOOK_SECONDS

    module_function

    # Replaces this process, a forked worker, by a fresh Ruby that becomes the same worker.
    def fresh_worker(inheritance)
      server = inheritance.prepared.server
      state = { boot: inheritance.boot.to_h, nr: inheritance.worker.nr, control: inheritance.control.fileno,
                pid: server.pid, worker_processes: server.worker_processes,
                **inheritance.to_h.slice(:board, :page, :seat, :queue, :listeners) }
      fds = [state[:control], state[:board], state[:page], *state[:queue], *state[:listeners].map(&:first)]
      fds = fds.to_h { |fd| [fd, fd] }
      ENV[VARIABLE] = [Marshal.dump(state)].pack("m0")
      exec(RbConfig.ruby, *load_path, "-r", "licorne/mold", "-e", "Licorne::Mold.start", **fds)
    end

    # The worker that this process was started as.
    def resume
      state = Marshal.load(ENV.delete(VARIABLE).unpack1("m0"))
      control = Native::Control.new(state[:control])
      kept = [state[:board], state[:page], *state[:queue], *state[:listeners].map(&:first)]
      kept.each { |fd| Native.set_cloexec(fd) }
      Signals.deaf
      prepare(state, control)
    end

    # Runs `before_exec` in a child and returns the ENV that it left, or nil when it failed or took longer than
    # `seconds`.
    def environment(server, control, seconds: HOOK_SECONDS)
      reader, writer = IO.pipe(binmode: true)
      pid = Process.fork { run_hook(server, control, reader, writer) }
      writer.close
      encoded = read_within(reader, seconds)
      reader.close
      give_up(server, pid, seconds) unless encoded
      _, status = Process.wait2(pid)
      status.success? ? Marshal.load(encoded).to_h { |name, value| [utf8(name), utf8(value)] } : nil
    rescue SystemCallError => e
      server.logger.error(e)
      nil
    end

    # All that comes up to the end, or nil when that takes longer.
    def read_within(reader, seconds)
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
      encoded = +""
      loop do
        left = deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC)
        return unless left.positive? && IO.select([reader], nil, nil, left)

        encoded << reader.readpartial(65_536)
      end
    rescue EOFError
      encoded
    end

    def give_up(server, pid, seconds)
      server.logger.error("before_exec took longer than #{seconds} s, killing it")
      Process.kill(:KILL, pid)
    end

    def run_hook(server, control, reader, writer)
      reader.close
      control.close
      Dir.chdir(Server::START_CTX[:cwd]) if Server::START_CTX[:cwd]
      server.before_exec.call(server)
      writer.write(Marshal.dump(ENV.to_h))
      writer.close
      exit!(0)
    rescue Exception => e # rubocop:disable Lint/RescueException -- `exit` in the hook means: do not execute
      server.logger.error(e)
      exit!(1)
    end

    def prepare(state, control)
      boot = Boot.new(**state[:boot])
      prepared = Preparation.new(boot)
      prepared.evaluate
      prepared.finish
      server = prepared.server
      server.pid = state[:pid]
      server.worker_processes = state[:worker_processes]
      server.listener_names = state[:listeners].map { |_, name,| name }
      WorkerProcess.new(WorkerProcess::Inheritance.new(
        boot: boot, prepared: prepared, worker: Worker.new(state[:nr]), control: control,
        **state.slice(:board, :page, :seat, :queue, :listeners)
      ))
    rescue Exception => e # rubocop:disable Lint/RescueException -- SyntaxError and exit are failures to boot as well
      control.failed(Failure.text(e))
      exit(Failure.status(e))
    end

    # JSON has no word for other bytes.
    def utf8(text)
      text.dup.force_encoding(Encoding::UTF_8).scrub("?")
    end

    # The directories of this library and of its extension.
    def load_path
      extension = $LOADED_FEATURES.find { |path| path.end_with?("/licorne/licorne_ext.so") }
      [__dir__, extension && File.dirname(extension)].compact.uniq.flat_map { |path| ["-I", File.dirname(path)] }
    end
    private_class_method :read_within, :give_up, :run_hook, :prepare, :load_path
  end
end
