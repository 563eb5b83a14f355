# frozen_string_literal: true

require "monitor"
require "socket"

module Licorne
  # Held while code runs during which no mold may be forked.
  FORK_LOCK = Monitor.new
  private_constant :FORK_LOCK

  # No worker forks a mold (`refork_after`) while a thread of it is in the block.
  def self.prevent_fork(&block)
    FORK_LOCK.synchronize(&block)
  end

  # Whether this process may be forked once it serves.
  module Info
    @fork_safe = true

    class << self
      def fork_safe?
        @fork_safe
      end

      # This worker is never forked from now on; another one is.
      def no_longer_fork_safe!
        @fork_safe = false
      end
    end
  end

  # Why a worker cannot be forked now: a fork has none of its threads, and shares its sockets.
  class ForkSafety
    # What is in the way; `for_good`: it always will be.
    Culprit = Struct.new(:text, :for_good, keyword_init: true)
    # How often a thread in `prevent_fork` is looked at, a millisecond each time.
    TRIES = 100
    HINT = "; with after_mold_fork, which is to take care of it, that is no reason"
    private_constant :TRIES, :HINT

    # Yields while no thread prevents a fork. Returns the culprit when one does.
    def self.fork_or_culprit
      lock = Licorne.const_get(:FORK_LOCK)
      TRIES.times do
        next sleep(0.001) unless lock.try_enter

        begin
          return yield
        ensure
          lock.exit
        end
      end
      Culprit.new(text: "a thread is in Licorne.prevent_fork", for_good: false)
    end

    # What is there now is shared with other workers already.
    def initialize(hook_given:)
      @hook_given = hook_given
      @inherited = sockets.values
    end

    # What is in the way now, if anything is. `own` are the numbers of the server's own sockets.
    def culprit(own)
      return Culprit.new(text: "it called no_longer_fork_safe!", for_good: true) unless Info.fork_safe?
      return if @hook_given

      text = thread || socket(own)
      text && Culprit.new(text: "#{text}#{HINT}", for_good: false)
    end

    private

    def thread
      thread = Thread.list.find { |other| other != Thread.current && !fork_safe?(other) }
      return unless thread

      place = thread.inspect[/ (\S+:\d+) /, 1]
      "thread #{[thread.name&.inspect, place && "of #{place}"].compact.join(" ")} would be missing".squeeze(" ")
    end

    # As Puma asks, and Rails says; Ruby's own thread of `timeout` comes back by itself.
    def fork_safe?(thread)
      thread.thread_variable_get(:fork_safe) || thread.name == "Timeout stdlib thread"
    end

    def socket(own)
      number, = sockets.find { |fd, inode| !own.include?(fd) && !@inherited.include?(inode) && shared?(fd) }
      number && "socket #{address(number)} would be shared (descriptor #{number})"
    end

    # By number, what tells each from others.
    def sockets
      Dir.children("/proc/self/fd").each_with_object({}) do |number, found|
        link = File.readlink("/proc/self/fd/#{number}")
        found[number.to_i] = link if link.start_with?("socket:") && number.to_i > 2
      rescue SystemCallError
        next # it was that of the directory
      end
    end

    # Of whole messages, as statsd's or syslog's, two processes may send.
    def shared?(number)
      with(number) { |socket| socket.getsockopt(:SOCKET, :TYPE).int != Socket::SOCK_DGRAM }
    rescue SystemCallError
      false
    end

    def address(number)
      with(number) do |socket|
        "to #{socket.remote_address.inspect_sockaddr}"
      rescue SystemCallError
        "at #{socket.local_address.inspect_sockaddr}"
      end
    end

    def with(number)
      yield BasicSocket.for_fd(number).tap { |socket| socket.autoclose = false }
    end
  end
end
