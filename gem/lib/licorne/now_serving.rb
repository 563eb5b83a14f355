# frozen_string_literal: true

require "licorne/native"

module Licorne
  # What a worker serves at this moment, for the operator who asks where its threads are: the fields of its request, and
  # what each of its connections is doing. Made in a trap of the main thread.
  class NowServing
    # What of an env besides the fields of the request is shown.
    SHOWN = %w[REMOTE_ADDR CONTENT_TYPE CONTENT_LENGTH].freeze
    # Fields that are told to be there, and no more.
    SECRET = /COOKIE|AUTHORIZATION|TOKEN|SECRET|PASSW|_KEY|SESSION|SIGNATURE/
    # Of a longer value so many bytes are shown.
    LONGEST = 200
    private_constant :SHOWN, :SECRET, :LONGEST

    # It never raises: the application may have changed the env, or Ruby's own methods, so that they fail.
    def self.text(engine)
      new(engine.running_env, engine.connections).to_s
    rescue StandardError, SystemStackError => e
      "what it serves cannot be told: #{e.class}"
    end

    # `env` is nil outside a request, `connections` are lines.
    def initialize(env, connections)
      # At once: while a block went through the Hash, other threads of the application could not add to it.
      texts = env.to_a.select { |pair| pair.all?(String) }
      # In whatever encoding they are.
      @env = texts.map { |pair| pair.map(&:b) }.select { |name, _| shown?(name) }
      @connections = connections
    end

    # Empty when it serves nothing and has no connection.
    def to_s
      lines = [*section("request", request), *section("connections", @connections)]
      lines.map { |line| Native.printable_lines(line) }.join("\n")
    end

    private

    def section(name, lines)
      lines.empty? ? [] : [name, *lines.map { |line| "  #{line}" }]
    end

    def request
      [*user, *@env.map { |name, value| "#{name}: #{SECRET.match?(name) ? "(hidden)" : cut(value)}" }]
    end

    def shown?(name)
      SHOWN.include?(name) || name.start_with?("HTTP_")
    end

    # Of HTTP's basic authentication.
    def user
      scheme, credentials = @env.to_h["HTTP_AUTHORIZATION"].to_s.split(" ", 2)
      return unless credentials && scheme.casecmp?("basic")

      "user: #{cut(credentials.unpack1("m").split(":", 2).first.to_s)}"
    end

    def cut(value)
      value.length > LONGEST ? "#{value[0, LONGEST]}..." : value
    end
  end
end
