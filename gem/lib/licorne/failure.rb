# frozen_string_literal: true

module Licorne
  # A mistake in the configuration: the message begins with file and line.
  class ConfigError < ArgumentError; end

  # There is no such configuration file. The message says where it was looked for, and which ones there are.
  class ConfigMissing < Errno::ENOENT
    USUAL = %w[config/licorne.rb config/unicorn.rb licorne.rb unicorn.rb].freeze
    private_constant :USUAL

    def self.guard(path)
      yield
    rescue ::Errno::ENOENT => e # the class itself has a constant Errno
      raise new(path, e.message), cause: nil
    end

    def initialize(path, message)
      super()
      near = ["config/#{File.basename(path)}", *USUAL].uniq.select { |name| File.file?(name) }
      hint = " (did you mean #{near.join(" or ")}?)" unless near.empty?
      @text = "-c #{path}, seen from #{Dir.pwd}#{hint}: #{message}"
    end

    def to_s = @text
  end

  # A name in the configuration file that is no directive. It is a NameError, as it would be for any Ruby object.
  class UnknownDirective < NoMethodError
    def initialize(text, name)
      @text = text
      super
    end

    # Without what did_you_mean and error_highlight would add: the text says it already.
    def to_s
      @text
    end
  end

  # Puts exceptions into words, for the master and for the log.
  module Failure
    LIBRARY = "#{File.expand_path("..", __dir__)}/".freeze
    # The longest text that fits a message to the master, in bytes (wire: MAX_TEXT_BYTES).
    MAX_TEXT_BYTES = 96 * 1024
    private_constant :LIBRARY

    module_function

    # "message (Class)", and the backtrace below it without our own frames, one per line; then the causes likewise.
    # Of an `abort` whose message was `seen` already, on the same standard error, the status alone.
    def text(exception, seen: false)
      seen &&= exception.is_a?(SystemExit)
      lines = [seen ? "exit with status #{exception.status}" : summary(exception), *frames(exception)]
      told = [exception]
      while (exception = exception.cause) && !told.include?(exception)
        told << exception
        lines << "caused by: #{summary(exception)}" << frames(exception)
      end
      utf8(lines.flatten.join("\n"))
    end

    # One line for the message, one for each frame, at level ERROR: the form of Unicorn's log.
    def log(logger, prefix, exception)
      message = exception.message
      message = message.dump if /[[:cntrl:]]/.match?(message)
      logger.error("#{prefix}: #{message} (#{exception.class})")
      exception.backtrace&.each { |line| logger.error(line) }
    end

    # The status that a process ends with because of this exception.
    def status(exception)
      exception.is_a?(SystemExit) ? exception.status : 1
    end

    # The first frame of the caller outside this library, as "file:line", or nil.
    def location(locations)
      frame = locations.find { |location| !own?(location.path) }
      frame && "#{frame.path}:#{frame.lineno}"
    end

    def summary(exception)
      return "exit with status #{exception.status}" if exception.is_a?(SystemExit) && exception.message == "exit"

      "#{exception.message} (#{class_name(exception)})"
    end

    # Our own classes only refine Ruby's, whose names people know.
    def class_name(exception)
      kind = exception.class
      kind.name&.start_with?("Licorne::Config", "Licorne::Unknown") ? kind.superclass : kind
    end

    # Those that are the application's. All of them if nothing else tells where it happened.
    def frames(exception)
      all = exception.backtrace || []
      theirs = theirs(all)
      located = [ConfigError, ScriptError, SystemCallError].any? { |kind| exception.is_a?(kind) }
      theirs.empty? && !located ? all : theirs
    end

    # Without the frames of this library, the last one, `-e`, which started it, and Ruby's own that were below.
    def theirs(all)
      theirs = (all.last&.start_with?("-e:") ? all[..-2] : all).reject { |line| own?(line) }
      theirs.pop while theirs.last&.start_with?("<internal:")
      theirs
    end

    def own?(line)
      line.nil? || line.start_with?(LIBRARY)
    end

    def utf8(text)
      text = text.dup.force_encoding(Encoding::UTF_8) unless text.encoding == Encoding::UTF_8
      text.byteslice(0, MAX_TEXT_BYTES).scrub("?")
    end
    private_class_method :own?, :utf8, :frames, :class_name
  end
end
