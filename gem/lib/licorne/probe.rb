# frozen_string_literal: true

require "delegate"
require "licorne/failure"
require "licorne/own_request"

module Licorne
  # What a new worker has to answer before it serves. Its requests go through the whole application.
  class Probe
    # The answer was not right. The message says all of it: request, response, and what the application raised.
    class Failed < StandardError; end

    # How many lines of an exception's backtrace are told.
    FRAMES = 10
    private_constant :FRAMES

    # The options of the directive, ranges as lists of their ends.
    def self.plain(options)
      return options unless options.key?(:status)

      plain = [options[:status]].flatten(1).map do |item|
        next item unless item.is_a?(Range)

        [item.begin, item.exclude_end? ? item.end - 1 : item.end]
      end
      options.merge(status: plain)
    end

    # `settings` is what the directive's check answers.
    def initialize(settings)
      @settings = settings.transform_keys(&:to_s)
    end

    # Asks all there is to ask. Returns false when the worker was told to leave meanwhile.
    def pass?(engine, app, events)
      @settings["paths"].all? do |path|
        @line = "GET #{path}"
        @raised = nil
        answer = engine.probe(app, HeardEvents.new(events, self), request(path), @settings["timeout"].to_f)
        answer && judge(answer)
      end
    rescue Failed
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException -- what ends a worker ends its boot
      fail_with(what("the application ended the worker"), Failure.text(e))
    end

    # The application has raised this while it was asked.
    attr_writer :raised

    # What to tell of one that hangs there.
    def late(backtrace)
      [what(overdue), "the worker was in:", *Failure.theirs(backtrace)].join("\n")
    end

    # What the engine calls meanwhile: what is told of exceptions is heard.
    class HeardEvents < SimpleDelegator
      def initialize(events, probe)
        super(events)
        @probe = probe
      end

      def app_error(exception)
        @probe.raised = exception
        super
      end
    end

    private

    def request(path)
      fields = OwnRequest.fields("licorne-probe", @settings["headers"])
      lines = fields.map { |name, value| "#{name}: #{value}\r\n" }
      "GET #{path} HTTP/1.1\r\n#{lines.join}Connection: close\r\n\r\n"
    end

    def judge(answer)
      case answer
      when :late then fail_with(what(overdue))
      when :broken then fail_with(what("the response ended before it was whole"), *exception)
      else
        status, words, text = answer
        return true if @settings["status"].any? { |first, last| status.between?(first, last) }

        fail_with(what("#{words}, expected #{expected}"), *text.lines(chomp: true), *exception)
      end
    end

    def overdue
      "no response within #{@settings["timeout"]} s"
    end

    def expected
      @settings["status"].map { |first, last| first == last ? first.to_s : "#{first}..#{last}" }.join(" or ")
    end

    def exception
      @raised && Failure.text(@raised).lines(chomp: true).first(FRAMES + 1)
    end

    def what(happened)
      "probe #{@line}: #{happened}"
    end

    def fail_with(*lines)
      raise Failed, lines.join("\n"), []
    end
  end
end
