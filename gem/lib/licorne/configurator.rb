# frozen_string_literal: true

require "logger"
require "licorne/printable_log"
require "licorne/native"
require "licorne/assigned_directives"
require "licorne/failure"
require "licorne/hooks"
require "licorne/option_directives"

module Licorne
  # The object that the configuration file is evaluated in. Its methods are the directives of the one table
  # (crates/directives); a value is checked when it is given, so that the error can name file and line.
  class Configurator
    include OptionDirectives

    TABLE = Native.directives.to_h { |entry| [entry[:name].to_sym, entry] }.freeze
    HOOKS = TABLE.select { |_, entry| entry[:type] == "hook" }.keys.freeze
    # Where the server logs unless told otherwise.
    LOGGER = Logger.new($stderr).extend(PrintableLog)
    # What a directive is when it is not given, as Unicorn's table of that name has it. Configurations write to it: they
    # give the logger a formatter, or put another one there.
    DEFAULTS = HOOKS.to_h { |name| [name, Hooks::DEFAULTS.fetch(name)] }
                    .merge(TABLE.except(*HOOKS, :listen, :logger).transform_values { |entry| entry[:default] })
                    .compact.merge(logger: LOGGER, pid: nil)
    # What the command line gave: the rackup file as :file, then :host, :port, :options. Filled by a mold.
    RACKUP = {} # rubocop:disable Style/MutableConstant
    # What Unicorn::HttpParser.max_header_len= was given; it beats the directive.
    class << self
      attr_accessor :header_limit
    end
    # Directives whose methods are written below; those of the others are made.
    WRITTEN = %i[access_log canary listen logger max_age max_requests probe service timeout user warm_up
                 worker_processes working_directory].freeze
    LOGGER_METHODS = %i[debug info warn error fatal].freeze

    # The raw values by directive: the default, or `:unset`, where nothing was given. What is written here is not
    # checked.
    # Where each directive was given, as far as that is known, and where each listener was asked for, by its address.
    attr_reader :set, :config_file, :places, :listener_places
    attr_accessor :after_reload

    def initialize(start_ctx:, config_file: nil)
      @start_ctx = start_ctx
      @config_file = config_file
      @set = TABLE.except(:listen).transform_values { :unset }.merge(DEFAULTS)
      @set[:listeners] = []
      @set[:listener_opts] = {}
      @places = {}
      @listener_places = {}
    end

    # Gives directives by their names, and :listeners, as a program does that starts the server by itself.
    def give_all(values)
      @evaluating = true
      values.each { |name, value| public_send(name, value) }
    ensure
      @evaluating = false
    end

    # Evaluates the file, if there is one.
    def evaluate
      return unless @config_file

      @evaluating = true
      text = ConfigMissing.guard(@config_file) { File.read(@config_file, encoding: Encoding::UTF_8) }
      instance_eval(text, @config_file)
      AssignedDirectives.refuse(text, @config_file, TABLE.keys.reject { |name| @places.key?(name) })
    ensure
      @evaluating = false
    end

    def [](name)
      @set[name]
    end

    # Whether the directive was given; a hook counts when it is not the default one, and a logger when it logs
    # otherwise.
    def given?(name)
      return !@set[name].equal?(Hooks::DEFAULTS[name]) if HOOKS.include?(name)
      return !plain_logger? if name == :logger

      @places.key?(name) || @set[name] != DEFAULTS.fetch(name, :unset)
    end

    # Raises with the place where the directive was given, if that is known.
    def reject(name, text)
      raise ConfigError, [@places[name], text].compact.join(": ")
    end

    TABLE.each do |name, entry|
      next if WRITTEN.include?(name)

      if entry[:type] == "hook"
        define_method(name) { |*given, &block| give_hook(name, given, block) }
      else
        define_method(name) { |*given| give(name, given) }
      end
    end

    # Pitchfork's keyword says the other directive at once.
    def timeout(*given, cleanup: nil)
      give(:timeout, given)
      give(:timeout_cleanup, [cleanup]) if cleanup
    end

    # Adds a listener; see the reference for addresses and options.
    def listen(address, options = {})
      address, checked = check(:listen, [address, options])
      @set[:listeners] << address
      @listener_places[address.to_s] ||= place
      (@set[:listener_opts][address.to_s] ||= {}).merge!(checked.transform_keys(&:to_sym))
    end

    # Replaces the listeners. Unicorn has it for its own use.
    def listeners(addresses)
      @set[:listeners] = []
      Array(addresses).each { |address| listen(address) }
    end

    def logger(object)
      missing = LOGGER_METHODS.find { |method| !object.respond_to?(method) }
      mistake("logger=#{object.inspect} does not respond to method=#{missing}") if missing
      @places[:logger] = place
      @set[:logger] = object
    end

    def user(name, group = nil)
      checked = check(:user, [name, group])
      require "etc"
      Etc.getpwnam(name)
      Etc.getgrnam(group) if group
      @set[:user] = checked
    rescue ConfigError
      raise
    rescue ArgumentError => e # can't find user for X
      mistake(e.message)
    end

    # Acts at once, so that what follows in the file can use relative paths.
    def working_directory(path)
      path = File.expand_path(check(:working_directory, path))
      # Read again at each reload, from there.
      if @config_file && !File.readable?(File.expand_path(@config_file, path))
        mistake("config_file=#{@config_file} would not be accessible in working_directory=#{path}")
      end
      Dir.chdir(path)
      @start_ctx[:cwd] = ENV["PWD"] = path
      @set[:working_directory] = path
    rescue SystemCallError => e
      mistake("working_directory: #{e.message}")
    end

    def inspect
      "#<#{self.class} #{@config_file}>"
    end

    private

    # A formatter of Ruby's own is what people give to the default logger to have it log as it does anyway.
    def plain_logger?
      logger = @set[:logger]
      form = logger.formatter if logger.equal?(LOGGER)
      logger.equal?(LOGGER) && logger.debug? && [logger.progname, logger.datetime_format].none? &&
        (form.nil? || (form.instance_of?(Logger::Formatter) && form.datetime_format.nil?))
    end

    def give(name, given)
      mistake("#{name} takes one value") unless given.size == 1
      @set[name] = check(name, given.first)
    end

    def give_hook(name, given, block)
      hook = block || given.first
      check(name, hook)
      @set[name] = hook || Hooks::DEFAULTS.fetch(name)
    end

    def check(name, value)
      value = value.to_path if value.respond_to?(:to_path) && !value.is_a?(IO)
      checked = Native.check_directive(name.to_s, value)
      @places[name] = place
      checked
    rescue ArgumentError => e
      mistake(e.message)
    end

    def place
      Failure.location(caller_locations)
    end

    def mistake(text)
      raise ConfigError, [place, text].compact.join(": "), caller, cause: nil
    end

    # While the file is read, an unknown name is a misspelled directive; in a hook it is what it is in any Ruby.
    def method_missing(name, *given, &block)
      return super unless @evaluating

      raise UnknownDirective.new([place, "unknown directive: #{name}#{hint(name.to_s)}"].compact.join(": "), name)
    end

    def hint(name)
      server, advice = Native.foreign_directive(name)
      written = @config_file && "; `licorne init --from #{@config_file}` converts all of it"
      return " (of #{server}'s; #{advice})#{written}" if server

      near = Native.nearest_directive(name)
      near ? " (did you mean #{near}?)" : ""
    end
  end
end
