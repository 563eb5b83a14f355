# frozen_string_literal: true

require "tmpdir"
require "logger"
require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"

# Where the database is, unless DATABASE_URL says so: it is made when it is missing.
ENV["DATABASE_URL"] ||= "sqlite3:#{Dir.tmpdir}/licorne-bench-#{Process.uid}.sqlite3?timeout=10000"

# A Rails application as production has it, for Rails 6.1 and later, of Debian's packages alone.
class Bench < Rails::Application
  config.root = File.expand_path("..", __dir__)
  config.load_defaults "#{Rails::VERSION::MAJOR}.#{Rails::VERSION::MINOR}"
  config.eager_load = true
  config.cache_classes = true if Rails::VERSION::MAJOR < 7
  config.enable_reloading = false if Rails::VERSION::STRING >= "7.1"
  config.consider_all_requests_local = false
  config.secret_key_base = "0" * 64
  config.hosts.clear
  config.logger = Logger.new(File::NULL)
  config.log_level = :info
  config.active_support.deprecation = :silence
end
