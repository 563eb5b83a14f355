# frozen_string_literal: true

require "test_helper"

class SettingsTest < Minitest::Test
  include TestHelper

  def setup
    super
    %w[WEB_CONCURRENCY PORT RACK_ENV].each { |name| ENV.delete(name) }
  end

  def test_silence_means_the_defaults_of_the_table
    settings = settings()
    assert_equal 1, settings["worker_processes"]
    assert_equal 60, settings["timeout"]
    assert_equal 114_688, settings["client_body_buffer_size"]
    assert_equal "graceful", settings["term_signal"]
    assert_equal [true, false, false], settings.values_at("default_middleware", "preload_app", "custom_logger")
    assert_equal [nil, nil, nil, nil], settings.values_at("pid", "stderr_path", "working_directory", "user")
    assert_equal false, settings["before_fork"]
    assert_equal [{ "address" => "0.0.0.0:8080" }], asked(settings["listeners"])
    refute settings.key?("logger")
  end

  def test_given_values_are_reported
    settings = settings(<<~RUBY)
      worker_processes 2
      term_signal :quick
      user 'root', 'root'
      logger Logger.new($stderr)
      before_exec { |server| }
      listen 8080, backlog: 5
      listen '/a.sock'
    RUBY
    assert_equal [2, "quick", %w[root root], true, true],
                 settings.values_at("worker_processes", "term_signal", "user", "custom_logger", "before_exec")
    assert_equal [{ "address" => "8080", "backlog" => 5 }, { "address" => "/a.sock" }],
                 without_places(settings["listeners"])
  end

  # Without what each listener has that is asked nothing of.
  def asked(listeners)
    silent = Licorne::Native.complete_listener_options({}).transform_keys(&:to_s)
    listeners.map do |listener|
      assert_equal ["address", "resolved", "unresolved", "place", *silent.keys], listener.keys
      listener.reject { |name, value| value == silent[name] }
    end
  end

  def without_places(listeners)
    asked(listeners).map { |listener| listener.except("place") }
  end

  def test_every_option_of_every_listener_is_told
    text = "listen 8080, proxy_protocol: true, tcp_defer_accept: false\nlisten '/a.sock', tries: nil"
    tcp, unix = settings(text)["listeners"]
    assert_equal ["any", 0, 5, true, nil],
                 tcp.values_at("proxy_protocol", "tcp_defer_accept", "tries", "tcp_nodelay", "backlog")
    assert_equal [nil, 1, 5, 0, 0.5], unix.values_at("proxy_protocol", "tcp_defer_accept", "tries", "umask", "delay")
  end

  def test_a_directive_that_is_set_to_nil_has_its_default
    assert_equal [75, nil], settings("set[:keepalive_timeout] = nil").values_at("keepalive_timeout", "pid")
  end

  def test_a_host_is_looked_up_here_and_not_by_the_master
    assert_equal [{ "address" => "localhost:80", "resolved" => "127.0.0.1:80" }],
                 without_places(settings("listen 'localhost:80'")["listeners"])
    unknown, = asked(settings("listen 'a.invalid:80'")["listeners"])
    assert_equal %w[address unresolved place], unknown.keys
    assert_match(/\Agetaddrinfo: .* \(SocketError\)\z/, unknown["unresolved"])
  end

  def test_listeners_come_in_the_order_of_command_line_configuration_rackup_file_and_host_with_port
    settings = settings("listen '127.0.0.1:2', tries: 1\nlisten '127.0.0.1:1', backlog: 7\n",
                        rackup: "#\\ -l 127.0.0.1:3 -p 5\nrun nil\n", listeners: ["127.0.0.1:1"], host: "127.0.0.1",
                        port: 4)
    assert_equal [{ "address" => "127.0.0.1:1", "backlog" => 7 },
                  { "address" => "127.0.0.1:2", "place" => "u.rb:1", "tries" => 1 },
                  { "address" => "127.0.0.1:3", "place" => "config.ru" }, { "address" => "127.0.0.1:5" }],
                 asked(settings["listeners"])
  end

  def test_rails_server_has_one_place_to_listen
    load File.expand_path("../lib/licorne/rails_server.rb", __dir__)
    own = { host: "127.0.0.1", port: 3000 }
    assert_equal [{ "address" => "127.0.0.1:3000" }], asked(settings(**own)["listeners"])
    assert_equal [{ "address" => "1", "place" => "u.rb:1" }], asked(settings("listen 1", **own)["listeners"])
    told = settings("listen 1", listeners: ["127.0.0.1:4000"])
    assert_equal [{ "address" => "127.0.0.1:4000" }], asked(told["listeners"])
  ensure
    Licorne.send(:remove_const, :RailsServer)
  end

  def test_port_of_the_environment_counts_where_no_listener_is_given
    ENV["PORT"] = "5000"
    assert_equal [{ "address" => "0.0.0.0:5000" }], asked(settings["listeners"])
    assert_equal [{ "address" => "127.0.0.1:5000" }], asked(settings(host: "127.0.0.1")["listeners"])
    assert_equal [{ "address" => "9", "place" => "u.rb:1" }], asked(settings("listen 9")["listeners"])
    assert_equal [], asked(settings(inherited: ["127.0.0.1:7"])["listeners"])
    ENV["PORT"] = " "
    assert_equal [{ "address" => "0.0.0.0:8080" }], asked(settings["listeners"])
    ENV["PORT"] = "http"
    assert_equal 'not a port: PORT="http"', assert_raises(ArgumentError) { settings }.message
  end

  def test_web_concurrency_counts_where_the_configuration_is_silent
    { "4" => 4, " 3 " => 3, "" => 1, " " => 1 }.each do |text, want|
      ENV["WEB_CONCURRENCY"] = text
      assert_equal want, settings["worker_processes"], text.inspect
      assert_equal 2, settings("worker_processes 2")["worker_processes"]
    end
    ENV["WEB_CONCURRENCY"] = "auto"
    assert_operator settings["worker_processes"], :>=, 1
    { "many" => 'not an integer: WEB_CONCURRENCY="many"', "0" => "too low (< 1): WEB_CONCURRENCY=0" }
      .each do |text, message|
      ENV["WEB_CONCURRENCY"] = text
      assert_equal message, assert_raises(ArgumentError) { settings }.message
    end
  end

  def test_the_command_line_beats_the_configuration_for_middleware_and_loses_for_the_pid
    settings = settings("default_middleware true\npid 'theirs.pid'", no_default_middleware: true, pid: "ours.pid")
    assert_equal [false, "theirs.pid"], settings.values_at("default_middleware", "pid")
    assert_equal "ours.pid", settings(pid: "ours.pid")["pid"]
  end

  def test_each_value_tells_where_it_comes_from
    ENV["WEB_CONCURRENCY"] = "3"
    text = "timeout 20, cleanup: 2\nlisten 9\nlogger Logger.new($stdout)\nbefore_exec { |server| }\nset[:surge] = 2"
    told = settings(text, pid: "a.pid", listeners: ["127.0.0.1:1"], daemonized: true, no_default_middleware: true)
    assert_equal({ "worker_processes" => "WEB_CONCURRENCY", "timeout" => "u.rb:1", "timeout_cleanup" => "u.rb:1",
                   "logger" => "u.rb:3", "before_exec" => "u.rb:4", "surge" => "u.rb", "pid" => "-P",
                   "stderr_path" => "-D", "stdout_path" => "-D", "default_middleware" => "-N",
                   "listen 127.0.0.1:1" => "-l", "listen 9" => "u.rb:2" }.sort, told["sources"].sort)
    assert_equal ["-o, -p"], settings(port: 5).fetch("sources").values_at("listen 0.0.0.0:5")
    assert_equal({ "worker_processes" => "u.rb:1" }, settings("worker_processes 1")["sources"])
  end

  def test_a_daemon_logs_to_nowhere_unless_told
    settings = settings("stdout_path 'out.log'", daemonized: true)
    assert_equal %w[out.log /dev/null], settings.values_at("stdout_path", "stderr_path")
    settings = settings("stderr_path nil", daemonized: true)
    assert_equal ["/dev/null", nil], settings.values_at("stdout_path", "stderr_path")
  end

  def test_files_that_cannot_be_written_are_refused_with_the_line_that_names_them
    error = assert_raises(ArgumentError) { settings("\npid '/no/such/a.pid'") }
    assert_equal "u.rb:2: directory for pid=/no/such/a.pid not writable", error.message
    error = assert_raises(ArgumentError) { settings("stderr_path 'log/err'") }
    assert_equal "u.rb:1: directory for stderr_path=#{@directory}/log/err not writable", error.message
  end

  def test_check_client_connection_excludes_tcp_nopush
    error = assert_raises(ArgumentError) { settings("listen 1, tcp_nopush: true\ncheck_client_connection true") }
    assert_equal "u.rb:2: check_client_connection is incompatible with tcp_nopush:true", error.message
  end
end

class CpuQuotaTest < Minitest::Test
  include TestHelper

  def quota(files, cgroup: "/a/b", online: 8)
    root = File.join(@directory, "cgroup")
    files.each do |name, text|
      FileUtils.mkdir_p(File.dirname(File.join(root, name)))
      File.write(File.join(root, name), text)
    end
    Licorne::CpuQuota.processors(root: root, cgroup: cgroup, online: online)
  ensure
    FileUtils.rm_rf(root)
  end

  def test_the_strictest_quota_of_the_hierarchy_counts_rounded_up
    assert_equal 8, quota({})
    assert_equal 8, quota({ "cpu.max" => "max 100000\n" })
    assert_equal 2, quota({ "cpu.max" => "150000 100000\n" })
    assert_equal 1, quota({ "a/cpu.max" => "20000 100000\n", "a/b/cpu.max" => "400000 100000\n" })
    assert_equal 8, quota({ "cpu.max" => "9900000 100000\n" })
    assert_equal 3, quota({ "cpu/cpu.cfs_quota_us" => "250000\n", "cpu/cpu.cfs_period_us" => "100000\n" })
    assert_equal 8, quota({ "cpu/cpu.cfs_quota_us" => "-1\n", "cpu/cpu.cfs_period_us" => "100000\n" })
  end

  def test_a_number_that_follows_the_load_ends_at_the_quota_unless_it_begins_above
    workers = lambda do |given, quota|
      root = File.join(@directory, "cgroup")
      FileUtils.mkdir_p(root)
      File.write(File.join(root, "cpu.max"), quota)
      Licorne::CpuQuota.workers(given, root: root, cgroup: "/", online: 8)
    end
    assert_equal [2, 16], workers.call([2, 16], "max 100000")
    assert_equal [2, 4], workers.call([2, 16], "350000 100000")
    assert_equal 6, workers.call([6, 16], "400000 100000")
    assert_equal [2, 8], workers.call([2, "auto"], "max 100000")
    assert_equal [4, 4], [workers.call("auto", "400000 100000"), workers.call(4, "100000 100000")]
  end

  def test_quotas_of_the_older_hierarchy_count_at_each_level
    files = { "cpu/a/cpu.cfs_quota_us" => "400000\n", "cpu/a/cpu.cfs_period_us" => "100000\n",
              "cpu/a/b/cpu.cfs_quota_us" => "100000\n", "cpu/a/b/cpu.cfs_period_us" => "100000\n" }
    assert_equal 1, quota(files)
    assert_equal 4, quota(files, cgroup: "/a")
  end

  def test_numbers_of_workers_are_given_as_a_range_or_as_two
    ["2..16", "2...17", "2, 16"].each do |text|
      assert_equal [2, 16], configure("worker_processes(#{text})")[:worker_processes], text
    end
    error = assert_raises(ArgumentError) { configure("worker_processes 2..") }
    assert_equal "u.rb:1: not an integer: worker_processes=nil", error.message
  end

  def test_a_logger_that_logs_otherwise_is_the_configurations_own
    given = ["", "set[:logger].formatter = Logger::Formatter.new",
             "Configurator::DEFAULTS[:logger].level = Logger::DEBUG"]
    given.each { |text| refute settings(text)["custom_logger"], text }
    ["set[:logger].level = Logger::WARN", "Configurator::DEFAULTS[:logger].formatter = ->(*) { '' }",
     "logger Logger.new($stdout)"].each do |text|
      assert settings(text)["custom_logger"], text
    ensure
      Licorne::Configurator::LOGGER.tap { |logger| logger.level = Logger::DEBUG }.formatter = nil
    end
  end

  def test_set_has_the_defaults_that_unicorns_has
    configurator = configure
    assert_equal [60, 1, nil, false], %i[timeout worker_processes pid preload_app].map { |name| configurator.set[name] }
    assert_equal %i[unset unset], %i[stderr_path user].map { |name| configurator.set[name] }
    assert_equal 4, settings("set[:worker_processes] = 4")["worker_processes"]
  end
end
