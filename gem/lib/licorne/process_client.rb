# frozen_string_literal: true

module Licorne
  # Recipes and agents wrap `HttpServer#process_client`, which in Unicorn is all that a worker does for a client. Here
  # that is the engine's part. Where the method is wrapped, it is still called for each request: up to
  # its `super` before the application, and from there on when the response is out. It runs in a fiber that waits in
  # between; the application does not, since fibers have small stacks. What Thread.current[] holds goes along, which
  # belongs to a fiber.
  class ProcessClient
    # The application to serve: the given one itself when the method is not wrapped.
    def self.around(app, server)
      server.method(:process_client).source_location == Server::PROCESS_CLIENT ? app : new(app, server)
    end

    # Where the method itself waits: until the response is out.
    def self.wait
      self.locals = Fiber.yield(locals)
    end

    def self.locals
      Thread.current.keys.to_h { |name| [name, Thread.current[name]] }
    end

    def self.locals=(locals)
      (Thread.current.keys - locals.keys).each { |name| Thread.current[name] = nil }
      locals.each { |name, value| Thread.current[name] = value }
    end

    def initialize(app, server)
      @app = app
      @server = server
    end

    def call(env)
      fiber = Fiber.new { |locals| around(locals) }
      go_on(fiber)
      (env["rack.after_reply"] ||= []) << -> { go_on(fiber) } if fiber.alive?
      @app.call(env)
    end

    private

    def around(locals)
      ProcessClient.locals = locals
      @server.send(:process_client, nil)
      ProcessClient.locals
    end

    def go_on(fiber)
      ProcessClient.locals = fiber.resume(ProcessClient.locals)
    end
  end
end
