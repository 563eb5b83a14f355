# frozen_string_literal: true

require "licorne/version"

module Licorne
  # What every Rack env has alike. The table is merged into each request's env, and it is mutable on purpose:
  # configurations write to it under its old name, Unicorn::HttpRequest::DEFAULTS, to set `rack.url_scheme` and others.
  module RackEnv
    DEFAULTS = { # rubocop:disable Style/MutableConstant
      "rack.errors" => $stderr,
      "rack.multiprocess" => true,
      "rack.multithread" => false,
      "rack.run_once" => false,
      "rack.version" => [1, 2],
      "SCRIPT_NAME" => +"",
      "SERVER_SOFTWARE" => "Licorne #{VERSION}"
    }

    # Whether a body may answer nil to `to_ary`, which closes nothing: before Rack 3, as bodies of Rails do.
    def self.nil_for_an_array?
      defined?(Rack.release) ? Rack.release.to_i < 3 : false
    end

    # The words for statuses: Rack calls some otherwise from release to release.
    def self.reasons
      defined?(Rack::Utils::HTTP_STATUS_CODES) ? Rack::Utils::HTTP_STATUS_CODES : {}
    end
  end
end
