# frozen_string_literal: true

require "licorne/rack_handler"

module Licorne
  # `rails server` without `-u` starts the first of Puma, Falcon and WEBrick that is in the Gemfile. Licorne stands
  # before WEBrick, which may be there without anyone having asked for it. RACK_HANDLER chooses as ever.
  module DefaultHandler
    def default(*)
      return super if ENV["RACKUP_HANDLER"] || ENV["RACK_HANDLER"]

      pick(%w[puma falcon licorne webrick])
    end

    # `rails server` does not say where it listens if there is a configuration, which may say otherwise: Licorne tells.
    module Address
      def served_url
        super unless server.equal?(RackHandler) && RackHandler.rails_config
      end
    end

    # In the process of `rails server`, which has loaded Rack's handlers.
    def self.install
      (defined?(::Rackup::Handler) ? ::Rackup::Handler : ::Rack::Handler).singleton_class.prepend(self)
      ::Rails::Server.prepend(Address)
    end
  end
end
