# frozen_string_literal: true

require "stringio"
require "licorne/failure"
require "licorne/own_request"
require "licorne/rack_env"

module Licorne
  # Requests that an application answers before there are clients. There is no engine yet, and no connection: the env is
  # made here. It is no test: what fails is logged, and the boot goes on.
  class WarmUp
    # How many lines of an exception's backtrace are told.
    FRAMES = 10
    private_constant :FRAMES

    # Has a freshly loaded application do what the configuration wants it to.
    def self.run(app, settings:, configurator:, server:, who: "")
      wanted = settings["warm_up"] or return
      new(wanted, configurator.warm_up_block, server, who).run(app)
    end

    # `settings` is what the directive's check answers, `who` is what begins its lines in the log.
    def initialize(settings, block, server, who = "")
      @settings = settings.transform_keys(&:to_s)
      @block = block
      @server = server
      @who = who
    end

    def run(app)
      @settings["paths"].each { |path| guard("GET #{path}") { ask(app, path) } }
      guard("block") { @block.call(app, @server) } if @block
    end

    private

    # What an application raises is told. What ends a process ends this one, too.
    def guard(what)
      yield
    rescue StandardError, ScriptError => e
      first, *frames = Failure.text(e).lines(chomp: true)
      @server.logger.warn("#{@who}warm_up #{what}: #{first}")
      frames.first(FRAMES).each { |line| @server.logger.warn(line) }
    end

    def ask(app, path)
      began = now
      status = answer(app, env(path)).to_i
      seconds = (now - began).round(3)
      if status < 400
        @server.logger.info("#{@who}warm_up GET #{path}: #{status} in #{seconds} s")
      else
        @server.logger.warn("#{@who}warm_up GET #{path}: #{status} in #{seconds} s, which may warm little")
      end
    end

    # To the end: what the application has left to be done afterwards is done as well.
    def answer(app, env)
      status, headers, body = app.call(env)
      body.respond_to?(:each) ? body.each(&:itself) : body.call(StringIO.new)
      status
    ensure
      body.close if body.respond_to?(:close)
      env["rack.after_reply"].each(&:call)
      env["rack.response_finished"].reverse_each { |done| done.call(env, status, headers, nil) }
    end

    # As a client of this machine would ask.
    def env(path)
      fields = OwnRequest.fields("licorne-warm-up", @settings["headers"])
      env = fields.transform_keys { |name| "HTTP_#{name.upcase.tr("-", "_")}".sub(/\AHTTP_(?=CONTENT_)/, "") }
      https = env["HTTP_X_FORWARDED_PROTO"].to_s.casecmp?("https")
      env.merge!(target(path, env["HTTP_HOST"], https), "rack.url_scheme" => https ? "https" : "http",
                                                        "rack.input" => StringIO.new("".b),
                                                        "rack.after_reply" => [], "rack.response_finished" => [],
                                                        "licorne.warm_up" => true)
      env.merge!(RackEnv::DEFAULTS)
    end

    def target(path, host, https)
      path_info, query = path.split("?", 2)
      name, port = host.match(/\A(.*?)(?::(\d+))?\z/m).captures
      { "REQUEST_METHOD" => "GET", "REQUEST_URI" => path, "REQUEST_PATH" => path_info, "PATH_INFO" => path_info,
        "QUERY_STRING" => query.to_s, "SERVER_NAME" => name, "SERVER_PORT" => port || (https ? "443" : "80"),
        "SERVER_PROTOCOL" => "HTTP/1.1", "HTTP_VERSION" => "HTTP/1.1", "REMOTE_ADDR" => "127.0.0.1" }
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
