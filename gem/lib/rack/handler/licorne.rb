# frozen_string_literal: true

require "rack/handler"
require "licorne/rack_handler"

# Under Rack 3 the old name leads to the new module.
if Rack::Handler.name == "Rackup::Handler"
  require "rackup/handler/licorne"
else
  module Rack
    module Handler
      # Rack 2: `rackup -s licorne`, `rails server -u licorne`.
      Licorne = ::Licorne::RackHandler
      register "licorne", "Rack::Handler::Licorne"
    end
  end
end
