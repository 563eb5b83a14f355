# frozen_string_literal: true

require_relative "gem/lib/licorne/version"

# It is at the root of the repository, not in gem/, since a gem holds nothing from above its own directory, and this one
# needs the crates: it has the layout of a checkout, and is built like one.
Gem::Specification.new do |spec|
  spec.name = "licorne"
  spec.version = Licorne::VERSION
  spec.summary = "Pre-forking HTTP server for Rack applications, a successor to Unicorn"
  spec.description = "Licorne reads an unchanged unicorn.rb and answers the same signals. Its master is written in " \
                     "Rust and loads no application: new code comes with a fresh process, and no request is lost."
  spec.authors = ["The Licorne authors"]
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.required_ruby_version = ">= 3.1"
  spec.requirements = ["Rust 1.88 or later, and libclang, to build it"]

  crates = %w[supervisor http1 wire scoreboard facts access_log directives options sys
              master reactor admin herder herd licorne]
  spec.files = Dir.chdir(__dir__) do
    Dir[
      "Cargo.{toml,lock}", "README.md", "CHANGELOG.md", "LICENSE-*",
      "crates/{#{crates.join(",")}}/{Cargo.toml,src/**/*.rs}",
      "crates/admin/src/page/*", # what the page is put together from
      "deploy/**/*", # what `licorne init` prints
      "man/*", "completions/*",
      "sig/**/*.rbs", # where tools look for a gem's signatures
      "gem/lib/**/*.{rb,rake,tt}", "gem/exe/*", "gem/ext/{Cargo.toml,extconf.rb,src/**/*.rs}"
    ].select { |path| File.file?(path) }
  end
  spec.require_paths = ["gem/lib"]
  spec.bindir = "gem/exe"
  spec.executables = ["licorne"]
  spec.extensions = ["gem/ext/extconf.rb"]
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
