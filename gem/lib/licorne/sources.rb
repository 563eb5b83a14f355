# frozen_string_literal: true

module Licorne
  # Where the values of an evaluated configuration come from, for `licorne config`: file and line, an option of the
  # command line, or a variable of the environment. What is not named has its default.
  class Sources
    DAEMON_PATHS = %i[stderr_path stdout_path].freeze
    private_constant :DAEMON_PATHS

    def initialize(boot:, configurator:)
      @boot = boot
      @configurator = configurator
    end

    # By directive, and by "listen ADDRESS" for each of these listeners.
    def to_h(listeners)
      directives = Configurator::TABLE.except(:listen).keys.to_h { |name| [name.to_s, directive(name)] }
      directives.merge(listeners.to_h { |told| ["listen #{told["address"]}", listener(told)] }).compact
    end

    private

    def directive(name)
      return "-N" if name == :default_middleware && @boot.no_default_middleware

      given(name) || implied(name)
    end

    # What is written to the table of defaults has no place.
    def given(name)
      return unless @configurator.given?(name)

      @configurator.places[name] || @configurator.config_file || "the program"
    end

    def implied(name)
      case name
      when :worker_processes then "WEB_CONCURRENCY" unless ENV["WEB_CONCURRENCY"].to_s.strip.empty?
      when :pid then "-P" if @boot.pid
      when *DAEMON_PATHS then "-D" if @boot.daemonized
      end
    end

    def listener(told)
      address = told["address"]
      if @boot.listeners.include?(address) then "-l"
      elsif told["place"] then told["place"]
      elsif @boot.host || @boot.port then "-o, -p"
      elsif !ENV["PORT"].to_s.strip.empty? then "PORT"
      end
    end
  end
end
