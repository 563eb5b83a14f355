# An application that lies to the master and to its colleagues, with what any application has: numbers of descriptors.
# frozen_string_literal: true

require "fiddle"
require "socket"

# What a worker can say and do.
module Liar
  BORN = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  VERSION = 2

  module_function

  def descriptors
    numbers = Dir.children("/proc/self/fd").map { |number| Integer(number) }
    numbers.to_h { |number| [number, File.readlink("/proc/self/fd/#{number}")] rescue [number, ""] }
  end

  def control
    number = ObjectSpace.each_object(Licorne::Native::Control).filter_map { |one| one.fileno rescue nil }.first
    Socket.for_fd(number).tap { |socket| socket.autoclose = false }
  end

  # The control socket has more than one number.
  def queue
    all = descriptors
    control = all[self.control.fileno]
    others = all.select { |_, path| path.start_with?("socket:") && path != control }.keys
    sockets = others.map { |number| Socket.for_fd(number).tap { |socket| socket.autoclose = false } }
    sockets.select { |socket| socket.getsockopt(:SOCKET, :TYPE).int == Socket::SOCK_SEQPACKET }
  end

  def board
    number, = descriptors.find { |_, path| path.include?("licorne-scoreboard") }
    IO.for_fd(number, "r+b", autoclose: false)
  end

  # What of memory that is shared with others this process has mapped: addresses and sizes.
  def mappings
    shared = File.readlines("/proc/self/maps").grep(/ rw-s .*memfd:licorne/)
    shared.map { |line| line[/\A\S+/].split("-").map(&:hex) }.map { |start, stop| [start, stop - start] }
  end

  # Through each descriptor and each mapping that there is.
  def write_everywhere(byte)
    descriptors.select { |_, path| path.include?("memfd:licorne") }.each_key do |number|
      memory = IO.for_fd(number, "r+b", autoclose: false)
      memory.pwrite(byte * memory.stat.size, 0)
    end
    mappings.each { |start, bytes| Fiddle::Pointer.new(start)[0, bytes] = byte * bytes }
  end

  def message(kind, fields = "", version: VERSION)
    [version, kind].pack("CC") + fields.b
  end

  def text(string)
    [string.bytesize].pack("V") + string.b
  end

  # To the master.
  def say(bytes, *descriptors)
    rights = descriptors.empty? ? [] : [Socket::AncillaryData.unix_rights(*descriptors)]
    control.sendmsg(bytes, 0, nil, *rights)
  end

  # To colleagues.
  def give(bytes, *descriptors)
    rights = descriptors.empty? ? [] : [Socket::AncillaryData.unix_rights(*descriptors)]
    queue.each { |socket| socket.sendmsg(bytes, Socket::MSG_DONTWAIT, nil, *rights) }
  end

  # A connection whose end waits for ten minutes, for a peer that does not read, whatever becomes of this process.
  def lingering
    socket = TCPSocket.new("127.0.0.1", Integer(ENV.fetch("SILENT_PORT")))
    socket.write_nonblock("x" * 65_536) while true
  rescue IO::WaitWritable
    socket.setsockopt(:SOCKET, :LINGER, [1, 600].pack("ii"))
    socket
  end

  def handoff(body: "\0", unsent: "\0", received: "\0\0\0\0\0", version: 1)
    [version, 1, 0, 0, 0].pack("C5") + [0].pack("V") + body + unsent + received
  end

  LIES = {
    # What is not a worker's to say, or not then.
    "forked-again" => -> { say message(16) },
    "forked-names-another" => -> { say message(16, [Integer(ENV.fetch("BYSTANDER"))].pack("V")) },
    "forked-of-version-1" => -> { say message(16, [1].pack("V"), version: 1) },
    "ready-again" => -> { say message(14) },
    "failed-while-it-serves" => -> { say message(15, text("\e[2J" * 1_000)) },
    "settings-of-a-mold" => -> { say message(11, text('{"pid":"/etc/passwd","worker_processes":4000000000}')) },
    "environment-of-a-mold" => -> { say message(12, text('{"LD_PRELOAD":"/tmp/evil.so"}')) },
    "fork-failed-of-a-mold" => -> { say message(13, [0].pack("V") + text("no")) },
    "logs-of-a-mold" => -> { say message(9) },
    "boot-of-a-master" => -> { say message(1, text("{}")) },
    "retire-of-a-master" => -> { say message(10, [1, 1, 0].pack("CCV")) },
    "pid-path-of-a-master" => -> { say message(6, text("/etc/passwd")) },
    "log-of-a-master" => -> { say message(8, [4].pack("C") + text("I, all is well\n")) },
    # What is no message.
    "unknown-kind" => -> { say message(99) },
    "future-version" => -> { say message(14, version: 255) },
    "nothing" => -> { say "" },
    "one-byte" => -> { say "\2" },
    "cut-short" => -> { say message(15, [100].pack("V") + "x") },
    "length-without-end" => -> { say message(15, [0xffffffff].pack("V")) },
    "no-text" => -> { say message(15, text("\xff\xfe")) },
    "left-over" => -> { say message(17, "x" * 1_000) },
    "too-long" => -> { say "\2\17" + "x" * 150_000 },
    # What comes with a message.
    "descriptors" => -> { say message(17), *Array.new(200) { File.open("/dev/null") } },
    "a-socket-that-lingers" => -> { say message(17), lingering },
    "sockets-that-linger-and-an-end" => lambda {
      say message(17), *Array.new(20) { lingering }
      exit!(1)
    },
    # Too much of it.
    "a-flood-of-words" => lambda {
      begin
        loop { say message(17) }
      rescue SystemCallError
        sleep # it is killed
      end
    },
    "a-flood-of-backtraces" => lambda {
      begin
        loop { say message(18, [1].pack("Q<") + text("x" * 90_000)) }
      rescue SystemCallError
        sleep # it is killed
      end
    },
    "a-flood-of-a-child" => lambda {
      copy = control.dup
      child = fork do
        loop { copy.send(message(14), 0) }
      rescue SystemCallError
        exit!(0)
      end
      Process.wait(child)
    },
    # Silence, while a request goes on.
    "a-closed-socket" => lambda {
      all = descriptors
      path = all[control.fileno]
      all.each { |number, other| IO.for_fd(number).close if other == path }
      sleep 3
    },
    "a-socket-that-is-shut" => lambda {
      control.shutdown
      sleep 3
    },
    # To colleagues.
    "queue-garbage" => -> { give Random.bytes(1_000) },
    "queue-nothing" => -> { 100.times { give "" } },
    "queue-no-connection" => -> { give handoff, File.open("/dev/zero") },
    "queue-four-gigabytes" => lambda {
      give handoff(received: "\1" + [0xffffffff].pack("V")), UNIXSocket.pair.first, File.open("/dev/zero")
    },
    "queue-body-without-end" => lambda {
      give handoff(body: "\2" + [2**64 - 1].pack("Q<")), UNIXSocket.pair.first, File.open("/dev/zero")
    },
    "queue-connections-that-linger" => lambda {
      10.times { give handoff, lingering }
      give handoff, lingering, lingering
    },
    "queue-leftovers" => lambda {
      kept = queue.map(&:dup)
      at_exit { kept.each { |socket| socket.sendmsg(handoff, 0, nil, Socket::AncillaryData.unix_rights(lingering)) } }
    },
    "queue-part-without-end" => lambda {
      give handoff(unsent: "\2\1" + [2**63, 2**63].pack("Q<Q<")), UNIXSocket.pair.first, File.open("/dev/zero")
    },
    # On its own seat and on the board, where others look.
    "memory-of-nonsense" => -> { write_everywhere("\xff".b) },
    "memory-of-ones" => -> { write_everywhere("\x01".b) },
    "a-board-that-is-cut" => lambda {
      [-> { board.truncate(0) }, -> { board.pwrite("x", 1025 * 64) }].each do |deed|
        deed.call
      rescue SystemCallError
        next
      end
    },
    # Answers to what it was not asked, and false ones.
    "backtraces-unasked" => -> { say message(18, [2**64 - 1].pack("Q<") + text("unasked")) },
    "false-backtraces" => lambda {
      trap(:URG) { 3.times { say message(18, [2**64 - 1].pack("Q<") + text("\e[2J\u202e" * 10_000)) } }
    },
    # Ends.
    "exit-255" => -> { exit!(255) },
    "exit-0" => -> { exit!(0) },
    "a-signal" => -> { Process.kill(:KILL, Process.pid); sleep },
    # Processes of another user. A process of the master's own user may end it.
    "signals-to-the-master" => lambda {
      next if Process.uid == File.stat("/proc/#{Process.ppid}").uid

      %i[KILL STOP INT QUIT].each do |signal|
        Process.kill(signal, Process.ppid)
      rescue Errno::EPERM
        next
      end
    }
  }.freeze

  # A worker that dies as soon as it is ready would have the next one wait.
  def lie(name)
    age = Process.clock_gettime(Process::CLOCK_MONOTONIC) - BORN
    sleep(1.5 - age) if age < 1.5
    LIES.fetch(name).call
  end
end

run lambda { |env|
  path = env["PATH_INFO"]
  Liar.lie(path.delete_prefix("/lie/")) if path.start_with?("/lie/")
  [200, { "content-type" => "text/plain" }, [path == "/lies" ? Liar::LIES.keys.join(" ") : Process.pid.to_s]]
}
