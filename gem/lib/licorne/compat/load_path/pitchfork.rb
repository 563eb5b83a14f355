# frozen_string_literal: true

# What `require "pitchfork"` loads in processes that Licorne started: the names by which applications speak of forks.
require "licorne/compat"
