# frozen_string_literal: true

# Puts the crates that the package is built of into a directory, and prints their paragraphs for debian/copyright:
#
#   ruby debian/vendor.rb DIRECTORY >>copyright
#
# Cargo wants every crate of Cargo.lock to be there. Those that the two artefacts are not built of on Linux (other
# systems', what only tests use) are left as a manifest and an empty library: none of their code is in the package.
require "fileutils"
require "json"
require "open3"

# The processors that Debian builds for.
TARGETS = %w[
  aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf i686-unknown-linux-gnu loongarch64-unknown-linux-gnu
  powerpc64le-unknown-linux-gnu riscv64gc-unknown-linux-gnu s390x-unknown-linux-gnu x86_64-unknown-linux-gnu
].freeze
# Sections of a manifest that name files.
FILES = /\A\[(?:\[(?:bin|example|test|bench)\]\]|lib\]|lints.*\]|badges.*\]|package\.metadata.*\])/
# Binaries for other systems' linkers, and what dh_clean would take for the rest of a patch.
UNUSED = "**/*.{a,bak,dll,exe,lib,o,orig,rej,so}"

def cargo(*words)
  out, status = Open3.capture2("cargo", *words)
  status.success? ? out : abort("cargo #{words.join(" ")} failed")
end

# Name and version of each crate that is compiled.
def compiled
  TARGETS.flat_map do |target|
    tree = cargo("tree", "--locked", "--offline", "-p", "licorne", "-p", "licorne_ext", "-e", "normal,build",
                 "--target", target, "--prefix", "none", "-f", "{p}")
    tree.lines.grep_v(%r{\(/}).filter_map { |line| line[/\A(\S+) v(\S+)/] && [$1, $2] }
  end.uniq
end

# A manifest without what names files.
def bare(manifest)
  sections = manifest.lines.slice_before(/\A\[/)
  kept = sections.reject { |lines| lines.first.match?(FILES) }.flatten
  kept.grep_v(/\A(?:build|links|readme|license-file|default-run|auto[a-z]+) = /).join
end

def stub(crate)
  manifest = bare(File.read(File.join(crate, "Cargo.toml")))
  FileUtils.rm_r(Dir.children(crate).map { |name| File.join(crate, name) } - [File.join(crate, ".cargo-checksum.json")])
  FileUtils.mkdir_p(File.join(crate, "src"))
  File.write(File.join(crate, "src/lib.rs"), "")
  File.write(File.join(crate, "Cargo.toml"), manifest)
end

# Cargo compares each file that is named here.
def forget_sums(crate)
  sums = File.join(crate, ".cargo-checksum.json")
  File.write(sums, JSON.generate(JSON.parse(File.read(sums)).merge("files" => {})))
end

# The licence in the words of debian/copyright.
def licence(package)
  package.fetch("license").gsub("/", " or ").gsub(" OR ", " or ").gsub(" AND ", " and ").tr("()", "")
         .gsub("MIT", "Expat").gsub("Apache-2.0 WITH LLVM-exception", "Apache-2.0-with-LLVM-exception")
end

def paragraph(package, name)
  authors = package.fetch("authors")
  authors = ["the authors of #{package.fetch("name")}"] if authors.empty?
  "\nFiles: vendor/#{name}/*\nCopyright: #{authors.join("\n           ")}\nLicense: #{licence(package)}\n"
end

place = ARGV.fetch(0)
cargo("vendor", "--locked", "--offline", "--versioned-dirs", "--quiet", place)
packages = JSON.parse(cargo("metadata", "--format-version=1", "--locked", "--offline")).fetch("packages")
used = compiled
packages.reject { |package| package.fetch("source").nil? }.sort_by { |package| package.fetch("id") }.each do |package|
  name = package.fetch_values("name", "version").join("-")
  crate = File.join(place, name)
  if used.include?(package.fetch_values("name", "version"))
    FileUtils.rm(Dir.glob(UNUSED, base: crate).map { |path| File.join(crate, path) })
    puts paragraph(package, name)
  else
    stub(crate)
  end
  forget_sums(crate)
end
