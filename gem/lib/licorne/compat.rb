# frozen_string_literal: true

# Applications use these without saying so, since Unicorn has them loaded.
require "fcntl"
require "socket"
require "stringio"

require "licorne/app_loader"
require "licorne/configurator"
require "licorne/fork_safety"
require "licorne/logs"
require "licorne/rack_env"
require "licorne/server"
require "licorne/worker"

# Unicorn's names, for configurations, applications and agents that use them. Only molds and workers load this file.
module Unicorn
  HttpServer = Licorne::Server
  Configurator = Licorne::Configurator
  Worker = Licorne::Worker
  # What `rack.input` is: the first with `rewindable_input false`.
  StreamInput = Licorne::Native::StreamInput
  TeeInput = Licorne::Native::Input

  autoload :OobGC, "licorne/compat/oob_gc"
  autoload :PrereadInput, "licorne/compat/preread_input"
  autoload :SocketHelper, "licorne/compat/socket_helper"
  autoload :TmpIO, "licorne/compat/tmpio"
  autoload :WorkerKiller, "licorne/compat/worker_killer"

  # The table that is merged into each request's env. A class, since patches reopen it as one.
  class HttpParser
    DEFAULTS = Licorne::RackEnv::DEFAULTS

    # The longest head of a request, as Unicorn's configurations set it. Workers that start later obey.
    def self.max_header_len=(bytes)
      raise RangeError, "not an unsigned 32-bit number: #{bytes}" unless bytes.between?(0, (1 << 32) - 1)

      Licorne::Configurator.header_limit = bytes
    end
  end

  HttpRequest = HttpParser

  # Responses are written by the engine. Patches for newer Racks redefine what Unicorn has here.
  module HttpResponse
  end

  # Numbers and addresses by name.
  module Const
    UNICORN_VERSION = "6.1.0"
    DEFAULT_HOST = "0.0.0.0"
    DEFAULT_PORT = 8080
    DEFAULT_LISTEN = "#{DEFAULT_HOST}:#{DEFAULT_PORT}" # rubocop:disable Style/MutableConstant -- Unicorn's is
    CHUNK_SIZE = 16_384
    MAX_BODY = 114_688
  end

  # Log files.
  module Util
    module_function

    def reopen_logs = Licorne::Logs.reopen
    def is_log?(file) = Licorne::Logs.log?(file)
    def chown_logs(uid, gid) = Licorne::Logs.chown(uid, gid)
  end

  # Programs that daemonize are Ruby's; this one does it in its own program, before any Ruby runs.
  module Launcher
    def self.daemonize!(_options = {}) = nil
  end

  # A client left while the application read its request.
  class ClientShutdown < EOFError; end

  # A request that is not HTTP. The engine answers it; no application sees one of these.
  class HttpParserError < IOError; end
  class RequestEntityTooLargeError < HttpParserError; end
  class RequestURITooLongError < HttpParserError; end

  module_function

  # From here on, a program is the server.
  def run(app, options = {})
    Licorne.run(app, options)
  end

  def log_error(logger, prefix, exception)
    Licorne::Failure.log(logger, prefix, exception)
  end

  def listener_names
    server = Licorne::Server.current
    server ? server.listener_names : []
  end

  # The application of a rackup file, as a factory that a server calls.
  def builder(rackup, _options = nil)
    lambda do |_, server|
      wrap = server.nil? || server.default_middleware != false
      Licorne::AppLoader.new(rackup: rackup, default_middleware: wrap, server: server).load
    end
  end

  # Both ends close-on-exec, as Ruby's own are.
  def pipe
    IO.pipe.each { |io| io.binmode.sync = true }
  end
end

# Pitchfork's names for what an application says of forks.
module Pitchfork
  Info = Licorne::Info

  def self.prevent_fork(&block)
    Licorne.prevent_fork(&block)
  end
end

Licorne::Configurator.include(Unicorn)
