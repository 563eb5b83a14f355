# frozen_string_literal: true

require "test_helper"
require "licorne/extension"

# Which build of the extension a Ruby loads, and what it is told where there is none.
class ExtensionTest < Minitest::Test
  BUILT = %w[3.1 3.3 3.4].freeze

  def test_a_gem_that_was_compiled_here_has_one
    assert_equal "licorne/licorne_ext", Licorne::Extension.feature([], release: "3.2")
    assert_equal "licorne/licorne_ext", Licorne::Extension.feature([], arch: "x86_64-linux-musl")
  end

  def test_a_gem_for_a_platform_has_one_for_each_release
    %w[3.1 3.3 3.4].each do |release|
      assert_equal "licorne/#{release}/licorne_ext", feature(release)
      assert_equal "licorne/#{release}/licorne_ext", feature(release, "x86_64-linux-gnu")
    end
  end

  def test_a_ruby_that_it_was_not_built_for_is_told_in_a_sentence
    assert_match(/\Alicorne: this gem is built for Ruby 3.1, 3.3, 3.4, and this is 3.2\. .*--platform ruby/, why("3.2"))
    assert_match(/and this is 4.0\./, why("4.0"))
  end

  def test_another_c_library_is_told_in_a_sentence
    assert_match(/\Alicorne: this gem is built for Linux with glibc, and this is x86_64-linux-musl\. /,
                 why("3.1", "x86_64-linux-musl"))
  end

  private

  def feature(release, arch = "x86_64-linux")
    Licorne::Extension.feature(BUILT, release: release, arch: arch)
  end

  def why(...)
    assert_raises(LoadError) { feature(...) }.message
  end
end
