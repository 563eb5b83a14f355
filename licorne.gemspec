# frozen_string_literal: true

require_relative "gem/lib/licorne/version"

# It is at the root of the repository, not in gem/, since a gem holds nothing from above its own directory, and this one
# needs the crates: it has the layout of a checkout, and is built like one.
#
# In the directory that bin/dist makes for one platform there are also the program, and the extension for some releases
# of Ruby: the gem that is made of it is not compiled when it is installed.
Gem::Specification.new do |spec|
  spec.name = "licorne"
  spec.version = Licorne::VERSION
  spec.summary = "Pre-forking HTTP server for Rack applications, a successor to Unicorn"
  spec.description = "Licorne reads an unchanged unicorn.rb and answers the same signals. Its master is written in " \
                     "Rust and loads no application: new code comes with a fresh process, and no request is lost."
  spec.authors = ["The Licorne authors"]
  spec.licenses = ["MIT", "Apache-2.0"]

  files = ["README.md", "CHANGELOG.md", "LICENSE-*",
           "deploy/**/*", # what `licorne init` prints
           "man/*", "completions/*",
           "sig/**/*.rbs", # where tools look for a gem's signatures
           "gem/lib/**/*.{rb,rake,tt}", "gem/exe/*"]
  minors = Dir.glob("gem/lib/licorne/3.*/licorne_ext.so", base: __dir__).map { |path| path[/3\.(\d+)/, 1].to_i }.sort
  rubies = [">= 3.#{minors.first || 1}"]
  if minors.any?
    files += ["gem/libexec/licorne", "gem/lib/licorne/*/licorne_ext.so"]
    # A requirement is all of its parts: what is missing in between is left out by each number that it has had.
    missing = (minors.first..minors.last).to_a - minors
    rubies += ["< 3.#{minors.last + 1}.dev", *missing.product((0..15).to_a).map { |number| "!= 3.#{number.join(".")}" }]
  else
    crates = %w[supervisor http1 wire scoreboard facts access_log directives options sys
                master reactor admin herder herd licorne]
    files += ["Cargo.toml", "crates/{#{crates.join(",")}}/{Cargo.toml,src/**/*.rs}",
              "crates/admin/src/page/*", # what the page is put together from
              "gem/Cargo.lock", "gem/ext/{Cargo.toml,*.rb,src/**/*.rs}"]
    spec.requirements = ["Rust 1.85 or later, and libclang, to build it"]
    spec.extensions = ["gem/ext/extconf.rb"]
  end
  spec.required_ruby_version = rubies
  if (platform = ENV["LICORNE_PLATFORM"])
    spec.platform = platform
    # Before, RubyGems took musl's gem for glibc's.
    spec.required_rubygems_version = ">= 3.3.22" if platform.include?("musl")
  end
  spec.files = Dir.glob(files, base: __dir__).select { |path| File.file?(File.join(__dir__, path)) }
  spec.require_paths = ["gem/lib"]
  spec.bindir = "gem/exe"
  spec.executables = %w[licorne licorne-herd unicornherder]
  spec.metadata["rubygems_mfa_required"] = "true"
  # Where the repository is, is told when a version is released (docs/releasing.md): a fork's gem leads to the fork.
  if (repository = ENV["LICORNE_REPOSITORY"])
    spec.homepage = repository
    spec.metadata["source_code_uri"] = "#{repository}/tree/v#{spec.version}"
    spec.metadata["changelog_uri"] = "#{repository}/blob/v#{spec.version}/CHANGELOG.md"
    spec.metadata["documentation_uri"] = "#{repository}/tree/v#{spec.version}/docs"
    spec.metadata["bug_tracker_uri"] = "#{repository}/issues"
  end
end
