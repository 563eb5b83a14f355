# frozen_string_literal: true

require "rbconfig"
require "tmpdir"

# What compiling takes, looked at before anything is compiled: all that is missing is told at once, with what installs
# it, where a build would end in a compiler's messages after a minute.
class Preflight
  # Where bindgen looks for libclang, and by which names.
  PLACES = ["/usr/lib*", "/usr/lib*/*", "/usr/lib*/*/*", "/usr/local/lib*", "/usr/local/llvm*/lib*"].freeze
  LIBCLANG = "{libclang.so,libclang-*.so,libclang.so.*,libclang-*.so.*}"
  # How long the registry is waited for. One that is only slow is left to cargo, which has more patience.
  SECONDS = 2
  private_constant :PLACES, :LIBCLANG, :SECONDS

  # `crates` is a directory that has them, where none are to be downloaded; `options` tell cargo so.
  def initialize(root, cargo, crates, options)
    @root = root
    @cargo = cargo
    @crates = crates
    @options = options
  end

  # A text for each thing that is missing.
  def missing
    tools = [rust, linker, libclang, headers].compact
    # Without them there is none to ask.
    tools.empty? ? [dependencies].compact : tools
  end

  # Whether Rust is of this release or a later one.
  def rust?(release)
    !!rust_release && Gem::Version.new(rust_release) >= Gem::Version.new(release)
  end

  private

  def rust_release
    @rust_release ||= output(ENV.fetch("RUSTC", "rustc"), "--version")&.[](/\d+\.\d+/)
  end

  def rust
    wanted = File.read(File.join(@root, "Cargo.toml"))[/^rust-version = "(.+)"/, 1]
    cargo = output(@cargo, "--version")
    return if rust?(wanted) && cargo

    found = cargo ? rust_release || "none" : "no #{@cargo}"
    advice("Rust #{wanted} or later, with cargo (there is #{found})",
           "cargo (Debian 13, Ubuntu 25.10 and later)", "cargo", "cargo", "or, on every system: https://rustup.rs")
  end

  def linker
    advice("a C compiler, which links what Rust compiles", "build-essential", "gcc make", "build-base") unless
      output("cc", "--version")
  end

  def libclang
    path = ENV["LIBCLANG_PATH"]
    places = path ? [path, File.dirname(path)] : PLACES
    return if places.any? { |place| Dir.glob(File.join(place, LIBCLANG)).any? }

    advice("libclang, which reads Ruby's headers#{", in LIBCLANG_PATH (#{path})" if path}",
           "libclang-dev", "clang-devel", "clang-dev")
  end

  def headers
    directory = ENV["RBCONFIG_rubyhdrdir"] || RbConfig::CONFIG["rubyhdrdir"]
    return if directory && File.file?(File.join(directory, "ruby.h"))

    advice("the headers of Ruby #{RUBY_VERSION} (there is no #{directory}/ruby.h)",
           "ruby-dev", "ruby-devel", "ruby-dev")
  end

  # The crates are here, or can be had.
  def dependencies
    needed = %w[tree --locked --offline --edges normal,build --package licorne --package licorne_ext]
    return if output(@cargo, *needed, *@options, chdir: @root)
    return "  the crates of this version are not all in LICORNE_CRATES (#{@crates})" if @crates
    return if registry_answers?

    "  the crates, which cargo cannot download: its registry does not answer\n      " \
      "without a network: unpack licorne-VERSION-crates.tar.gz, and set LICORNE_CRATES to what it holds"
  end

  # Asked by cargo, which knows proxies and mirrors.
  def registry_answers?
    impatient = { "CARGO_NET_RETRY" => "0", "CARGO_HTTP_TIMEOUT" => SECONDS.to_s }
    Dir.mktmpdir do |empty|
      silent = { in: File::NULL, out: File::NULL, err: File::NULL, chdir: empty }
      pid = spawn(impatient, @cargo, "info", "serde", **silent)
      waiting = Process.detach(pid)
      next waiting.value.success? if waiting.join(SECONDS)

      Process.kill(:KILL, pid)
      waiting.join
      true
    end
  end

  def advice(what, apt, dnf, apk, *more)
    ["  #{what}", "apt install #{apt}", "dnf install #{dnf}", "apk add #{apk}", *more].join("\n      ")
  end

  # What a command prints; nil where it fails or is not there.
  def output(*command, chdir: "/")
    printed = IO.popen(command, chdir: chdir, err: File::NULL, &:read)
    printed if Process.last_status.success?
  rescue SystemCallError
    nil
  end
end
