# frozen_string_literal: true

require "test_helper"
require "rack"

class AppLoaderTest < Minitest::Test
  include TestHelper

  def load(text, name: "config.ru", default_middleware: false, server: nil)
    path = write(name, text)
    path = name if name.end_with?(".ru")
    Licorne::AppLoader.new(rackup: path, default_middleware: default_middleware, server: server).load
  end

  def body(app)
    app.call({}).last
  end

  def test_a_rackup_file_is_evaluated_as_rack_builder_does
    app = load(<<~RUBY)
      local = [self.class, __FILE__, __LINE__]
      use(Class.new { def initialize(app) = @app = app
                      def call(env) = @app.call(env).then { |s, h, b| [s, h, b + [:wrapped]] } })
      run ->(_env) { [200, {}, local] }
    RUBY
    assert_equal [Rack::Builder, "config.ru", 1, :wrapped], body(app)
  end

  def test_magic_comments_count_and_data_after_the_end_does_not
    app = load(<<~RUBY)
      # frozen_string_literal: true
      run ->(_env) { [200, {}, ["é".frozen?, "é".encoding]] }
      __END__
      ) this is ( no Ruby
      nor this
    RUBY
    assert_equal [true, Encoding::UTF_8], body(app)
  end

  def test_byte_order_mark_and_options_line_are_passed_over
    assert_equal ["x"], body(load("\xEF\xBB\xBF#\\ -l 1\nrun ->(_) { [200, {}, ['x']] }"))
  end

  def test_errors_have_the_lines_of_the_file
    error = assert_raises(RuntimeError) { load("\n\nraise 'no'") }
    assert_match(/\Aconfig\.ru:3:/, error.backtrace.first)
    assert_raises(SyntaxError) { load("run (") }
  end

  def test_another_file_is_required_and_its_constant_is_the_application
    assert_equal ["one"], body(load("Onefile = ->(_env) { [200, {}, ['one']] }", name: "onefile.rb"))
  end

  def test_an_application_of_arity_0_or_2_is_a_factory
    made = "->(_env) { [200, {}, [given]] }"
    assert_equal [:none], body(load("Nofile = -> { given = :none; #{made} }", name: "nofile.rb"))
    assert_equal [:it], body(load("Twofile = ->(_app, given) { #{made} }", name: "twofile.rb", server: :it))
  end

  def test_default_middleware_depends_on_rack_env
    names = {
      "development" => %w[ContentLength CommonLogger ShowExceptions Lint TempfileReaper Proc],
      "deployment" => %w[ContentLength CommonLogger TempfileReaper Proc], "production" => %w[Proc], "" => %w[Proc]
    }
    names.each do |environment, stack|
      ENV["RACK_ENV"] = environment
      assert_equal stack, stack_of(load("run proc { |env| }", default_middleware: true)), environment
      assert_equal %w[Proc], stack_of(load("run proc { |env| }"))
    end
    ENV.delete("RACK_ENV")
    assert_equal %w[Proc], stack_of(load("run proc { |env| }", default_middleware: true))
  end

  def stack_of(app)
    names = []
    while app
      names << app.class.name.split("::").last
      app = app.instance_variable_get(:@app)
    end
    names
  end
end
