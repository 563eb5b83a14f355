# frozen_string_literal: true

require_relative "lib/licorne/version"

Gem::Specification.new do |spec|
  spec.name = "licorne"
  spec.version = Licorne::VERSION
  spec.summary = "Pre-forking HTTP server for Rack applications, a successor to Unicorn"
  spec.description = "Licorne reads an unchanged unicorn.rb and answers the same signals. Its master is written in " \
                     "Rust and loads no application: new code comes with a fresh process, and no request is lost."
  spec.authors = ["The Licorne authors"]
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.required_ruby_version = ">= 3.1"
  spec.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb", "compat/**/*.rb", "exe/*", "ext/**/*.{rs,toml,rb}"] }
  spec.require_paths = ["lib"]
  spec.metadata["rubygems_mfa_required"] = "true"
end
