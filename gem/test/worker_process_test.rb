# frozen_string_literal: true

require "support/mold_case"

class WorkerProcessTest < Minitest::Test
  include MoldCase

  def test_a_worker_serves_until_it_is_retired
    worker = boot.tap(&:ready).fork(1, [@listener])
    worker.wire.expect(:ready)
    assert_equal worker.pid.to_s, get
    assert_equal "licorne worker[1] -c u.rb (gen 4)", title(worker.pid)
    worker.wire.send(:retire, drain: false, linger_ms: 0)
    assert_nil worker.wire.receive
    assert_match(/INFO -- : worker=1 spawning\.\.\.$.*INFO -- : worker=1 spawned pid=#{worker.pid}$.*worker=1 ready$/m,
                 @mold.log)
  end

  def test_a_worker_leaves_when_its_master_is_gone
    File.mkfifo("alive")
    boot("after_fork { |server, worker| $alive = File.open('alive', 'w') }").ready
    worker = @mold.fork(0, [@listener])
    alive = File.open("alive")
    worker.wire.expect(:ready)
    worker.wire.close
    assert alive.wait_readable(60)
    assert_nil alive.read(1)
  ensure
    alive&.close
  end

  def test_hooks_run_in_order_and_in_their_processes
    boot(<<~RUBY).ready
      line = ->(name, server, worker) { File.write("trace", "\#{name} \#{Process.pid} \#{worker.nr}\\n", mode: "a") }
      %i[before_fork after_fork after_worker_ready].each do |name|
        public_send(name) { |server, worker| line.call(name, server, worker) }
      end
    RUBY
    worker = @mold.fork(2, [@listener])
    worker.wire.expect(:ready)
    assert_equal ["before_fork #{@mold.pid} 2", "after_fork #{worker.pid} 2", "after_worker_ready #{worker.pid} 2"],
                 File.readlines("trace", chomp: true)
  end

  def test_a_worker_whose_application_does_not_load_tells_it_and_leaves_the_log_to_the_master
    worker = boot(app: "\nraise 'no database'").tap(&:ready).fork(0, [@listener])
    assert_match(/\Ano database \(RuntimeError\)\nconfig\.ru:2:in/, worker.wire.expect(:failed)[:text])
    assert_nil worker.wire.receive
    refute_match(/no database/, @mold.log)
  end

  def test_stdout_and_stderr_go_to_their_files_and_are_reopened_everywhere
    boot("stderr_path 'err.log'\nstdout_path 'out.log'").ready
    worker = @mold.fork(0, [@listener])
    worker.wire.expect(:ready)
    assert_match(/worker=0 spawned/, File.read("err.log"))
    File.rename("err.log", "err.log.1")
    @mold.wire.send(:reopen_logs)
    @mold.wire.expect(:reopen_logs)
    worker.wire.send(:reopen_logs)
    assert_equal worker.pid.to_s, get
    worker.wire.send(:retire, drain: false, linger_ms: 0)
    assert_nil worker.wire.receive
    assert_match(/worker=0 reopening logs\.\.\./, File.read("err.log.1"))
    assert_match(/worker=0 done reopening logs/, File.read("err.log"))
    @mold.fork(1).wire.expect(:ready)
    assert_match(/worker=1 spawning/, File.read("err.log"))
  end

  def test_a_worker_may_listen_for_itself
    boot(<<~RUBY).ready
      after_fork do |server, worker|
        socket = server.listen("127.0.0.1:0", tries: -1, delay: 5)
        File.write("port", socket.local_address.ip_port)
      end
    RUBY
    worker = @mold.fork(0, [@listener])
    worker.wire.expect(:ready)
    own = Struct.new(:local_address).new(Addrinfo.tcp("127.0.0.1", File.read("port")))
    assert_equal [worker.pid.to_s] * 2, [get(own), get]
  end

  # As in a reload: the old worker holds the addresses until the new one is ready.
  def test_a_worker_takes_over_what_its_predecessor_listens_on
    boot(<<~RUBY).ready
      after_fork do |server, worker|
        port = File.exist?("port") ? File.read("port") : 0
        socket = server.listen("127.0.0.1:\#{port}", tries: 0)
        File.write("port", socket.local_address.ip_port)
        server.listen("unix:own.sock", tries: 0)
      end
    RUBY
    old, new = Array.new(2) { @mold.fork(0).tap { |worker| worker.wire.expect(:ready) } }
    old.wire.send(:retire, drain: false, linger_ms: 0)
    assert_nil old.wire.receive
    assert_equal new.pid.to_s, get(Struct.new(:local_address).new(Addrinfo.tcp("127.0.0.1", File.read("port"))))
    UNIXSocket.open("own.sock") do |socket|
      socket.write("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
      assert_match(/\r\n#{new.pid}\z/, socket.read)
    end
  end

  def test_quit_and_term_finish_and_run_at_exit_handlers_int_does_not
    boot("after_fork { |server, worker| at_exit { File.write('left' + worker.nr.to_s, '') } }").ready
    %w[QUIT TERM INT].each_with_index do |name, slot|
      worker = @mold.fork(slot, [@listener])
      worker.wire.expect(:ready)
      Process.kill(name, worker.pid)
      worker.wire.expect(:leaving) unless name == "INT"
      assert_nil worker.wire.receive
    end
    assert_equal [true, true, false], [0, 1, 2].map { |slot| File.exist?("left#{slot}") }
  end

  def test_term_is_quick_when_configured
    boot("term_signal :quick\nafter_fork { |server, worker| at_exit { File.write('left', '') } }").ready
    worker = @mold.fork(0, [@listener])
    worker.wire.expect(:ready)
    Process.kill(:TERM, worker.pid)
    assert_nil worker.wire.receive
    refute_path_exists "left"
  end

  def test_usr1_reopens_the_logs_of_a_worker
    boot("stderr_path 'err.log'").ready
    worker = @mold.fork(0, [@listener])
    worker.wire.expect(:ready)
    File.rename("err.log", "err.log.1")
    Process.kill(:USR1, worker.pid)
    # The worker reopens beside its requests, so these are what passes the time.
    1000.times { break if File.exist?("err.log") && /done reopening/.match?(File.read("err.log")) || !get }
    assert_match(/worker=0 done reopening logs/, File.read("err.log"))
    assert_match(/worker=0 reopening logs/, File.read("err.log.1"))
  end

  def test_a_worker_answers_each_question_once_whatever_it_does
    File.mkfifo("gate")
    boot(app: format(APP, "IO.for_fd(IO.sysopen('gate', 'r+')).gets")).ready
    worker = @mold.fork(0, [@listener])
    worker.wire.expect(:ready)
    worker.ask(7)
    idle = worker.wire.expect(:backtraces)
    assert_equal 7, idle[:question]
    assert_match(/\Amain thread\n  .*worker_process\.rb:\d+:in .*run'/, idle[:text])
    # It has answered that one already.
    worker.ask(7)
    client = Thread.new { get }
    numbers = (8..).find do |number|
      worker.ask(number)
      told = worker.wire.expect(:backtraces)
      assert_equal number, told[:question]
      told[:text].match?(/^  config\.ru:1:in .*gets'$/)
    end
    assert numbers
    File.write("gate", "\n")
    assert_equal "\n", client.value
  end

  def test_a_worker_whose_request_cannot_be_told_answers_with_its_backtraces
    File.mkfifo("gate")
    spoilt = "env.define_singleton_method(:to_a) { raise TypeError } && IO.for_fd(IO.sysopen('gate', 'r+')).gets"
    boot(app: format(APP, spoilt)).ready
    worker = @mold.fork(0, [@listener])
    worker.wire.expect(:ready)
    client = Thread.new { get }
    told = (1..).lazy.map { |number| worker.ask(number) && worker.wire.expect(:backtraces)[:text] }
    assert told.find { |text| text.match?(/\Amain thread\n.*^what it serves cannot be told: TypeError\z/m) }
    File.write("gate", "\n")
    client.value
  end

  def test_a_request_is_told_in_whatever_encoding_and_without_secrets
    env = { "HTTP_A" => "\xff".b, "HTTP_B" => "\u00e9", "HTTP_\u00e9" => "\xff", "HTTP_C".encode("UTF-16LE") => "c",
            "HTTP_D" => "d".encode("UTF-16LE"), "HTTP_COOKIE" => "s=1", "HTTP_E" => "e" * 300, "HTTP_F" => "f\e[2J",
            "HTTP_AUTHORIZATION" => "Basic \xff", 1 => "HTTP_", "rack.input" => "no" }
    text = Licorne::NowServing.new(env, ["127.0.0.1 is kept alive"]).to_s
    assert_equal Encoding::UTF_8, text.encoding
    lines = text.lines(chomp: true)
    assert_includes lines, "  HTTP_B: \u00e9"
    assert_includes lines, "  HTTP_COOKIE: (hidden)"
    assert_includes lines, "  HTTP_E: #{"e" * 200}..."
    assert_equal ["connections", "  127.0.0.1 is kept alive"], lines.last(2)
    refute_match(/\e|rack\.input|s=1/, text)
    assert_equal "", Licorne::NowServing.new(nil, []).to_s
  end

  def test_worker_exec_serves_from_a_ruby_of_its_own
    boot("worker_exec true\nset[:seen] = ENV.key?('LICORNE_WORKER')\nafter_fork { |s, w| $set = s.config[:seen] }",
         app: format(APP, "[Process.pid, $set, ENV['LICORNE_WORKER']].inspect")).ready
    worker = @mold.fork(3, [@listener])
    worker.wire.expect(:ready)
    assert_equal "[#{worker.pid}, false, nil]", get
    assert_equal "licorne worker[3] -c u.rb (gen 4)", title(worker.pid)
  end
end
