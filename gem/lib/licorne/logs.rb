# frozen_string_literal: true

require "licorne/native"

module Licorne
  # The log files of this process: which they are, and opening them anew when they were rotated.
  module Logs
    FLAGS = File::WRONLY | File::APPEND
    # Names a file and opens nothing: see open(2), O_PATH.
    PATH_ONLY = 0o10000000
    private_constant :FLAGS, :PATH_ONLY

    class << self
      # The user that the application runs as, if the configuration says it: [name, group or nil].
      attr_accessor :user

      # The access log, in a mold and until a worker has the user that it serves as. A worker's own is the engine's.
      attr_accessor :access
    end

    module_function

    # Points standard output and error at these files. They become Ruby Files, so that reopening finds them.
    def redirect(stdout: nil, stderr: nil)
      to_file($stdout, stdout) if stdout
      to_file($stderr, stderr) if stderr
    end

    # Opens the access log as one of these logs, as a Ruby File: it is opened anew and given away with them.
    def open(path)
      fd = Native.open_log(path, Logs.user, nil)
      file = File.open(path, FLAGS | PATH_ONLY)
      Native.put_descriptor(fd, file.fileno)
      file.sync = true
      file
    end

    # Opens each log whose path is gone or names another file by now. Returns how many were. One that cannot be opened
    # keeps no other from being so, and is raised in the end.
    def reopen
      failure = nil
      opened = each.count do |file|
        rotated?(file) && reopen_one(file)
      rescue IOError, SystemCallError => e
        failure ||= e
        false
      end
      raise failure if failure

      opened
    end

    # Gives the logs to this user and group: workers of another user must be able to reopen them. Only those in
    # directories of root's: in all others the user may have put there what is no log.
    def chown(uid, gid, user = Logs.user)
      each { |file| Native.give_log(file.fileno, file.path, user, uid, gid) }
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
      fd = Native.open_log(path, Logs.user, nil)
      # Reopening on another IO, not on a path: only then does the stream become a File.
      File.open(path, FLAGS | PATH_ONLY) { |file| stream.reopen(file) }
      Native.put_descriptor(fd, stream.fileno)
      stream.binmode
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
      # There is no moment at which the descriptor is closed, and nothing that Ruby holds back: the log is unbuffered.
      Native.put_descriptor(Native.open_log(file.path, Logs.user, file.fileno), file.fileno)
      true
    end

    def fcntl_flags(file)
      file.fcntl(3) # F_GETFL; the fcntl library would be loaded for this number alone
    end
    private_class_method :to_file, :rotated?, :reopen_one, :fcntl_flags
  end
end
