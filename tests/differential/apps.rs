//! The applications whose responses are compared: Ruby expressions that see `env`.

/// What the expressions use.
pub(crate) const PRELUDE: &str = r#"
class Pieces
  def initialize(*pieces) = @pieces = pieces
  def each(&block) = @pieces.each(&block)
end

class Closing < Pieces
  def close = $stderr.puts("closed")
end

class ClosingBadly < Pieces
  def close = raise("no close")
end

class Raising < Pieces
  def each(&block)
    super
    raise "no more"
  end
end

class Named < Pieces
  def initialize(name, text)
    @path = File.join(ENV.fetch("TEST_DIR"), name)
    File.write(@path, text)
    super(text)
  end
  def to_path = @path
end

class Arrayish < Pieces
  def to_ary = @pieces
end

class Callable
  def call(stream)
    stream.write("streamed")
    stream.close
  end
end

class Fields
  def initialize(*pairs) = @pairs = pairs
  def each(&block) = @pairs.each(&block)
end

class Number
  def to_i = 202
  def to_s = "202 of its own"
end
"#;

/// Asked for with `GET` of HTTP/1.1 and `Connection: close`.
pub(crate) const GET: &[&str] = &[
    // Statuses.
    "[200, {}, ['x']]",
    "[201, {}, ['x']]",
    "[202, {}, ['x']]",
    "[206, {}, ['x']]",
    "[299, {}, ['x']]",
    "[301, { 'Location' => '/y' }, []]",
    "[302, { 'Location' => 'http://b/' }, ['moved']]",
    "[304, {}, []]",
    "[304, { 'ETag' => '\"x\"' }, ['x']]",
    "[304, { 'Content-Length' => '5' }, []]",
    "[204, {}, []]",
    "[204, {}, ['x']]",
    "[204, { 'Content-Length' => '1' }, ['x']]",
    "[205, {}, []]",
    "[205, {}, ['x']]",
    "[400, {}, ['x']]",
    "[404, {}, ['x']]",
    "[413, {}, ['x']]",
    "[418, {}, ['x']]",
    "[422, {}, ['x']]",
    "[451, {}, ['x']]",
    "[500, {}, ['x']]",
    "[503, { 'Retry-After' => '1' }, ['x']]",
    "[599, {}, ['x']]",
    "[666, {}, ['x']]",
    "[999, {}, ['x']]",
    "['200', {}, ['x']]",
    "['404 Nope', {}, ['x']]",
    "['666 BEAST', {}, ['x']]",
    "[200.9, {}, ['x']]",
    "[Number.new, {}, ['x']]",
    "[nil, {}, ['x']]",
    "[0, {}, ['x']]",
    "[99, {}, ['x']]",
    "[1000, {}, ['x']]",
    "[-1, {}, ['x']]",
    "[:ok, {}, ['x']]",
    "[101, { 'Upgrade' => 'x', 'Connection' => 'Upgrade' }, []]",
    "[100, {}, ['x']]",
    "[102, {}, ['x']]",
    // Fields.
    "[200, { 'Content-Type' => 'text/plain' }, ['x']]",
    "[200, { 'content-type' => 'text/plain', 'x-lower' => '1' }, ['x']]",
    "[200, { 'X-B' => '1', 'X-A' => '2', 'X-C' => '3' }, ['x']]",
    "[200, { 'X' => nil }, ['x']]",
    "[200, { 'X' => '' }, ['x']]",
    "[200, { 'X' => ' ' }, ['x']]",
    "[200, { 'X' => ' a ' }, ['x']]",
    "[200, { 'X' => 1 }, ['x']]",
    "[200, { 'X' => :symbol }, ['x']]",
    "[200, { 'X' => 1.5 }, ['x']]",
    "[200, { 'X' => true }, ['x']]",
    "[200, { 'X' => \"a\\nb\" }, ['x']]",
    "[200, { 'X' => \"a\\n\\nb\\n\" }, ['x']]",
    "[200, { 'X' => \"\\n\" }, ['x']]",
    "[200, { 'X' => \"a\\r\\nY: b\" }, ['x']]",
    "[200, { 'X' => \"a\\rb\" }, ['x']]",
    "[200, { 'X' => \"a\\0b\" }, ['x']]",
    "[200, { 'X' => \"a\\tb\" }, ['x']]",
    "[200, { 'X' => 'grüße' }, ['x']]",
    "[200, { 'X' => %w[a b] }, ['x']]",
    "[200, { 'X' => [] }, ['x']]",
    "[200, { 'Set-Cookie' => \"a=1\\nb=2\" }, ['x']]",
    "[200, { 'Set-Cookie' => ['a=1', 'b=2'] }, ['x']]",
    "[200, { 'X' => '1', 'x' => '2' }, ['x']]",
    "[200, { Symbol: 'x' }, ['x']]",
    "[200, { 'X Y' => 'a' }, ['x']]",
    "[200, { '' => 'a' }, ['x']]",
    "[200, { 'X:' => 'a' }, ['x']]",
    "[200, { 'Date' => 'tomorrow', 'date' => 'never' }, ['x']]",
    "[200, { 'Connection' => 'keep-alive', 'Keep-Alive' => 'timeout=5' }, ['x']]",
    "[200, { 'connection' => 'close' }, ['x']]",
    "[200, { 'Server' => 'mine', 'Status' => '200 OK' }, ['x']]",
    "[200, [['X', '1'], ['X', '2']], ['x']]",
    "[200, Fields.new(['X', '1'], ['Y', '2']), ['x']]",
    "[200, nil, ['x']]",
    "[200, { 'rack.something' => 'x' }, ['x']]",
    "[200, { 'X' => 'a' * 20_000 }, ['x']]",
    // Bodies and their framing.
    "[200, {}, []]",
    "[200, {}, ['']]",
    "[200, {}, ['a', '', 'b']]",
    "[200, {}, ['a' * 100_000]]",
    "[200, {}, ['a'] * 1000]",
    "[200, {}, %w[a b c].each]",
    "[200, {}, Pieces.new('a', 'b')]",
    "[200, {}, Pieces.new]",
    "[200, {}, Pieces.new('a', '', 'b')]",
    "[200, {}, Pieces.new(1, :b, nil, 2.5)]",
    "[200, {}, [1, :b]]",
    "[200, {}, Pieces.new(\"\\xff\\xfe\".b, 'grüße')]",
    "[200, {}, Closing.new('a')]",
    "[200, {}, ClosingBadly.new('a')]",
    "[200, {}, Arrayish.new('a', 'b')]",
    "[200, {}, Named.new('small', 'named')]",
    "[200, {}, Named.new('big', 'n' * 300_000)]",
    "[200, { 'Content-Length' => '5' }, Named.new('sized', 'named')]",
    "[200, {}, StringIO.new(\"one\\ntwo\\n\")]",
    "[200, {}, 'a string']",
    "[200, {}, nil]",
    "[200, {}, Callable.new]",
    "[200, { 'Content-Length' => '5' }, ['hello']]",
    "[200, { 'content-length' => '5' }, Pieces.new('he', 'llo')]",
    "[200, { 'Content-Length' => 5 }, ['hello']]",
    "[200, { 'Content-Length' => '0' }, []]",
    "[200, { 'Content-Length' => '5', 'X' => '1' }, ['hello']]",
    "[200, { 'Content-Length' => '3' }, ['hello']]",
    "[200, { 'Content-Length' => '9' }, ['hello']]",
    "[200, { 'Content-Length' => 'x' }, ['hello']]",
    "[200, { 'Content-Length' => nil }, ['hello']]",
    "[200, { 'Transfer-Encoding' => 'chunked' }, [\"2\\r\\nhi\\r\\n\", \"0\\r\\n\\r\\n\"]]",
    "[200, { 'Transfer-Encoding' => 'identity' }, ['hi']]",
    "[200, { 'Transfer-Encoding' => 'gzip' }, ['hi']]",
    "[200, { 'Content-Length' => '2', 'Transfer-Encoding' => 'chunked' }, [\"2\\r\\nhi\\r\\n0\\r\\n\\r\\n\"]]",
    // What is no response.
    "nil",
    "[]",
    "[200]",
    "[200, {}]",
    "[200, {}, ['x'], 'more']",
    "[200, {}.freeze, ['x'.freeze].freeze].freeze",
    "'a string'",
    "42",
    // Exceptions.
    "raise 'before'",
    "raise ArgumentError",
    "raise EOFError",
    "raise Errno::EPIPE",
    "raise Errno::ECONNRESET",
    "throw :nobody",
    "[200, {}, Raising.new]",
    "[200, {}, Raising.new('a')]",
    "[200, { 'Content-Length' => '5' }, Raising.new('a')]",
    "[200, { 'Content-Length' => '1' }, Raising.new('a')]",
    // Early hints, hijack, after_reply.
    "env['rack.early_hints'].call('Link' => '</a.css>'); [200, {}, ['x']]",
    "env['rack.early_hints'].call('Link' => \"</a>\\n</b>\", 'X' => 1); [200, {}, ['x']]",
    "env['rack.early_hints'].call('Link' => nil); [200, {}, ['x']]",
    "2.times { |i| env['rack.early_hints'].call('Link' => i.to_s) }; [200, {}, ['x']]",
    "env['rack.early_hints'].call({}); [200, {}, ['x']]",
    "env['rack.early_hints'].call('Link' => '</a>'); raise 'after hints'",
    "io = env['rack.hijack'].call; io.write(\"HTTP/1.1 200 OK\\r\\n\\r\\nraw\"); io.close; [-1, {}, []]",
    "env['rack.hijack'].call; env['rack.hijack_io'].write('raw'); env['rack.hijack_io'].close; nil",
    "env['rack.hijack'].call.close; [200, {}, ['ignored']]",
    "io = env['rack.hijack'].call; io.write('raw'); io.close; raise 'hijacked'",
    "[200, { 'rack.hijack' => ->(io) { io.write('part'); io.close } }, ['ignored']]",
    "[200, { 'X' => '1', 'rack.hijack' => ->(io) { io.write('part'); io.close } }, []]",
    "[200, { 'Content-Length' => '4', 'rack.hijack' => ->(io) { io.write('part'); io.close } }, []]",
    "[101, { 'Upgrade' => 'x', 'Connection' => 'Upgrade', 'rack.hijack' => ->(io) { io.write('up'); io.close } }, []]",
    "env['rack.after_reply'] << -> { $stderr.puts('after reply') }; [200, {}, ['x']]",
    "env['rack.after_reply'] << -> { raise 'after reply' }; [200, {}, ['x']]",
    "env['rack.after_reply'] << -> { raise '1' } << -> { $stderr.puts('second') }; [200, {}, ['x']]",
    // Last, since they end the worker.
    "raise Exception, 'no StandardError'",
    "exit",
    "exit 3",
    "exit!(4)",
];

/// Asked for with `HEAD` of HTTP/1.1 and `Connection: close`.
pub(crate) const HEAD: &[&str] = &[
    "[200, {}, []]",
    "[200, {}, ['x']]",
    "[200, { 'Content-Length' => '5' }, []]",
    "[200, { 'Content-Length' => '5' }, ['hello']]",
    "[200, { 'Transfer-Encoding' => 'chunked' }, []]",
    "[204, {}, []]",
    "[304, { 'ETag' => '\"x\"' }, []]",
    "[404, { 'Content-Type' => 'text/plain' }, []]",
    "[200, {}, Pieces.new]",
    "[200, {}, Named.new('head', 'named')]",
    "[200, {}, Raising.new]",
    "raise 'before'",
];

/// Asked for with `GET` of HTTP/1.0.
pub(crate) const OLD: &[&str] = &[
    "[200, {}, ['x']]",
    "[200, {}, []]",
    "[200, {}, Pieces.new('a', 'b')]",
    "[200, { 'Content-Length' => '5' }, ['hello']]",
    "[204, {}, []]",
    "[304, {}, []]",
    "[404, { 'X' => '1' }, ['x']]",
    "[200, { 'Transfer-Encoding' => 'chunked' }, [\"2\\r\\nhi\\r\\n\", \"0\\r\\n\\r\\n\"]]",
    "[200, {}, Raising.new('a')]",
    "[200, {}, Named.new('old', 'named')]",
    "env['rack.early_hints'].call('Link' => '</a.css>'); [200, {}, ['x']]",
    "[200, { 'rack.hijack' => ->(io) { io.write('part'); io.close } }, []]",
    "raise 'before'",
];

/// Asked for with `GET` of HTTP/1.1 without a word about the connection.
pub(crate) const KEPT: &[&str] = &[
    "[200, {}, ['x']]",
    "[200, {}, Pieces.new('a', 'b')]",
    "[200, { 'Content-Length' => '5' }, ['hello']]",
    "[204, {}, []]",
    "[304, {}, []]",
    "[200, { 'Connection' => 'close' }, ['x']]",
    "[404, {}, []]",
    "[200, {}, Raising.new('a')]",
    "[200, { 'rack.hijack' => ->(io) { io.write('part'); io.close } }, []]",
    "raise 'before'",
];

/// Asked for with a `POST` that announces its body and waits (`Expect: 100-continue`).
pub(crate) const EXPECT: &[&str] = &[
    "[200, {}, [env['rack.input'].read]]",
    "env['HTTP_EXPECT'] ? [100, {}, []] : [200, {}, [env['rack.input'].read]]",
    "env['HTTP_EXPECT'] ? [417, {}, []] : [200, {}, []]",
    "[200, {}, [env['HTTP_EXPECT'].inspect]]",
];

/// Asked for by a client that then says that it sends nothing more (`SHUT_WR`).
pub(crate) const FINISH: &[&str] = &[
    "[200, {}, ['x']]",
    "io = env['rack.hijack'].call; io.write('raw'); Thread.new { io.read; io.close }; [200, {}, ['ignored']]",
    "io = env['rack.hijack'].call; io.write('raw'); env['rack.after_reply'] << -> { io.close }; raise 'hijacked'",
    "[200, { 'rack.hijack' => ->(io) { io.write('part'); Thread.new { io.read; io.write('later'); io.close } } }, []]",
];
