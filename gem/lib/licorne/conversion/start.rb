# frozen_string_literal: true

require "licorne/conversion/command"

module Licorne
  module Conversion
    # How a Procfile or supervisord starts a server, and how it would start Licorne. What Puma takes as options and
    # Licorne as directives becomes lines for the configuration.
    class Start
      OURS = "config/licorne.rb"
      # Puma's options that are directives: how a line of them is written.
      DIRECTIVES = {
        "-b" => "bind %s", "-p" => "port %s", "-w" => "workers %s", "--preload" => "preload_app!",
        "--pidfile" => "pidfile %s", "--dir" => "directory %s", "-S" => "state_path %s",
        "--control-url" => "activate_control_app %s", "--tag" => "tag %s",
        "--prune-bundler" => "prune_bundler", "-q" => "quiet", "--early-hints" => "early_hints",
        "--fork-worker" => "fork_worker %s", "--redirect-stdout" => "stdout_redirect %s",
        "--redirect-stderr" => "stdout_redirect nil, %s"
      }.freeze
      LONG = {
        "--bind" => "-b", "--port" => "-p", "--workers" => "-w", "--threads" => "-t", "--environment" => "-e",
        "--config" => "-C", "--state" => "-S", "--quiet" => "-q", "--include" => "-I", "--binding" => "-b",
        "--pid" => "-P", "--using" => "-u", "--daemon" => "-d", "--config-file" => "-c"
      }.freeze
      ALONE = %w[--preload --prune-bundler -q --early-hints -d -D -v --debug --redirect-append --log-to-stdout
                 --no-log-to-stdout -N --silent].freeze
      private_constant :DIRECTIVES, :LONG, :ALONE

      # The configuration that the command names, and lines of directives from its options.
      attr_reader :server, :config, :directives

      def initialize(command)
        @command = command
        @server = command.server
        @directives = []
        @ours = []
        read
      end

      # The command line for Licorne; with `exec` for a supervisor, which wants it in the foreground.
      def text(exec: false)
        config = unchanged? ? [] : ["-c #{OURS}"]
        own = exec ? @ours - ["-D"] : @ours
        @command.with([*config, *own].join(" "), exec: exec)
      end

      # The directives of Puma's that its command line decides.
      def overridden
        names = @directives.map { |line| line[/\A[\w!]+/].sub(/\Aport\z/, "bind") }
        names << "environment" if @ours.any? { |word| word.start_with?("-E") }
        names.uniq
      end

      # Unicorn's options are Licorne's.
      def unchanged?
        %w[unicorn unicorn_rails].include?(@server)
      end

      private

      def read
        words = @command.words.dup
        until words.empty?
          word = words.shift
          name, value = option(word.text, words)
          puma? ? puma(name, value) : other(name, value)
        end
        finish
      end

      def puma? = @server == "puma"

      # An option and its value, as they are written.
      def option(word, words)
        return [nil, word] unless word.match?(/\A-./)

        name, value = word.start_with?("--") ? word.split("=", 2) : [word[0, 2], word[2..]]
        value = nil if value == ""
        name = LONG.fetch(name, name)
        alone = ALONE.include?(name) || (name == "--fork-worker" && value.nil?)
        value ||= words.shift&.text unless alone
        [name, value]
      end

      def puma(name, value)
        case name
        when nil then @ours << value unless value == "start"
        when "-C" then @config = value unless value == "-"
        when "-e" then @ours << "-E #{value}"
        when "-I" then @ours << "-I #{value}"
        when "-t" then @directives << "threads #{value.split(":").map { |number| ruby(number) }.join(", ")}"
        else directive(name, value)
        end
      end

      def directive(name, value)
        line = DIRECTIVES[name]
        @directives << (value ? format(line, ruby(value)) : line.delete_suffix(" %s")) if line
      end

      def other(name, value)
        @config = value if name == "-c" && @server != "rails"
        case @server
        when "rails" then rails(name, value)
        when "rackup" then @ours << [name, value].compact.join(" ") unless name == "-s"
        when "pitchfork" then @ours << [name, value].compact.join(" ") unless name == "-c"
        else @ours << [name, value].compact.join(" ") unless value == "start" && name.nil?
        end
      end

      RAILS = { "-e" => "-E", "-P" => "--pid-file", "-d" => "-D" }.freeze
      private_constant :RAILS

      def rails(name, value)
        case name
        when "-c" then @ours << value
        when "-p" then @directives << "port #{ruby(value)}"
        when "-b" then @host = ruby(value)
        else @ours << [RAILS[name], value].compact.join(" ") if RAILS.key?(name)
        end
      end

      # Rails' option for the address alone.
      def finish
        return unless @host

        port = @directives.index { |line| line.start_with?("port ") }
        port ? @directives[port] += ", #{@host}" : @directives << "port 3000, #{@host}"
      end

      # A word of a shell as Ruby has it: variables of the environment are read there.
      def ruby(word)
        plain = word.match?(/\A["'].*["']\z/) ? word[1...-1] : word
        return plain if plain.match?(/\A\d+\z/)

        one = variable(plain)
        return one if one

        inner = plain.gsub(/\$\{\w+(?::?[-=][^}]*)?\}|\$\w+|%\(ENV_\w+\)s/) { |text| "\#{#{variable(text)}}" }
        "\"#{inner}\""
      end

      def variable(text)
        name, default = text.match(/\A\$\{(\w+)(?::?[-=](.*))?\}\z/)&.captures
        name ||= text[/\A\$(\w+)\z/, 1] || text[/\A%\(ENV_(\w+)\)s\z/, 1]
        return unless name

        default ? "ENV.fetch(\"#{name}\", \"#{default.delete("\"'")}\")" : "ENV.fetch(\"#{name}\")"
      end
    end
  end
end
