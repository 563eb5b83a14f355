# frozen_string_literal: true

require "licorne/app_loader"
require "licorne/embedded"
require "licorne/logs"
require "licorne/rack_env"
require "licorne/warm_up"

module Licorne
  # From the Boot message to a configuration, and on to a loaded application: what a mold does, and a worker that was
  # started afresh.
  class Preparation
    attr_reader :configurator, :settings, :engine_settings, :server
    # What workers inherit; nil where each of them loads it.
    attr_accessor :app

    def initialize(boot)
      @boot = boot
    end

    # Evaluates everything that says how to serve. Raises whatever the configuration raises.
    def evaluate
      enter
      options = Options.new
      options.apply(@boot.options)
      run_script if @boot.script
      @configurator = Configurator.new(start_ctx: Server::START_CTX, config_file: @boot.config_file)
      @configurator.give_all(Embedded.options)
      @configurator.evaluate
      make_rails_directories if @boot.rails
      rackup_options = RackupOptions.read(@boot.rackup, program: File.basename(@boot.program))
      options.apply(rackup_options.effects)
      @settings = Settings.new(boot: @boot, configurator: @configurator, rackup_options: rackup_options,
                               start_ctx: Server::START_CTX).to_h
      @server = Server.new(configurator: @configurator, settings: @settings)
      @server.pid = @settings["pid"]
      @server.title = @boot.method(:title)
      @server.listener_names = listener_names
    end

    # What comes once the master has applied the settings: the logs, then the application if it is preloaded.
    # A check writes nothing, and loads the application wherever it is loaded otherwise.
    def finish
      return @app = load_app if @boot.check

      Logs.user = @settings["user"]
      Logs.redirect(stdout: @settings["stdout_path"], stderr: @settings["stderr_path"])
      open_access_log
      @app = load_app if @settings["preload_app"]
      @engine_settings = Native::Settings.new(@settings)
    end

    # In a mold, or in each worker: `who` begins its lines in the log.
    def load_app(who = "")
      @server.logger.info("Refreshing Gem list") unless @boot.check
      @server.app = app = AppLoader.fresh(@boot, @settings, @server)
      WarmUp.run(app, settings: @settings, configurator: @configurator, server: @server, who: who)
      app
    end

    private

    # Workers open it for themselves. This makes it, with the rights of a mold, and tells now what would fail there. It
    # stays open here: after a rotation the mold makes the next one for workers that may not.
    def open_access_log
      path = @settings["access_log"]&.fetch("path")
      Logs.access = Logs.open(path) if path
    rescue IOError, SystemCallError => e
      why = e.is_a?(SystemCallError) ? e.class.new.message : e.message
      @configurator.reject(:access_log, "cannot open access_log=#{path}: #{why}")
    end

    # What the workers will listen on, for exporters that ask while the application is preloaded. A name that cannot be
    # resolved is left out: binding it fails soon, and tells why.
    def listener_names
      configured = @settings["listeners"].filter_map do |listener|
        OwnListener.name(listener["resolved"] || listener["address"]) unless listener["unresolved"]
      rescue SocketError, ArgumentError
        nil
      end
      @boot.inherited | configured
    end

    def enter
      Server::START_CTX.replace(0 => @boot.program_path, :argv => @boot.argv, :cwd => @boot.cwd)
      Configurator::RACKUP.replace(file: @boot.rackup, host: @boot.host, port: @boot.port,
                                   daemonize: @boot.daemonized, no_default_middleware: @boot.no_default_middleware,
                                   options: { config_file: @boot.config_file, listeners: @boot.listeners }.compact)
      $0 = @boot.program_path if @boot.program_path
      Process.setproctitle(@boot.title("mold"))
      [$stdin, $stdout, $stderr].each(&:binmode)
      $stdout.sync = $stderr.sync = true
      Dir.chdir(ENV["PWD"] = @boot.cwd) if @boot.cwd
      set_rack_env
    end

    def run_script
      Embedded.load(@boot.script, @boot.script_arguments)
      Process.setproctitle(@boot.title("mold"))
    end

    # As `unicorn_rails` does: it leaves RACK_ENV alone.
    def set_rails_env
      ENV["RAILS_ENV"] = @boot.env || ENV["RAILS_ENV"] || "development"
      ENV["RAILS_RELATIVE_URL_ROOT"] = @boot.url_root if @boot.url_root
    end

    def make_rails_directories
      unless File.exist?(@boot.rackup)
        raise ConfigError, "#{@boot.program} must be run inside RAILS_ROOT: there is no #{@boot.rackup} in #{Dir.pwd}"
      end

      return if @boot.check

      require "fileutils"
      FileUtils.mkdir_p(%w[cache pids sessions sockets].map { |name| "tmp/#{name}" })
    end

    def set_rack_env
      if @boot.rails then set_rails_env
      elsif @boot.env then ENV["RACK_ENV"] = @boot.env
      else ENV["RACK_ENV"] ||= ENV["APP_ENV"] || "development"
      end
    end
  end
end
