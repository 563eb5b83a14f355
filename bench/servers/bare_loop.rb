# frozen_string_literal: true

# The limit of a server for an application: one process that reads, calls the application with an env that is ready, and
# writes. It looks at nothing of a request but its first line, and whether the connection is kept.
# bare_loop.rb HOST:PORT RACKUP
require "rack"
require "rack/mock"
require "socket"

host, port = ARGV.fetch(0).split(":")
APP, = Rack::Builder.parse_file(ARGV.fetch(1))
listener = TCPServer.new(host, Integer(port))
listener.listen(1024)

# What each request begins with, by the target: nothing of it is made twice.
READY = Hash.new { |envs, target| envs[target] = Rack::MockRequest.env_for(target) }
BUFFER = String.new(capacity: 16_384)

# Whether the connection stays.
def serve(client)
  client.readpartial(16_384, BUFFER)
  target = BUFFER[4...BUFFER.index(" ", 4)]
  status, fields, body = APP.call(READY[target].dup)
  content = +""
  body.each { |piece| content << piece }
  body.close if body.respond_to?(:close)
  stays = !BUFFER.include?("Connection: close")
  client.write(head(status, fields, content, stays), content)
  stays
rescue EOFError, SystemCallError
  false
end

def head(status, fields, content, stays)
  lines = +"HTTP/1.1 #{status} OK\r\ncontent-length: #{content.bytesize}\r\n"
  fields.each { |name, value| lines << "#{name}: #{value}\r\n" unless name.casecmp?("content-length") }
  lines << (stays ? "\r\n" : "connection: close\r\n\r\n")
end

clients = [listener]
loop do
  IO.select(clients).first.each do |ready|
    client = ready == listener ? listener.accept : ready
    # A new client has mostly sent its request by now: no second look for it.
    if serve(client)
      clients << client if ready == listener
    else
      client.close
      clients.delete(client)
    end
  end
end
