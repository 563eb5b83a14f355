# frozen_string_literal: true

require "licorne/embedded"

module Licorne
  # Makes the Rack application of a rackup file, and wraps it as RACK_ENV asks.
  class AppLoader
    # Outermost first.
    MIDDLEWARE = {
      "development" => %i[ContentLength CommonLogger ShowExceptions Lint TempfileReaper],
      "deployment" => %i[ContentLength CommonLogger TempfileReaper]
    }.freeze
    BYTE_ORDER_MARK = "\xEF\xBB\xBF".b.freeze
    private_constant :MIDDLEWARE, :BYTE_ORDER_MARK

    # The application of this configuration, loaded with the gems that are there now.
    def self.fresh(boot, settings, server)
      Gem.refresh if defined?(Gem)
      new(rackup: boot.rackup, default_middleware: settings["default_middleware"], server: server).application
    end

    # `server` is handed to an application that is a factory of arity 2.
    def initialize(rackup:, default_middleware:, server: nil)
      @rackup = rackup
      @default_middleware = default_middleware
      @server = server
    end

    # What is to be served: the object that a program has made, or what the file says.
    def application
      Embedded.app ? made(Embedded.app) : load
    end

    def load
      app = @rackup.end_with?(".ru") ? builder_app : constant_app
      RailsLog.show if defined?(RailsLog)
      wrap(app)
    end

    private

    # As Rack::Builder loads it, but for the options line, which the configuration has read already and newer Racks
    # refuse, and the encoding, which must not depend on the locale.
    def builder_app
      builder = rack_builder
      script = File.binread(@rackup).delete_prefix(BYTE_ORDER_MARK).force_encoding(Encoding::UTF_8)
      script = script.b.sub(/^__END__\r?\n.*\z/mn, "").force_encoding(script.encoding)
      app = builder.new_from_string(script, @rackup)
      app.is_a?(Array) ? app.first : app # Rack 1 answers the options too
    end

    def rack_builder
      require "rack"
      require "rack/utils" # Rack::Lint expects it to be loaded, and `uri` with it
      Rack::Builder
    rescue LoadError, NameError => e
      raise unless e.is_a?(NameError) || e.path == "rack"

      raise LoadError, "rack and Rack::Builder must be available for processing #{@rackup}"
    end

    def constant_app
      require(@rackup)
      made(Object.const_get(File.basename(@rackup, ".rb").capitalize))
    end

    # The application itself, or what makes it.
    def made(app)
      return app unless app.respond_to?(:arity)

      case app.arity
      when 0 then app.call
      when 2 then app.call(nil, @server)
      else app
      end
    end

    def wrap(app)
      return app unless @default_middleware && defined?(Rack)

      MIDDLEWARE.fetch(ENV["RACK_ENV"], []).reverse.inject(app) do |inner, name|
        next inner unless Rack.const_defined?(name)

        middleware = Rack.const_get(name)
        name == :CommonLogger ? middleware.new(inner, $stderr) : middleware.new(inner)
      end
    end
  end
end
