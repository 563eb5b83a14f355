# frozen_string_literal: true

module Licorne
  # `rails server` has one place to listen: the one that it was told (`-l`), else the configuration's, else its own
  # (`-o` and `-p`). The handler has this loaded by `-r`, so that a reload and an upgrade keep it.
  module RailsServer
    def self.choose(*places)
      places.find { |addresses| !addresses.empty? } || []
    end
  end
end
