# frozen_string_literal: true

# Builds the program and the native extension with cargo, when the gem is installed.
#
# RubyGems has a builder for Cargo (3.3 and later), but it builds the library of one crate and nothing else, and the
# program must come with the gem. So this is an ordinary extconf.rb, whose Makefile runs cargo on the workspace.

require "rbconfig"

root = File.expand_path("../..", __dir__)
cargo = ENV.fetch("CARGO", "cargo")
abort("licorne needs Rust to be installed: there is no #{cargo} (https://rustup.rs)") unless system(cargo, "--version")

# The gem has only those members of the workspace that it needs, and cargo insists on finding all.
manifest = File.join(root, "Cargo.toml")
text = File.read(manifest)
present = text.sub(/^members = \[\n.*?^\]/m) do |members|
  members.lines.reject { |line| (path = line[/\A\s*"(.+?)"/, 1]) && !Dir.exist?(File.join(root, path)) }.join
end
File.write(manifest, present) if present != text

own_target = File.join(__dir__, "target")
target = ENV.fetch("CARGO_TARGET_DIR", own_target)
library = "liblicorne_ext.#{RbConfig::CONFIG["host_os"].include?("darwin") ? "dylib" : "so"}"
File.write("Makefile", <<~MAKE)
  all:
  \tRUBY="#{RbConfig.ruby}" "#{cargo}" build --release --manifest-path "#{manifest}" --target-dir "#{target}" \\
  \t  -p licorne -p licorne_ext
  \tmkdir -p "#{root}/gem/libexec"
  \tcp "#{target}/release/licorne" "#{root}/gem/libexec/licorne"
  \tcp "#{target}/release/#{library}" "#{root}/gem/lib/licorne/licorne_ext.#{RbConfig::CONFIG["DLEXT"]}"

  # The results are in place already. The rest is hundreds of megabytes that have no use any more.
  install:
  \trm -rf "#{own_target}"

  clean:
  \trm -rf "#{own_target}"
MAKE
