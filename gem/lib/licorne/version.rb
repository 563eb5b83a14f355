# frozen_string_literal: true

module Licorne
  VERSION = "0.1.0"
end
