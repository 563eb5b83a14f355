# frozen_string_literal: true

require "digest"

# A Rack application without a framework: one path for each thing that a server can get wrong.
module Plain
  HELLO = ["Hello World\n"].freeze
  TEXT = { "Content-Type" => "text/plain" }.freeze
  BIG = ("0123456789abcdef" * 64).freeze
  RACK3 = defined?(Rack.release) && Rack.release.to_i >= 3

  # A body that is only an `each`, and tells of its `close` on the log.
  class Lines
    def initialize(count, name)
      @count = count
      @name = name
    end

    def each
      @count.times { |n| yield "line #{n}\n" }
    end

    def close
      warn "closed #{@name}"
    end
  end

  # A body that breaks after its first piece.
  class Broken < Lines
    def each
      yield "begun\n"
      raise "the body broke"
    end
  end

  # A body that is a file, for `sendfile`.
  class Sendable < Lines
    def initialize(path)
      super(0, "file")
      @path = path
    end

    def to_path
      @path
    end

    def each
      yield File.binread(@path)
    end
  end

  module_function

  def call(env)
    name = env["PATH_INFO"].delete_prefix("/").tr("-", "_")
    name = "hello" if name.empty?
    name = "missing" unless PATHS.include?(name)

    RACK3 ? as_rack3(*send(name, env)) : send(name, env)
  end

  # Names in lower case, and an array where Rack 2 has lines.
  def as_rack3(status, fields, body)
    fields = fields.to_h { |name, value| [name.downcase, value.to_s.include?("\n") ? value.split("\n") : value] }
    [status, fields, body]
  end

  def text(body, headers = {})
    [200, TEXT.merge("Content-Length" => body.bytesize.to_s, **headers), [body]]
  end

  def parameter(env, name, default = nil)
    env["QUERY_STRING"][/(?:\A|&)#{name}=([^&]*)/, 1] || default
  end

  def missing(_env)
    [404, TEXT.merge("Content-Length" => "10"), ["not found\n"]]
  end

  def hello(_env)
    [200, { "Content-Type" => "text/plain", "Content-Length" => "12" }, HELLO]
  end

  def pid(_env)
    text("#{Process.pid}\n")
  end

  # Every key of the environment, one per line, sorted.
  def env(env)
    lines = env.sort.map { |key, value| "#{key}=#{value.is_a?(String) ? value.dump : value.inspect}\n" }
    text(lines.join)
  end

  # Tells on the FIFO (or log) that the request has begun, then takes its time.
  def sleep(env)
    tell(env, "sleeping #{Process.pid}")
    Kernel.sleep(Float(parameter(env, "s", "1")))
    text("slept #{Process.pid}\n")
  end

  # Answers when a line comes through the FIFO named in TEST_GATE: a request whose length the test decides.
  def wait(env)
    tell(env, "waiting #{Process.pid}")
    line = File.open(File.join(ENV.fetch("TEST_DIR"), "gate"), &:gets)
    text("waited for #{line}")
  end

  def echo(env)
    body = env["rack.input"].read
    text("#{body.bytesize} #{Digest::SHA256.hexdigest(body)}\n")
  end

  # Reads in pieces, rewinds, reads by lines: all must see the same content.
  def reread(env)
    input = env["rack.input"]
    pieces = +""
    while (piece = input.read(1000))
      pieces << piece
    end
    input.rewind
    lines = +""
    input.each { |line| lines << line }
    input.rewind
    first = input.gets
    text("#{pieces.bytesize} #{pieces == lines} #{first.to_s.bytesize} #{input.read(0).inspect}\n")
  end

  def big(env)
    count = Integer(parameter(env, "kib", "1024"))
    [200, TEXT.merge("Content-Length" => (count * 1024).to_s), Array.new(count, BIG)]
  end

  def stream(env)
    [200, TEXT, Lines.new(Integer(parameter(env, "lines", "10")), "stream")]
  end

  def broken(_env)
    [200, TEXT, Broken.new(0, "broken")]
  end

  def file(_env)
    path = File.expand_path(__FILE__)
    [200, TEXT.merge("Content-Length" => File.size(path).to_s), Sendable.new(path)]
  end

  # A status of the client's choice, with a body that must not be sent for 204 and 304.
  def status(env)
    status = Integer(parameter(env, "code", "200"))
    headers = [204, 304].include?(status) ? { "X-Body" => "none" } : TEXT
    [status, headers, [204, 304].include?(status) ? [] : ["status #{status}\n"]]
  end

  def headers(_env)
    [200, TEXT.merge("Set-Cookie" => "a=1\nb=2", "X-Number" => "7"), ["two cookies\n"]]
  end

  def raise(_env)
    Kernel.raise "as asked"
  end

  def exit(_env)
    Kernel.exit 3
  end

  def hijack(env)
    io = env["rack.hijack"].call
    io.write "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhijacked\n"
    io.close
    [-1, {}, []]
  end

  def partial_hijack(_env)
    speak = lambda do |io|
      io.write "partly hijacked\n"
      io.close
    end
    [200, TEXT.merge("Connection" => "close", "rack.hijack" => speak), []]
  end

  def after_reply(env)
    env["rack.after_reply"] << -> { warn "after reply #{Process.pid}" }
    text("before\n")
  end

  def early(env)
    env["rack.early_hints"]&.call("Link" => "</style.css>; rel=preload")
    text("hinted\n")
  end

  # Where a test waits for a request: the FIFO `told` in the test's directory, if it made one.
  def tell(_env, line)
    path = File.join(ENV.fetch("TEST_DIR", "/nonexistent"), "told")
    File.pipe?(path) ? File.write(path, "#{line}\n", mode: "a") : warn(line)
  end

  PATHS = (singleton_methods(false) - %i[call as_rack3 text parameter tell]).map(&:to_s).freeze
end
