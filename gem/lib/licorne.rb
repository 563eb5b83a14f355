# frozen_string_literal: true

require "licorne/version"
require "licorne/embedded"

# A pre-forking HTTP server for Rack applications. What Ruby does in it is in molds and workers: see Licorne::Mold.
module Licorne
  # `gem "licorne"` in the Gemfile, seen from `rails server`.
  if defined?(::Rails::Server)
    require "licorne/default_handler"
    DefaultHandler.install
  end
end
