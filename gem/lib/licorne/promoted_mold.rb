# frozen_string_literal: true

module Licorne
  # A mold that a worker has forked. It has an evaluated configuration and an application that has served.
  class PromotedMold < Mold
    def initialize(control, board:, boot:, prepared:)
      super(control)
      @board = board
      @boot = boot
      @prepared = prepared
      @server = prepared.server
    end

    private

    def prepare
      trap("URG", "DEFAULT")
      @server.title = @boot.method(:title)
      Process.setproctitle(@boot.title("mold"))
      @server.logger.info("mold gen=#{@boot.generation} spawned pid=#{Process.pid}") unless hook_given?
      call_hook
      SharedMemory.tidy
    end
  end
end
