# frozen_string_literal: true

module Licorne
  # The signals that mean something to a Unicorn, and traps for processes that they do not concern.
  module Signals
    STOPS = %w[INT TERM QUIT].freeze
    ALL = (STOPS + %w[HUP USR1 USR2 WINCH TTIN TTOU]).freeze

    module_function

    # Traps that do nothing rather than ignored signals: programs started from here then begin with the defaults, and
    # what `trap` returns to a hook can be called. A fork that has not set its own traps yet heeds a stop, which would
    # not be repeated.
    def deaf(names = ALL)
      home = Process.pid
      names.each do |name|
        stop = STOPS.include?(name)
        trap(name) { |_| exit!(0) if stop && Process.pid != home }
      end
    end
  end
end
