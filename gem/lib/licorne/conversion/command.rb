# frozen_string_literal: true

require "shellwords"
require "strscan"

module Licorne
  module Conversion
    # A command line of a shell that starts a server: which one, with which options, and the same for Licorne. All
    # around the server's own words stays as it is.
    class Command
      WORD = /(?:\$\{[^}]*\}|\$\([^)]*\)|%\(\w+\)s|[^\s'"\\;&|<>]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+/m
      SERVERS = %w[puma unicorn unicorn_rails pitchfork rackup].freeze
      HERDERS = %w[unicornherder licorne-herd].freeze
      SHELLS = /\A-l?i?c\z/
      ASSIGNMENT = /\A\w+=/
      private_constant :WORD, :SERVERS, :HERDERS, :SHELLS, :ASSIGNMENT

      # A word, an operator or blanks, as they are written.
      Part = Struct.new(:kind, :text) do
        def plain = Shellwords.split(text).first.to_s
      rescue ArgumentError
        text
      end

      attr_reader :server, :words

      # The command in a text; nil where it starts no server that is known.
      def self.find(text)
        command = new(text)
        command if command.server
      end

      def initialize(text)
        @parts = scan(text)
        find
      end

      # With these words instead of the server's, and `exec` before them where a shell runs them.
      def with(words, exec: false)
        return nested(words) if @inner

        before = @parts[0...@from]
        before = executed(before) if exec
        [*before.map(&:text), bundled(before), " ", words, *@parts[@upto..].map(&:text)].join.strip
      end

      private

      def scan(text)
        scanner = StringScanner.new(text.strip)
        parts = []
        until scanner.eos?
          parts << if scanner.scan(/\s+/) then Part.new(:blank, scanner.matched)
                   elsif scanner.scan(WORD) then Part.new(:word, scanner.matched)
                   else Part.new(:operator, scanner.getch)
                   end
        end
        parts
      end

      def find
        @parts.each_index do |index|
          break if @server
          next unless @parts[index].kind == :word

          here?(index) || within?(index)
        end
      end

      # The server's name, or Rails', at this word.
      def here?(index)
        name = File.basename(@parts[index].plain)
        following = words_from(index + 1)
        if SERVERS.include?(name) then found(name, index, following)
        elsif HERDERS.include?(name) then herded(index, following)
        elsif name == "rails" && %w[s server].include?(following.first&.plain)
          found(name, index, following.drop(1))
        end
      end

      def found(name, index, following)
        @server = name
        @from = index
        @words = following
        @upto = index + 1
        @upto += 1 while @upto < @parts.size && @parts[@upto].kind != :operator
        @upto -= 1 while @parts[@upto - 1].kind == :blank
      end

      # `unicornherder -u unicorn -p PID -- OPTIONS`
      def herded(index, following)
        plain = following.map(&:plain)
        own = following.take_while { |part| part.plain != "--" }
        name = plain[plain.index("-u").to_i + 1] if plain.include?("-u")
        return unless SERVERS.include?(name)

        found(name, index, following.drop(own.size + 1))
      end

      # `bash -lc '…'`
      def within?(index)
        before = @parts[0...index].select { |part| part.kind == :word }.last
        return unless before&.text&.match?(SHELLS) && %w[' "].include?(@parts[index].text[0])

        inner = self.class.find(@parts[index].plain)
        return unless inner

        @inner = inner
        @at = index
        @server = inner.server
        @words = inner.words
      end

      def words_from(index)
        @parts[index..].take_while { |part| part.kind != :operator }.select { |part| part.kind == :word }
      end

      def nested(words)
        text = @inner.with(words, exec: true)
        quoted = text.include?("'") ? Shellwords.escape(text) : "'#{text}'"
        [*@parts[0...@at].map(&:text), quoted, *@parts[(@at + 1)..].map(&:text)].join
      end

      # `exec` before the command, behind variables that are set for it.
      def executed(before)
        start = before.rindex { |part| part.kind == :operator }.to_i
        start += 1 while before[start] && (before[start].kind != :word || before[start].text.match?(ASSIGNMENT))
        return before if before[start]&.text == "exec"

        before.dup.insert(start || before.size, Part.new(:word, "exec "))
      end

      def bundled(before)
        bundle = before.map(&:text).join.include?("bundle exec")
        bundle || @server != "rails" ? "licorne" : "bundle exec licorne"
      end
    end
  end
end
