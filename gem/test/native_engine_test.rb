# frozen_string_literal: true

require "support/native_case"

# Connections: keep-alive, pipelining, leaving, and clients that misbehave.
class NativeEngineTest < NativeCase
  OK = [200, { "Content-Type" => "text/plain" }, ["ok"]].freeze

  def test_a_connection_serves_many_requests
    server = serve { |env| [200, {}, [env["PATH_INFO"]]] }
    client = server.connect
    3.times do |n|
      client.write("GET /#{n} HTTP/1.1\r\nHost: a\r\n\r\n")
      assert_equal [200, "/#{n}"], response(client).values_at(0, 2)
    end
    client.write("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    status, fields, = response(client)
    assert_equal [200, ["close"]], [status, fields["connection"]]
    assert_nil client.getc
    assert_equal "orphaned 4\n", server.stop
  end

  def test_pipelined_requests_are_answered_in_order
    server = serve { |env| [200, {}, [env["PATH_INFO"], env["rack.input"].read]] }
    client = server.connect
    client.write("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz" \
                 "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" \
                 "GET /c HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal(%w[/axyz /bhi /c], Array.new(3) { response(client).last })
  end

  def test_http_1_0_is_closed_unless_the_client_asks_for_more
    server = serve { OK }
    refute_includes exchange(server, "GET / HTTP/1.0\r\n\r\n"), "keep-alive"
    client = server.connect
    2.times do
      client.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
      assert_equal ["keep-alive"], response(client)[1]["connection"]
    end
  end

  def test_a_request_that_drips_in_is_served_beside_others
    server = serve { OK }
    slow = server.connect
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n".each_char do |char|
      slow.write(char)
      assert_match(/\AHTTP\/1.1 200/, get(server))
    end
    assert_equal 200, response(slow).first
  end

  def test_malformed_requests_are_refused_and_the_answer_arrives
    server = serve { OK }
    assert_match(/\AHTTP\/1.1 400 Bad Request\r\n.*Connection: close\r\n/m,
                 exchange(server, "NONSENSE\r\n\r\n#{"x" * 100_000}"))
    assert_match(/\AHTTP\/1.1 414/, get(server, "/#{"a" * 9000}"))
    assert_match(/\AHTTP\/1.1 431/, get(server, "/", "X: #{"a" * 90_000}"))
    assert_equal "orphaned 0\n", server.stop
  end

  def test_a_child_that_the_application_forked_holds_neither_address_nor_control_socket
    server = serve { [200, {}, [fork { sleep }.to_s]] }
    client = server.connect
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    child = Integer(response(client).last)
    port = server.listener.addr[1]
    server.leave_listener
    Process.kill(:KILL, server.pid)
    server.wait
    assert_nil soon { server.wire.receive }
    TCPServer.new("127.0.0.1", port).close
  ensure
    Process.kill(:KILL, child) if child
  end

  def test_a_body_is_invited_when_the_client_waits_for_that
    server = serve { |env| [200, {}, [env["rack.input"].read]] }
    client = server.connect
    client.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert_equal "HTTP/1.1 100 Continue\r\n\r\n", client.read(25)
    client.write("12345")
    assert_equal "12345", response(client).last
  end

  def test_a_slow_reader_keeps_nobody_waiting
    big = "b" * 30_000_000
    server = serve { |env| [200, {}, [env["PATH_INFO"] == "/big" ? big : "ok"]] }
    slow = server.connect
    slow.write("GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    slow.read(1)
    assert_equal "ok", body_of(get(server))
    slow.ungetc("H")
    assert_equal [big.bytesize, 2], [response(slow).last.bytesize, response(slow).last.bytesize]
  end

  def test_a_client_that_leaves_harms_nobody
    big = "b" * 30_000_000
    server = serve { |env| [200, {}, [env["PATH_INFO"] == "/big" ? big : "ok"]] }
    3.times do
      client = server.connect
      client.write("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
      client.read(1)
      client.close
      half = server.connect
      half.write("GET / HT")
      half.close
    end
    assert_equal "ok", body_of(get(server))
  end

  def test_retiring_tells_kept_connections_to_close_and_completes_begun_requests
    server = serve { |env| [200, {}, [env["PATH_INFO"]]] }
    idle = server.connect
    idle.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
    response(idle)
    begun = server.connect
    begun.write("GET /2 HTTP/1.1\r\nHo")
    get(server) # the engine has seen what came before
    server.wire.send(:retire, drain: true, linger_ms: 20_000)
    idle.write("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
    begun.write("st: a\r\n\r\n")
    [[idle, "/3"], [begun, "/2"]].each do |client, path|
      status, fields, body = response(client)
      assert_equal [200, ["close"], path], [status, fields["connection"], body]
    end
    assert_equal 0, server.wait.exitstatus
    assert_equal "retired 4\n", server.stop
  end

  def test_idle_connections_are_closed_when_their_linger_is_over
    server = serve(settings: { "keepalive_linger" => 60 }) { OK }
    idle = server.connect
    idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    response(idle)
    Process.kill(:QUIT, server.pid) # lingers for a minute
    server.wire.send(:retire, drain: false, linger_ms: 0)
    assert_nil soon { idle.getc }
    assert_equal 0, server.wait.exitstatus # before its master's end of the channel is closed
    assert_equal "retired 1\n", server.stop
  end

  def test_a_signal_changes_nothing_about_how_the_master_has_a_worker_leave
    server = serve { OK }
    idle = server.connect
    idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    response(idle)
    server.wire.send(:retire, drain: false, linger_ms: 20_000)
    retiring = 4
    soon { Thread.pass until server.seat.first == retiring }
    Process.kill(:QUIT, server.pid) # by itself it would close idle connections at once
    server.wire.send(:reopen_logs)
    assert_equal "reopen_logs\n", soon { server.log.gets }
    idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal 200, response(idle).first
    assert_equal 0, server.wait.exitstatus
  end

  def test_the_backlog_is_served_before_leaving
    gate, open = IO.pipe
    calls, called = IO.pipe
    server = serve do |env|
      called.write(".")
      [200, {}, [env["PATH_INFO"] == "/wait" ? gate.read(1) : "ok"]]
    end
    busy = server.connect
    busy.write("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    soon { calls.read(1) }
    waiting = Array.new(5) { server.connect }
    waiting.each { |client| client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
    server.wire.send(:retire, drain: true, linger_ms: 0)
    open.write("x")
    assert_equal "x", response(busy).last
    assert_equal(["ok"] * 5, waiting.map { |client| response(client).last })
    assert_equal 0, server.wait.exitstatus
    assert_equal "retired 6\n", server.stop
  end

  def test_when_the_master_is_gone_the_running_request_is_finished
    gate, open = IO.pipe
    calls, called = IO.pipe
    server = serve do
      called.write(".")
      [200, {}, [gate.read(1)]]
    end
    busy = server.connect
    busy.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    soon { calls.read(1) }
    server.wire.close
    open.write("x")
    status, fields, body = response(busy)
    assert_equal [200, "x"], [status, body]
    refute fields.key?("connection") # the head was composed before the channel was looked at
    assert_equal "orphaned 1\n", server.stop
  end

  def test_reopen_logs_reaches_ruby
    server = serve { OK }
    server.wire.send(:reopen_logs)
    assert_equal "reopen_logs\n", soon { server.log.gets }
  end

  def test_the_seat_tells_what_the_worker_does
    gate, open = IO.pipe
    calls, called = IO.pipe
    server = serve do |env|
      status = env["licorne.timeout"].extend_deadline(1.5) ? 200 : 500
      called.write(".")
      [status, {}, [gate.read(1)]]
    end
    client = server.connect
    assert_equal [2, server.pid], server.seat.values_at(0, 1)
    client.write("GET /where?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    soon { calls.read(1) }
    words = server.seat
    assert_equal [3, 1500], words.values_at(0, 4)
    assert_operator words[3], :>, 0
    assert_equal "GET /where?x=1", words[16..].pack("Q<*")[0, words[10]]
    open.write("x")
    assert_equal 500, response(client).first # extend_deadline returns nil
    assert_equal "orphaned 1\n", server.stop
    assert_equal [1, 0, 1], server.seat.values_at(5, 3, 8)
  end

  def test_threads_of_the_application_run_while_the_worker_waits
    reader, writer = IO.pipe
    server = serve do |_|
      Thread.new { writer.write("ran") }
      OK
    end
    get(server)
    assert_equal "ran", soon { reader.read(3) }
  end

  def test_a_client_that_left_is_not_served_when_asked_to_look
    gate, open = IO.pipe
    calls, called = IO.pipe
    server = serve(settings: { "check_client_connection" => true }) do |env|
      called.write(env["PATH_INFO"])
      [200, {}, [env["PATH_INFO"] == "/wait" ? gate.read(1) : "ok"]]
    end
    busy = server.connect
    busy.write("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal "/wait", calls.read(5)
    gone = server.connect
    gone.write("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
    gone.close
    open.write("x")
    response(busy)
    assert_equal "ok", body_of(get(server, "/here"))
    called.close
    server.stop
    assert_equal "/here", calls.read(5)
  end

  def test_a_unix_listener_serves_too
    Dir.mktmpdir do |directory|
      server = serve(path: "#{directory}/s") { |env| [200, {}, [env["REMOTE_ADDR"]]] }
      assert_equal "127.0.0.1", body_of(get(server))
    end
  end

  def test_exit_in_the_application_ends_the_worker_with_its_status
    server = serve { exit 7 }
    assert_equal "", get(server)
    assert_equal 7, server.wait.exitstatus
    assert_equal "left by SystemExit: exit\n", server.stop
  end

  def test_those_who_wait_too_long_are_let_go
    idle = serve(settings: { "keepalive_timeout" => 0.05 }) { OK }.connect
    idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal 200, response(idle).first
    assert_nil soon { idle.getc }
    late = serve(settings: { "body_timeout" => 0.05 }) { OK }
    assert_match(/\AHTTP\/1.1 408/, exchange(late, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"))
  end

  def test_those_who_wait_too_long_with_a_head_are_let_go
    server = serve(settings: { "header_timeout" => 0.05 }) { OK }
    assert_nil soon { server.connect.getc }
    begun = server.suspended { server.connect.tap { |client| client.write("GET / HT") } }
    assert_match(/\AHTTP\/1.1 408/, soon { begun.read })
  end

  def test_a_worker_without_a_master_does_not_wait_for_ever
    server = serve(settings: { "timeout" => 0.05 }) { OK }
    begun = server.connect
    begun.write("GET / HTTP/1.1\r\nHo")
    get(server)
    assert_equal "orphaned 1\n", server.stop
    assert_nil begun.getc
  end

  def test_a_client_that_takes_nothing_is_let_go
    closed = IO.pipe
    server = serve(settings: { "write_timeout" => 0.05 }) do |_|
      body = Object.new
      body.define_singleton_method(:each) { |&block| loop { block.call("x" * 1_000_000) } }
      body.define_singleton_method(:close) { closed[1].syswrite("closed") }
      [200, {}, body]
    end
    server.connect.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal "closed", soon { closed[0].readpartial(10) }
  end

  def test_without_keep_alive_each_response_closes
    server = serve(settings: { "keepalive_timeout" => 0 }) { OK }
    assert_match(/Connection: close\r\n/, exchange(server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
  end

  # An app that, when asked, takes all free descriptors from its process, and gives them back.
  def crowded
    taken = []
    proc do |env|
      case env["PATH_INFO"]
      when "/crowd"
        Process.setrlimit(:NOFILE, Dir.children("/proc/self/fd").map(&:to_i).max + 1, 1024)
        begin
          loop { taken << File.open(File::NULL) }
        rescue Errno::EMFILE
          taken.size
        end
      when "/free" then taken.each(&:close)
      end
      OK
    end
  end

  def test_without_descriptors_the_longest_idle_connection_makes_room
    server = serve(&crowded)
    idle = Array.new(2) { server.connect }
    idle.each_with_index do |client, n|
      client.write("GET /#{"crowd" if n == 1} HTTP/1.1\r\nHost: a\r\n\r\n")
      response(client)
    end
    assert_match(/\AHTTP\/1.1 200/, get(server))
    assert_nil soon { idle[0].getc }
    idle[1].write("GET /free HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal 200, response(idle[1]).first
    assert_match(/\Anotice RuntimeError: cannot accept connections, trying again: .*\norphaned 4\n\z/, server.stop)
  end

  def test_without_descriptors_the_worker_tries_again_and_says_so_once
    server = serve(&crowded)
    begun = server.connect
    # A connection that sends a body is never closed for another.
    begun.write("POST /free HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
    crowd = server.connect
    crowd.write("GET /crowd HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
    response(crowd)
    waiting = server.connect
    waiting.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_match(/cannot accept/, soon { server.log.gets })
    begun.write("x")
    assert_equal([200, 200], [begun, waiting].map { |client| response(client).first })
    crowd.close
    assert_equal "orphaned 3\n", server.stop
  end

  def test_the_end_of_a_body_shows_even_when_a_child_holds_the_connection
    gate, open = IO.pipe
    server = serve do |_|
      fork do
        open.close
        gate.read
        exit!(0)
      end
      body = Object.new
      body.define_singleton_method(:each) { |&block| block.call("all") }
      [200, {}, body]
    end
    assert_match(/\r\n\r\nall\z/, exchange(server, "GET / HTTP/1.0\r\n\r\n"))
    open.close
  end

  def test_a_forked_child_that_exits_leaves_the_request_to_its_parent
    server = serve do |env|
      leave = lambda do
        pid = fork
        exit(0) unless pid
        Process.wait(pid)
        "parent"
      end
      next [200, {}, [leave.call]] if env["PATH_INFO"] == "/app"

      body = Object.new
      body.define_singleton_method(:each) { |&block| block.call(leave.call) }
      [200, {}, body]
    end
    client = server.connect
    %w[/app /body /app].each do |path|
      client.write("GET #{path} HTTP/1.1\r\nHost: a\r\n\r\n")
      assert_equal [200, "parent"], response(client).values_at(0, 2)
    end
    log = server.stop
    assert log.end_with?("orphaned 3\n"), log
  end

  def test_a_forked_child_that_comes_back_ends_and_leaves_the_request_to_its_parent
    places, told = IO.pipe
    server = serve do |env|
      place = env["PATH_INFO"]
      # The child comes back out of the call: it is not to answer, nor to go on as a worker.
      branch = lambda do |here|
        next unless here == place

        pid = fork
        told.write("#{place} #{pid ? "parent" : "child"}\n")
        raise "a child's" if !pid && env["QUERY_STRING"] == "raise"

        Process.wait(pid) if pid
      end
      branch.call("/app")
      env["rack.after_reply"] = [-> { branch.call("/after") }, -> { told.write("#{place} after\n") }]
      body = Object.new
      body.define_singleton_method(:each) { |&block| [branch.call("/body"), block.call("whole")] }
      body.define_singleton_method(:close) { branch.call("/close") }
      [200, { "Content-Length" => "5" }, body]
    end
    client = server.connect
    paths = %w[/app /body /close /after].flat_map { |path| [path, "#{path}?raise"] }
    paths.each do |path|
      client.write("GET #{path} HTTP/1.1\r\nHost: a\r\n\r\n")
      assert_equal [200, "whole"], response(client).values_at(0, 2), path
    end
    server.stop
    told.close
    lines = places.read.lines(chomp: true)
    paths.map { |path| path.split("?").first }.uniq.each do |path|
      counts = lines.grep(/\A#{path} /).tally
      assert_equal({ "#{path} parent" => 2, "#{path} child" => 2, "#{path} after" => 2 },
                   counts.sort_by { |line, _| %w[parent child after].index(line.split.last) }.to_h)
    end
  end

  def test_a_client_that_floods_does_not_starve_others
    server = serve { OK }
    flood = server.connect
    writer = Thread.new do
      loop { flood.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000) }
    rescue SystemCallError
      nil
    end
    reader = Thread.new do
      loop { flood.readpartial(1 << 20) }
    rescue IOError, SystemCallError
      nil
    end
    20.times { assert_match(/\AHTTP\/1.1 200/, get(server)) }
    server.wire.send(:retire, drain: false, linger_ms: 0)
    assert_equal 0, server.wait.exitstatus
    [reader, writer].each { |thread| assert thread.join(PATIENCE) }
  end
end
