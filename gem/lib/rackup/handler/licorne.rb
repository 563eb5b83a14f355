# frozen_string_literal: true

require "rackup/handler"
require "licorne/rack_handler"

module Rackup
  module Handler
    # Rack 3: `rackup -s licorne`, `rails server -u licorne`.
    Licorne = ::Licorne::RackHandler
    register :licorne, Licorne
  end
end
