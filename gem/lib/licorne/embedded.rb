# frozen_string_literal: true

require "licorne/version"

module Licorne
  # A server that a program starts by itself, for an application that it has made.
  #
  # The master is another program, which can be given no object. So this one becomes the master, and each mold runs its
  # file again, up to the place where it starts the server: the application is the one that is made there, and a reload
  # brings new code here too.
  class Embedded
    EXECUTABLE = File.expand_path("../../exe/licorne", __dir__)
    private_constant :EXECUTABLE

    class << self
      # In a mold: what the program serves.
      attr_reader :app
      # Whether the master is to go to the background.
      attr_accessor :daemonize

      # Runs the program in a mold.
      def load(script, arguments)
        script = File.expand_path(script)
        ARGV.replace(arguments)
        $0 = script # `if $0 == __FILE__` holds
        @app, @options = catch(:licorne_embedded) do
          @loading = true
          Kernel.load(script)
          nil
        end
        raise ConfigError, "#{script} ended without starting a server" unless @app
      ensure
        @loading = false
      end

      # In a mold: the directives that the program gives, which those of the configuration file come after.
      def options
        @options.to_h.except(:config_file, :ready_pipe)
      end

      def loading? = @loading
    end

    # `options` are directives by name, then :listeners, and :config_file.
    def initialize(app, options = {})
      raise ArgumentError, "no application: #{app.inspect}" unless app.respond_to?(:call)

      @app = app
      @options = options.to_h.transform_keys(&:to_sym)
    end

    # Becomes the server, and does not come back.
    def start
      throw(:licorne_embedded, [@app, @options]) if Embedded.loading?
      reason = impossible
      raise ArgumentError, "licorne cannot be embedded #{reason}" if reason

      [$stdout, $stderr].each(&:flush)
      exec(EXECUTABLE, *arguments, close_others: false)
    end

    # Where Unicorn serves.
    def join = self

    # The command line of the master.
    def arguments
      rackup = defined?(Unicorn::Configurator::RACKUP) ? Unicorn::Configurator::RACKUP : {}
      [*load_path.flat_map { |path| ["-I", path] }, *with_value("-c", @options[:config_file]),
       *with_value("-o", rackup[:host]), *with_value("-p", rackup[:port]), *("-D" if Embedded.daemonize),
       "--script", $PROGRAM_NAME, "--", *ARGV]
    end

    private

    def impossible
      if defined?(Mold) then "in a configuration or an application of its own"
      elsif Thread.current != Thread.main then "in a thread: it takes the whole process"
      elsif !File.file?($PROGRAM_NAME) then "without a file that its molds can run again: there is no #{$PROGRAM_NAME}"
      end
    end

    # What `ruby -I` was given: neither Ruby's own directories, nor those of gems and of RUBYLIB, which come by
    # themselves.
    def load_path
      own = [*Gem.path, RbConfig::CONFIG["prefix"], File.expand_path("..", __dir__)]
      $LOAD_PATH.map(&:to_s).reject { |path| path.start_with?(*own) } - ENV["RUBYLIB"].to_s.split(":")
    end

    def with_value(option, value)
      value ? [option, value.to_s] : []
    end
  end

  # Serves the application: this process becomes the server. See Embedded.
  def self.run(app, options = {})
    Embedded.new(app, options).start
  end
end
