# frozen_string_literal: true

module Licorne
  autoload :CpuQuota, "licorne/cpu_quota"
  autoload :Sources, "licorne/sources"

  # What the master is told of an evaluated configuration: every directive by name with its value, the environment and
  # the command line taken into account, and every option of every listener. Nothing may be left out, since the table
  # alone has defaults. Listener addresses go as they were written, and with where that is: a name may take long to be
  # looked up, and the master never waits.
  class Settings
    PATHS = %i[pid stderr_path stdout_path].freeze
    DEFAULT_HOST = "0.0.0.0"
    DEFAULT_PORT = 8080
    # Log directives that a daemon has even when the configuration is silent.
    DAEMON_PATHS = %i[stderr_path stdout_path].freeze
    private_constant :PATHS, :DAEMON_PATHS

    def initialize(boot:, configurator:, rackup_options:, start_ctx:)
      @boot = boot
      @configurator = configurator
      @rackup_options = rackup_options
      @start_ctx = start_ctx
    end

    # The settings as a Hash with String keys, values that JSON knows.
    def to_h
      settings = directives.merge(
        "listeners" => listeners, "custom_logger" => @configurator.given?(:logger), "rackup" => @boot.rackup,
        "rack_env" => ENV["RACK_ENV"], "start_ctx" => start_ctx, "user_ids" => user_ids,
        "daemonize" => @rackup_options.daemonize?, "ruby" => RUBY_DESCRIPTION,
        "service_environment" => service_environment
      )
      settings["sources"] = Sources.new(boot: @boot, configurator: @configurator).to_h(settings["listeners"])
      check_writable(settings)
      check_push(settings)
      check_refork(settings)
      settings
    end

    private

    def directives
      Configurator::TABLE.each_with_object({}) do |(name, entry), settings|
        next if %w[logger listen].include?(entry[:type])

        settings[name.to_s] = entry[:type] == "hook" ? @configurator.given?(name) : value_or_default(name, entry)
      end
    end

    # `set` takes nil for anything.
    def value_or_default(name, entry)
      value = value(name, entry)
      value = entry[:default] if value.nil?
      value.is_a?(Symbol) ? value.to_s : value
    end

    def value(name, entry)
      given = @configurator[name] unless @configurator[name] == :unset
      case name
      when :worker_processes then worker_processes(given || entry[:default])
      when :default_middleware then @boot.no_default_middleware ? false : given
      when :access_log, :canary, :probe, :service then send(name, given)
      when :pid then given || @boot.pid
      when *DAEMON_PATHS then @configurator.given?(name) ? given : daemon_path
      else given
      end
    end

    # A worker opens it again and again, in whatever directory the application is by then.
    def access_log(given)
      return unless given

      given = given.transform_keys(&:to_s)
      given.merge("path" => given["path"] && File.expand_path(given["path"]))
    end

    # A reload may be asked to probe other paths.
    def probe(given)
      return given if @boot.probe.empty?

      asked = Native.check_directive("probe", [@boot.probe, {}])
      (given || asked).merge(paths: asked[:paths])
    end

    # A reload may be asked for other workers on trial, or for none, and for another time.
    def canary(given)
      asked = @boot.canary.compact.transform_keys(&:to_sym)
      return given if asked.empty?
      return if asked[:workers]&.zero?

      Native.check_directive("canary", [true, (given || {}).merge(asked)])
    end

    # A program is a list of words; a block goes without one.
    def service(given)
      given&.map { |service| service.merge(command: service[:command] || []) }
    end

    # What the master starts programs with: the variables as the configuration leaves them. Those that are no text the
    # programs have of the master.
    def service_environment
      services = @configurator[:service]
      return if services == :unset || services.none? { |service| service[:command] }

      ENV.map { |name, value| [Exec.utf8(name), value.dup.force_encoding(Encoding::UTF_8)] }
         .select { |_, value| value.valid_encoding? }
    end

    def daemon_path
      "/dev/null" if @boot.daemonized
    end

    def worker_processes(given)
      return @boot.worker_processes if @boot.worker_processes

      given = web_concurrency || given unless @configurator.given?(:worker_processes)
      CpuQuota.workers(given)
    end

    def web_concurrency
      text = ENV["WEB_CONCURRENCY"].to_s.strip
      return if text.empty?
      return :auto if text == "auto"

      count = Integer(text, 10, exception: false)
      raise ConfigError, "not an integer: WEB_CONCURRENCY=#{text.inspect}" unless count
      raise ConfigError, "too low (< 1): WEB_CONCURRENCY=#{count}" if count < 1

      count
    end

    # In the order in which they are bound: `-l`, the configuration, `-l` of the rackup file, then `-o` with `-p`.
    def listeners
      addresses = addresses_asked_for.map(&:to_s)
      addresses << "#{DEFAULT_HOST}:#{port}" if addresses.empty? && @boot.inherited.empty?
      addresses.uniq.map do |address|
        options = Native.complete_listener_options(@configurator[:listener_opts].fetch(address, {}))
        resolved, unresolved = Native.resolve_listener(address)
        { "address" => address, "resolved" => resolved, "unresolved" => unresolved, "place" => place(address),
          **options.to_h { |name, value| [name.to_s, value.is_a?(Symbol) ? value.to_s : value] } }
      end
    end

    def addresses_asked_for
      places = [@boot.listeners, [*@configurator[:listeners], *@rackup_options.listeners], [*host_and_port]]
      defined?(Licorne::RailsServer) ? RailsServer.choose(*places) : places.flatten(1)
    end

    # Where it was asked for: of the command line nothing needs to be said.
    def place(address)
      return if @boot.listeners.include?(address)

      @configurator.listener_places[address] || (@boot.rackup if @rackup_options.listeners.include?(address))
    end

    def host_and_port
      host = @rackup_options.host || @boot.host
      given_port = @rackup_options.port || @boot.port
      return unless host || given_port

      host = "[#{host}]" if host&.include?(":") && !host.start_with?("[")
      "#{host || DEFAULT_HOST}:#{given_port || port}"
    end

    # The port where none is given.
    def port
      text = ENV["PORT"].to_s.strip
      return DEFAULT_PORT if text.empty?

      port = Integer(text, 10, exception: false)
      raise ConfigError, "not a port: PORT=#{text.inspect}" unless port&.between?(0, 65_535)

      port
    end

    # Looking up a user may ask a server and wait for it, which is not for the master.
    def user_ids
      user = @configurator[:user] unless @configurator[:user] == :unset
      Native.user_ids(*user) if user
    end

    def start_ctx
      { "program_path" => @start_ctx[0], "argv" => @start_ctx[:argv], "cwd" => @start_ctx[:cwd] }
    end

    def check_writable(settings)
      PATHS.each do |name|
        next unless (given = settings[name.to_s])

        path = File.expand_path(given)
        next if File.exist?(path) ? File.writable?(path) : File.writable?(File.dirname(path))

        @configurator.reject(name, "directory for #{name}=#{path} not writable")
      end
    end

    # Fresh workers share nothing with a mold, and one that has served clients must not get the rights of root's mold.
    def check_refork(settings)
      return unless (name = Promotion.directive(settings))

      other = "worker_exec true" if settings["worker_exec"]
      other ||= "user as root: start the server as that user" if settings["user"] && Process.euid.zero?
      @configurator.reject(name, "#{name} is incompatible with #{other}") if other
    end

    def check_push(settings)
      return unless settings["check_client_connection"]
      return unless settings["listeners"].any? { |listener| listener["tcp_nopush"] }

      @configurator.reject(:check_client_connection,
                           "check_client_connection is incompatible with tcp_nopush:true")
    end
  end
end
