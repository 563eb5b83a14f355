# frozen_string_literal: true

# What Ruby itself needs to load an application and answer one request: the floor for a server's start.
require "rack"
require "rack/mock"

rackup, target = ARGV
app, = Rack::Builder.parse_file(rackup)
status, _headers, body = app.call(Rack::MockRequest.env_for(target))
size = 0
body.each { |piece| size += piece.bytesize }
abort "status #{status}" unless status == 200 && size.positive?
exit!(0)
