# frozen_string_literal: true

require "licorne/backtraces"
require "licorne/native"
require "licorne/now_serving"
require "licorne/timeout_report"

module Licorne
  # What a worker does when the master asks something through its seat.
  module Answers
    private

    # The master has written into the seat what it wants to know, and sends this signal. One that came before there was
    # a trap for it did nothing.
    def heed_questions
      @questions ||= Native::Questions.new(@inheritance.page)
      trap("URG") do |_|
        report_request(caller) if @engine
        give_up(@probe.late(caller)) if @probe && @engine.probe_late?
        tell_backtraces
      end
      tell_backtraces
    end

    # What the trap has interrupted gets no error from here, and what is raised for it meanwhile comes afterwards.
    def tell_backtraces
      question = @questions.take
      return unless question

      backtrace = caller(2)
      Thread.handle_interrupt(Exception => :never) do
        serving = @engine ? NowServing.text(@engine) : ""
        @control.backtraces(question, [Backtraces.new(backtrace).to_s, serving].reject(&:empty?).join("\n"))
      rescue StandardError
        # The master does not listen, or the application has made Ruby's own methods fail: it goes without an answer.
        nil
      end
    end

    # The backtraces are taken now, the reports are written when a Logger can lock.
    def report_request(backtrace)
      slow, near = [true, false].map { |is_slow| @engine.request_to_report(is_slow) }
      slow &&= TimeoutReport.new(@worker, slow, backtrace, "request is slow")
      near &&= TimeoutReport.new(@worker, near, backtrace, "timeout is near")
      Thread.new { @events.slow(slow) } if slow
      Thread.new { @events.timeout(near) } if near
    end
  end
end
