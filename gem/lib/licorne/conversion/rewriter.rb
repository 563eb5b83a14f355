# frozen_string_literal: true

module Licorne
  module Conversion
    # What becomes of a directive: statements to write instead, a hook, or nothing; and a remark for the reader.
    Rewrite = Struct.new(:statements, :hook, :remark) do
      def self.to(*statements, remark: nil) = new(statements, nil, remark)
      def self.keep(remark) = new(nil, nil, remark)
      def self.gone(reason) = new([], nil, reason)
      def self.hook(hook, remark: nil) = new(nil, hook, remark)
    end
    # A block for one of our hooks: its parameters, what its body begins and ends with, and the block that holds it.
    Hook = Struct.new(:directive, :parameters, :opening, :closing, :within, keyword_init: true)

    # Writes a configuration anew, statement by statement, by the rules of the server that it was written for. What no
    # rule is about stays as it is; what has no equivalent stays as a comment, with the reason below it.
    class Rewriter
      # Text, whether any of it is code, and whether some of it was.
      Chunk = Struct.new(:text, :live, :was)

      # How many statements have no equivalent.
      attr_reader :lost

      def initialize(source, rules)
        @source = source
        @rules = rules
        @calls = []
        @lost = 0
      end

      def text
        survey(@source.pieces, 0)
        @rules.survey(@calls)
        @collected = @rules.adds_hooks? ? hooks.tally.select { |_, count| count > 1 }.keys : []
        @lost = 0
        head, rest = prelude(@source.pieces)
        body = rest.map { |piece| chunk(piece).text }.join
        [head, beginning, body.chomp("\n"), "\n", ending].join
      end

      private

      # The directives of the hooks that stay, each as often as it is given.
      def hooks
        @calls.filter_map do |call, _|
          hook = @rules.rewrite(call)&.hook
          hook.directive if hook && stays?(body(call))
        end
      end

      def body(call)
        Source.split(call.block.body, call.block.line).map { |part| inside(part) }
      end

      # `if` and `end` alone are no use, nor is a hook that does nothing any more.
      def stays?(inner)
        inner.none?(&:was) || inner.any? { |part| part.live && part.was }
      end

      # What must stay first.
      MAGIC = /\A#(?:!|.*-\*-|\s*(?:\w*coding|frozen_string_literal|typed|warn_indent|shareable_constant_value):)/
      private_constant :MAGIC

      def prelude(pieces)
        head = pieces.take_while { |piece| piece.text.match?(MAGIC) }
        rest = pieces.drop(head.size).drop_while { |piece| piece.text.strip.empty? }
        [head.empty? ? "" : "#{head.map(&:text).join}\n", rest]
      end

      def beginning
        lists = @collected.map do |name|
          "# The last `#{name}` counts; these blocks are all called, as in #{@rules.server}.\n#{list(name)} = []\n"
        end
        [@rules.header(@source.path), "\n", *@rules.before, *lists, (@rules.before + lists).empty? ? "" : "\n"].join
      end

      def ending
        calls = @collected.map do |name|
          parameters = @rules.parameters(name)
          "#{name} { |#{parameters}| #{list(name)}.each { |block| block.call(#{parameters}) } }\n"
        end
        (calls.empty? ? "" : "\n") + calls.join + @rules.after
      end

      def list(name)
        "#{name}_blocks"
      end

      # The directives that there are, and how deep in other statements each stands.
      def survey(pieces, depth)
        pieces.select(&:statement).each do |piece|
          call = Call.parse(piece.text, piece.line)
          next @calls << [call, depth] if call && @rules.rewrite(call)

          opened = Source.open(piece) if objection(piece) || looked_into?(piece)
          survey(opened.inner, depth + 1) if opened
        end
      end

      def chunk(piece)
        return Chunk.new(piece.text, !piece.text.match?(/\A\s*(?:#|$|else|=begin)/), false) unless piece.statement

        call = Call.parse(piece.text, piece.line)
        rewrite = call && @rules.rewrite(call)
        rewrite ? rewritten(piece, call, rewrite) : other(piece)
      end

      # A statement that is no directive. Where one is in it, that is rewritten; where it cannot be, all of it goes.
      def other(piece)
        reason = objection(piece)
        opened = Source.open(piece) if reason || looked_into?(piece)
        return Chunk.new(piece.text, true, true) unless reason || opened
        return cross_out(piece, reason) if opened.nil? || head_objection(piece, opened)

        inner = opened.inner.map { |part| chunk(part) }
        wrapped(opened.head, inner, opened.tail)
      end

      def wrapped(head, inner, tail)
        text = [head, *inner.map(&:text), tail].join
        alive = stays?(inner)
        Chunk.new(alive ? text : commented(text), alive, true)
      end

      def objection(piece)
        on_lines(piece.lines, piece.text)
      end

      # Whether there may be something to say in it, although nothing in it has to go.
      def looked_into?(piece)
        @rules.looks_for?(@source.names.calls.filter_map { |name, line| name if piece.lines.cover?(line) })
      end

      def head_objection(piece, opened)
        lines = piece.line...(piece.line + opened.head.lines.size)
        on_lines(lines, opened.head)
      end

      def on_lines(lines, text)
        named = ->(all) { all.filter_map { |name, line| name if lines.cover?(line) } }
        @rules.objection(named.call(@source.names.calls), named.call(@source.names.constants), text)
      end

      def rewritten(piece, call, rewrite)
        return hooked(piece, call, rewrite) if rewrite.hook
        return Chunk.new(remark(piece, rewrite) + piece.text, true, true) unless rewrite.statements
        return cross_out(piece, rewrite.remark) if rewrite.statements.empty?

        note = call.note && " #{call.note}"
        lines = rewrite.statements.map { |statement| "#{piece.indent}#{statement}#{call.condition}" }
        Chunk.new("#{remark(piece, rewrite)}#{lines.join("\n")}#{note}\n", true, true)
      end

      def remark(piece, rewrite)
        return "" unless rewrite.remark

        rewrite.remark.lines.map { |line| "#{piece.indent}# #{line.chomp}\n" }.join
      end

      def cross_out(piece, reason)
        @lost += 1
        Chunk.new("#{commented(piece.text)}#{piece.indent}# ^ #{reason}\n", false, true)
      end

      def commented(text)
        indent = text[/\A[ \t]*/]
        text.lines.map do |line|
          next line if line.strip.empty?

          "#{indent}# #{line.delete_prefix(indent).sub(/\A(\s*)# ?/, '\1')}"
        end.join
      end

      def hooked(piece, call, rewrite)
        body = body(call)
        unless stays?(body)
          lines = [piece.text.lines.first, *body.map(&:text).drop(1), piece.text.lines.last]
          return Chunk.new(commented(lines.join), false, true)
        end

        code = HookText.new(rewrite.hook, call, body.map(&:text).join, piece.indent)
        listed = @collected.include?(rewrite.hook.directive) && list(rewrite.hook.directive)
        Chunk.new("#{remark(piece, rewrite)}#{code.text(listed)}", true, true)
      end

      # In a block of a hook there are no directives, but there may be what speaks to the other server.
      def inside(piece)
        return Chunk.new(piece.text, false, false) unless piece.statement

        call = Call.parse(piece.text, piece.line)
        reason = (call && @rules.unneeded(call)) || foreign(piece)
        return Chunk.new(piece.text, true, true) unless reason

        opened = Source.open(piece)
        return cross_out(piece, reason) if opened.nil? || foreign(Source::Piece.new(opened.head, piece.line, true))

        wrapped(opened.head, opened.inner.map { |part| inside(part) }, opened.tail)
      end

      def foreign(piece)
        constants = @source.names.constants.filter_map { |name, line| name if piece.lines.cover?(line) }
        @rules.objection([], constants, piece.text)
      end
    end

    # The text of a hook, as one line where it was one.
    class HookText
      def initialize(hook, call, body, indent)
        @hook = hook
        @call = call
        @body = body
        @indent = indent
      end

      def text(list)
        opening = list ? "#{list} << lambda" : @hook.directive
        note = @call.note && " #{@call.note}"
        "#{@body.include?("\n") ? long(opening) : short(opening)}#{@call.condition}#{note}\n"
      end

      private

      def short(opening)
        body = [@hook.opening, @body.strip, @hook.closing].compact.join("; ")
        body = "#{@hook.within} { #{body} }" if @hook.within
        "#{@indent}#{opening} { |#{@hook.parameters}| #{body} }"
      end

      def long(opening)
        body = @body.sub(/\A[ \t]*\n/, "").sub(/[ \t]*\z/, "")
        body = "#{@indent}  #{@hook.opening}\n#{body}" if @hook.opening
        body = "#{body}#{@indent}  #{@hook.closing}\n" if @hook.closing
        body = "#{@indent}  #{@hook.within} do\n#{body.gsub(/^(?=.)/, "  ")}#{@indent}  end\n" if @hook.within
        "#{@indent}#{opening} do |#{@hook.parameters}|\n#{body}#{@indent}end"
      end
    end
  end
end
