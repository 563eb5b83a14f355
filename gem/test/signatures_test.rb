# frozen_string_literal: true

require_relative "test_helper"
require "rbs"
require "rbs/cli"
require "licorne"
require "licorne/configurator"
require "licorne/rack_handler"
require "licorne/server"
require "licorne/timeout_report"
require "licorne/worker"

# The signatures of sig/ are valid, and true of the classes that they are about.
class SignaturesTest < Minitest::Test
  DIRECTORY = File.expand_path("../../sig", __dir__)
  CLASSES = %w[Embedded Configurator Server Worker TimeoutReport::Info].freeze
  MODULES = %w[::Licorne ::Licorne::RackHandler].freeze

  def test_each_type_is_known
    out = StringIO.new
    RBS::CLI.new(stdout: out, stderr: out).run(["-I", DIRECTORY, "validate"])
  rescue SystemExit
    flunk(out.string)
  end

  def test_each_method_is_there_and_takes_what_its_signature_says
    CLASSES.each do |name|
      signed(builder.build_instance(type_name("::Licorne::#{name}"))) do |method, types|
        check("#{name}##{method}", Licorne.const_get(name).instance_method(method), types)
      end
    end
    [*MODULES, "::Licorne::Server"].each do |name|
      signed(builder.build_singleton(type_name(name))) do |method, types|
        check("#{name}.#{method}", Object.const_get(name).method(method), types)
      end
    end
  end

  def test_each_directive_has_a_signature
    methods = builder.build_instance(type_name("::Licorne::Configurator")).methods
    assert_empty Licorne::Configurator::TABLE.keys - methods.keys
  end

  private

  def builder
    @builder ||= begin
      loader = RBS::EnvironmentLoader.new
      loader.add(path: Pathname(DIRECTORY))
      RBS::DefinitionBuilder.new(env: RBS::Environment.from_loader(loader).resolve_type_names)
    end
  end

  def type_name(text)
    RBS::Namespace.parse("#{text}::").to_type_name
  end

  # Each method that our files sign, with its overloads.
  def signed(definition)
    definition.methods.each do |name, method|
      ours = method.defs.select { |one| one.member.location&.buffer&.name.to_s.start_with?(DIRECTORY) }
      yield name, ours.map { |one| one.type.type } unless ours.empty?
    end
  end

  def check(label, method, types)
    types.each do |type|
      least = type.required_positionals.size
      least.upto(least + type.optional_positionals.size) do |count|
        assert takes?(method, count), "#{label} does not take #{count} arguments"
      end
    end
  end

  def takes?(method, count)
    method.arity.negative? ? count >= -method.arity - 1 && count <= most(method) : count == method.arity
  end

  def most(method)
    kinds = method.parameters.map(&:first)
    kinds.include?(:rest) ? Float::INFINITY : kinds.count { |kind| %i[req opt].include?(kind) }
  end
end
