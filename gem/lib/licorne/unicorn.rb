# frozen_string_literal: true

require "licorne/embedded"

# What a program needs that has started Unicorn by itself, under the names that it uses, once it says
# `require "licorne/unicorn"` instead of `require "unicorn"`. In Licorne's own processes all of Unicorn's names are
# there already.
unless defined?(Unicorn::HttpServer)
  module Unicorn # rubocop:disable Style/Documentation
    HttpServer = Licorne::Embedded

    # Where programs write :host and :port, as the command line does.
    module Configurator
      RACKUP = {} # rubocop:disable Style/MutableConstant
    end

    # Programs that daemonize.
    module Launcher
      def self.daemonize!(_options = {})
        Licorne::Embedded.daemonize = true
      end
    end

    # The application of a rackup file: the molds load it.
    def self.builder(_rackup, _options = nil)
      ->(_, _) {}
    end
  end
end

module Unicorn # rubocop:disable Style/Documentation
  def self.run(app, options = {})
    Licorne.run(app, options)
  end
end
