# frozen_string_literal: true

require "licorne/embedded"
require "licorne/master_methods"
require "licorne/own_listener"
require "licorne/rack_env"

module Licorne
  # The server as hooks see it. It answers what Unicorn's answers; it serves nothing, that is the engine's part.
  class Server
    include MasterMethods

    # Program, arguments and directory that the server was started with: program under 0, then :argv and :cwd.
    # Configurations write to it, to have an upgrade start another program.
    START_CTX = {} # rubocop:disable Style/MutableConstant
    # The bound sockets. Filled in workers only: outside of them the master owns them.
    LISTENERS = [] # rubocop:disable Style/MutableConstant

    attr_accessor :app, :config, :worker_processes, :timeout, :preload_app, :early_hints, :default_middleware,
                  :before_fork, :after_fork, :before_exec, :after_worker_ready, :after_worker_exit, :worker_exec,
                  :rewindable_input, :client_body_buffer_size, :check_client_connection, :user, :listener_opts,
                  :ready_pipe, :orig_app, :after_worker_timeout, :before_service_fork, :after_service_fork,
                  :after_mold_fork
    attr_reader :logger, :pid, :own_listeners
    # What a worker does from here to its end; see `worker_loop`.
    attr_writer :worker_main
    # Makes a process title of a tag.
    attr_writer :title
    # What a mold does in `master_sleep`.
    attr_writer :master_wait
    attr_writer :stdout_path, :stderr_path, :listener_names

    class << self
      # The server of this process, once its configuration is evaluated.
      attr_reader :current

      private

      attr_writer :current
    end

    # A program that starts a server by itself, with an application and options, gets what does that.
    def self.new(app = nil, options = {}, configurator: nil, settings: nil, logger: nil, **more)
      return Embedded.new(app, options.to_h.merge(more)) unless configurator

      super(configurator: configurator, settings: settings, logger: logger)
    end

    def initialize(configurator:, settings:, logger:)
      @config = configurator
      @own_listeners = []
      @listener_names = []
      @pid = settings["pid"]
      @listener_opts = configurator[:listener_opts]
      Configurator::HOOKS.each { |name| instance_variable_set(:"@#{name}", configurator[name]) }
      settings.each do |name, value|
        instance_variable_set(:"@#{name}", value) if value_of_settings?(name, value)
      end
      self.logger = logger || configurator[:logger]
      self.class.send(:current=, self)
    end

    def logger=(logger)
      @logger = logger
      RackEnv::DEFAULTS["rack.logger"] = logger
    end

    # The pid file's path. One that only spells out the configured path is answered as configured, since hooks compare
    # it with `config[:pid]` as text.
    def pid=(path)
      plain = @config && @config[:pid]
      plain = nil if plain == :unset
      suffix = [".oldbin", ""].find { |ending| plain && path && path == "#{File.expand_path(plain)}#{ending}" }
      @pid = suffix ? "#{plain}#{suffix}" : path
    end

    # The names of all listeners of this process: the master's, then its own.
    def listener_names
      @listener_names + @own_listeners.map { |_, name,| name }
    end

    # Binds one more listener, for this worker alone when called in `after_fork`. Returns the socket, or nil if there is
    # one of that name.
    def listen(address, options = {})
      name = OwnListener.name(address)
      return if listener_names.include?(name)

      socket, name = OwnListener.bind(name, options, logger)
      unless listener_names.include?(name)
        @own_listeners << [socket, name, OwnListener.proxy(options)]
        LISTENERS << socket
      end
      socket
    end

    def inspect
      "#<#{self.class} pid=#{@pid.inspect} worker_processes=#{@worker_processes}>"
    end

    private

    # All of a worker's life, hooks included. Agents wrap this method to start their threads after the fork.
    def worker_loop(_worker)
      @worker_main.call
    end

    # Names this process. Configurations redefine it.
    def proc_name(tag)
      $0 = @title.call(tag)
    end

    # See ProcessClient. Those who wrap it get no socket: that is the engine's.
    def process_client(_client)
      ProcessClient.wait
    end
    PROCESS_CLIENT = instance_method(:process_client).source_location.freeze

    def value_of_settings?(name, value)
      respond_to?(:"#{name}=") && !Configurator::HOOKS.include?(name.to_sym) && name != "pid" && name != "logger" &&
        !(name == "user" && value.nil?)
    end
  end
end
