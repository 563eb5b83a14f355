# frozen_string_literal: true

module Licorne
  # Recipes and agents wrap `HttpServer#process_client`, which in Unicorn is all that a worker does for a client. Here
  # that is the engine's part. Where somebody has wrapped the method it is called for each request all the same: up to
  # its `super` before the application, and from there on when the response is out. It runs in a fiber that waits in
  # between; the application does not, since fibers have small stacks.
  class ProcessClient
    # The application to serve: the given one itself when nobody has wrapped the method.
    def self.around(app, server)
      server.method(:process_client).source_location == Server::PROCESS_CLIENT ? app : new(app, server)
    end

    def initialize(app, server)
      @app = app
      @server = server
    end

    def call(env)
      fiber = Fiber.new { @server.send(:process_client, nil) }
      fiber.resume
      (env["rack.after_reply"] ||= []) << -> { fiber.resume } if fiber.alive?
      @app.call(env)
    end
  end
end
