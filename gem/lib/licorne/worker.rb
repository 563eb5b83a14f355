# frozen_string_literal: true

require "licorne/user_switch"

module Licorne
  # The worker as hooks see it: its number, and the switch to another user.
  class Worker
    include UserSwitch

    attr_accessor :nr, :switched, :tick

    def initialize(nr)
      @nr = nr
      @switched = false
      @tick = 0
    end

    def ==(other)
      other.is_a?(Integer) ? nr == other : super
    end

    # Called when the worker has served its last request. Agents wrap this method to send what they still hold.
    def close; end
  end
end
