# frozen_string_literal: true

require "licorne/conversion/start"

module Licorne
  module Conversion
    # A Procfile: `name: command` in each line.
    class Procfile
      LINE = /\A(?<name>[\w-]+):\s*(?<command>\S.*)$/
      private_constant :LINE

      # Name, place, how it starts a server, and what else is known.
      attr_reader :name, :place, :start

      def initialize(text, path)
        @text = text
        found = candidates(text).min_by { |name, number, _| [name == "web" ? 0 : 1, number] }
        raise Error, "#{path}: no line starts Puma, Unicorn, Pitchfork or Rails' server" unless found

        @name, @number, command = found
        @place = "#{path}:#{@number}"
        @start = Start.new(command)
      end

      # `web` is a name for a process, not for a service.
      def facts = {}

      # The same file with the line for Licorne.
      def rewritten
        @text.lines.each.with_index(1).map do |line, number|
          number == @number ? "#{@name}: #{@start.text}\n" : line
        end.join
      end

      private

      def candidates(text)
        text.lines.each.with_index(1).filter_map do |line, number|
          entry = line.match(LINE)
          command = entry && Command.find(entry[:command])
          [entry[:name], number, command] if command
        end
      end
    end

    # A section of supervisord's: `[program:name]` and its keys.
    class Supervisord
      attr_reader :name, :place, :start

      def initialize(text, path)
        @sections = Hash.new { |all, name| all[name] = {} }
        @lines = {}
        read(text)
        @name, command = @sections.lazy.filter_map { |name, keys| pair(name, keys["command"]) }.first
        raise Error, "#{path}: no section starts Puma, Unicorn, Pitchfork or Rails' server" unless @name

        @place = "#{path}:#{@lines[@name]}"
        @start = Start.new(command)
      end

      def facts
        keys = @sections[@name]
        { "name" => @name, "directory" => keys["directory"], "user" => keys["user"],
          "environment" => environment(keys["environment"]), "stop_seconds" => keys["stopwaitsecs"]&.to_i }.compact
      end

      def rewritten = nil

      private

      def pair(name, command)
        found = command && Command.find(command)
        found && [name, found]
      end

      # A line that is indented goes on with the value before it.
      def read(text)
        section = key = nil
        text.each_line.with_index(1) do |line, number|
          line = line.sub(/\A[;#].*|\s;.*/m, "").rstrip
          if line.start_with?("[")
            section = line[/\A\[program:(.+)\]/, 1]
            @lines[section] = number
          elsif section
            key = take(@sections[section], line, key)
          end
        end
      end

      # The key that the line is about.
      def take(keys, line, key)
        if line.match?(/\A\s+\S/) && key
          keys[key] << " #{line.strip}"
        elsif line.include?("=")
          key, value = line.split("=", 2).map(&:strip)
          keys[key] = +value
        end
        key
      end

      def environment(text)
        text.to_s.scan(/(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^,]*)/).map do |name, value|
          [name, value.strip.gsub(/\A(["'])(.*)\1\z/m, '\2')]
        end
      end
    end
  end
end
