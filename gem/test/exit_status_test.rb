# frozen_string_literal: true

require "test_helper"

class ExitStatusTest < Minitest::Test
  QUESTIONS = %i[pid to_i to_s inspect exited? signaled? stopped? exitstatus termsig stopsig success? coredump?].freeze

  # Ruby's own answer for the same death is the reference.
  def test_it_answers_as_process_status_does
    ["exit 0", "exit 3", "exit 255", "kill -KILL $$", "kill -TERM $$", "ulimit -c 0; kill -SEGV $$"].each do |command|
      _, theirs = Process.wait2(spawn("sh", "-c", command))
      ours = Licorne::ExitStatus.build(theirs.pid, theirs.to_i)
      QUESTIONS.each do |question|
        want = theirs.public_send(question)
        got = ours.public_send(question)
        want.nil? ? assert_nil(got, "#{command} #{question}") : assert_equal(want, got, "#{command} #{question}")
      end
      assert_equal theirs, ours
      assert_kind_of Process::Status, ours
    end
  end

  def test_it_reads_as_unicorn_logs_it
    assert_equal "#<Process::Status: pid 1 exit 0>", Licorne::ExitStatus.build(1, 0).inspect
    assert_equal "pid 1 SIGKILL (signal 9)", Licorne::ExitStatus.build(1, 9).to_s
    assert_equal "pid 1 SIGABRT (signal 6) (core dumped)", Licorne::ExitStatus.build(1, 0x86).to_s
  end
end
