# frozen_string_literal: true

require "test_helper"
require "support/mold_case"

# Unicorn's names, as a mold and its workers have them.
class CompatTest < Minitest::Test
  include MoldCase

  # Answers what `expression` yields in a worker.
  def answer(expression, config: "", prelude: "", **members)
    boot(config, app: "#{prelude}\nrun ->(env) { [200, {}, [(#{expression}).inspect]] }\n", **members).ready
    @mold.fork(0, [@listener]).wire.expect(:ready)
    get
  end

  def test_every_file_of_unicorn_may_be_required_without_loading_a_real_one
    files = %w[unicorn unicorn/oob_gc unicorn/worker_killer unicorn/preread_input unicorn/http_request unicorn/util
               unicorn/http_server unicorn/configurator unicorn/const unicorn/tmpio unicorn/socket_helper unicorn/worker
               unicorn/stream_input unicorn/tee_input unicorn/http_response unicorn/http_parser unicorn/launcher
               unicorn/version]
    write("unicorn.rb", "raise 'the real one'")
    FileUtils.mkdir("unicorn")
    write("unicorn/oob_gc.rb", "raise 'the real one'")
    shadow = "$LOAD_PATH.unshift('.'); #{files.inspect}.each { |file| require file }"
    boot(shadow, app: "#{shadow}\nrun ->(env) { [200, {}, [Unicorn::OobGC.name]] }\n").ready
    @mold.fork(0, [@listener]).wire.expect(:ready)
    assert_equal "Unicorn::OobGC", get
  end

  def test_the_names_are_there
    names = %w[HttpServer HttpServer::START_CTX HttpServer::LISTENERS Configurator Configurator::DEFAULTS
               Configurator::RACKUP Const Const::UNICORN_VERSION HttpRequest::DEFAULTS HttpParser::DEFAULTS OobGC
               PrereadInput StreamInput TeeInput TmpIO Util Worker WorkerKiller::MaxRequests WorkerKiller::Oom
               SocketHelper Launcher HttpResponse ClientShutdown HttpParserError RequestEntityTooLargeError]
    assert_equal "[]", answer("#{names.inspect}.reject { |name| Object.const_defined?('Unicorn::' + name) }")
  end

  def test_programs_that_a_worker_starts_do_not_see_them
    write("child.rb", "print [defined?(Unicorn), $LOAD_PATH.grep(/licorne|compat/)].inspect")
    assert_equal "[nil, []]".inspect, answer('IO.popen([RbConfig.ruby, "child.rb"], &:read)')
  end

  def test_start_ctx_and_rackup_tell_of_the_command_line_until_a_worker_begins
    trace = "File.write('trace', [START, Unicorn::Configurator::RACKUP[:file]].inspect)"
    emptied = answer("[Unicorn::HttpServer::START_CTX, Unicorn::Configurator::RACKUP]",
                     config: "START = HttpServer::START_CTX.dup\n#{trace}")
    assert_equal "[{}, {}]", emptied
    start = { 0 => "/usr/bin/licorne", argv: %w[-c u.rb], cwd: @directory }
    assert_equal [start, "config.ru"].inspect, File.read("trace")
  end

  def test_defaults_tell_what_a_silent_configuration_means
    assert_equal "[60, 1, false, nil, 2]", answer(<<~RUBY)
      Unicorn::Configurator::DEFAULTS.values_at(:timeout, :worker_processes, :preload_app, :pid) +
        [Unicorn::Configurator::DEFAULTS[:before_fork].arity]
    RUBY
  end

  def test_listeners_and_their_names_are_known_in_workers
    config = "after_fork { |server, worker| File.write('own', server.listen('127.0.0.1:0').local_address.ip_port) }"
    sockets = "Unicorn::HttpServer::LISTENERS.map { |socket| Unicorn::SocketHelper.sock_name(socket) }"
    names = answer("[Unicorn.listener_names, #{sockets}]", config: config)
    expected = [@listener.local_address.ip_port, File.read("own")].map { |port| "127.0.0.1:#{port}" }
    assert_equal [expected, expected].inspect, names
  end

  def test_listener_names_are_known_while_the_application_is_preloaded
    answer("0", config: "preload_app true\nlisten 21001", inherited: ["127.0.0.1:9"],
                prelude: "File.write('names', Unicorn.listener_names.inspect)")
    assert_equal ["127.0.0.1:9", "0.0.0.0:21001"].inspect, File.read("names")
  end

  def test_agents_may_wrap_the_life_of_a_worker
    boot(<<~'RUBY').ready
      preload_app true
      Unicorn::HttpServer.class_eval do
        alias_method :original_worker_loop, :worker_loop
        def worker_loop(worker)
          File.write("trace", "begins #{worker.nr} #{Process.pid}\n", mode: "a")
          original_worker_loop(worker)
        end
      end
      Unicorn::Worker.class_eval do
        alias_method :original_close, :close
        def close
          File.write("trace", "ends\n", mode: "a")
          original_close
        end
      end
    RUBY
    worker = @mold.fork(3, [@listener])
    worker.wire.expect(:ready)
    worker.wire.send(:retire, drain: false, linger_ms: 0)
    assert_nil worker.wire.receive
    assert_equal ["begins 3 #{worker.pid}\n", "ends\n"], File.readlines("trace")
  end

  def test_logs_are_reopened_by_hand
    FileUtils.touch("app.log")
    assert_equal "1", answer("File.rename('app.log', 'old.log'); Unicorn::Util.reopen_logs",
                             prelude: "LOG = File.open('app.log', 'a').tap { |file| file.sync = true }")
    assert_path_exists "app.log"
  end

  def test_a_tmpio_is_a_file_without_a_name
    expression = "(t = Unicorn::TmpIO.new; t.write('x'); t.rewind; " \
                 "[t.is_a?(File), t.read, t.stat.nlink, t.sync, t.close!])"
    assert_equal '[true, "x", 0, true, nil]', answer(expression)
  end

  def test_an_input_is_one_of_unicorns
    boot("", app: <<~RUBY).ready
      use Unicorn::PrereadInput
      run ->(env) { [200, {}, [Unicorn::TeeInput === env["rack.input"] || env["rack.input"].class].map(&:inspect)] }
    RUBY
    @mold.fork(0, [@listener]).wire.expect(:ready)
    assert_equal "true", get
  end

  def test_a_rackup_file_is_built_by_hand
    write("other.ru", "run ->(env) { [200, {}, ['other']] }")
    assert_equal '["other"]', answer("BUILT.call({}).last",
                                     prelude: "BUILT = Unicorn.builder('other.ru', {}).call(nil, nil)")
  end
end
