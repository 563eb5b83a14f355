# frozen_string_literal: true

require "support/native_case"

# What a worker counts on its seat: responses, bytes, and how long requests took and waited.
class NativeCountsTest < NativeCase
  BUCKETS = 194
  SERVICE = 80
  QUEUE = SERVICE + BUCKETS + 1
  COLLECTOR = 480
  BETWEEN = 502
  RAISED = 491
  USAGE = 492
  SECOND = 1_000_000_000

  # How many durations a histogram has, and their sum in ns.
  def histogram(server, first)
    *buckets, sum = server.seat[first, BUCKETS + 1]
    [buckets.sum, sum]
  end

  def test_responses_are_counted_by_class_and_bytes_with_their_heads
    server = serve { |env| [Integer(env["PATH_INFO"][1..]), {}, ["12345"]] }
    post = "POST /201 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz"
    requests = [post, *%w[/200 /404 /503].map { |path| head("GET #{path}", []) }]
    answers = requests.map { |request| exchange(server, request) }
    server.stop
    words = server.seat
    assert_equal [0, 2, 0, 1, 1], words[64, 5]
    assert_equal [requests.sum(&:bytesize), answers.sum(&:bytesize)], words[69, 2]
    assert_equal [4, words[6]], histogram(server, SERVICE)
  end

  def test_bytes_of_files_and_of_bodies_that_are_read_while_they_arrive_are_counted
    server = serve(settings: { "request_buffering" => false }) do |env|
      env["rack.input"].read
      [200, { "Content-Length" => File.size(__FILE__).to_s }, File.open(__FILE__)]
    end
    answer = post(server, "x" * 100_000)
    server.stop
    received, sent = server.seat[69, 2]
    assert_includes 100_000..100_200, received
    assert_equal answer.bytesize, sent
  end

  def test_an_application_that_raises_counts_for_a_5xx
    server = serve { |_| raise "no" }
    get(server)
    server.stop
    assert_equal [0, 0, 0, 0, 1], server.seat[64, 5]
    assert_equal 1, server.seat[RAISED]
  end

  def test_processor_time_and_objects_of_a_request_are_measured_where_that_is_wanted
    words = [false, true].map do |wanted|
      server = serve(settings: { "request_usage" => wanted }) { |_| [200, {}, [Array.new(5_000, &:to_s).size.to_s]] }
      get(server)
      server.stop
      server.seat[USAGE, 2]
    end
    assert_equal [0, 0], words.first
    cpu_ns, objects = words.last
    assert_includes 10_000..10 * SECOND, cpu_ns
    assert_includes 5_000..50_000, objects
  end

  def test_collections_count_since_the_worker_serves
    3.times { GC.start }
    server = serve do |env|
      GC.start if env["PATH_INFO"] == "/collect"
      [200, {}, []]
    end
    get(server, "/collect")
    get(server, "/")
    server.stop
    # Each number plus 1: 0 is one that is not known.
    minor, major, time_ms, allocated, _, live, free, pages, old = server.seat[COLLECTOR, 9].map { |word| word - 1 }
    assert_equal 1, major
    assert_includes 0..5, minor
    assert_operator time_ms, :>=, 0 if GC.stat.key?(:time)
    assert_operator allocated, :>, 10
    assert_operator live, :>, old
    assert_operator live + free, :>, pages
  end

  def test_collections_between_requests_are_counted_apart_with_their_time
    kept = []
    server = serve(settings: { "gc" => "between_requests" }) do |_|
      # Kept for good: in a process where much was collected before, Ruby waits for more than 100 MB of it.
      kept << ("x" * 400_000)
      [200, {}, []]
    end
    soon { get(server) until server.seat[BETWEEN] > 1 }
    server.stop
    runs, time_ms = server.seat[BETWEEN, 2].map { |word| word - 1 }
    assert_operator runs, :>=, 1
    assert_operator runs, :<=, server.seat[COLLECTOR + 1] - 1
    assert_operator time_ms, :>=, 0
  end

  def test_a_proxy_on_a_unix_socket_says_when_the_request_came
    directory = Dir.mktmpdir
    server = serve(path: "#{directory}/socket") { |_| [200, {}, []] }
    seconds = Process.clock_gettime(Process::CLOCK_REALTIME) - 100
    get(server, "/", "X-Request-Start: t=#{format("%<seconds>.3f", seconds: seconds)}")
    get(server, "/", "X-Request-Start: #{((seconds + 50) * 1000).floor}")
    [seconds + 10_000, seconds - 10_000, "soon"].each { |moment| get(server, "/", "X-Request-Start: #{moment}") }
    server.stop
    count, sum = histogram(server, QUEUE)
    assert_equal 5, count
    assert_includes 150..200, sum / SECOND
  ensure
    FileUtils.remove_entry(directory)
  end

  def test_other_clients_do_not_say_when_a_request_came
    server = serve { |_| [200, {}, []] }
    get(server, "/", "X-Request-Start: #{Process.clock_gettime(Process::CLOCK_REALTIME) - 1_000}")
    trusting = serve(settings: { "trusted_proxies" => ["127.0.0.1"] }) { |_| [200, {}, []] }
    get(trusting, "/", "X-Request-Start: #{Process.clock_gettime(Process::CLOCK_REALTIME) - 1_000}")
    [server, trusting].each(&:stop)
    assert_operator histogram(server, QUEUE).last, :<, 500 * SECOND
    assert_operator histogram(trusting, QUEUE).last, :>, 500 * SECOND
  end

  def test_requests_wait_for_those_that_are_served_before_them
    server = serve { |_| [200, {}, [sleep(0.05).to_s]] }
    clients = Array.new(3) { server.connect }
    clients.each do |client|
      client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      response(client)
    end
    server.suspended { clients.each { |client| client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n") } }
    clients.each { |client| response(client) }
    server.stop
    count, sum = histogram(server, QUEUE)
    assert_equal 6, count
    # Of the three that came at once one waited for one other, and one for two.
    assert_operator sum, :>=, 2 * 50_000_000
  end
end
