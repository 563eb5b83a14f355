# frozen_string_literal: true

require "support/wire"

# A real mold, with the test in the place of its master. Workers become children of the test process's nearest
# subreaper, so they are watched through their control sockets: the end of one is the end of its worker.
class MoldProcess
  BOARD_BYTES = 1025 * 64
  PAGE_BYTES = 4096
  # A worker; `page` is its seat.
  Child = Struct.new(:wire, :pid, :page) do
    # Asks where its threads are, as the master does.
    def ask(question)
      page.pwrite([question].pack("Q<"), 470 * 8)
      Process.kill(:URG, pid)
    end
  end

  attr_reader :pid, :wire

  def initialize(directory, **boot)
    @directory = directory
    @log = File.join(directory, "mold.stderr")
    @workers = []
    @pages = []
    @wire, theirs = Wire.pair
    start(theirs)
    theirs.close
    @board = sealed_memory("board", BOARD_BYTES)
    @queue = Socket.pair(:UNIX, :SEQPACKET)
    defaults = { generation: 4, program: "licorne", argv: %w[-c u.rb], program_path: "/usr/bin/licorne",
                 cwd: directory, config_file: "u.rb", rackup: "config.ru" }
    @wire.send(:boot, [@board], json: defaults.merge(boot))
  end

  # Lets it apply its settings, and waits until it is ready. Returns the settings.
  def ready
    settings = @wire.expect(:settings)[:json]
    @wire.send(:proceed)
    @wire.expect(:ready)
    settings
  end

  # Has a worker forked that serves these listeners. Returns it once it has announced itself.
  def fork(slot, listeners = [])
    ours, theirs = Wire.pair
    page = sealed_memory("seat", PAGE_BYTES)
    @wire.send(:fork, [theirs, page, *@queue, *listeners], slot: slot, generation: 4, seat: slot,
                                                           names: listeners.map { |socket| name_of(socket) },
                                                           proxies: listeners.map { "" })
    theirs.close
    @pages << page
    @workers << ours
    ours.expect(:forked)
    Child.new(ours, ours.sender, page)
  end

  # The status that the mold ends with.
  def wait
    _, status = Process.wait2(@pid)
    @pid = nil
    status
  end

  def log
    File.read(@log)
  end

  # Ends it and its workers, if they still live: by closing their sockets.
  def stop
    [@wire, *@workers].each(&:close)
    wait if @pid
    [@board, *@pages, *@queue].each(&:close)
  end

  private

  def start(control)
    paths = $LOAD_PATH.flat_map { |path| ["-I", path] }
    environment = { "LICORNE_CONTROL_FD" => "3", "RUBYOPT" => nil, "RACK_ENV" => nil }
    @pid = Process.spawn(environment, RbConfig.ruby, *paths, "-r", "licorne/mold", "-e", "Licorne::Mold.start",
                         3 => control, err: @log, chdir: @directory)
  end

  # See memfd_create(2), number 319 on x86-64 and 279 on arm64, and F_ADD_SEALS.
  def sealed_memory(name, bytes)
    number = RUBY_PLATFORM.start_with?("aarch64") ? 279 : 319
    memory = IO.for_fd(syscall(number, +name, 2)) # MFD_ALLOW_SEALING
    memory.close_on_exec = true
    File.truncate("/proc/self/fd/#{memory.fileno}", bytes)
    memory.fcntl(1033, 2 | 4) # F_SEAL_SHRINK | F_SEAL_GROW
    memory
  end

  def name_of(socket)
    "#{socket.local_address.ip_address}:#{socket.local_address.ip_port}"
  end
end
