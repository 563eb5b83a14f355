# frozen_string_literal: true

require "test_helper"
require "support/mold_process"

# A test that plays the master of a real mold, in a directory with u.rb and config.ru.
module MoldCase
  include TestHelper

  APP = "run ->(env) { [200, { 'content-type' => 'text/plain' }, [%s.to_s]] }\n"

  def setup
    super
    @listener = Socket.new(:INET, :STREAM).tap { |socket| socket.bind(Addrinfo.tcp("127.0.0.1", 0)) }
    @listener.listen(16)
  end

  def teardown
    @mold&.stop
    @listener.close
    super
  end

  def boot(config = "", app: format(APP, "Process.pid"), env: "none", **members)
    write("u.rb", config)
    write("config.ru", app)
    @mold = MoldProcess.new(@directory, env: env, **members)
  end

  # The body of one response.
  def get(listener = @listener)
    Socket.tcp("127.0.0.1", listener.local_address.ip_port, connect_timeout: 60) do |socket|
      socket.write("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
      raise "no response" unless socket.wait_readable(60)

      socket.read.split("\r\n\r\n", 2).last
    end
  end

  def title(pid)
    File.read("/proc/#{pid}/cmdline").tr("\0", " ").strip
  end
end
