# frozen_string_literal: true

require "test_helper"
require "licorne/printable_log"

class PrintableLogTest < Minitest::Test
  def logged
    out = StringIO.new
    logger = Logger.new(out).extend(Licorne::PrintableLog)
    yield logger
    out.string
  end

  def test_control_characters_are_escaped
    error = RuntimeError.new("a\e[2Jb\u009Bc größer")
    error.set_backtrace(["/srv/\e]0;x\a.rb:1", "second"])
    text = logged { |logger| logger.error(error) }
    assert_match(/ERROR -- : a\\x1b\[2Jb\\u\{9b\}c größer \(RuntimeError\)\n\/srv\/\\x1b\]0;x\\x07\.rb:1\nsecond\n\z/,
                 text)
    assert_match(/: \uFFFD\\x1b\n\z/, logged { |logger| logger.info("\xFF\e".b) })
  end

  def test_a_formatter_that_was_given_says_what_it_wants
    red = logged do |logger|
      logger.formatter = ->(_, _, _, message) { "\e[31m#{message}\e[0m\n" }
      logger.info("red")
    end
    assert_equal "\e[31mred\e[0m\n", red
  end
end
