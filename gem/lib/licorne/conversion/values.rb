# frozen_string_literal: true

require "ripper"

module Licorne
  module Conversion
    # Expressions of a configuration as text, made to fit a directive here that asks for more.
    module Values
      # `"…"` or `'…'`: the quote and what is in it, as it is written.
      Text = Struct.new(:quote, :content) do
        def to_s = "#{quote}#{content}#{quote}"
        def plain? = quote == "'" || !content.include?('#{')
      end

      module_function

      # The string that an expression is; nil of anything else.
      def string(expression)
        tree = Ripper.sexp(expression)
        return unless tree && tree[1].size == 1 && tree[1][0][0] == :string_literal

        quote = expression[0]
        Text.new(quote, expression[1...-1]) if %w[" '].include?(quote) && expression[-1] == quote
      end

      # A literal number, or nil.
      def number(expression)
        text = string(expression)&.content || expression
        text.delete("_").to_i if text.match?(/\A\d[\d_]*\z/)
      end

      # What is an Integer where text may come from the environment.
      def integer(expression)
        literal = number(expression)
        return literal.to_s if literal
        return expression if expression.match?(/\AInteger\(|\.to_i\z|\.ceil\z/) && balanced?(expression)
        return "#{expression}.to_i" if expression.match?(/\AENV\[["']\w+["']\]\z/)

        "Integer(#{expression})"
      end

      # With something behind it: `.max`, for one.
      def grouped(expression)
        alone = expression.match?(/\A[\w.:@]+\z/) || expression.match?(/\A\w+(?:\.\w+)?\(.*\)\z/m)
        alone ? expression : "(#{expression})"
      end

      # `Integer(a) + Integer(b)` is more than one call.
      def balanced?(expression)
        tree = Ripper.sexp(expression)
        tree && %i[method_add_arg call].include?(tree[1][0][0])
      end
    end
  end
end
