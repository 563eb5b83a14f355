# frozen_string_literal: true

# What `require "unicorn"` loads in processes that Licorne started: their load path begins with this directory, so that
# agents and old configurations find the names they look for, and no other process sees them.
require "licorne/compat"
