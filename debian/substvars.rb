# frozen_string_literal: true

# Tells debian/control which Rubies the package is for: ruby debian/substvars.rb ruby3.3…
# The default Ruby has to be one of them.
first, last = ARGV.map { |name| name[/[\d.]+\z/].split(".").map(&:to_i) }.minmax
puts "licorne:Ruby=ruby (>= 1:#{first.join(".")}~), ruby (<< 1:#{last[0]}.#{last[1] + 1}~)"
