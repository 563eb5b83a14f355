# frozen_string_literal: true

require "test_helper"
require "licorne/exec"

class ExecTest < Minitest::Test
  include TestHelper

  SERVER = Struct.new(:logger, :before_exec)

  # What the hook leaves behind, within so many seconds.
  def environment(seconds:, &hook)
    control, other = IO.pipe
    Licorne::Exec.environment(SERVER.new(logger, hook), control, seconds: seconds)
  ensure
    [control, other].each(&:close)
  end

  def test_the_environment_is_returned_however_large_it_is
    left = environment(seconds: 60) { |_server| ENV["MUCH"] = "x" * 200_000 }
    assert_equal 200_000, left["MUCH"].size
    assert_nil(environment(seconds: 60) { |_server| raise "broken" })
  end

  def test_a_hook_that_hangs_is_killed
    assert_nil(environment(seconds: 0.2) { |_server| sleep })
    assert_match(/before_exec took longer than 0.2 s, killing it/, @log.string)
    assert_raises(Errno::ECHILD) { Process.wait(-1, Process::WNOHANG) }
  end
end
