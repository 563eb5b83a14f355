# frozen_string_literal: true

require "test_helper"
require "rack"
require "rack/handler/licorne"

# How the options of rackup and of Rails become a command line.
class RackHandlerTest < Minitest::Test
  include TestHelper

  def arguments(**options)
    Licorne::RackHandler.arguments(options)
  end

  def setup
    super
    write("config.ru", "run nil\n")
  end

  def test_rack_finds_it_by_name
    handlers = defined?(Rack::Handler) ? Rack::Handler : Rackup::Handler
    assert_same Licorne::RackHandler, handlers.get("licorne")
  end

  # As rack 3 has it, in the gem rackup.
  def test_rackup_finds_it_by_name
    write("rackup/handler.rb".tap { FileUtils.mkdir_p("rackup") }, <<~RUBY)
      module Rackup
        module Handler
          def self.register(name, handler) = (@handlers ||= {})[name.to_sym] = handler
          def self.get(name) = @handlers[name.to_sym]
        end
      end
    RUBY
    script = 'require "rackup/handler/licorne"; print Rackup::Handler.get("licorne").name'
    paths = [@directory, File.expand_path("../lib", __dir__)].flat_map { |path| ["-I", path] }
    assert_equal "Licorne::RackHandler", IO.popen([RbConfig.ruby, *paths, "-e", script], &:read)
  end

  def test_options_become_a_command_line
    {
      {} => %w[-o 127.0.0.1 -p 8080],
      { Host: "::1", Port: "9292", environment: "deployment" } => %w[-o ::1 -p 9292 -E deployment],
      { Host: "h", Port: 1, pid: "/x.pid", daemonize: true } => %w[-o h -p 1 --pid-file /x.pid],
      { log_stdout: true, environment: "development" } => %w[-r licorne/rails_log -o 127.0.0.1 -p 8080 -E development],
      { include: %w[a b], require: ["set"], warn: true } => %w[-I a -I b -r set -w -o 127.0.0.1 -p 8080],
      { config_file: "u.rb", listen: "/x.sock" } => %w[-o 127.0.0.1 -p 8080 -c u.rb -l /x.sock]
    }.each { |options, words| assert_equal [*words, "config.ru"], arguments(**options), options.inspect }
  end

  # What `rails server` loads; the rest of Rails is in the tests of whole servers.
  def in_rails_server
    Object.const_set(:Rails, Module.new) unless defined?(Rails)
    Rails.const_set(:Server, Class.new)
    yield
  ensure
    Rails.send(:remove_const, :Server)
  end

  def test_rails_server_goes_by_its_configuration
    told = { Host: "localhost", Port: 3000 }
    in_rails_server { assert_equal %w[-o localhost -p 3000 -N config.ru], arguments(**told) }
    FileUtils.mkdir("config")
    write("config/licorne.rb", "")
    assert_equal %w[-o localhost -p 3000 config.ru], arguments(**told)
    in_rails_server do
      { {} => %w[-o localhost -p 3000],
        { user_supplied_options: %i[environment Port] } => %w[-l localhost:3000],
        { Host: "::1", user_supplied_options: [:Host] } => %w[-l [::1]:3000] }.each do |options, words|
        assert_equal ["-r", "licorne/rails_server", *words, "-N", "-c", "config/licorne.rb", "config.ru"],
                     arguments(**told, **options)
      end
    end
  end

  def test_an_application_without_a_file_cannot_be_served
    error = assert_raises(ArgumentError) { arguments(config: "none.ru") }
    assert_match(/rackup file; there is no none\.ru/, error.message)
    assert_raises(ArgumentError) { arguments(builder: "run nil") }
  end

  def test_rack_can_list_its_options
    assert_equal %w[config_file=FILE listen=ADDRESS], Licorne::RackHandler.valid_options.keys
  end
end
