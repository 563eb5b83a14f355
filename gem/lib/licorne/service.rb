# frozen_string_literal: true

require "io/wait"
require "licorne/user_switch"

module Licorne
  # A service as its block and the hooks see it: its name, and whether it is to leave.
  class Service
    include UserSwitch

    attr_reader :name
    attr_accessor :switched

    def initialize(name)
      @name = name
      @switched = false
      @stopping = false
      @reader, @writer = IO.pipe
    end

    # Whether it was told to leave.
    def stopping?
      @stopping
    end

    # Waits until it is told to leave, or for so many seconds. Returns whether it was told.
    def wait(seconds = nil)
      @reader.wait_readable(seconds) unless @stopping
      @stopping
    end

    # It is to leave. Traps call this.
    def stop
      @stopping = true
      @writer.write_nonblock(".", exception: false)
    end

    # The mold keeps nothing of it.
    def close
      [@reader, @writer].each(&:close)
    end

    def inspect
      "#<#{self.class} #{@name}>"
    end
  end
end
