# frozen_string_literal: true

require "securerandom"
require "tmpdir"

module Unicorn
  # A temporary file without a name: no other process can open it, and nothing is left of it.
  class TmpIO < File
    MODE = RDWR | CREAT | EXCL
    private_constant :MODE

    def self.new(directory = Dir.tmpdir)
      path = join(directory, SecureRandom.hex(16))
      file = super(path, MODE, 0o600)
      unlink(path)
      file.binmode
      file.sync = true
      file
    rescue Errno::EEXIST
      retry
    end

    alias close! close
  end
end
