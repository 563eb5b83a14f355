# frozen_string_literal: true

require "support/native_case"

# Responses: every kind of body, fields, hijacks, and what happens afterwards.
class NativeResponseTest < NativeCase
  # A body that tells how it was used.
  class Body
    def initialize(log, *pieces, error: nil)
      @log = log
      @pieces = pieces
      @error = error
    end

    def each(&block)
      @pieces.each(&block)
      raise @error if @error
    end

    def close
      @log.syswrite("closed\n")
    end
  end

  # Everything that the body told; the server must be stopped, so that nothing more comes.
  def told(log)
    @servers.each { |server| server.stop unless server.log.closed? }
    log[1].close
    log[0].read
  end

  def test_an_array_gets_its_length_and_nothing_twice
    server = serve { [200, { "X-A" => "1" }, ["a", "", "bc"]] }
    fields = /Date: [^\r]+ GMT\r\nX-A: 1\r\nContent-Length: 3\r\nConnection: close/
    assert_match(/\AHTTP\/1.1 200 OK\r\n#{fields}\r\n\r\nabc\z/, get(server))
  end

  def test_pieces_are_chunked_and_empty_ones_left_out
    log = IO.pipe
    server = serve { [200, {}, Body.new(log[1], "one", "", "two" * 5000)] }
    client = server.connect
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    2.times { assert_equal [200, "one#{"two" * 5000}"], response(client).values_at(0, 2) }
    assert_equal "one#{"two" * 5000}", body_of(exchange(server, "GET / HTTP/1.0\r\n\r\n"))
    assert_equal "closed\nclosed\nclosed\n", told(log)
  end

  def test_a_declared_length_is_never_exceeded_and_a_short_body_closes
    server = serve do |env|
      [200, { "content-length" => "5" }, Body.new(File.open(File::NULL, "w"), env["QUERY_STRING"])]
    end
    client = server.connect
    client.write("GET /?1234567 HTTP/1.1\r\nHost: a\r\n\r\nGET /?123 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal "12345", response(client).last
    assert_equal [200, "123"], response(client).values_at(0, 2)
    assert_nil client.getc
  end

  def test_bodies_are_left_out_where_http_has_none
    log = IO.pipe
    server = serve { |env| [env["PATH_INFO"][1..].to_i, {}, Body.new(log[1], "never")] }
    client = server.connect
    [["HEAD", 200], ["GET", 204], ["GET", 304]].each do |method, status|
      client.write("#{method} /#{status} HTTP/1.1\r\nHost: a\r\n\r\n")
      assert_equal status, response(client, head_only: true).first
    end
    client.write("GET /200 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal "never", response(client).last
    assert_equal "closed\n" * 4, told(log)
  end

  def test_files_are_sent_by_path
    Dir.mktmpdir do |directory|
      sizes = [0, 10, 70_000, 5_000_000]
      sizes.each { |size| File.binwrite("#{directory}/#{size}", "f" * size) }
      server = serve do |env|
        body = Object.new
        path = "#{directory}#{env["PATH_INFO"]}"
        body.define_singleton_method(:to_path) { path }
        body.define_singleton_method(:each) { raise "read instead of sent" }
        [200, {}, body]
      end
      client = server.connect
      sizes.each do |size|
        client.write("GET /#{size} HTTP/1.1\r\nHost: a\r\n\r\n")
        status, fields, text = response(client)
        assert_equal [200, [size.to_s], "f" * size], [status, fields["content-length"], text]
      end
    end
  end

  def test_a_body_that_raises_half_way_is_seen_as_incomplete
    log = IO.pipe
    server = serve { |_| [200, {}, Body.new(log[1], "part", error: "oops")] }
    text = get(server)
    assert text.end_with?("4\r\npart\r\n"), text
    assert_equal "app_error RuntimeError: oops\norphaned 1\n", server.stop
    assert_equal "closed\n", told(log)
  end

  def test_a_body_that_raises_before_anything_was_sent_is_a_500
    log = IO.pipe
    server = serve { |_| [200, {}, Body.new(log[1], error: "oops")] }
    assert_match(/\AHTTP\/1.1 500 Internal Server Error\r\n/, get(server))
    assert_equal "closed\n", told(log)
  end

  def test_errors_of_the_application_are_told_and_answered
    server = serve { |env| env["PATH_INFO"] == "/nil" ? nil : raise(ArgumentError, "wrong") }
    assert_match(/\AHTTP\/1.1 500 Internal Server Error\r\n.*Connection: close\r\n/m, get(server))
    assert_match(/\AHTTP\/1.1 500/, get(server, "/nil"))
    log = server.stop
    assert_includes log, "app_error ArgumentError: wrong\n"
    assert_includes log, "app_error TypeError: the application must return an array of status, headers and body\n"
  end

  def test_a_client_that_leaves_ends_the_body_and_closes_it
    log = IO.pipe
    server = serve do |_|
      body = Body.new(log[1])
      body.define_singleton_method(:each) { |&block| loop { block.call("x" * 100_000) } }
      [200, {}, body]
    end
    client = server.connect
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.read(200_000)
    client.close
    assert_equal "closed\n", told(log)
  end

  def test_a_body_is_not_asked_for_more_than_a_slow_client_takes
    count = IO.pipe
    server = serve do |_|
      body = Object.new
      body.define_singleton_method(:each) do |&block|
        1000.times do
          block.call("x" * 100_000)
          count[1].write(".")
        end
      end
      [200, {}, body]
    end
    count[1].close
    client = server.connect
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.read(1)
    client.ungetc("H")
    assert_equal 100_000_000, response(client).last.bytesize
    assert_equal 1000, count[0].readpartial(2000).bytesize
  end

  def test_fields_may_be_arrays_or_lines_and_bad_ones_are_dropped
    server = serve do |env|
      case env["PATH_INFO"]
      when "/hash"
        [200, { "A" => %w[1 2], "B" => "3\n4", "C" => 5, "D" => nil, "Bad" => "x\r\nEvil: 1", "Ba d" => "x",
                "rack.private" => "y", "Date" => "never", "E" => [] }, []]
      else
        [200, [%w[A 1], %w[A 2]], []]
      end
    end
    assert_match(/^A: 1\r\nA: 2\r\nB: 3\r\nB: 4\r\nC: 5\r\nD: ?\r\nContent-Length: 0\r\n/, get(server, "/hash"))
    text = get(server, "/hash")
    %w[Evil private never E:].each { |word| refute_includes text.sub(/^Date.*/, ""), word }
    assert_match(/^A: 1\r\nA: 2\r\nContent-Length/, get(server, "/pairs"))
    assert_includes server.stop, "notice RuntimeError: response field Bad dropped"
  end

  def test_connection_close_of_the_application_is_honoured
    server = serve { [200, { "Connection" => "close" }, ["x"]] }
    assert_match(/Connection: close\r\n\r\nx\z/, exchange(server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
  end

  def test_an_application_may_chunk_by_itself
    server = serve { [200, { "Transfer-Encoding" => "chunked" }, ["3\r\nabc\r\n", "0\r\n\r\n"]] }
    client = server.connect
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    2.times { assert_equal "abc", response(client).last }
    assert_equal "abc", body_of(exchange(server, "GET / HTTP/1.0\r\n\r\n"))
  end

  def test_a_chunked_response_without_content_ends_with_its_last_chunk
    bodies = { "/empty" => [], "/blank" => [""], "/pieces" => [].each }
    server = serve { |env| [200, { "Transfer-Encoding" => "chunked" }, bodies.fetch(env["PATH_INFO"])] }
    client = server.connect
    bodies.each_key do |path|
      client.write("GET #{path} HTTP/1.1\r\nHost: a\r\n\r\n")
      assert_equal "", response(client).last
    end
    assert_equal "", body_of(exchange(server, "GET /empty HTTP/1.0\r\n\r\n"))
  end

  def test_status_100_calls_the_application_again
    server = serve { |env| env["HTTP_EXPECT"] ? [100, {}, []] : [200, {}, [env["rack.input"].read]] }
    client = server.connect
    client.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert_equal "HTTP/1.1 100 Continue\r\n\r\n", client.read(25)
    client.write("hi")
    assert_equal [200, "hi"], response(client).values_at(0, 2)
  end

  def test_early_hints_come_before_the_response
    server = serve(settings: { "early_hints" => true }) do |env|
      env["rack.early_hints"].call("Link" => "</a>; rel=preload\n</b>; rel=preload")
      [200, {}, ["x"]]
    end
    hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>; rel=preload\r\n\r\n"
    assert_match(/\A#{hints}HTTP\/1.1 200 OK/, get(server))
  end

  def test_early_hints_do_nothing_for_http_1_0
    server = serve(settings: { "early_hints" => true }) do |env|
      env["rack.early_hints"].call("Link" => "</a>")
      [200, {}, ["x"]]
    end
    assert_match(/\AHTTP\/1.1 200 OK\r\n.*\r\n\r\nx\z/m, exchange(server, "GET / HTTP/1.0\r\n\r\n"))
  end

  def test_a_full_hijack_hands_the_connection_over
    server = serve do |env|
      next [200, {}, ["plain"]] unless env["PATH_INFO"] == "/hijack"

      socket = env["rack.hijack"].call
      raise "not the same" unless socket.equal?(env["rack.hijack_io"]) && socket.equal?(env["rack.hijack"].call)

      Thread.new do
        socket.write("own: #{socket.gets}")
        socket.close
      end
      [-1, {}, []]
    end
    client = server.connect
    client.write("GET /hijack HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_equal "plain", body_of(get(server))
    client.write("words\n")
    assert_equal "own: words\n", client.read
  end

  def test_an_error_after_a_hijack_ends_the_connection
    server = serve do |env|
      GC.disable
      env["rack.hijack"].call.write("begun")
      raise "and broken"
    end
    assert_equal "begun", exchange(server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert_includes server.stop, "app_error RuntimeError: and broken\n"
  end

  def test_a_partial_hijack_gets_the_socket_behind_the_head
    log = IO.pipe
    server = serve do |_|
      callable = proc do |socket|
        socket.write("mine")
        socket.close
      end
      [200, { "rack.hijack" => callable, "X" => "1" }, Body.new(log[1], "ignored")]
    end
    assert_match(/\AHTTP\/1.1 200 OK\r\n.*X: 1\r\nConnection: close\r\n\r\nmine\z/m, get(server))
    assert_equal "closed\n", told(log)
  end

  def test_a_streaming_body_is_called_with_the_stream
    server = serve do |_|
      [200, { "content-type" => "text/plain" }, proc { |stream|
        stream << "a"
        stream.write("b")
        stream.flush
        stream.close
      }]
    end
    assert_match(/Connection: close\r\n\r\nab\z/, get(server))
  end

  def test_a_socket_is_closed_when_the_callable_that_got_it_raises
    kept = []
    log = IO.pipe
    server = serve do |env|
      callable = proc do |socket|
        kept << socket # out of the garbage collector's reach
        socket.write("part")
        socket.close if env["QUERY_STRING"] == "closed"
        raise "gave up"
      end
      env["PATH_INFO"] == "/stream" ? [200, {}, callable] : [200, { "rack.hijack" => callable }, Body.new(log[1])]
    end
    %w[/partial /stream /partial?closed /stream?closed].each do |target|
      assert_match(/\AHTTP\/1.1 200 OK\r\n.*Connection: close\r\n\r\npart\z/m, get(server, target))
    end
    assert_equal "#{"app_error RuntimeError: gave up\n" * 4}orphaned 4\n", server.stop
    assert_equal "closed\n" * 2, told(log)
  end

  def test_a_socket_ends_with_its_callable_even_when_a_child_holds_it
    gate, open = IO.pipe
    server = serve do |_|
      callable = proc do |_socket|
        fork do
          open.close
          gate.read
          exit!(0)
        end
        raise "gave up"
      end
      [200, { "rack.hijack" => callable }, []]
    end
    assert_match(/\r\n\r\n\z/, get(server))
  ensure
    open.close
  end

  def test_a_hijack_that_was_kept_does_not_reach_another_client
    kept = nil
    server = serve do |env|
      kept ||= env["rack.hijack"]
      text = begin
        kept.call if env["PATH_INFO"] == "/late"
        "safe"
      rescue IOError => e
        e.message
      end
      [200, {}, [text]]
    end
    get(server)
    assert_match(/the request is over/, get(server, "/late"))
  end

  def test_callables_run_after_the_response_and_failures_are_isolated
    log = IO.pipe
    server = serve do |env|
      env["rack.after_reply"] << -> { log[1].syswrite("1 ") } << -> { raise "two" } << -> { log[1].syswrite("3 ") }
      env["rack.response_finished"] << proc { |e, status, fields, error|
        log[1].syswrite("#{e.equal?(env)} #{status} #{fields} #{error.inspect}\n")
      }
      env["rack.response_finished"] << proc { log[1].syswrite("last-first ") }
      raise "no" if env["PATH_INFO"] == "/raise"

      [201, { "A" => "b" }, []]
    end
    get(server)
    assert_equal "1 3 last-first true 201 #{{ "A" => "b" }.inspect} nil\n", soon { log[0].gets }
    get(server, "/raise")
    assert_equal "1 3 last-first true   #<RuntimeError: no>\n", soon { log[0].gets }
    assert_includes server.stop, "after_reply_error RuntimeError: two\n"
  end

  def test_pieces_that_are_all_there_get_a_length
    server = serve { [200, {}, Rack::BodyProxy.new(%w[a b]) { nil }] }
    assert_match(/Content-Length: 2\r\n.*\r\n\r\nab\z/m, get(server))
  end

  def test_statuses_may_be_strings_and_must_be_final
    server = serve { |env| [env["PATH_INFO"][1..].tr("_", " "), {}, []] }
    { "/201" => "201 Created", "/404_Nope" => "404 Not Found", "/666_BEAST" => "666 BEAST", "/299" => "299 ",
      "/102" => "500 Internal Server Error", "/100" => "500 Internal Server Error",
      "/99" => "500 Internal Server Error", "/1000" => "500 Internal Server Error" }.each do |path, line|
      assert_equal "HTTP/1.1 #{line}", get(server, path).lines.first.chomp("\r\n")
    end
  end

  def test_a_body_that_keeps_its_block_may_call_it_until_it_is_closed
    kept = []
    late = lambda do |block|
      block.call("late")
    rescue IOError => e
      e.message
    end
    server = serve do |env|
      errors = kept.map(&late)
      body = Object.new
      body.define_singleton_method(:each) do |&block|
        kept << block
        block.call("one")
        raise "left by a jump" if env["PATH_INFO"] == "/raise"
      end
      body.define_singleton_method(:close) { kept.last.call("closing") }
      [200, { "X-Late" => errors.join("|") }, body]
    end
    assert_equal "oneclosing", body_of(get(server))
    assert get(server, "/raise").end_with?("3\r\none\r\n7\r\nclosing\r\n")
    _, fields, body = response(StringIO.new(get(server)))
    assert_equal "oneclosing", body
    assert_equal [(["the response is over: what comes now reaches no client"] * 2).join("|")], fields["x-late"]
  end

  def test_parts_from_other_threads_and_fibers_are_delivered
    bodies = {
      "/thread" => ->(&block) { Thread.new { block.call("x") }.join },
      "/threads" => ->(&block) { 8.times.map { Thread.new { 50.times { block.call("x") } } }.each(&:join) },
      "/fiber" => ->(&block) { Fiber.new { block.call("x") }.resume },
      "/enumerator" => ->(&block) { Enumerator.new { |out| 3.times { out << "x" } }.each(&block) }
    }
    server = serve do |env|
      body = Object.new
      body.define_singleton_method(:each, &bodies.fetch(env["PATH_INFO"]))
      [200, {}, body]
    end
    assert_equal "x", body_of(get(server, "/thread"))
    assert_equal "x" * 400, body_of(get(server, "/threads"))
    assert_equal "x", body_of(get(server, "/fiber"))
    assert_equal "xxx", body_of(get(server, "/enumerator"))
  end

  def test_a_thread_that_yields_for_longer_than_the_response_takes_reaches_no_other_client
    threads = Queue.new
    go_on = Queue.new
    server = serve do |env|
      next [200, {}, [(go_on << 1) && threads.pop.value]] unless env["PATH_INFO"] == "/early"

      body = Object.new
      body.define_singleton_method(:each) do |&block|
        block.call("early")
        threads << Thread.new do
          go_on.pop
          block.call("stray")
        rescue IOError => e
          e.class.name
        end
      end
      [200, {}, body]
    end
    assert_equal "early", body_of(get(server, "/early"))
    assert_equal "IOError", body_of(get(server))
  end

  def test_an_error_raised_in_the_block_belongs_to_the_thread_that_raised_it
    server = serve do |_|
      body = Object.new
      body.define_singleton_method(:each) do |&block|
        bad = Object.new
        bad.define_singleton_method(:to_s) { raise "no text" }
        block.call("begin ")
        block.call(Thread.new { block.call(bad) rescue $!.message }.value) # rubocop:disable Style/RescueModifier
      end
      [200, {}, body]
    end
    assert_equal "begin no text", body_of(get(server))
  end

  def test_yielding_for_a_client_that_has_left_raises
    log = IO.pipe
    told = lambda do |&work|
      work.call
      log[1].syswrite("not told\n")
    rescue IOError => e
      log[1].syswrite("#{e.message}\n")
    end
    endless = ->(block) { told.call { 100_000.times { block.call("x" * 10_000) } } }
    server = serve(settings: { "response_file_bytes" => 0 }) do |env|
      next [200, {}, ["alive"]] if env["PATH_INFO"] == "/"

      body = Object.new
      kept = nil
      body.define_singleton_method(:each) do |&block|
        kept = block
        case env["PATH_INFO"]
        when "/thread" then Thread.new { endless.call(block) }.join
        when "/fiber" then Fiber.new { endless.call(block) }.resume
        end
      end
      body.define_singleton_method(:close) { endless.call(kept) if env["PATH_INFO"] == "/close" }
      [200, {}, body]
    end
    %w[/thread /fiber /close].each do |path|
      client = server.connect
      client.write("GET #{path} HTTP/1.1\r\nHost: a\r\n\r\n")
      soon { client.readpartial(100) }
      client.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
      client.close
      assert_match(/the client has left/, soon { log[0].gets })
      assert_equal "alive", body_of(get(server))
    end
  end

  def test_a_hijacked_socket_survives_collections_and_compaction
    server = serve do |env|
      Thread.new { env["rack.hijack"].call && nil }.join
      env.delete("rack.hijack_io")
      Array.new(2_000) { "a stranger" + "x" * 40 }
      GC.start
      GC.compact if GC.respond_to?(:compact)
      Array.new(2_000) { Object.new }
      socket = env["rack.hijack"].call
      raise "a stranger: #{socket.inspect}" unless socket.instance_of?(Socket)

      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")
      socket.close
      [200, {}, []]
    end
    20.times { assert_equal "mine", body_of(get(server)) }
    assert_match(/\Aorphaned 20\n\z/, server.stop)
  end

  def test_an_array_with_a_close_of_its_own_is_closed
    log = IO.pipe
    server = serve do |_|
      body = ["a"]
      body.define_singleton_method(:close) { log[1].syswrite("closed\n") }
      [200, {}, body]
    end
    assert_equal "a", body_of(get(server))
    assert_equal "closed\n", told(log)
  end
end
