# frozen_string_literal: true

require "licorne/failure"

module Licorne
  # The options on the first line of a rackup file that begins with `#\`. They are split at blanks, without quoting.
  class RackupOptions
    # name, short, long, takes a value
    TABLE = [
      [:eval, "e", "eval", true], [:debug, "d", "debug", false], [:warn, "w", "warn", false],
      [:include, "I", "include", true], [:require, "r", "require", true], [:host, "o", "host", true],
      [:port, "p", "port", true], [:env, "E", "env", true],
      [:no_default_middleware, "N", "no-default-middleware", false], [:daemonize, "D", "daemonize", false],
      [:pid, "P", "pid", true], [:server, "s", "server", true], [:listen, "l", "listen", true],
      [:config_file, "c", "config-file", true], [:help, "h", "help", false], [:version, "v", "version", false]
    ].freeze
    private_constant :TABLE

    attr_reader :listeners, :host, :port, :effects

    # Reads the file's options; none if it is not a `.ru` or has no such line. `program` is what the server was called
    # as.
    def self.read(path, program: "licorne")
      raise ConfigError, "rackup file (#{path}) not readable" unless File.readable?(path) && File.file?(path)
      return new([], path, program) unless path.end_with?(".ru")

      File.foreach(path, encoding: Encoding::BINARY).with_index(1) do |line, number|
        return new(line.delete_prefix("#\\").split, "#{path}:#{number}", program) if line.start_with?("#\\")
      end
      new([], path, program)
    end

    def initialize(words, place, program)
      @place = place
      @program = program
      @listeners = []
      @effects = []
      @daemonize = false
      parse(words.map { |word| word.dup.force_encoding(Encoding::UTF_8) })
    end

    def daemonize?
      @daemonize
    end

    private

    def parse(words)
      while (word = words.shift)
        return if word == "--"

        if word.start_with?("--") then long(word, words)
        elsif word.start_with?("-") && word != "-" then cluster(word.delete_prefix("-"), word, words)
        end
      end
    end

    def long(word, words)
      name, value = word.delete_prefix("--").split("=", 2)
      found = TABLE.select { |entry| entry[2] == name }
      found = TABLE.select { |entry| entry[2].start_with?(name) } if found.empty?
      fail_with("#{found.empty? ? "invalid" : "ambiguous"} option: #{word}") unless found.one?
      option, _, _, valued = found.first
      value = words.shift if valued && value.nil?
      take(option, valued, value, word)
    end

    def cluster(letters, word, words)
      until letters.empty?
        option, _, _, valued = TABLE.find { |entry| entry[1] == letters[0] }
        fail_with("invalid option: -#{letters[0]}") unless option
        letters = letters[1..]
        value, letters = (letters.empty? ? words.shift : letters), "" if valued
        take(option, valued, value, word)
      end
    end

    def take(option, valued, value, word)
      fail_with("missing argument: #{word}") if valued && value.nil?
      case option
      when :listen then @listeners << value
      when :host then @host = value
      when :port then @port = port_number(value, word)
      when :daemonize then @daemonize = true
      when :env then ENV[@program == "unicorn_rails" ? "RAILS_ENV" : "RACK_ENV"] = value
      when :eval, :require, :include, :debug, :warn then @effects << [option.to_s, value].compact
      when :version, :help then say_and_exit(option)
      when :server then warn("#{@place}: -s/--server has no effect here, it only exists for compatibility with rackup")
      end
    end

    def port_number(value, word)
      Integer(value)
    rescue ArgumentError
      fail_with("invalid argument: #{word} #{value}")
    end

    def say_and_exit(option)
      require "licorne/version"
      puts(option == :version ? version : "Usage: #{@program} [options] [rackup config file]")
      exit(0)
    end

    # As the program itself says it.
    def version
      own = "licorne v#{VERSION}"
      @program.start_with?("unicorn") ? "#{@program} v#{Unicorn::Const::UNICORN_VERSION} (#{own})" : own
    end

    def fail_with(text)
      raise ConfigError, "#{@place}: #{text}"
    end
  end
end
