# frozen_string_literal: true

module Licorne
  # What requests of the server's own have in common.
  module OwnRequest
    module_function

    # The fields of a request of this agent's, of which these were given, whose names may be written otherwise.
    def fields(agent, given)
      fields = { "Host" => "localhost", "User-Agent" => agent }
      given.each do |name, value|
        fields.delete_if { |known, _| known.casecmp?(name) }
        fields[name] = value
      end
      fields
    end
  end
end
