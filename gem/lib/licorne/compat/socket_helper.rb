# frozen_string_literal: true

require "socket"

module Unicorn
  # Names of sockets, as the log and `listener_names` have them.
  module SocketHelper
    module_function

    # A path, "ip:port" or "[ipv6]:port". Anything but a socket is answered as it is.
    def sock_name(socket)
      return socket unless socket.respond_to?(:getsockname)

      address = Addrinfo.new(socket.getsockname)
      address.unix? ? address.unix_path : tcp_name(socket)
    end

    def tcp_name(socket)
      address = Addrinfo.new(socket.getsockname)
      host = address.ip_address
      "#{host.include?(":") ? "[#{host}]" : host}:#{address.ip_port}"
    end
  end
end
