# frozen_string_literal: true

require "licorne/failure"

module Licorne
  # `worker_processes = 4` in a configuration file assigns a local variable, which does nothing. One that is read
  # somewhere is the user's own; one that is not is a directive with an equals sign too many.
  module AssignedDirectives
    module_function

    # Raises if the file assigns a variable by one of these names, of directives that were not given, and never reads
    # it.
    def refuse(text, path, names)
      return unless /^\s*(?:#{Regexp.union(names.map(&:to_s)).source})\s*=[^=~>]/.match?(text)

      name, line = unread(RubyVM::AbstractSyntaxTree.parse(text), names)
      return unless name

      raise ConfigError.new("#{path}:#{line}: `#{name} = …` only sets a local variable of Ruby: " \
                            "write `#{name} …`, without the equals sign"), cause: nil
    end

    # The first such variable of the file's own scope, and its line.
    def unread(tree, names)
      assigned = {}
      walk(tree) do |node|
        case node.type
        when :LASGN then assigned[node.children.first] ||= node.first_lineno
        when :LVAR, :DVAR then names -= node.children
        end
      end
      assigned.find { |name, _| names.include?(name) && tree.children.first.include?(name) }
    end

    def walk(node, &block)
      return unless node.is_a?(RubyVM::AbstractSyntaxTree::Node)

      block.call(node)
      node.children.each { |child| walk(child, &block) }
    end
    private_class_method :unread, :walk
  end
end
