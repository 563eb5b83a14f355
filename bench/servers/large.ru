# frozen_string_literal: true

# A response of 1 MiB, and an upload that is read in pieces of 64 KiB.
MIB = ("0123456789abcdef" * 65_536).freeze
PIECE = 65_536

run(lambda do |env|
  if env["REQUEST_METHOD"] == "POST"
    input = env["rack.input"]
    piece = +""
    size = 0
    size += piece.bytesize while input.read(PIECE, piece)
    [200, { "Content-Type" => "text/plain", "Content-Length" => size.to_s.bytesize.to_s }, [size.to_s]]
  else
    [200, { "Content-Type" => "text/plain", "Content-Length" => MIB.bytesize.to_s }, [MIB]]
  end
end)
