# frozen_string_literal: true

require_relative "extension"

module Licorne
  # The program, which the gem's executables become: what it does depends on the name that it is called by (`licorne`,
  # `licorne-herd`, `unicornherder`).
  module Program
    ROOT = File.expand_path("../../..", __dir__)
    # Where an installed gem has it, and where a checkout does.
    PLACES = %w[gem/libexec/licorne target/release/licorne].freeze
    private_constant :ROOT, :PLACES

    module_function

    # Becomes the program. It keeps the name that it was called by: an upgrade executes that again, and so finds the
    # gem, and the Ruby, that are current then. Its molds run on this Ruby, which the extension was built for.
    def become
      # Its loader would not be found, or its molds would fail: that is said in a sentence, before anything has begun.
      Extension.feature
      ENV["LICORNE_RUBY"] = RbConfig.ruby
      # Sockets that a supervisor, or the master before this one, hands over are passed on.
      exec([path, $PROGRAM_NAME], *ARGV, close_others: false)
    rescue LoadError => e
      abort(e.message)
    end

    def path
      PLACES.map { |place| File.join(ROOT, place) }.find { |path| File.executable?(path) } ||
        abort("licorne: the program is not built: #{ROOT}/#{PLACES.first} is missing")
    end
    private_class_method :path
  end
end
