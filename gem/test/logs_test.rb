# frozen_string_literal: true

require "test_helper"

class LogsTest < Minitest::Test
  include TestHelper

  def open_log(name, mode = "a", sync: true)
    File.open(File.join(@directory, name), mode).tap { |file| file.sync = sync }
  end

  def test_a_rotated_log_is_opened_anew_with_the_same_descriptor
    log = open_log("a.log")
    fd = log.fileno
    log.puts("before")
    File.rename("a.log", "a.log.1")
    assert_equal 1, Licorne::Logs.reopen
    log.puts("after")
    assert_equal %W[before\n after\n], [File.read("a.log.1"), File.read("a.log")]
    assert_equal [fd, true], [log.fileno, log.sync]
  ensure
    log&.close
  end

  def test_a_log_that_was_not_rotated_is_left_alone
    log = open_log("a.log")
    assert_equal 0, Licorne::Logs.reopen
  ensure
    log&.close
  end

  def test_only_files_that_are_appended_unbuffered_are_logs
    files = [open_log("a"), open_log("b", "a+"), open_log("c", sync: false), open_log("d", "w")]
    assert_equal [true, false, false, false], files.map { |file| Licorne::Logs.log?(file) }
    closed = open_log("e").tap(&:close)
    refute Licorne::Logs.log?(closed)
  ensure
    files&.each(&:close)
  end

  def test_a_log_that_cannot_be_opened_keeps_no_other_from_being_so
    logs = [open_log("a.log"), open_log("b.log"), open_log("c.log")]
    %w[a.log b.log c.log].each { |name| File.rename(name, "#{name}.1") }
    Dir.mkdir("b.log")
    assert_raises(Errno::EISDIR) { Licorne::Logs.reopen }
    logs.first.puts("a")
    logs.last.puts("c")
    assert_equal %W[a\n c\n], [File.read("a.log"), File.read("c.log")]
  ensure
    logs&.each(&:close)
  end

  def test_a_logger_with_a_path_is_found
    logger = Logger.new("app.log")
    File.rename("app.log", "app.log.1")
    assert_equal 1, Licorne::Logs.reopen
    logger.info("after")
    assert_match(/after/, File.read("app.log"))
  ensure
    logger&.close
  end

  def test_redirected_standard_error_is_a_log
    script = 'require "licorne/logs"; Licorne::Logs.redirect(stdout: "o", stderr: "e"); warn "1"; puts "2"; ' \
             'File.rename("e", "e.1"); n = Licorne::Logs.reopen; warn n'
    assert system(RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", script)
    assert_equal %W[1\n 2\n 1\n], %w[e.1 o e].map { |name| File.read(name) }
  end

  # As root, for an application of the user `nobody`, in a directory of that user.
  def in_a_directory_of_the_users
    return unless Process.euid.zero?

    File.chmod(0o755, @directory)
    Dir.mkdir("log")
    File.chown(65_534, 65_534, "log")
    File.write("secret", "precious")
    File.chmod(0o600, "secret")
    Licorne::Logs.user = ["nobody", nil]
    yield
    assert_equal ["precious", 0, 0o100600], [File.read("secret"), File.stat("secret").uid, File.stat("secret").mode]
  ensure
    Licorne::Logs.user = nil
  end

  def test_root_opens_a_log_of_the_users_as_the_user
    in_a_directory_of_the_users do
      log = open_log("log/a.log")
      File.rename("log/a.log", "log/a.log.1")
      assert_equal 1, Licorne::Logs.reopen
      assert_equal 65_534, File.stat("log/a.log").uid
      File.rename("log/a.log", "log/a.log.2")
      File.symlink("../secret", "log/a.log")
      assert_match(/symbolic link/, assert_raises(IOError) { Licorne::Logs.reopen }.message)
      log.puts("still there")
      assert_equal "still there\n", File.read("log/a.log.2")
      log.close
    end
  end

  def test_root_gives_no_log_away_that_the_user_may_have_put_there
    in_a_directory_of_the_users do
      File.symlink("../secret", "log/link")
      logs = [open_log("log/link"), open_log("log/own"), open_log("roots.log")]
      Licorne::Logs.chown(65_534, 65_534)
      assert_equal [0, 0, 65_534], logs.map { |log| log.stat.uid }
      logs.each(&:close)
    end
  end
end
