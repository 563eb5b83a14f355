# frozen_string_literal: true

require "rbconfig" # a Ruby without gems has not loaded it

module Licorne
  # Which build of the native extension this Ruby loads.
  #
  # A gem for one platform has a build for each Ruby, in directories that are named as Ruby's releases are (`3.3`). One
  # that was compiled when it was installed, and a checkout, have a single one: for the Ruby that it was compiled with.
  module Extension
    NAME = "licorne_ext"
    RELEASE = RUBY_VERSION[/\A\d+\.\d+/]
    private_constant :NAME, :RELEASE

    module_function

    # What to require.
    #
    # Raises LoadError, in a sentence, where the gem has no build for this Ruby.
    def feature(releases = prebuilt, release: RELEASE, arch: RbConfig::CONFIG["arch"])
      return "licorne/#{NAME}" if releases.empty?

      why = why_not(releases, release, arch)
      return "licorne/#{release}/#{NAME}" unless why

      raise LoadError, "licorne: this gem is built for #{why}. Compile it for this one, which takes Rust: " \
                       "gem install licorne --platform ruby (with Bundler: gem \"licorne\", force_ruby_platform: true)"
    end

    # The releases of Ruby that this gem has been built for.
    def prebuilt
      Dir.glob("*/#{NAME}.so", base: __dir__).map { |path| File.dirname(path) }.sort
    end

    # For musl there is a gem of its own; RubyGems before 3.3.22, and all with Ruby 3.1, tell the two not apart.
    def why_not(releases, release, arch)
      return "Linux with glibc, and this is #{arch}" if arch.include?("musl")

      "Ruby #{releases.join(", ")}, and this is #{release}" unless releases.include?(release)
    end
    private_class_method :why_not
  end
end
