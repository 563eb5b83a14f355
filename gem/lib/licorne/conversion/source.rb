# frozen_string_literal: true

require "ripper"

module Licorne
  module Conversion
    # A Ruby file as text that Ruby's own parser takes apart: into statements, comments, and what stands between the
    # head and the end of a statement of several lines. Nothing is evaluated, and every piece keeps its text.
    class Source
      # A piece of the file, and the line that it begins at. What is no statement is comments and empty lines.
      Piece = Struct.new(:text, :line, :statement) do
        def lines = line...(line + text.lines.size)
        def indent = text[/\A[ \t]*/]
      end
      # A statement of several lines: `if` or `before_fork do`, what is in it, `end`.
      Opened = Struct.new(:head, :inner, :tail)

      # What goes on in the next line, although this one could end there.
      CONTINUED = /\A\s*(?:\.(?!\.)|&\.|&&|\|\|)/
      BETWEEN = /\A\s*(?:else|elsif|when|in|rescue|ensure)\b/
      private_constant :CONTINUED, :BETWEEN

      attr_reader :text, :path

      def initialize(text, path)
        @text = text
        @path = path
        parser = Mistakes.new(text, path)
        parser.parse
        raise Error, "#{path}:#{parser.mistake}" if parser.mistake
      end

      def pieces
        self.class.split(@text, 1)
      end

      # Where methods without a receiver are called, and where constants are named: name by line.
      def names
        @names ||= Names.new(Ripper.sexp(@text))
      end

      # Tells the first mistake in a file, with its line.
      class Mistakes < Ripper
        attr_reader :mistake

        def on_parse_error(message)
          @mistake ||= "#{lineno}: #{message}"
          super
        end

        def compile_error(message)
          @mistake ||= "#{lineno}: #{message}"
          super
        end
      end
      private_constant :Mistakes

      class << self
        # The pieces of a text that begins at this line.
        def split(text, first)
          lines = text.lines
          pieces = []
          until lines.empty?
            break if lines.first.chomp == "__END__"

            taken = size(lines)
            line = first
            first += taken
            pieces.concat(piece(lines.shift(taken).join, line))
          end
          pieces
        end

        # A statement of several lines taken apart; nil where that is not possible.
        def open(piece)
          lines = piece.text.lines
          return unless lines.size > 1 && lines.last.match?(/\A\s*(?:end\b|\})/)

          head = (1...lines.size).find { |count| head?(lines.first(count).join) }
          return unless head

          inner = inner(lines[head...-1], piece.line + head)
          Opened.new(lines.first(head).join, inner, lines.last)
        end

        private

        # How many lines the first piece has.
        def size(lines)
          return lines.index { |line| line.start_with?("=end") }.to_i + 1 if lines.first.start_with?("=begin")
          return 1 if trivial?(lines.first)

          (1..lines.size).find { |count| whole?(lines.first(count).join) && !continued?(lines[count..]) } || lines.size
        end

        def piece(text, line)
          return [Piece.new(text, line, false)] if trivial?(text.lines.first) || text.start_with?("=begin")

          indent = text[/\A[ \t]*/]
          sentences(text).map { |part| Piece.new(part.sub(/\A\s*/, indent), line, true) }
        end

        # Several statements in one line, at their semicolons.
        def sentences(text)
          return [text] unless text.lines.one? && text.include?(";")

          parts = at_semicolons(text).reject { |part| part.strip.empty? }
          parts.all? { |part| whole?(part) } ? parts.map { |part| "#{part.chomp}\n" } : [text]
        end

        def at_semicolons(text)
          Ripper.lex(text).each_with_object([+""]) do |(_, type, token), parts|
            type == :on_semicolon && whole?(parts.last) ? parts << +"" : parts.last << token
          end
        end

        def inner(lines, first)
          pieces = []
          until lines.empty?
            count = between(lines)
            pieces.concat(split(lines.shift(count).join, first))
            pieces << Piece.new(lines.first, first + count, false) unless lines.empty?
            first += count + lines.shift(1).size
          end
          pieces
        end

        # How many lines stand before the next `else`. One that belongs to a statement among them is none.
        def between(lines)
          found = lines.each_index.find { |index| lines[index].match?(BETWEEN) && whole?(lines.first(index).join) }
          found || lines.size
        end

        def trivial?(line)
          line.match?(/\A\s*(?:#|$)/)
        end

        def whole?(text)
          return false if text.match?(/\\\s*\z/)

          # In a block `next` and `break` are right, too.
          !Ripper.new("proc do\n#{text}\nend").tap(&:parse).error?
        end

        def continued?(lines)
          following = lines.find { |line| !trivial?(line) }
          following&.match?(CONTINUED)
        end

        def head?(text)
          ["end", "}", "when 1\nend"].any? { |tail| whole?("#{text}\n#{tail}") }
        end
      end
    end

    # The receiverless calls and the constants of a parsed file.
    class Names
      attr_reader :calls, :constants

      CALLS = %i[vcall fcall command].freeze
      private_constant :CALLS

      def initialize(tree)
        @calls = []
        @constants = []
        walk(tree)
      end

      private

      def walk(node)
        return unless node.is_a?(Array)

        head, leaf = node
        @calls << [leaf[1], leaf[2][0]] if CALLS.include?(head) && leaf.is_a?(Array) && leaf[0] == :@ident
        @constants << [node[1], node[2][0]] if head == :@const
        node.each { |child| walk(child) }
      end
    end
  end
end
