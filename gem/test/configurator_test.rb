# frozen_string_literal: true

require "test_helper"

class ConfiguratorTest < Minitest::Test
  include TestHelper

  def test_every_value_directive_takes_a_right_value
    {
      "worker_processes" => [3, :auto], "timeout" => [3, 60], "pid" => ["a.pid", nil], "preload_app" => [true, false],
      "worker_exec" => [true], "default_middleware" => [false], "early_hints" => [true],
      "check_client_connection" => [true], "rewindable_input" => [false], "client_body_buffer_size" => [0, 1 << 20],
      "stderr_path" => ["err.log", nil], "stdout_path" => ["out.log"], "boot_timeout" => [1, 2.5], "surge" => [2],
      "term_signal" => %i[quick graceful], "shutdown_delay" => [0, 1.5], "keepalive_timeout" => [0, 10],
      "keepalive_linger" => [3], "drop_underscore_headers" => [false], "upgrade" => [:in_place],
      "control" => ["control.sock", nil], "timeout_cleanup" => [0, 2.5],
      "slow_request" => [0, 0.25]
    }.each do |name, values|
      values.each do |value|
        configurator = configure("#{name} #{value.inspect}")
        value.nil? ? assert_nil(configurator[name.to_sym]) : assert_equal(value, configurator[name.to_sym], name)
        assert configurator.given?(name.to_sym), name
      end
    end
  end

  def test_wrong_values_are_refused_with_file_and_line
    {
      "timeout 3.5" => "not an integer: timeout=3.5",
      "timeout 2" => "too low (< 3): timeout=2",
      "worker_processes 0" => "too low (< 1): worker_processes=0",
      "worker_processes '4'" => 'not an integer: worker_processes="4"',
      "preload_app nil" => "preload_app=nil not a boolean",
      "early_hints 1" => "early_hints=1 not a boolean",
      "client_body_buffer_size(-1)" => "too low (< 0): client_body_buffer_size=-1",
      "pid 5" => "not a path: pid=5",
      "upgrade :never" => "upgrade=:never is not one of :auto, :two_masters, :in_place",
      "listen 8080, backlog: '5'" => 'not an integer: backlog="5"',
      "listen 8080, tcp_nodelay: 1" => "not boolean: tcp_nodelay=1",
      "listen 8080, delay: 'x'" => 'not numeric: delay="x"',
      "listen nil" => "not an address: listen=nil",
      "after_fork :x" => "invalid type: after_fork=:x",
      "user nil" => "not a string: user=nil",
      "user 'no-such-user'" => "can't find user for no-such-user",
      "user 'root', 'no-such-group'" => "can't find group for no-such-group",
      "logger 5" => "logger=5 does not respond to method=debug",
      "timeout" => "timeout takes one value",
      "slow_request -1" => "too low (< 0): slow_request=-1",
      "timeout 9, cleanup: 'x'" => 'not a number: timeout_cleanup="x"'
    }.each do |line, text|
      name = RUBY_VERSION < "3.4" ? "`evaluate'" : "'Licorne::Configurator#evaluate'"
      error = assert_raises(Licorne::ConfigError, line) { configure("# first line\n#{line}\n") }
      assert_equal "u.rb:2: #{text}", error.message
      assert_equal ["u.rb:2:in #{name}"], error.backtrace.grep(/\Au\.rb/)
    end
  end

  def test_timeout_takes_pitchforks_keyword
    configurator = configure("timeout 20, cleanup: 4")
    assert_equal [20, 4], [configurator[:timeout], configurator[:timeout_cleanup]]
    refute configure("timeout 20").given?(:timeout_cleanup)
  end

  def test_wrong_arity_of_a_hook_names_both_numbers
    error = assert_raises(ArgumentError) { configure("before_fork { |server| }") }
    assert_match(/\Au\.rb:1: before_fork=#<Proc:.*> has invalid arity: 1 \(need 2\)\z/, error.message)
    assert_raises(ArgumentError) { configure("after_worker_exit { |*all| }") }
    assert_raises(ArgumentError) { configure("before_exec method(:puts)") }
  end

  def test_an_unknown_directive_names_the_nearest_one
    error = assert_raises(NoMethodError) { configure("\n\nworker_proceses 4") }
    assert_equal "u.rb:3: unknown directive: worker_proceses (did you mean worker_processes?)", error.message
    error = assert_raises(NoMethodError) { configure("frobnicate") }
    assert_equal "u.rb:1: unknown directive: frobnicate", error.message
  end

  def test_an_unknown_name_in_a_hook_is_an_ordinary_name_error
    configurator = configure("before_fork { |server, worker| worker_proceses }")
    error = assert_raises(NameError) { configurator[:before_fork].call(nil, nil) }
    refute_match(/directive/, error.message)
    assert_operator error.message.size, :<, 200
  end

  def test_a_mistake_in_a_file_that_the_configuration_loads_names_that_file
    write("more.rb", "\ntimeout 1\n")
    error = assert_raises(ArgumentError) { configure("instance_eval(File.read('more.rb'), 'more.rb')") }
    assert_equal "more.rb:2: too low (< 3): timeout=1", error.message
  end

  def test_hooks_are_stored_and_default_to_log_lines
    configurator = configure("after_fork { |server, worker| :mine }\nbefore_fork nil\n")
    assert_equal :mine, configurator[:after_fork].call(1, 2)
    assert_equal [true, false, false], %i[after_fork before_fork before_exec].map { |name| configurator.given?(name) }
    server = Struct.new(:logger).new(logger)
    worker = Licorne::Worker.new(3)
    configurator[:before_fork].call(server, worker)
    configurator[:after_worker_ready].call(server, worker)
    configurator[:after_worker_exit].call(server, worker, Licorne::ExitStatus.build(12, 9))
    configurator[:after_worker_exit].call(server, nil, Licorne::ExitStatus.build(12, 0))
    assert_equal ["INFO worker=3 spawning...", "INFO worker=3 ready",
                  "ERROR reaped #<Process::Status: pid 12 SIGKILL (signal 9)> worker=3",
                  "INFO reaped #<Process::Status: pid 12 exit 0> worker=unknown"], @log.string.lines(chomp: true)
  end

  def test_self_in_a_hook_is_the_configurator_and_unicorns_constants_resolve
    configurator = configure(<<~RUBY)
      HttpRequest::DEFAULTS["rack.url_scheme"] = "https"
      HttpServer::START_CTX[0] = "/elsewhere/licorne"
      before_fork { |server, worker| set[:timeout] }
      timeout 9
    RUBY
    assert_equal 9, configurator[:before_fork].call(nil, nil)
    assert_equal "https", Licorne::RackEnv::DEFAULTS.delete("rack.url_scheme")
    assert_equal "/elsewhere/licorne", Licorne::Server::START_CTX.delete(0)
  end

  def test_working_directory_acts_at_once_and_is_remembered_as_written
    Dir.mkdir("release")
    File.symlink("release", "current")
    write("release/u.rb", "")
    configurator = configure("working_directory '#{@directory}/current'\nset[:seen] = Dir.pwd\n")
    assert_equal File.join(@directory, "release"), configurator[:seen]
    assert_equal [File.join(@directory, "current")] * 2, [ENV.fetch("PWD"), @start_ctx[:cwd]]
  end

  def test_a_working_directory_that_is_not_there_is_named
    error = assert_raises(ArgumentError) { configure("working_directory '/no/such'") }
    assert_match(%r{\Au\.rb:1: config_file=u\.rb would not be accessible in working_directory=/no/such\z},
                 error.message)
  end

  def test_a_relative_config_file_must_be_in_the_working_directory
    Dir.mkdir("elsewhere")
    error = assert_raises(ArgumentError) { configure("working_directory 'elsewhere'") }
    assert_equal "u.rb:1: config_file=u.rb would not be accessible in " \
                 "working_directory=#{@directory}/elsewhere", error.message
  end

  def test_a_canary_has_options
    default = { workers: 1, watch: 60, max_error_ratio: 2, max_slowdown: 2, max_memory_ratio: 2 }
    assert_equal default, configure("canary")[:canary]
    assert_equal default.merge(workers: 2, watch: 0.5), configure("canary workers: 2, watch: 0.5")[:canary]
    assert_nil configure("canary nil")[:canary]
    error = assert_raises(ArgumentError) { configure("canary worker: 1") }
    assert_equal "u.rb:1: unknown option of canary: worker (did you mean workers?)", error.message
  end

  def test_a_service_is_a_program_or_a_block
    command = configure("service :jobs, command: %w[rake jobs], stop_timeout: 9, stop_signal: 'SIGINT'")[:service]
    assert_equal [{ name: "jobs", command: %w[rake jobs], overlap: false, stop_timeout: 9, stop_signal: "INT",
                    min_uptime: 5 }], command
    both = configure("service('a') { 1 }\nservice 'b', command: ['b'], overlap: true")
    assert_equal(%w[a b], both[:service].map { |service| service[:name] })
    assert_equal 1, both.service_blocks["a"].call
    refute both.service_blocks.key?("b")
  end

  def test_a_wrong_service_is_refused
    {
      "service 'jobs'" => "service \"jobs\" takes either command: or a block",
      "service('jobs', command: ['a']) { 1 }" => "service \"jobs\" takes either command: or a block",
      "service 'jobs', command: 'rake jobs'" => "not a list of a program and its arguments: command=\"rake jobs\"",
      "service('a b') { 1 }" => "not a name of letters, digits, \"-\", \"_\" and \".\": service=\"a b\"",
      "service('a', stop_timeot: 1) { 1 }" => "unknown option of service: stop_timeot (did you mean stop_timeout?)",
      "service('a') { 1 }; service('a') { 2 }" => "service \"a\" is given twice"
    }.each do |text, message|
      error = assert_raises(ArgumentError, text) { configure(text) }
      assert_equal "u.rb:1: #{message}", error.message
    end
  end

  def test_a_probe_has_paths_and_options
    assert_equal({ paths: ["/up"], status: [[200, 399]], timeout: 5, headers: [] }, configure("probe '/up'")[:probe])
    given = "probe '/up', '/login', status: [200, 301...303], timeout: 0.5, headers: { 'Host' => 'a.b' }"
    assert_equal({ paths: %w[/up /login], status: [[200, 200], [301, 302]], timeout: 0.5, headers: [%w[Host a.b]] },
                 configure(given)[:probe])
    assert_nil configure("probe nil")[:probe]
    error = assert_raises(ArgumentError) { configure("probe 'up'") }
    assert_equal "u.rb:1: not a path that begins with \"/\": probe=\"up\"", error.message
  end

  def test_a_warm_up_has_paths_fields_and_a_block
    configurator = configure("warm_up('/', '/login', headers: { Host: 'a.b' }) { 7 }")
    assert_equal({ paths: %w[/ /login], headers: [%w[Host a.b]] }, configurator[:warm_up])
    assert_equal 7, configurator.warm_up_block.call
    assert_equal({ paths: [], headers: [] }, configure("warm_up { 7 }")[:warm_up])
    error = assert_raises(ArgumentError) { configure("warm_up") }
    assert_equal "u.rb:1: warm_up takes paths or a block", error.message
  end

  def test_paths_may_be_pathnames
    require "pathname"
    assert_equal "tmp/a.pid", configure("pid Pathname.new('tmp/a.pid')")[:pid]
  end

  def test_a_byte_outside_ascii_is_read_as_utf8_whatever_the_locale
    assert_equal "é.pid", configure("pid 'é.pid'")[:pid]
  end
end
