# frozen_string_literal: true

require "test_helper"

class ServerTest < Minitest::Test
  include TestHelper

  def server(text = "", **boot)
    settings = settings(text, **boot)
    configurator = configure(text)
    Licorne::Server.new(configurator: configurator, settings: settings, logger: logger)
  end

  def test_it_answers_what_the_configuration_says
    server = server("worker_processes 3\ntimeout 30\npreload_app true\npid 'x.pid'\nlisten 9, backlog: 4\n")
    assert_equal [3, 30, true, "x.pid", "x.pid"],
                 [server.worker_processes, server.timeout, server.preload_app, server.pid, server.config[:pid]]
    assert_equal({ "9" => { backlog: 4 } }, server.listener_opts)
    assert_nil server.user
    assert_equal 2, server.before_fork.arity
    assert_operator server.inspect.size, :<, 100
  end

  # The usual recipe in before_fork: in the old master these two must be equal.
  def test_an_absolute_pid_path_is_answered_as_it_was_configured
    server = server("pid 'x.pid'")
    server.pid = "#{@directory}/x.pid.oldbin"
    assert_equal "#{server.config[:pid]}.oldbin", server.pid
    server.pid = "#{@directory}/x.pid"
    assert_equal "x.pid", server.pid
    server.pid = "/elsewhere/y.pid"
    assert_equal "/elsewhere/y.pid", server.pid
    server.pid = nil
    assert_nil server.pid
  end

  def test_assigning_the_logger_changes_what_applications_get
    server = server()
    server.logger = other = logger
    assert_same other, Licorne::RackEnv::DEFAULTS["rack.logger"]
  end

  def test_listen_binds_once_and_logs_the_name
    server = server()
    socket = server.listen("127.0.0.1:0", backlog: 5)
    name = "127.0.0.1:#{socket.local_address.ip_port}"
    assert_equal [name], server.listener_names
    assert_nil server.listen(name)
    assert_equal ["INFO listening on addr=#{name} fd=#{socket.fileno}\n"], @log.string.lines
    assert socket.close_on_exec?
    assert_equal [true, 1], [socket.getsockopt(:SOCKET, :KEEPALIVE).bool, socket.getsockopt(:TCP, :NODELAY).int]
  ensure
    socket&.close
  end

  def test_listen_replaces_a_stale_socket_file_and_refuses_a_live_one
    server = server()
    path = File.join(@directory, "a.sock")
    UNIXServer.new(path).close
    server.listen("unix:a.sock", umask: 0o077).close
    assert_equal [0o700, ["#{@directory}/a.sock"]], [File.stat(path).mode & 0o777, server.listener_names]
    File.unlink(path)
    stranger = IO.popen([RbConfig.ruby, "-rsocket", "-e", "UNIXServer.new('a.sock'); puts; $stdout.flush; $stdin.read"],
                        "r+")
    stranger.gets
    assert_raises(Errno::EADDRINUSE) { Licorne::OwnListener.bind(path, { tries: 1, delay: 0 }, logger) }
    assert_equal ["ERROR adding listener failed addr=#{path} (in use)", "ERROR retrying in 0 seconds (0 tries left)",
                  "ERROR adding listener failed addr=#{path} (in use)"], @log.string.lines(chomp: true)
    File.write("file", "")
    assert_raises(ArgumentError) { server.listen(File.join(@directory, "file")) }
  ensure
    stranger&.close
  end

  def test_addresses_have_canonical_names
    { "8080" => "0.0.0.0:8080", ":8080" => "0.0.0.0:8080", "*:8080" => "0.0.0.0:8080", 8080 => "0.0.0.0:8080",
      "127.0.0.1:1" => "127.0.0.1:1", "[::1]:1" => "[::1]:1", "127.0.0.1" => "127.0.0.1:80", "[::1]" => "[::1]:80",
      "/a/b.sock" => "/a/b.sock", "unix:x.sock" => "#{@directory}/x.sock", "~/x" => File.expand_path("~/x") }
      .each { |address, name| assert_equal name, Licorne::OwnListener.name(address), address.inspect }
    assert_raises(ArgumentError) { Licorne::OwnListener.name("rel/foo.sock") }
  end
end

class WorkerTest < Minitest::Test
  include TestHelper

  # In a process of its own, since there is no way back. Prints the ids that it ends with.
  def switched(code)
    skip "only root can switch" unless Process.uid.zero?

    script = "require 'licorne/worker'; require 'licorne/logs'; w = Licorne::Worker.new(0); #{code}; " \
             "p [Process.uid, Process.euid, Process.gid, Process.egid, Process.groups, w.switched]"
    IO.popen([RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", script], &:read).chomp
  end

  def test_without_a_group_the_user_gets_its_own_and_none_of_roots
    require "etc"
    user = Etc.getpwnam("nobody")
    assert_equal [user.uid, user.uid, user.gid, user.gid, [user.gid], true].inspect, switched("w.user('nobody')")
  end

  def test_with_a_group_it_gets_that_one
    require "etc"
    uid = Etc.getpwnam("nobody").uid
    gid = Etc.getgrnam("daemon").gid
    assert_match(/\A\[#{uid}, #{uid}, #{gid}, #{gid}, \[.*#{gid}\], true\]\z/, switched("w.user('nobody', 'daemon')"))
  end

  def test_logs_are_given_to_the_user
    require "etc"
    File.chmod(0o755, @directory)
    switched("f = File.open('#{@directory}/a.log', 'a'); f.sync = true; w.user('nobody', ['daemon', 'adm'])")
    stat = File.stat("a.log")
    assert_equal [Etc.getpwnam("nobody").uid, Etc.getgrnam("adm").gid], [stat.uid, stat.gid]
  end

  def test_a_worker_equals_its_number
    worker = Licorne::Worker.new(2)
    assert_operator worker, :==, 2
    refute_operator worker, :==, 3
    assert_equal worker, worker
  end
end
