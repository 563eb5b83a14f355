# frozen_string_literal: true

# A response of 1 MiB, and an upload that is read in pieces of 64 KiB.
class Large
  MIB = ("0123456789abcdef" * 65_536).freeze
  PIECE = 65_536

  def call(env)
    return answer(MIB) unless env["REQUEST_METHOD"] == "POST"

    piece = +""
    size = 0
    size += piece.bytesize while env["rack.input"].read(PIECE, piece)
    answer(size.to_s)
  end

  private

  def answer(content)
    [200, { "Content-Type" => "text/plain", "Content-Length" => content.bytesize.to_s }, [content]]
  end
end

run Large.new
