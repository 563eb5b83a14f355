# frozen_string_literal: true

require "minitest/autorun"
require "rack"
require "rack/lint"
require "socket"
require "stringio"
require "timeout"
require "tmpdir"
require "uri"
require "licorne/native"
require "support/wire"

# A process that serves an app with the engine, as a worker does, and the master's end of its control channel.
class NativeServer
  # What the engine calls; each call is a line to the test.
  class Events
    def initialize(log)
      @log = log
    end

    def app_error(exception)
      @log.syswrite("app_error #{exception.class}: #{exception.message}\n")
    end

    def notice(exception)
      @log.syswrite("notice #{exception.class}: #{exception.message}\n")
    end

    def after_reply_error(exception)
      @log.syswrite("after_reply_error #{exception.class}: #{exception.message}\n")
    end

    def reopen_logs
      @log.syswrite("reopen_logs\n")
    end
  end

  PAGE_BYTES = 4096
  BOARD_BYTES = 1025 * 64
  ENV_TEMPLATE = { "rack.errors" => $stderr, "rack.multithread" => false, "rack.multiprocess" => true,
                   "rack.run_once" => false, "SCRIPT_NAME" => "", "rack.version" => [1, 2],
                   "SERVER_SOFTWARE" => "Licorne" }.freeze

  # What a mold tells of a silent configuration. Of a hook that is whether it was given.
  DEFAULTS = Licorne::Native.directives.to_h do |entry|
    [entry[:name], entry[:type] == "hook" ? false : entry[:default]]
  end.freeze

  # Those of the running test: a child must not keep the ends of its elder siblings open.
  ALL = [] # rubocop:disable Style/MutableConstant

  attr_reader :wire, :log, :pid, :listener

  def initialize(settings: {}, env: {}, path: nil, &app)
    @path = path
    @clients = []
    @listener = path ? UNIXServer.new(path) : TCPServer.new("127.0.0.1", 0)
    @port = @listener.addr[1] unless path
    @wire, theirs = Wire.pair
    @log, log = IO.pipe
    @page = memory(PAGE_BYTES)
    @board = memory(BOARD_BYTES)
    # The end of a test is the death of the master: it waits for no client.
    settings = { **DEFAULTS, "keepalive_linger" => 0, **settings }
    @pid = fork { child(theirs, log, settings, ENV_TEMPLATE.merge(env), app) }
    ALL << self
    [theirs, log].each(&:close)
    @wire.expect(:ready)
  end

  def connect
    socket = @path ? UNIXSocket.new(@path) : TCPSocket.new("127.0.0.1", @port)
    @clients << socket
    socket
  end

  # Closes what a test left open.
  def release
    stop unless @log.closed?
    @clients.each(&:close)
    [@page, @board].each(&:close)
  end

  # The listener is the server's alone from now on.
  def leave_listener
    @listener.close
  end

  # Waits for the end; returns the status.
  def wait
    @status ||= Timeout.timeout(NativeCase::PATIENCE) { Process.wait2(@pid).last }
  end

  # Stops the process for as long as the block runs: what happens meanwhile, it finds all at once.
  def suspended
    Process.kill(:STOP, @pid)
    Process.wait(@pid, Process::WUNTRACED)
    yield
  ensure
    Process.kill(:CONT, @pid)
  end

  # Ends the process and returns all that it logged.
  def stop
    @wire.close
    wait
    @log.read
  ensure
    ALL.delete(self)
    @log.close
    @listener.close
  end

  # The words of the seat.
  def seat
    @page.rewind
    @page.read(PAGE_BYTES).unpack("Q<*")
  end

  private

  # See memfd_create(2), number 319 on x86-64, and F_ADD_SEALS.
  def memory(bytes)
    file = File.for_fd(syscall(319, +"seat", 3), "r+b")
    file.truncate(bytes)
    file.fcntl(1033, 2 | 4)
    file
  end

  # `LICORNE_TEST_GC`: `stress` collects at each allocation, `compact` moves all objects that can be moved in each
  # request and looks whether any reference was left behind.
  def under_pressure(app)
    case ENV.fetch("LICORNE_TEST_GC", nil)
    when "stress"
      GC.stress = true
    when "compact"
      GC.auto_compact = true
      return lambda do |env|
        GC.verify_compaction_references(toward: :empty)
        app.call(env).tap { GC.compact }
      end
    end
    app
  end

  def child(theirs, log, settings, env, app)
    ALL.flat_map { |server| [server.wire, server.log, server.listener] }.each(&:close)
    [@wire, @log].each(&:close)
    [theirs, @listener].each { |io| io.autoclose = false }
    Licorne::Native.keep_from_children([theirs.fileno, @page.fileno, @board.fileno, @listener.fileno])
    engine = Licorne::Native::Engine.new(control: Licorne::Native::Control.new(theirs.fileno),
                                         settings: Licorne::Native::Settings.new(settings),
                                         page: @page.fileno, board: @board.fileno, seat: 0, env: env)
    engine.add_listener(@listener.fileno, "test")
    trap("QUIT") { engine.retire }
    outcome = engine.run(under_pressure(app), Events.new(log))
    log.syswrite("#{outcome} #{engine.seat_requests}\n")
    exit!(0)
  rescue Exception => e # rubocop:disable Lint/RescueException -- the test wants to know what left the engine
    log.syswrite("left by #{e.class}: #{e.message}\n")
    exit!(e.is_a?(SystemExit) ? e.status : 1)
  end
end

# What tests of the native classes share.
class NativeCase < Minitest::Test
  # How long a wait may last, in seconds, before it is a failure: it bounds a hang.
  PATIENCE = 60

  def setup
    @servers = []
  end

  def teardown
    @servers.each(&:release)
    assert_empty NativeServer::ALL
  end

  # What the block waits for must come.
  def soon(&)
    Timeout.timeout(PATIENCE, &)
  end

  def serve(**options, &app)
    NativeServer.new(**options, &app).tap { |server| @servers << server }
  end

  # Serves behind Rack::Lint.
  def serve_linted(**options, &app)
    serve(**options, &Rack::Lint.new(app).method(:call).to_proc)
  end

  # Sends bytes on a new connection and returns everything up to its end.
  def exchange(server, bytes)
    client = server.connect
    client.write(bytes)
    soon { client.read }
  ensure
    client&.close
  end

  def get(server, target = "/", *fields)
    exchange(server, head("GET #{target}", fields))
  end

  def post(server, body, *fields)
    fields = ["Content-Length: #{body.bytesize}"] if fields.empty?
    exchange(server, head("POST /", fields) + body)
  end

  # The head of a request after which the connection is closed.
  def head(request, fields)
    ["#{request} HTTP/1.1", "Host: a", "Connection: close", *fields, ""].map { |line| "#{line}\r\n" }.join
  end

  # Reads one response with Content-Length, chunks or no body from a connection: [status, fields, body].
  def response(client, head_only: false)
    soon do
      status = client.gets("\r\n")&.split&.at(1)&.to_i
      fields = {}
      while (line = client.gets("\r\n")) && line != "\r\n"
        name, value = line.chomp("\r\n").split(": ", 2)
        (fields[name.downcase] ||= []) << value
      end
      [status, fields, head_only || [204, 304].include?(status) ? "" : body(client, fields)]
    end
  end

  def body(client, fields)
    return client.read(fields["content-length"].last.to_i) if fields["content-length"]
    return client.read unless fields["transfer-encoding"]

    text = +""
    while (size = client.gets("\r\n").to_i(16)).positive?
      text << client.read(size)
      client.read(2)
    end
    client.read(2)
    text
  end

  # The content of a whole response.
  def body_of(text)
    response(StringIO.new(text)).last
  end
end
