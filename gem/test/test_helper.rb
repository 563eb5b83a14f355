# frozen_string_literal: true

require "minitest/autorun"
require "tmpdir"
require "logger"
require "stringio"
require "licorne/mold"

# What several tests need: a directory of their own, and configurations from a text.
module TestHelper
  def setup
    @directory = File.realpath(Dir.mktmpdir("licorne"))
    @start = Dir.pwd
    @environment = ENV.to_h
    Dir.chdir(@directory)
  end

  def teardown
    Dir.chdir(@start)
    ENV.replace(@environment)
    FileUtils.remove_entry(@directory)
  end

  def write(name, text)
    path = File.join(@directory, name)
    File.write(path, text)
    path
  end

  # The configurator after it has read this text as u.rb.
  def configure(text = "")
    write("u.rb", text)
    @start_ctx = { 0 => "licorne", argv: [], cwd: @directory }
    Licorne::Configurator.new(start_ctx: @start_ctx, config_file: "u.rb").tap(&:evaluate)
  end

  # The settings of this configuration, with a command line given as members of the Boot message.
  def settings(text = "", rackup: "run nil\n", **boot)
    write("config.ru", rackup)
    configurator = configure(text)
    options = Licorne::RackupOptions.read("config.ru")
    Licorne::Settings.new(boot: Licorne::Boot.from(boot), configurator: configurator, rackup_options: options,
                          start_ctx: @start_ctx).to_h
  end

  # A logger into a text, and the text.
  def logger
    @log = StringIO.new
    Logger.new(@log, formatter: ->(severity, _, _, message) { "#{severity} #{message}\n" })
  end
end
