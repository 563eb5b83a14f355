# frozen_string_literal: true

# The one door to the native extension.
require "licorne/licorne_ext"
