# frozen_string_literal: true

require "support/native_case"

# rack.input and the env, as the specification of Rack has them.
class NativeInputTest < NativeCase
  BIG = "line #{"x" * 60}\n" * 5000

  # Evaluates an expression of `env` and `input` in the server and returns what it inspects as.
  def ask(expression, body = "abc\ndef\n", *fields)
    server = serve do |env|
      names = binding
      names.local_variable_set(:input, env["rack.input"])
      [200, {}, [names.eval(expression).inspect]]
    end
    body_of(post(server, body, *fields))
  end

  def test_reading_in_memory_and_from_a_file
    pieces = "out = +''; buffer = +''; out << buffer while input.read(1000, buffer); " \
             "[out, buffer, input.read(1), input.read, input.read(0)]"
    ["abc\ndef\n", BIG].each do |body|
      assert_equal [body, "", nil, "", ""].inspect, ask(pieces, body)
      assert_equal body.lines.inspect, ask("lines = []; input.each { |line| lines << line }; lines", body)
      assert_equal body.lines.first(2).inspect, ask("[input.gets, input.gets]", body)
      assert_equal [body, 0, body].inspect, ask("[input.read, input.rewind, input.read]", body)
      assert_equal [body.bytesize, 2, body.bytesize - 2].inspect,
                   ask("[input.size, input.read(2).size, input.read.size]", body)
      assert_equal [body].inspect, ask("[input.gets(nil)]", body)
      assert_equal '"ArgumentError"', ask("begin; input.read(-1); rescue => e; e.class.name; end", body)
    end
  end

  def test_reads_return_binary_strings
    assert_equal Array.new(4, Encoding::BINARY).inspect,
                 ask("b = String.new(encoding: 'UTF-8'); " \
                     "[input.gets.encoding, input.read(1, b).encoding, b.encoding, input.read.encoding]")
  end

  def test_without_a_body_the_input_is_empty_and_survives_close
    server = serve_linted do |env|
      read = [env["rack.input"].read(1), env["rack.input"].read, env["rack.input"].gets]
      [200, { "content-type" => "text/plain" }, [read.inspect]]
    end
    2.times { assert_equal '[nil, "", nil]', body_of(get(server)) }
    server = serve do |env|
      env["rack.input"].close
      [200, {}, [env["rack.input"].read.inspect]]
    end
    2.times { assert_equal '""', body_of(get(server)) }
  end

  def test_chunked_bodies_of_any_size
    [10, 114_688, 114_689, 1_000_000].each do |size|
      body = "y" * size
      chunks = body.scan(/.{1,9999}/m).map { |piece| "#{piece.bytesize.to_s(16)}\r\n#{piece}\r\n" }.join
      server = serve { |env| [200, {}, [[env["rack.input"].read.sum, env["rack.tempfiles"]&.size].inspect]] }
      answer = body_of(post(server, "#{chunks}0\r\n\r\n", "Transfer-Encoding: chunked"))
      assert_equal [body.sum, size > 114_688 ? 1 : nil].inspect, answer
    end
  end

  # How many temporary files without a name this process has open. Its standard output may be one.
  def unnamed_files
    links = Dir["/proc/self/fd/*"].filter_map { |fd| File.readlink(fd) if File.symlink?(fd) }
    links.count { |link| link.start_with?(Dir.tmpdir) && link.end_with?("(deleted)") }
  end

  def test_the_limit_of_memory_is_a_setting_and_files_have_no_name
    before = unnamed_files
    server = serve(settings: { "client_body_buffer_size" => 10, "body_memory" => 0 }) do |env|
      [200, {}, [[env["rack.input"].read, unnamed_files - before].inspect]]
    end
    assert_equal '["0123456789", 0]', body_of(post(server, "0123456789"))
    assert_equal '["0123456789a", 1]', body_of(post(server, "0123456789a"))
  end

  def test_a_body_that_cannot_be_stored_is_a_500_and_the_worker_lives
    server = nil
    before = ENV.fetch("TMPDIR", nil)
    begin
      ENV["TMPDIR"] = "/nonexistent"
      server = serve(settings: { "body_memory" => 0 }) { [200, {}, ["ok"]] }
    ensure
      ENV["TMPDIR"] = before
    end
    assert_match(/\AHTTP\/1.1 500/, post(server, "x" * 200_000))
    assert_equal "ok", body_of(get(server))
    assert_match(/notice RuntimeError: cannot store a request body: No such file/, server.stop)
  end

  def test_the_env_of_a_request
    server = serve_linted do |env|
      wanted = env.reject { |key, _| key.start_with?("rack.", "licorne.") && key != "rack.url_scheme" }
      [200, { "content-type" => "text/plain" }, [Marshal.dump(wanted)]]
    end
    text = get(server, "/p;x%20y?q=1?2#frag", "X-Two: a", "x-two: b", "Cookie: a=1", "Cookie: b=2", "Under_Score: no",
               "Content-Type: text/x", "Proxy: evil", "Version: evil")
    env = Marshal.load(body_of(text)) # rubocop:disable Security/MarshalLoad
    expected = { "REMOTE_ADDR" => "127.0.0.1", "REQUEST_METHOD" => "GET", "REQUEST_URI" => "/p;x%20y?q=1?2",
                 "REQUEST_PATH" => "/p;x%20y", "PATH_INFO" => "/p;x%20y", "QUERY_STRING" => "q=1?2",
                 "FRAGMENT" => "frag", "SERVER_PROTOCOL" => "HTTP/1.1", "HTTP_VERSION" => "HTTP/1.1",
                 "HTTP_HOST" => "a", "HTTP_CONNECTION" => "close", "HTTP_X_TWO" => "a,b", "HTTP_COOKIE" => "a=1; b=2",
                 "CONTENT_TYPE" => "text/x", "SERVER_NAME" => "a", "SERVER_PORT" => "80", "SCRIPT_NAME" => "",
                 "SERVER_SOFTWARE" => "Licorne", "rack.url_scheme" => "http" }
    assert_equal expected, env
    refute_includes server.stop, "error"
  end

  def test_scheme_host_and_port
    names = %w[rack.url_scheme SERVER_NAME SERVER_PORT HTTP_HOST]
    server = serve { |env| [200, {}, [env.values_at(*names).inspect]] }
    ask = lambda do |target, *fields|
      lines = ["GET #{target} HTTP/1.1", *fields, "Connection: close"].map { |line| "#{line}\r\n" }
      body_of(exchange(server, "#{lines.join}\r\n"))
    end
    assert_equal %w[https h 443 h].inspect, ask["/", "Host: h", "X-Forwarded-Proto: https"]
    assert_equal %w[https h 8443 h:8443].inspect, ask["/", "Host: h:8443", "X-Forwarded-Ssl: on"]
    assert_equal %w[http h 80 h].inspect, ask["/", "Host: h", "X-Forwarded-Proto: http"]
    assert_equal %w[http [::1] 81 [::1]:81].inspect, ask["/", "Host: [::1]:81"]
    assert_equal %w[https other 443 other].inspect, ask["https://other/x", "Host: h"]
    assert_equal ["http", "localhost", "80", nil].inspect, body_of(exchange(server, "GET / HTTP/1.0\r\n\r\n"))
  end

  def test_the_beginning_of_what_proxies_say_counts
    settings = { "drop_underscore_headers" => true }
    server = serve(settings: settings) { |env| [200, {}, [env.values_at("rack.url_scheme", "SERVER_PORT").join("/")]] }
    proto = ->(*values) { values.map { |value| "X-Forwarded-Proto: #{value}" } }
    ssl = ->(*values) { values.map { |value| "X-Forwarded-Ssl: #{value}" } }
    { proto["http", "https"] => "http/80", proto["https", "http"] => "https/443", proto["", "https"] => "http/80",
      ssl["off", "on"] => "http/80", ssl["on", "on"] => "http/80", ssl["off"] + proto["https"] => "https/443",
      ["X_Forwarded_Proto: http", *proto["https"]] => "https/443" }.each do |fields, expected|
      assert_equal expected, body_of(get(server, "/", *fields)), fields.inspect
    end
  end

  def test_entries_of_the_configuration_beat_the_request
    server = serve(env: { "rack.url_scheme" => "https", "HTTP_X_A" => "ours", "my.own" => 1 }) do |env|
      [200, {}, [env.values_at("rack.url_scheme", "HTTP_X_A", "my.own").inspect]]
    end
    assert_equal '["https", "ours", 1]', body_of(get(server, "/", "X-A: theirs"))
  end

  def test_underscores_may_be_kept
    server = serve(settings: { "drop_underscore_headers" => false }) do |env|
      [200, {}, [env.values_at("HTTP_A_B", "HTTP_C_D").inspect]]
    end
    assert_equal '["dash", "under"]', body_of(get(server, "/", "A_B: under", "A-B: dash", "C_D: under"))
  end

  def test_lint_passes_around_uploads
    server = serve_linted { |env| [200, { "content-type" => "text/plain" }, [env["rack.input"].read]] }
    assert_equal BIG, body_of(post(server, BIG))
    assert_equal "small", body_of(post(server, "small"))
    refute_includes server.stop, "error"
  end

  def test_files_are_given_back_after_the_response
    before = unnamed_files
    server = serve(settings: { "client_body_buffer_size" => 10, "body_memory" => 0 }) do |env|
      GC.disable
      [200, {}, ["#{unnamed_files - before}#{env["rack.input"].read(1)}"]]
    end
    3.times { assert_equal "1x", body_of(post(server, "x" * 20)) }
  end

  def test_the_class_of_the_input_does_not_depend_on_how_the_bytes_come
    settings = { "rewindable_input" => false }
    server = serve(settings: settings) { |env| [200, {}, [env["rack.input"].class.name, " ", env["rack.input"].read]] }
    assert_equal "Licorne::Native::StreamInput whole", body_of(post(server, "whole"))
    client = server.connect
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    # The application is asked, so that the rest comes by itself.
    soon { Thread.pass until server.seat.any? }
    client.write("parts")
    assert_equal "Licorne::Native::StreamInput parts", response(client).last
  end

  def test_gets_ends_when_another_thread_closes_the_input
    closed = IO.pipe
    server = serve(settings: { "rewindable_input" => false }) do |env|
      input = env["rack.input"]
      reader = Thread.new { input.gets.inspect }
      Thread.pass until reader.stop?
      input.close
      closed[1].syswrite("closed")
      [200, {}, [reader.value]]
    end
    client = server.connect
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nno line yet")
    assert_equal "closed", soon { closed[0].readpartial(10) }
    client.write("x")
    assert_equal [200, '"x"'], response(client).values_at(0, 2)
  ensure
    closed.each(&:close)
  end
end
