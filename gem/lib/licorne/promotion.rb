# frozen_string_literal: true

require "licorne/double_fork"
require "licorne/fork_safety"
require "licorne/promoted_mold"

module Licorne
  # A worker forks the next mold, between two requests.
  class Promotion
    # The directive by which workers fork molds, if there is one.
    def self.directive(settings)
      return :refork_after if settings["refork_after"]

      :refork if settings["refork"] == "auto"
    end

    # `start` is what START_CTX was before the worker forgot it.
    def initialize(inheritance, start:)
      @inheritance = inheritance
      @start = start
      @prepared = inheritance.prepared
      @server = @prepared.server
      @safety = ForkSafety.new(hook_given: @prepared.settings["after_mold_fork"])
    end

    # Does what the master wants of this engine. Returns the mold in the new process, nil in the worker.
    def call(engine, app)
      generation, number = engine.take_promotion
      control = Native::Control.new(number)
      Native.keep_from_children([control.fileno])
      outcome = @safety.culprit([*engine.sockets, control.fileno]) || fork_mold(engine, control)
      return become(engine, control, generation, app) if outcome == true

      # Before the socket closes, which is an answer, too.
      refuse(generation, outcome) if outcome
      control.close
      nil
    end

    private

    # Returns true in the mold, nil in the worker when there is one, or else why there is none.
    def fork_mold(engine, control)
      ForkSafety.fork_or_culprit { engine.apart { DoubleFork.call(control) } || nil }
    rescue SystemCallError, DoubleFork::Failed => e
      ForkSafety::Culprit.new(text: Failure.text(e), for_good: false)
    end

    def refuse(generation, culprit)
      text = "worker=#{@inheritance.worker.nr} forks no mold: #{culprit.text}"
      @inheritance.control.not_promoted(generation, culprit.for_good, text)
    rescue IOError
      nil # the end of the master is about to be read
    end

    def become(engine, control, generation, app)
      forget_worker(engine)
      boot = @inheritance.boot.dup.tap { |copy| copy.generation = generation }
      @prepared.app = app
      PromotedMold.new(control, board: @inheritance.board, boot: boot, prepared: @prepared)
    end

    # What only a worker has. The sockets are the engine's, which closes them.
    def forget_worker(engine)
      sockets = [*Server::LISTENERS, *@server.own_listeners.map(&:first)]
      sockets.each { |socket| socket.autoclose = false }
      Server::LISTENERS.clear
      @server.own_listeners.clear
      @server.logger.count_losses(nil) if @server.logger.is_a?(PrintableLog)
      engine.let_go
      @inheritance.control.close
      Server::START_CTX.replace(@start)
      @server.config = @prepared.configurator
    end
  end
end
