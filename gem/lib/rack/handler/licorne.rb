# frozen_string_literal: true

require "rack/handler"
require "licorne/rack_handler"

module Rack
  module Handler
    # Rack 2: `rackup -s licorne`, `rails server -u licorne`.
    Licorne = ::Licorne::RackHandler
    register "licorne", "Rack::Handler::Licorne"
  end
end
