# frozen_string_literal: true

require "test_helper"
require "rack"
require "rack/lint"
require "rack/utils" # Lint expects it to be loaded
require "licorne/warm_up"

class WarmUpTest < Minitest::Test
  include TestHelper

  Host = Struct.new(:logger)

  def warm_up(app, paths = ["/"], headers: [], who: "", &block)
    settings = { paths: paths, headers: headers }
    Licorne::WarmUp.new(settings, block, Host.new(logger), who).run(app)
    @log.string
  end

  def test_a_request_keeps_to_racks_specification_and_is_marked
    env = nil
    app = lambda do |given|
      env = given
      [200, { "content-type" => "text/plain" }, ["fine"]]
    end
    log = warm_up(Rack::Lint.new(app), ["/a/b?c=d"], headers: [%w[X-Token t]], who: "worker=3 ")
    assert_match(%r{\AINFO worker=3 warm_up GET /a/b\?c=d: 200 in [\d.]+ s\n\z}, log)
    { "licorne.warm_up" => true, "REQUEST_METHOD" => "GET", "PATH_INFO" => "/a/b", "QUERY_STRING" => "c=d",
      "HTTP_HOST" => "localhost", "HTTP_USER_AGENT" => "licorne-warm-up", "HTTP_X_TOKEN" => "t",
      "SERVER_NAME" => "localhost", "SERVER_PORT" => "80", "rack.url_scheme" => "http",
      "SERVER_SOFTWARE" => "Licorne #{Licorne::VERSION}" }.each { |name, value| assert_equal value, env[name], name }
  end

  def test_fields_say_which_host_and_scheme_the_application_is_asked_for
    env = nil
    fields = [%w[host example.com:8443], %w[X-Forwarded-Proto https], %w[Content-Type text/html]]
    warm_up(->(given) { [204, {}, (env = given) && []] }, headers: fields)
    assert_equal %w[example.com:8443 example.com 8443 https text/html],
                 env.values_at("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "rack.url_scheme", "CONTENT_TYPE")
    refute env.key?("HTTP_CONTENT_TYPE")
  end

  def test_a_response_is_taken_to_its_end
    done = []
    body = Enumerator.new { |parts| done << :read && parts << "a" }
    body.define_singleton_method(:close) { done << :closed }
    app = lambda do |env|
      env["rack.after_reply"] << -> { done << :after_reply }
      env["rack.response_finished"] << ->(_, status, _, _) { done << [:finished, status] }
      [200, {}, body]
    end
    warm_up(app)
    assert_equal [:read, :closed, :after_reply, [:finished, 200]], done
    streamed = nil
    warm_up(->(_) { [200, {}, ->(stream) { streamed = stream.write("abc") }] })
    assert_equal 3, streamed
  end

  def test_a_failure_is_told_and_the_others_go_on
    app = lambda do |env|
      raise "no such table" if env["PATH_INFO"] == "/raises"

      [env["PATH_INFO"][1..], {}, []]
    end
    log = warm_up(app, %w[/raises /503 /200]) { raise LoadError, "no such file" }
    assert_match(/^WARN warm_up GET \/raises: no such table \(RuntimeError\)\nWARN .*warm_up_test\.rb:\d+:in/, log)
    assert_match(%r{^WARN warm_up GET /503: 503 in [\d.]+ s, which may warm little\nINFO warm_up GET /200: 200 }, log)
    assert_match(/^WARN warm_up block: no such file \(LoadError\)$/, log)
  end

  def test_a_block_gets_the_application_and_the_server
    app = Object.new
    given = nil
    warm_up(app, []) { |*arguments| given = arguments }
    assert_same app, given.first
    assert_instance_of Host, given.last
  end
end
