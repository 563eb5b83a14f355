# frozen_string_literal: true

require "socket"
require "licorne/logs"
require "licorne/native"

module Licorne
  # A listener that a hook binds by `server.listen`, in its own process. The master's listeners are none of these.
  #
  # A reload starts the new worker beside the old one of the same number, and the old one leaves only when the new one
  # is ready: both must be able to hold the address for a moment, or the new one would wait for ever. So TCP listeners
  # share the port (SO_REUSEPORT, socket(7)), and a UNIX socket of the predecessor is replaced in place.
  module OwnListener
    module_function

    # The canonical name of an address: "ip:port", "[ipv6]:port" or a path.
    def name(address)
      case address = address.to_s
      when /\A\*?:?(\d+)\z/ then "0.0.0.0:#{$1}"
      when /\Aunix:(.+)\z/ then File.expand_path($1)
      when /\A~/ then File.expand_path(address)
      when /\A\// then address
      when /\A(\[[\h:.]+\]|[^:\/]+)(?::(\d+))?\z/ then canonical($1.delete("[]"), $2 || 80)
      else raise ArgumentError, "Don't know how to bind: #{address}"
      end
    end

    # Binds and listens, trying again while the address is in use. Returns the socket and the name it has.
    def bind(name, options, logger)
      options = Native.complete_listener_options(options)
      tries, delay = options.values_at(:tries, :delay)
      begin
        socket = open_socket(name, options)
      rescue Errno::EADDRINUSE
        logger.error("adding listener failed addr=#{name} (in use)")
        raise if tries.zero?

        tries -= 1
        logger.error("retrying in #{delay} seconds (#{tries.negative? ? "infinite" : tries} tries left)")
        pause(delay)
        retry
      rescue SystemCallError
        logger.fatal("error adding listener addr=#{name}")
        raise
      end
      name = name_of(socket) unless name.start_with?("/")
      logger.info("listening on addr=#{name} fd=#{socket.fileno}")
      [socket, name]
    end

    # The version of the PROXY protocol that an option asks for.
    def proxy(options)
      Native.check_listener_option("proxy_protocol", options[:proxy_protocol])&.to_s
    end

    def name_of(socket)
      address = socket.local_address
      address.ipv6? ? "[#{address.ip_address}]:#{address.ip_port}" : "#{address.ip_address}:#{address.ip_port}"
    end

    def canonical(host, port)
      address = Addrinfo.tcp(host, port.to_s)
      address.ipv6? ? "[#{address.ip_address}]:#{port}" : "#{address.ip_address}:#{port}"
    end

    def open_socket(name, options)
      socket = name.start_with?("/") ? unix(name, options) : tcp(name, options)
      socket.setsockopt(:SOCKET, :RCVBUF, options[:rcvbuf]) if options[:rcvbuf]
      socket.setsockopt(:SOCKET, :SNDBUF, options[:sndbuf]) if options[:sndbuf]
      socket.listen(options[:backlog] || Native::BACKLOG)
      Native.set_cloexec(socket.fileno)
      socket
    rescue SystemCallError
      socket&.close
      raise
    end

    def tcp(name, options)
      host, _, port = name.rpartition(":")
      address = Addrinfo.tcp(host.delete("[]"), port)
      socket = Socket.new(address.afamily, :STREAM)
      socket.setsockopt(:SOCKET, :REUSEADDR, true)
      socket.setsockopt(:SOCKET, :REUSEPORT, true)
      socket.setsockopt(:SOCKET, :KEEPALIVE, true)
      socket.setsockopt(:TCP, :NODELAY, options[:tcp_nodelay] ? 1 : 0)
      socket.setsockopt(:TCP, :CORK, options[:tcp_nopush] ? 1 : 0) unless options[:tcp_nopush].nil?
      socket.setsockopt(:TCP, :DEFER_ACCEPT, options[:tcp_defer_accept])
      socket.setsockopt(:IPV6, :V6ONLY, options[:ipv6only] ? 1 : 0) if address.ipv6? && !options[:ipv6only].nil?
      socket.bind(address)
      socket
    rescue SystemCallError
      socket&.close
      raise
    end

    # Under another name first: there is no moment at which the path leads nowhere.
    def unix(path, options)
      check_replaceable(path)
      Socket.for_fd(Native.replace_socket(path, options[:umask], Logs.user))
    end

    # A path that is free, stale, or the predecessor's.
    def check_replaceable(path)
      return unless File.exist?(path)
      raise ArgumentError, "socket=#{path} specified but it is not a socket!" unless File.socket?(path)

      UNIXSocket.open(path) do |peer|
        pid, = peer.getsockopt(:SOCKET, :PEERCRED).unpack("i3")
        raise Errno::EADDRINUSE, path unless kin?(pid)
      end
    rescue Errno::ECONNREFUSED
      nil
    end

    # Whether that process is a worker of the same master, or of the one that this master succeeds.
    def kin?(pid)
      theirs = parent(pid)
      theirs == Process.ppid || (theirs > 1 && theirs == parent(Process.ppid))
    end

    # See proc(5), /proc/pid/stat; the name in it may hold blanks and brackets. 0 for a process that is gone.
    def parent(pid)
      File.read("/proc/#{pid}/stat").rpartition(")").last.split[1].to_i
    rescue SystemCallError
      0
    end

    def pause(seconds)
      sleep(seconds)
    end
    private_class_method :name_of, :canonical, :open_socket, :tcp, :unix, :check_replaceable, :kin?, :parent, :pause
  end
end
