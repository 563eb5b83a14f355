# frozen_string_literal: true

require "json"
require "licorne/native"

module Licorne
  # `licorne init --from FILE`: reads what another server was configured or started with, and writes the same for
  # Licorne. Nothing of it is evaluated. The program runs this in a Ruby of its own, and gets one line of JSON.
  module Conversion
    # What is wrong with a file, told with its name and line.
    class Error < StandardError; end

    CONFIGURATIONS = %w[config/puma/production.rb config/puma.rb].freeze
    POSSIBLE = "configurations of Puma, Unicorn and Pitchfork, Procfiles and sections of supervisord's can be converted"
    private_constant :CONFIGURATIONS, :POSSIBLE

    module_function

    # Prints what has become of the file.
    def main(path)
      puts(JSON.generate(convert(path)))
    rescue Error, SystemCallError => e
      puts(JSON.generate("error" => e.message))
    end

    def convert(path)
      text = read(path)
      place = place(text, path)
      return { **configuration(text, path), "start" => nil } unless place

      { **of_command(place, path), "procfile" => place.rewritten, "start" => start(place) }
    end

    def read(path)
      text = File.read(path, encoding: Encoding::UTF_8)
      raise Error, "#{path}: not UTF-8" unless text.valid_encoding?

      text
    rescue SystemCallError => e
      raise Error, "#{path}: #{e.class.new.message}"
    end

    # What starts a server, where the file is about that.
    def place(text, path)
      return Procfile.new(text, path) if File.basename(path).start_with?("Procfile")

      Supervisord.new(text, path) if text.match?(/^\[program:/)
    end

    def configuration(text, path, rules: nil)
      source = parsed(text, path)
      rules ||= rules(source)
      rewriter = Rewriter.new(source, rules)
      written = rewriter.text
      Source.new(written, "config/licorne.rb")
      { "config" => written, "server" => rules.server, "lost" => rewriter.lost }
    end

    def parsed(text, path)
      Source.new(text, path)
    rescue Error => e
      raise if path.end_with?(".rb")

      raise Error, "#{e.message}\n#{POSSIBLE}"
    end

    # By the file's name, or else by what is called in it.
    def rules(source)
      named = File.basename(source.path)[/pitchfork|unicorn|puma/] || source.path[%r{(?:\A|/)(puma)/[^/]+\z}, 1]
      named ||= called(source.names.calls.map(&:first))
      raise Error, "#{source.path}: there is no directive in it\n#{POSSIBLE}" unless named

      { "pitchfork" => Pitchfork, "puma" => Puma }.fetch(named, Unicorn).new
    end

    def called(names)
      servers = names.filter_map { |name| Native.foreign_directive(name)&.first&.downcase }
      return %w[pitchfork puma].find { |server| servers.include?(server) } unless servers.empty?

      "unicorn" if Native.directives.any? { |entry| names.include?(entry[:name]) }
    end

    # The configuration that a command names, with what its options say.
    def of_command(place, path)
      start = place.start
      config = find(start, place.facts["directory"], File.dirname(path))
      text = config ? read(config) : ""
      named = config || place.place
      return configuration(text, named, rules: by_server(start, text.lines.size)) if start.directives.empty?

      said = "\n# Of the command line (#{place.place}):\n#{start.directives.join("\n")}\n"
      configuration("#{text.chomp}\n#{said}".sub(/\A\n+/, ""), named, rules: by_server(start, text.lines.size))
    rescue Error => e
      { "config" => nil, "problem" => e.message }
    end

    def by_server(start, lines)
      case start.server
      when "puma", "rackup" then Puma.new(overridden: start.overridden, upto: lines)
      when "rails" then Puma.new(overridden: start.overridden, upto: lines, port: 3000)
      when "pitchfork" then Pitchfork.new
      else Unicorn.new
      end
    end

    def find(start, directory, beside)
      places = [directory, beside].compact
      if (named = start.config)
        found = places.map { |place| File.expand_path(named, place) }.find { |file| File.file?(file) }
        raise Error, "#{named}, which the command names, is not in #{places.join(" or ")}" unless found

        return shown(found)
      end
      return unless %w[puma rails].include?(start.server)

      found = places.product(CONFIGURATIONS).map { |parts| File.join(*parts) }.find { |file| File.file?(file) }
      found && shown(found)
    end

    # As it is seen from here.
    def shown(path)
      File.expand_path(path).delete_prefix("#{Dir.pwd}/")
    end

    def start(place)
      start = place.start
      { "place" => place.place, "command" => start.text, "executed" => start.text(exec: true), **place.facts }
    end
  end
end

require "licorne/conversion/source"
require "licorne/conversion/call"
require "licorne/conversion/rewriter"
require "licorne/conversion/values"
require "licorne/conversion/puma"
require "licorne/conversion/pitchfork"
require "licorne/conversion/places"
