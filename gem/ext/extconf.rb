# frozen_string_literal: true

# Builds the program and the native extension with cargo, when the gem is installed from source.
#
# RubyGems has a builder for Cargo (3.3 and later), but it builds the library of one crate and nothing else, and the
# program must come with the gem. So this is an ordinary extconf.rb, whose Makefile runs cargo on the workspace.

require "fileutils"
require "shellwords"
require_relative "preflight"

root = File.expand_path("../..", __dir__)
cargo = ENV.fetch("CARGO", "cargo")

# The gem's own lock names what its crates need and nothing else, which `--locked` insists on.
lock = File.join(root, "Cargo.lock")
FileUtils.cp(File.join(root, "gem/Cargo.lock"), lock) unless File.exist?(lock)

# Where there is no network: a directory with all crates, as `cargo vendor` makes it.
crates = ENV["LICORNE_CRATES"] && File.expand_path(ENV["LICORNE_CRATES"])
options = []
if crates
  options = ["--config", 'source.crates-io.replace-with="crates"', "--config", "source.crates.directory=#{crates.dump}"]
end

preflight = Preflight.new(root, cargo, crates, options)
missing = preflight.missing
unless missing.empty?
  abort("licorne is compiled when it is installed from source, and this is missing:\n\n#{missing.join("\n\n")}\n\n" \
        "The gem that is compiled already needs none of it: for Ruby 3.1, 3.3 and 3.4 on x86_64 or arm64 with glibc.")
end

own_target = File.join(__dir__, "target")
target = ENV.fetch("CARGO_TARGET_DIR", own_target)
library = "liblicorne_ext.#{RbConfig::CONFIG["host_os"].include?("darwin") ? "dylib" : "so"}"
build = [cargo, "build", "--release", "--locked", *options, "--manifest-path", File.join(root, "Cargo.toml"),
         "--target-dir", target, "--package", "licorne", "--package", "licorne_ext"]
File.write("Makefile", <<~MAKE)
  all:
  \tRUBY=#{RbConfig.ruby.shellescape} #{build.shelljoin}
  \tmkdir -p "#{root}/gem/libexec"
  \tcp "#{target}/release/licorne" "#{root}/gem/libexec/licorne"
  \tcp "#{target}/release/#{library}" "#{root}/gem/lib/licorne/licorne_ext.#{RbConfig::CONFIG["DLEXT"]}"

  # The results are in place already. The rest is hundreds of megabytes that have no use any more.
  install:
  \trm -rf "#{own_target}"

  clean:
  \trm -rf "#{own_target}"
MAKE
