# frozen_string_literal: true

begin
  require "rack/handler"
rescue LoadError => e
  raise unless e.path == "rack/handler" # rackup 2.3 has the new name alone
end
require "licorne/rack_handler"

# Under Rack 3 the old name leads to the new module, if it is there.
if !defined?(Rack::Handler) || Rack::Handler.name == "Rackup::Handler"
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
