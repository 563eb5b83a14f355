# frozen_string_literal: true

require "rails/generators/base"

module Licorne
  module Generators
    # `rails generate licorne:install`
    class InstallGenerator < Rails::Generators::Base
      desc "Writes config/licorne.rb, which `rails server` and `licorne -c config/licorne.rb` go by."
      source_root File.expand_path("templates", __dir__)

      def write_configuration
        template "licorne.rb.tt", "config/licorne.rb"
      end

      private

      # The route that new applications have since Rails 7.1.
      def health_check?
        routes = File.join(destination_root, "config/routes.rb")
        File.file?(routes) && File.read(routes).match?(%r{^\s*get\s+["']/?up["']\s*=>\s*["']rails/health#show})
      end
    end
  end
end
