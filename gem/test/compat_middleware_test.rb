# frozen_string_literal: true

require "support/mold_case"

# The middleware under Unicorn's names: what happens between requests.
class CompatMiddlewareTest < Minitest::Test
  include MoldCase

  def worker(app, config = "")
    boot(config, app: app).ready
    @mold.fork(0, [@listener]).tap { |worker| worker.wire.expect(:ready) }
  end

  def get_path(path)
    Socket.tcp("127.0.0.1", @listener.local_address.ip_port, connect_timeout: 60) do |socket|
      socket.write("GET #{path} HTTP/1.0\r\nHost: x\r\n\r\n")
      socket.read.split("\r\n\r\n", 2).last
    end
  end

  def test_garbage_is_collected_after_every_nth_request_that_matches
    worker(<<~'RUBY')
      require "unicorn/oob_gc"
      use Unicorn::OobGC, 2, %r{\A/expensive}
      GC.disable
      run ->(env) { [200, {}, [[GC.count, GC.enable.tap { |was| GC.disable if was }].inspect]] }
    RUBY
    counts = %w[/expensive /cheap /cheap /expensive /cheap /expensive /expensive /cheap].map { |path| get_path(path) }
    numbers = counts.map { |text| text[/\d+/].to_i }
    assert_equal [0, 0, 0, 0, 1, 1, 1, 2], numbers.map { |number| number - numbers.first }
    assert(counts.all? { |text| text.end_with?("true]") }, "the collector stays disabled while requests are served")
  end

  def test_a_worker_leaves_after_its_number_of_requests
    worker = worker(<<~RUBY)
      require "unicorn/worker_killer"
      use Unicorn::WorkerKiller::MaxRequests, 3, 3, true
      run ->(env) { [200, {}, [Process.pid.to_s]] }
    RUBY
    assert_equal [worker.pid.to_s] * 3, Array.new(3) { get_path("/") }
    worker.wire.expect(:leaving)
    assert_nil worker.wire.receive
    assert_match(/WARN -- : .*MaxRequests: worker \(pid: #{worker.pid}\) exceeds max number of requests \(limit: 3\)/,
                 @mold.log)
    assert_match(/send SIGQUIT \(pid: #{worker.pid}\) alive: \d+ sec \(trial 1\)/, @mold.log)
  end

  def test_the_limit_of_requests_is_drawn_between_both
    limits = Array.new(200) do
      watch = killer::MaxRequests.new(nil, 3, 5)
      watch.send(:begin_life)
      watch.instance_variable_get(:@limit)
    end
    assert_equal [3, 4, 5], limits.uniq.sort
  end

  def test_a_worker_leaves_when_it_has_grown_too_big
    worker = worker(<<~RUBY)
      require "unicorn/worker_killer"
      Unicorn::WorkerKiller.configure { |config| config.max_quit = 5 }
      use Unicorn::WorkerKiller::Oom, 1024, 2048, 2
      run ->(env) { [200, {}, [Process.pid.to_s]] }
    RUBY
    assert_equal [worker.pid.to_s] * 2, Array.new(2) { get_path("/") }
    worker.wire.expect(:leaving)
    assert_nil worker.wire.receive
    assert_match(/Oom: worker \(pid: #{worker.pid}\) exceeds memory limit \(\d{7,} bytes > \d+ bytes\)/, @mold.log)
  end

  def test_a_small_worker_stays
    worker = worker(<<~RUBY)
      use Unicorn::WorkerKiller::Oom, 8 * (1024**3), 9 * (1024**3), 1
      run ->(env) { [200, {}, [Process.pid.to_s]] }
    RUBY
    assert_equal [worker.pid.to_s] * 3, Array.new(3) { get_path("/") }
  end

  private

  def killer
    require "licorne/compat/worker_killer"
    Unicorn::WorkerKiller
  end
end
