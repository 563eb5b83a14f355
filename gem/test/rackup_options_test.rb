# frozen_string_literal: true

require "test_helper"

class RackupOptionsTest < Minitest::Test
  include TestHelper

  def read(line, name = "config.ru")
    write(name, "# a comment\n#{line}\nrun nil\n")
    Licorne::RackupOptions.read(name)
  end

  def test_words_are_read_as_the_command_line_is
    options = read("#\\ -l 1 -l2 --listen=3 --lis 4 -Dw -o ::1 --port 0x10 -r set -I a:b --eval 1 -N -c x -P y ignored")
    assert_equal %w[1 2 3 4], options.listeners
    assert_equal ["::1", 16, true], [options.host, options.port, options.daemonize?]
    assert_equal [["warn"], %w[require set], %w[include a:b], %w[eval 1]], options.effects
  end

  def test_version_and_environment_are_those_of_the_program
    require "licorne/compat"
    write("config.ru", "#\\ -E staging -v\n")
    { "licorne" => "licorne v#{Licorne::VERSION}\n",
      "unicorn_rails" => "unicorn_rails v6.1.0 (licorne v#{Licorne::VERSION})\n" }.each do |program, version|
      said, = capture_io { assert_raises(SystemExit) { Licorne::RackupOptions.read("config.ru", program: program) } }
      assert_equal version, said
    end
    assert_equal %w[staging staging], ENV.values_at("RACK_ENV", "RAILS_ENV")
  ensure
    ENV.delete("RAILS_ENV")
  end

  def test_the_environment_is_set_at_once
    read("#\\ -E staging")
    assert_equal "staging", ENV.fetch("RACK_ENV")
  end

  def test_only_a_ru_file_has_options
    assert_empty read("#\\ -l 1", "app.rb").listeners
    assert_empty read("# \\ -l 1").listeners
  end

  def test_mistakes_name_file_and_line
    {
      "-x" => "invalid option: -x", "--frob" => "invalid option: --frob", "--e" => "ambiguous option: --e",
      "-l" => "missing argument: -l", "-p http" => "invalid argument: -p http"
    }.each do |words, text|
      assert_equal "config.ru:2: #{text}", assert_raises(ArgumentError) { read("#\\ #{words}") }.message
    end
  end

  def test_a_missing_file_is_named
    error = assert_raises(ArgumentError) { Licorne::RackupOptions.read("none.ru") }
    assert_equal "rackup file (none.ru) not readable", error.message
  end

  def test_effects_act_in_order_and_evaluated_lines_are_counted
    Licorne::Options.new.apply([["include", "x:y"], ["eval", "$licorne_lines = [__LINE__]"],
                                ["eval", "$licorne_lines << __LINE__ << __FILE__"]])
    assert_equal [1, 2, "-e"], $licorne_lines # rubocop:disable Style/GlobalVars
    assert_equal %w[x y], $LOAD_PATH.shift(2)
  end
end
