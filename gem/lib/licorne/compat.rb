# frozen_string_literal: true

# Applications use these without saying so, since Unicorn has them loaded.
require "fcntl"
require "socket"
require "stringio"

require "licorne/configurator"
require "licorne/logs"
require "licorne/rack_env"
require "licorne/server"
require "licorne/worker"

# Unicorn's names, for configurations, applications and agents that use them. Only molds and workers load this file.
module Unicorn
  HttpServer = Licorne::Server
  Configurator = Licorne::Configurator
  Worker = Licorne::Worker

  # The table that is merged into each request's env.
  module HttpRequest
    DEFAULTS = Licorne::RackEnv::DEFAULTS
  end

  HttpParser = HttpRequest

  # Numbers and addresses by name.
  module Const
    UNICORN_VERSION = "6.1.0"
    DEFAULT_HOST = "0.0.0.0"
    DEFAULT_PORT = 8080
    DEFAULT_LISTEN = "#{DEFAULT_HOST}:#{DEFAULT_PORT}"
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

  # A client left while the application read its request.
  class ClientShutdown < EOFError; end

  module_function

  def log_error(logger, prefix, exception)
    Licorne::Failure.log(logger, prefix, exception)
  end

  def listener_names
    server = Licorne::Server.current
    server ? server.listener_names : []
  end
end

Licorne::Configurator.include(Unicorn)
