# frozen_string_literal: true

require "json"
require "socket"

# The master's end of a control channel, in Ruby: the messages of crates/wire, so that a test can play the master.
class Wire
  VERSION = 2
  KINDS = {
    boot: [1, %i[json]], proceed: [2, []], fork: [3, %i[slot generation seat names proxies]],
    worker_exited: [4, %i[slot pid status]], worker_processes: [5, %i[count]], pid_path: [6, %i[path]],
    before_exec: [7, []], log: [8, %i[severity text]], reopen_logs: [9, []],
    retire: [10, %i[drain hand_over linger_ms]],
    settings: [11, %i[json]], exec_environment: [12, %i[json]], fork_failed: [13, %i[slot text]], ready: [14, []],
    failed: [15, %i[text]], forked: [16, []], leaving: [17, []], backtraces: [18, %i[question text]]
  }.freeze
  TEXTS = %i[json path text].freeze

  # A connected pair: the master's end as a Wire, the child's as a Socket.
  def self.pair
    ours, theirs = Socket.pair(:UNIX, :SEQPACKET)
    [new(ours), theirs]
  end

  def initialize(socket)
    @socket = socket
    @socket.setsockopt(:SOCKET, :PASSCRED, true)
  end

  # The process that has sent the message that was received last, as the kernel says.
  attr_reader :sender

  def send(kind, fds = [], **fields)
    number, names = KINDS.fetch(kind)
    bytes = [VERSION, number].pack("CC").b
    names.each { |name| bytes << encode(kind, name, fields[name]) }
    rights = fds.empty? ? [] : [Socket::AncillaryData.unix_rights(*fds)]
    @socket.sendmsg(bytes, 0, nil, *rights)
  end

  # The next message as [kind, fields], or nil at the end. Raises after `seconds` without one.
  def receive(seconds = 60)
    raise "no message within #{seconds} s" unless @socket.wait_readable(seconds)

    bytes, _, _, credentials = @socket.recvmsg(1 << 17)
    @sender = credentials&.data&.unpack1("i")
    return if bytes.nil? || bytes.empty?

    number = bytes.getbyte(1)
    kind, (_, names) = KINDS.find { |_, (known, _)| known == number }
    @rest = bytes.byteslice(2..)
    [kind, names.to_h { |name| [name, decode(name)] }]
  end

  # The fields of the next message, which must be of this kind.
  def expect(kind, seconds = 60)
    got, fields = receive(seconds)
    raise "#{got.inspect} instead of #{kind}: #{fields}" unless got == kind

    fields
  end

  def close
    @socket.close
  end

  private

  def encode(kind, name, value)
    case name
    when :json then text(JSON.generate(value))
    when *TEXTS then text(value)
    when :names then [value.size].pack("V") + value.map { |item| text(item) }.join
    when :proxies then encode(kind, :names, value || [])
    when :severity then [value].pack("C")
    when :drain, :hand_over then [value ? 1 : 0].pack("C")
    when :slot then kind == :worker_exited ? [value ? 1 : 0, value || 0].pack("CV") : [value].pack("V")
    else [value].pack("l<")
    end
  end

  def text(value)
    [value.bytesize].pack("V") + value.b
  end

  def decode(name)
    return @rest.slice!(0, 8).unpack1("Q<") if name == :question
    return @rest.slice!(0, 4).unpack1("V") unless TEXTS.include?(name)

    value = @rest.slice!(0, @rest.slice!(0, 4).unpack1("V")).force_encoding(Encoding::UTF_8)
    return value unless name == :json

    value.empty? ? nil : JSON.parse(value)
  end
end
