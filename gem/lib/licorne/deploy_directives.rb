# frozen_string_literal: true

require "licorne/probe"

module Licorne
  # The directives of the configuration that say how new code proves itself.
  module DeployDirectives
    # What a new worker has to answer before it serves; see the reference for options.
    def probe(*paths, **options)
      @set[:probe] = check(:probe, [paths.flatten(1) - [nil], Probe.plain(options)])
    end

    # How a reload tries new code; see the reference for options.
    def canary(wanted = true, **options)
      @set[:canary] = check(:canary, [wanted, options])
    end
  end
end
