# frozen_string_literal: true

module Licorne
  # The options of the command line that act on Ruby, in the order in which they were given.
  class Options
    def initialize
      @eval_line = 1
    end

    # `options` are pairs as in the Boot message: ["eval", code], ["warn"], …
    def apply(options)
      options.each { |name, value| apply_one(name, value) }
    end

    private

    def apply_one(name, value)
      case name.to_s
      when "eval"
        TOPLEVEL_BINDING.eval(value, "-e", @eval_line)
        @eval_line += 1
      when "require" then require value
      when "include" then $LOAD_PATH.unshift(*value.split(File::PATH_SEPARATOR))
      when "debug" then $DEBUG = true
      when "warn" then $-w = true
      else raise ArgumentError, "unknown option: #{name}"
      end
    end
  end
end
