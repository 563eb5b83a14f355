# frozen_string_literal: true

require_relative "plain"
run Plain
