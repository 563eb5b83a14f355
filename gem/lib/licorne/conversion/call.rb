# frozen_string_literal: true

require "ripper"

module Licorne
  module Conversion
    # The call of a directive, in the words of the file: `port ENV.fetch("PORT") { 3000 } if x # note`. Arguments,
    # block, modifier and note are text.
    class Call
      # `do |params| body end`, or in braces.
      Block = Struct.new(:braces, :params, :body, :line)

      OPENERS = %i[on_lparen on_lbracket on_lbrace on_tlambeg on_embexpr_beg].freeze
      CLOSERS = %i[on_rparen on_rbracket on_rbrace on_embexpr_end].freeze
      OPENING = %w[do begin case def class module if unless while until for].freeze
      # With these behind it a name is a variable, or the receiver of something.
      NO_CALL = %i[on_period on_rparen on_rbracket].freeze
      BEFORE_ARGUMENT = %w[* ** & ! - :: ->].freeze
      private_constant :OPENERS, :CLOSERS, :OPENING, :NO_CALL, :BEFORE_ARGUMENT

      attr_reader :name, :arguments, :block, :modifier, :note, :line

      # The call that a statement is; nil if it is something else.
      def self.parse(text, line)
        call = new(text, line)
        call if call.read
      end

      def initialize(text, line)
        @tokens = Ripper.lex(text)
        @line = line
        @arguments = []
      end

      def read
        space
        return unless @tokens.first&.at(1) == :on_ident

        @name = @tokens.shift[2]
        return unless argument_follows?

        @tokens.first&.at(1) == :on_lparen ? parenthesized : bare
        read_block && read_modifier
      end

      def argument
        arguments.first
      end

      # `if …`, behind a space.
      def condition
        modifier && " #{modifier}"
      end

      private

      def space
        @tokens.shift while @tokens.first && %i[on_sp on_ignored_nl].include?(@tokens.first[1])
      end

      def argument_follows?
        spaced = @tokens.first&.at(1) == :on_sp
        _, type, text = @tokens.find { |_, kind,| kind != :on_sp }
        return false if NO_CALL.include?(type) || (type == :on_lbracket && !spaced)
        return false if type == :on_kw && %w[and or].include?(text)
        return spaced && BEFORE_ARGUMENT.include?(text) if type == :on_op

        true
      end

      def parenthesized
        @tokens.shift
        depth = 1
        inside = @tokens.take_while do |token|
          depth += step(token)
          depth.positive?
        end
        @tokens.shift(inside.size + 1)
        split(inside)
      end

      # Up to a block of the directive's own, a modifier or the end of the line.
      def bare
        depth = 0
        inside = @tokens.take_while.with_index do |token, index|
          stops = depth.zero? && (ends?(token) || (token[1] == :on_lbrace && blank?(@tokens.first(index))))
          depth += step(token)
          !stops
        end
        @tokens.shift(inside.size)
        split(inside)
      end

      def blank?(tokens)
        tokens.all? { |_, type,| type == :on_sp }
      end

      def ends?(token)
        _, type, text = token
        type == :on_comment || type == :on_nl || (type == :on_kw && text == "do") || modifier?(token)
      end

      def modifier?(token)
        _, type, text, state = token
        type == :on_kw && %w[if unless].include?(text) && state.allbits?(Ripper::EXPR_LABEL)
      end

      def step(token)
        _, type, text = token
        return 1 if OPENERS.include?(type) || (type == :on_kw && OPENING.include?(text) && !modifier?(token))
        return -1 if CLOSERS.include?(type) || (type == :on_kw && text == "end")

        0
      end

      def split(tokens)
        depth = 0
        parts = [+""]
        tokens.each do |token|
          depth += step(token)
          depth.zero? && token[1] == :on_comma ? parts << +"" : parts.last << token[2]
        end
        @arguments = parts.map(&:strip).reject(&:empty?)
      end

      def read_block
        space
        opener = @tokens.first
        return true unless opener && (opener[1] == :on_lbrace || opener[2] == "do")

        @tokens.shift
        depth = 1
        inside = @tokens.take_while { |token| (depth += step(token)).positive? }
        @tokens.shift(inside.size + 1)
        @block = Block.new(opener[1] == :on_lbrace, parameters(inside), inside.map { |token| token[2] }.join,
                           @line + opener[0][0] - 1)
        true
      end

      # Takes `|index|` off the front of a block.
      def parameters(tokens)
        start = tokens.index { |_, type,| !%i[on_sp on_ignored_nl].include?(type) }
        return unless start && tokens[start][2] == "|"

        finish = (start + 1...tokens.size).find { |index| tokens[index][2] == "|" }
        tokens.slice!(0..finish)[start + 1...-1].map { |token| token[2] }.join
      end

      def read_modifier
        space
        modifier = []
        modifier << @tokens.shift[2] until @tokens.empty? || %i[on_comment on_nl].include?(@tokens.first[1])
        @modifier = modifier.join.strip
        @modifier = nil if @modifier.empty?
        comment = @tokens.find { |_, type,| type == :on_comment }
        @note = comment && comment[2].strip
        @modifier.nil? || @modifier.match?(/\A(?:if|unless)\b/)
      end
    end
  end
end
