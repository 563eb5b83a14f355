# frozen_string_literal: true

module Licorne
  # `rackup -s licorne` and `rails server -u licorne`: becomes the program, with the options that the launcher was
  # given.
  #
  # The launcher has loaded the application in its own process by then, to no avail: here it is loaded in processes that
  # can be replaced, so that a reload brings new code. What is passed on is the file, not the object.
  module RackHandler
    EXECUTABLE = File.expand_path("../../exe/licorne", __dir__)
    HOST = "127.0.0.1"
    PORT = 8080
    # What `rails generate licorne:install` writes.
    RAILS_CONFIG = "config/licorne.rb"
    private_constant :EXECUTABLE, :HOST, :PORT, :RAILS_CONFIG

    module_function

    def run(_app, **options)
      Process.exec(EXECUTABLE, *arguments(options), close_others: false)
    end

    # What `rails server` says that it boots.
    def to_s = "Rack::Handler::Licorne"

    # The command line that means these options.
    def arguments(options)
      rackup = options.fetch(:config, "config.ru")
      if options[:builder] || !File.file?(rackup)
        raise ArgumentError, "licorne serves applications from a rackup file; there is no #{rackup}"
      end

      [*ruby_options(options), *server_options(options), rackup]
    end

    # What `rackup -h -s licorne` shows; each goes after `-O`.
    def valid_options
      { "config_file=FILE" => "Licorne's or Unicorn's configuration file",
        "listen=ADDRESS" => "listen on ADDRESS as well: a path or HOST:PORT" }
    end

    # The configuration that `rails server` goes by, if there is one.
    def rails_config
      RAILS_CONFIG if defined?(::Rails::Server) && File.file?(RAILS_CONFIG)
    end

    def ruby_options(options)
      [*Array(options[:include]).flat_map { |path| ["-I", path] },
       *Array(options[:require]).flat_map { |library| ["-r", library] },
       *(%w[-r licorne/rails_log] if options[:log_stdout]),
       *(%w[-r licorne/rails_server] if rails_config),
       *("-w" if options[:warn]), *("-d" if options[:debug])]
    end

    # The launcher has daemonized already and has written its pid file, if it was asked to; both remain true.
    def server_options(options)
      [*address(options), *environment(options), *with_value("-c", options[:config_file] || rails_config),
       *with_value("-l", options[:listen]), *with_value("--pid-file", options[:pid])]
    end

    # What `rails server` was told stands above its configuration, its defaults stand below: see RailsServer.
    def address(options)
      host, port = options.fetch(:Host, HOST), options.fetch(:Port, PORT).to_s
      told = rails_config && (Array(options[:user_supplied_options]) & %i[Host Port]).any?
      return ["-o", host, "-p", port] unless told

      ["-l", "#{host.include?(":") ? "[#{host}]" : host}:#{port}"]
    end

    # Rails adds no middleware of Rack's around an application, whatever the environment is called.
    def environment(options)
      [*("-N" if defined?(::Rails::Server)), *with_value("-E", options[:environment])]
    end

    def with_value(option, value)
      value ? [option, value.to_s] : []
    end
    private_class_method :ruby_options, :server_options, :address, :environment, :with_value
  end
end
