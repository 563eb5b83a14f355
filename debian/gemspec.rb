# frozen_string_literal: true

# Writes the specification by which RubyGems and Bundler find what the package has put among Ruby's own files, for the
# Ruby that runs this: ruby debian/gemspec.rb ROOT
require "fileutils"

spec = Gem::Specification.load("licorne.gemspec")
# All that is built is there already, and the program comes with the other package.
spec.extensions = []
spec.executables = []
spec.requirements = []
spec.metadata = {}
spec.files = []
spec.require_paths = ["lib"]
place = File.join(ARGV.fetch(0), "usr/share/rubygems-integration", RbConfig::CONFIG["ruby_version"], "specifications")
FileUtils.mkdir_p(place)
File.write(File.join(place, "#{spec.full_name}.gemspec"), spec.to_ruby)
