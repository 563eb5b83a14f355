# frozen_string_literal: true

module Licorne
  # The log files of this process: which they are, and opening them anew when they were rotated.
  module Logs
    FLAGS = File::WRONLY | File::APPEND
    private_constant :FLAGS

    module_function

    # Points standard output and error at these files. They become Ruby Files, so that reopening finds them.
    def redirect(stdout: nil, stderr: nil)
      to_file($stdout, stdout) if stdout
      to_file($stderr, stderr) if stderr
    end

    # Opens each log whose path is gone or names another file by now. Returns how many were.
    def reopen
      each.select { |file| rotated?(file) }.each { |file| reopen_one(file) }.size
    end

    # Gives all logs to this user and group: workers of another user must be able to reopen them.
    def chown(uid, gid)
      each { |file| file.chown(uid, gid) }
    end

    # A log is a regular File that is written at its end, unbuffered. Logger makes such ones; what the shell redirected
    # is an IO without a path, and not ours to open.
    def log?(file)
      !file.closed? && file.sync && file.path &&
        (fcntl_flags(file) & FLAGS) == FLAGS && file.stat.file?
    rescue IOError, SystemCallError
      false
    end

    def each(&block)
      logs = ObjectSpace.each_object(File).select { |file| log?(file) }
      block ? logs.each(&block) : logs
    end

    def to_file(stream, path)
      # Reopening on another IO, not on a path: only then does the stream become a File.
      File.open(path, "ab") { |file| stream.reopen(file) }
      stream.sync = true
    end

    def rotated?(file)
      now = File.stat(file.path)
      open = file.stat
      now.ino != open.ino || now.dev != open.dev
    rescue Errno::ENOENT
      true
    end

    def reopen_one(file)
      before = file.stat
      encodings = [file.external_encoding, file.internal_encoding]
      # dup2(2) underneath: there is no moment at which the descriptor is closed.
      File.open(file.path, "a") { |fresh| file.reopen(fresh) }
      file.set_encoding(*encodings) if encodings.first
      file.sync = true
      after = file.stat
      file.chown(before.uid, before.gid) if after.uid != before.uid || after.gid != before.gid
    end

    def fcntl_flags(file)
      file.fcntl(3) # F_GETFL; the fcntl library would be loaded for this number alone
    end
    private_class_method :to_file, :rotated?, :reopen_one, :fcntl_flags
  end
end
