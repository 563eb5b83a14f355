# frozen_string_literal: true

require "test_helper"
require "licorne/conversion"

class ConversionTest < Minitest::Test
  C = Licorne::Conversion

  # What becomes of one statement: the lines that it leaves, without head and tail of the file.
  def becomes(text, path: "config/puma.rb")
    lines = C.configuration("#{text}\nmarker\n", path)["config"].lines(chomp: true)
    lines = lines.take_while { |line| line != "marker" }
    lines.drop(2).drop_while { |line| line.empty? || line.end_with?("= nil") }
  end

  def call(text)
    C::Call.parse(text, 1)
  end

  def test_statements_are_found_whatever_they_contain
    text = <<~'RUBY'
      # a comment
      a = <<~X
        if
      X
      b 1; c 2
      d(1,
        2)
        .then { |x| x }
      e \
        3
      if f
        g
      end
    RUBY
    pieces = C::Source.split(text, 1)
    assert_equal [1, 2, 5, 5, 6, 9, 11], pieces.map(&:line)
    assert_equal %w[b c], pieces.select { |piece| piece.line == 5 }.map { |piece| piece.text[0] }
  end

  def test_lines_between_head_and_end_are_found_and_an_else_of_a_statement_among_them_is_not_theirs
    text = "case x\nwhen 1\n  a = if y\n        1\n      else\n        2\n      end\n  b\nelse\n  c\nend\n"
    opened = C::Source.open(C::Source.split(text, 1).first)
    statements = opened.inner.select(&:statement)
    assert_equal ["case x\n", "end\n"], [opened.head, opened.tail]
    assert_equal [3, 8, 10], statements.map(&:line)
  end

  def test_calls_are_told_from_variables
    ["port = 3000", "port.to_s", "port && bind(x)", "port += 1", "x.port 3000", "port or y", "port[0]", "3"]
      .each { |text| assert_nil call(text), text }
    ["port 3000", "port(3000)", "port", "port -1", "port *all", "port [1]", "port :a if x", "port { }"].each do |text|
      assert_equal "port", call(text)&.name, text
    end
  end

  def test_arguments_block_condition_and_note_of_a_call
    found = call("bind ENV.fetch(\"A\") { \"x, y\" }, b: [1, 2] if c # note\n")
    assert_equal ['ENV.fetch("A") { "x, y" }', "b: [1, 2]"], found.arguments
    assert_equal ["if c", "# note", nil], [found.modifier, found.note, found.block]
    found = call("on_worker_boot(:key) { |index, data| data[index] } unless z\n")
    assert_equal [[":key"], "index, data", " data[index] "], [found.arguments, found.block.params, found.block.body]
    assert_equal "unless z", found.modifier
  end

  def test_numbers_are_numbers_and_text_of_the_environment_becomes_one
    {
      "3" => "3", "\"3\"" => "3", "1_000" => "1000", "ENV['X']" => "ENV['X'].to_i", "x.to_i" => "x.to_i",
      "Integer(x)" => "Integer(x)", "Integer(x) + Integer(y)" => "Integer(Integer(x) + Integer(y))",
      "ENV.fetch('X') { 3 }" => "Integer(ENV.fetch('X') { 3 })", "a || 2" => "Integer(a || 2)"
    }.each { |text, want| assert_equal want, C::Values.integer(text), text }
  end

  def test_addresses
    {
      'bind "tcp://0.0.0.0:80"' => 'listen "0.0.0.0:80"', 'bind "tcp://[::]:80"' => 'listen "[::]:80"',
      "bind 'tcp://localhost'" => "listen 'localhost:9292'", 'bind "tcp://:80"' => 'listen "0.0.0.0:80"',
      'bind "unix:///run/a.sock"' => 'listen "/run/a.sock"', 'bind "unix://tmp/a.sock"' => 'listen "unix:tmp/a.sock"',
      'bind "unix:///a?umask=0111&backlog=9"' => 'listen "/a", umask: 0o111, backlog: 9',
      'bind "unix:///a?mode=0770"' => 'listen "/a", umask: 0o007',
      "bind \"unix://\#{dir}/a.sock\"" => "listen \"unix:\#{dir}/a.sock\"",
      'bind "tcp://a:1?low_latency=false"' => 'listen "a:1", tcp_nodelay: false',
      "bind address" => 'listen address.sub("unix://", "unix:").delete_prefix("tcp://")',
      "bind a || b" => 'listen (a || b).sub("unix://", "unix:").delete_prefix("tcp://")',
      "port 3000, '::1'" => 'listen "[::1]:3000"', "port \"80\"" => "listen 80",
      'port ENV.fetch("P") { 1 }, host' => "listen \"\#{host}:\#{ENV.fetch(\"P\") { 1 }}\""
    }.each { |text, want| assert_equal [want], becomes(text), text }
  end

  def test_directives_that_are_others_here
    {
      "pidfile 'a'" => ["pid 'a'"], "preload_app! false" => ["preload_app false"],
      "preload_app! x" => ["preload_app(x ? true : false)"], "persistent_timeout 5" => ["keepalive_timeout 5"],
      "stdout_redirect 'a', 'b', true if c" => ["stdout_path 'a' if c", "stderr_path 'b' if c"],
      "stdout_redirect nil, 'b'" => ["stderr_path 'b'"], "plugin :tmp_restart" => ['restart_file "tmp/restart.txt"'],
      "log_requests" => ["access_log :stdout, format: :combined"], "fork_worker 500" => ["refork_after [500, false]"],
      "enable_keep_alives false" => ["keepalive_timeout 0"], "early_hints" => ["early_hints true"],
      "clear_binds!" => ["listeners []"], "worker_boot_timeout 9" => ["boot_timeout 9"]
    }.each { |text, want| assert_equal want, becomes(text), text }
  end

  def test_each_directive_of_pumas_has_an_equivalent_or_a_reason
    known = File.read(File.expand_path("../../crates/directives/src/foreign.rs", __dir__))
    names = known[/const FOREIGN.*/m][/.*?PITCHFORK, &\[/m].scan(/"([a-z_]+!?)"/).flatten
    names = names.select { |name| Licorne::Native.foreign_directive(name)&.first == "Puma" }
    assert_operator names.size, :>, 40
    names -= %w[max_threads min_threads]
    names.each { |name| assert C::Puma.new.rewrite(call("#{name}(1) { |x| y }\n")), name }
  end

  def test_a_directive_without_an_equivalent_stays_as_a_comment_with_the_reason
    assert_equal ["# tag 'x' # y", "# ^ nothing like it: titles of processes name the program and its options"],
                 becomes("tag 'x' # y")
    assert_match(/\A# \^ `bind` within an expression/, becomes("x.each { |a| bind a }").last)
    assert_match(/\A# \^ instead: max_requests/, becomes("PumaWorkerKiller.start").last)
  end

  def test_a_condition_stays_while_anything_is_in_it
    assert_equal ["if a", "  listen 1", "else", "  # tag 'x'"], becomes("if a\n  port 1\nelse\n  tag 'x'\nend").first(4)
    lines = becomes("if a\n  tag 'x'\nend")
    assert_equal ["# if a", "#   tag 'x'", "# end"], [lines[0], lines[1], lines.last]
  end

  def test_hooks_get_their_arguments
    assert_equal ["after_fork do |_server, worker|", "  i = worker.nr", "  x i", "end"],
                 becomes("on_worker_boot do |i|\n  x i\nend")
    assert_equal ["after_fork { |_server, _worker| at_exit { x } }"], becomes("before_worker_shutdown { x }")
    assert_equal ["before_fork { |server, _worker| x }"], becomes("before_fork { |server| x }", path: "pitchfork.rb")
    assert_equal ["service(\"pitchfork\") do |service, s|", "  x", "  service.wait", "end"],
                 becomes("before_service_worker_ready do |s, service|\n  x\nend", path: "pitchfork.rb").drop(1)
  end

  def test_numbers_that_are_written_down_are_multiplied
    assert_includes becomes("workers 3\nthreads 1, 5"), "worker_processes 3..15"
    assert_includes becomes("threads 1, 1\nworkers 4"), "worker_processes 4"
    assert_includes becomes("workers 0\nthreads 5"), "worker_processes 1..5"
    assert_includes becomes("workers :auto"), "worker_processes :auto"
    assert_includes becomes("workers ENV.fetch('N', :auto)"),
                    "worker_processes ENV.fetch('N', :auto).then { |n| n.to_s == \"auto\" ? :auto : Integer(n) }"
    assert_includes becomes("workers ENV.fetch(\"X\", 2)\nthreads *y"), "puma_threads = [*y].max.to_i"
  end

  def test_commands
    {
      "bundle exec puma -C config/puma.rb" => "bundle exec licorne -c config/licorne.rb",
      "A=1 bundle exec puma -p $PORT -e production" => "A=1 bundle exec licorne -c config/licorne.rb -E production",
      "cd x && puma && echo" => "cd x && licorne -c config/licorne.rb && echo",
      "bin/rails server -p 3000 -e test -d" => "bundle exec licorne -c config/licorne.rb -E test -D",
      "bundle exec unicorn -p $PORT -c ./config/unicorn.rb" => "bundle exec licorne -p $PORT -c ./config/unicorn.rb",
      "bundle exec rackup -s puma -p 3" => "bundle exec licorne -c config/licorne.rb -p 3",
      "bash -lc 'bundle exec unicornherder -u unicorn -p x.pid -- -c u.rb -E z'" =>
        "bash -lc 'exec bundle exec licorne -c u.rb -E z'"
    }.each { |text, want| assert_equal want, C::Start.new(C::Command.find(text)).text, text }
    ["bundle exec sidekiq", "foreman start", "echo puma.rb", "rails db:migrate"].each do |text|
      assert_nil C::Command.find(text), text
    end
  end

  def test_options_of_pumas_command_line_become_directives
    line = "puma -t 1:5 -w ${N:-2} -b tcp://0.0.0.0:${PORT} --preload --pidfile=a.pid -q"
    start = C::Start.new(C::Command.find(line))
    assert_equal ["threads 1, 5", 'workers ENV.fetch("N", "2")', "bind \"tcp://0.0.0.0:\#{ENV.fetch(\"PORT\")}\"",
                  "preload_app!", 'pidfile "a.pid"', "quiet"], start.directives
    assert_equal %w[threads workers bind preload_app! pidfile quiet], start.overridden
  end

  def test_mistakes_are_told_with_their_line
    error = assert_raises(C::Error) { C.configuration("a\nb(]\nc\n", "config/puma.rb") }
    assert_match(/\Aconfig\/puma\.rb:2: syntax error/, error.message)
  end
end
