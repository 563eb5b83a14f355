# frozen_string_literal: true

module Licorne
  # The signals that mean something to a Unicorn, and traps for processes that they do not concern.
  module Signals
    ALL = %w[INT TERM QUIT HUP USR1 USR2 WINCH TTIN TTOU].freeze

    module_function

    # Empty traps rather than ignored signals: programs started from here then begin with the defaults, and what
    # `trap` returns to a hook can be called.
    def deaf(names = ALL)
      names.each { |name| trap(name) { |_| } }
    end
  end
end
