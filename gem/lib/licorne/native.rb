# frozen_string_literal: true

# The one door to the native extension.
require "licorne/extension"
require Licorne::Extension.feature

module Licorne
  module Native
    # A body that is read once, while it arrives: it has what Unicorn's of that name has, and nothing more.
    class StreamInput < Input
      absent = Input.public_instance_methods(false) - %i[read gets each close close! closed?]
      absent.each { |name| undef_method(name) }
    end
  end
end
