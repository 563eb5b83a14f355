# frozen_string_literal: true

require "support/mold_case"

class MoldTest < Minitest::Test
  include MoldCase

  def test_it_tells_its_settings_waits_and_becomes_ready
    boot("worker_processes 3\npid 'a.pid'\n", env: nil)
    settings = @mold.ready
    assert_equal [3, "a.pid", "config.ru", "development"],
                 settings.values_at("worker_processes", "pid", "rackup", "rack_env")
    assert_equal({ "program_path" => "/usr/bin/licorne", "argv" => %w[-c u.rb], "cwd" => @directory },
                 settings["start_ctx"])
    assert_equal "licorne mold -c u.rb (gen 4)", title(@mold.pid)
  end

  def test_the_end_of_the_channel_ends_it
    boot.ready
    @mold.wire.close
    assert_equal 0, @mold.wait.exitstatus
  end

  def test_it_retires_when_asked_and_runs_its_at_exit_handlers
    boot("at_exit { File.write('left', '') }")
    @mold.ready
    @mold.wire.send(:retire, drain: false, linger_ms: 0)
    assert_equal 0, @mold.wait.exitstatus
    assert_path_exists "left"
  end

  def test_signals_do_not_move_it
    boot("trap('TERM') { exit!(9) }")
    @mold.ready
    Licorne::Signals::ALL.each { |name| Process.kill(name, @mold.pid) }
    assert_operator @mold.fork(0, [@listener]).pid, :>, 0
  end

  # From 3.3 on Ruby has a thread of its own that no program sees.
  def threads_of_ruby
    IO.popen([RbConfig.ruby, "-e", "print Dir.children('/proc/self/task').size"], &:read)
  end

  def test_the_mold_has_one_thread_and_keeps_no_descriptor_of_its_workers
    boot("before_fork { |server, worker| File.write('threads', Dir.children('/proc/self/task').size) }").ready
    before = Dir.children("/proc/#{@mold.pid}/fd").size
    3.times { |slot| @mold.fork(slot, [@listener]).wire.expect(:ready) }
    @mold.wire.send(:before_exec) # answered once the last fork is done with
    @mold.wire.expect(:exec_environment)
    assert_equal threads_of_ruby, File.read("threads")
    assert_equal before, Dir.children("/proc/#{@mold.pid}/fd").size
  end

  def test_a_preloaded_application_is_loaded_once_in_the_mold
    boot("preload_app true", app: "$loaded = Process.pid\n#{format(APP, "$loaded")}").ready
    @mold.fork(0, [@listener]).wire.expect(:ready)
    assert_equal @mold.pid.to_s, get
  end

  def test_after_worker_exit_gets_the_status_and_the_mold_survives_its_errors
    boot(<<~RUBY).ready
      after_worker_exit { |server, worker, status| raise status.inspect + worker&.nr.inspect }
      before_fork { |server, worker| File.write("count", server.worker_processes.to_s + server.pid.to_s) }
      pid "x.pid"
    RUBY
    @mold.wire.send(:worker_exited, slot: 1, pid: 77, status: 9)
    @mold.wire.send(:worker_exited, slot: nil, pid: 78, status: 0)
    @mold.wire.send(:worker_processes, count: 5)
    @mold.wire.send(:pid_path, path: "#{@directory}/x.pid.oldbin")
    @mold.fork(0).wire.expect(:ready)
    assert_match(/ERROR -- : master loop error: #<Process::Status: pid 77 SIGKILL \(signal 9\)>1 \(RuntimeError\)/,
                 @mold.log)
    assert_match(/pid 78 exit 0>nil/, @mold.log)
    assert_equal "5x.pid.oldbin", File.read("count")
  end

  def test_the_environment_that_before_exec_leaves_is_told
    boot("before_exec { |server| ENV['BUNDLE_GEMFILE'] = '/new/Gemfile'; ENV.delete('HOME') }").ready
    @mold.wire.send(:before_exec)
    environment = @mold.wire.expect(:exec_environment)[:json]
    assert_equal ["/new/Gemfile", nil, @directory], environment.values_at("BUNDLE_GEMFILE", "HOME", "PWD")
    refute environment.key?("LICORNE_CONTROL_FD")
  end

  def test_a_before_exec_that_fails_is_told_and_logged
    boot("before_exec { |server| raise 'not today' }").ready
    @mold.wire.send(:before_exec)
    assert_nil @mold.wire.expect(:exec_environment)[:json]
    assert_match(/ERROR -- : not today \(RuntimeError\)/, @mold.log)
  end

  def test_lines_of_the_master_go_through_the_configured_logger
    boot("logger(Logger.new('own.log').tap { |l| l.formatter = ->(s, _, _, m) { s + m } })").ready
    @mold.wire.send(:log, severity: 3, text: "from the master")
    @mold.fork(0).wire.expect(:ready)
    assert_match(/ERRORfrom the master/, File.read("own.log"))
  end

  def test_a_configuration_that_fails_is_told_with_its_lines_and_ends_the_mold
    {
      "\ntimeout 1" => ["u.rb:2: too low (< 3): timeout=1 (ArgumentError)\nu.rb:2:in", 1],
      "raise 'boom'" => ["boom (RuntimeError)\nu.rb:1:in", 1],
      "\nif (" => ["u.rb:2: syntax error", 1],
      "require 'no/such'" => ["cannot load such file -- no/such (LoadError)", 1],
      "exit 7" => ["exit with status 7", 7],
      "timeuot 3" => ["u.rb:1: unknown directive: timeuot (did you mean timeout?) (NoMethodError)", 1]
    }.each do |config, (text, status)|
      boot(config)
      failed = @mold.wire.expect(:failed)[:text]
      assert_operator failed, :start_with?, text
      refute_match(%r{gem/lib/licorne|^-e}, failed)
      assert_equal status, @mold.wait.exitstatus, config
      assert_empty @mold.log
      @mold.stop
    end
  end

  def test_missing_files_are_told_in_one_line
    boot("", rackup: "none.ru")
    assert_equal "rackup file (none.ru) not readable (ArgumentError)", @mold.wire.expect(:failed)[:text]
    @mold.stop
    boot("", config_file: "none.rb")
    assert_match(/\A-c none\.rb, seen from .*: No such file or directory .* - none\.rb \(Errno::ENOENT\)\z/,
                 @mold.wire.expect(:failed)[:text])
  end

  def test_a_preloaded_application_that_does_not_load_is_told
    boot("preload_app true", app: "\nraise 'no database'")
    @mold.wire.expect(:settings)
    @mold.wire.send(:proceed)
    assert_match(/\Ano database \(RuntimeError\)\nconfig\.ru:2:in/, @mold.wire.expect(:failed)[:text])
    assert_equal 1, @mold.wait.exitstatus
  end

  def test_a_before_fork_that_fails_costs_one_fork_and_not_the_mold
    boot("before_fork { |server, worker| worker.nr == 0 ? exit(3) : nil }").ready
    _, theirs = Wire.pair
    @mold.wire.send(:fork, [theirs], slot: 0, generation: 4, seat: 0, names: [])
    # Ruby 3.4 names the class as well.
    names = ["'Kernel#exit'", "'block in Licorne::Configurator#evaluate'"]
    names = ["`exit'", "`block in evaluate'"] if RUBY_VERSION < "3.4"
    frames = names.map { |name| "\nu.rb:1:in #{name}" }.join
    assert_equal({ slot: 0, text: "exit with status 3#{frames}" }, @mold.wire.expect(:fork_failed))
    @mold.fork(1).wire.expect(:ready)
  end

  def test_children_that_the_application_forks_hold_nothing_of_the_servers
    boot("preload_app true\nbefore_fork { |_, _| File.write('of_hook', fork { sleep }) }",
         app: "File.write('of_load', fork { sleep })\nrun ->(_env) { [200, {}, []] }")
    @mold.ready
    worker = @mold.fork(0, [@listener])
    worker.wire.expect(:ready)
    port = @listener.local_address.ip_port
    @listener.close
    @mold.wire.close
    @mold.wait
    Process.kill(:KILL, worker.pid)
    assert_nil worker.wire.receive
    bind_when_free(port)
    forked.each { |child| assert_empty files(child).grep(/board|seat/) }
  ensure
    forked.each { |child| Process.kill(:KILL, child) }
  end

  def forked
    Dir["of_*"].map { |name| Integer(File.read(name)) }
  end

  # A process that was killed takes a moment to close what it held, the longer the more threads it had.
  def bind_when_free(port, deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 60)
    TCPServer.new("127.0.0.1", port).close
  rescue Errno::EADDRINUSE
    raise if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

    Thread.pass
    retry
  end

  def files(pid)
    Dir["/proc/#{pid}/fd/*"].map { |path| File.readlink(path) }
  end
end
