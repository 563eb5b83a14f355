# frozen_string_literal: true

module Licorne
  module Conversion
    # What is known of Puma's directives, plugins and libraries.
    module PumaTables
      # Directives that are only called otherwise here.
      RENAMED = {
        "pidfile" => "pid", "first_data_timeout" => "header_timeout", "http_content_length_limit" => "body_limit"
      }.freeze

      FINDS = "not needed: `licorne status`, `reload` and `stop` find the server by its pid file or its directory"
      FRESH = "not needed: a reload starts a fresh Ruby, with the Gemfile of the release that it loads"
      STOPS = "not needed: `timeout` bounds a graceful stop as well"
      TLS = "a proxy does TLS: `licorne init nginx` prints one's configuration"
      DEATHS = "not needed: the master learns of a worker's death at once"
      NO_POOL = "not needed: a worker has no pool of threads"
      private_constant :FINDS, :FRESH, :STOPS, :TLS, :DEATHS, :NO_POOL

      # Those that have no equivalent, and why.
      GONE = {
        "state_path" => FINDS, "state_permission" => FINDS,
        "activate_control_app" => "#{FINDS}; for monitors: admin_listen 9293 (docs/operating.md)",
        "prune_bundler" => FRESH, "extra_runtime_dependencies" => FRESH,
        "on_restart" => "not needed: a reload starts a fresh process, and leaves this one's connections to it",
        "before_restart" => "not needed: a reload starts a fresh process, and leaves this one's connections to it",
        "restart_command" => "not needed: an upgrade executes the program that the server was started with",
        "tag" => "nothing like it: titles of processes name the program and its options",
        "daemonize" => "start with -D for that; not under systemd, supervisord or in a container",
        "quiet" => "not needed: requests are logged only where there is an access_log",
        "debug" => "nothing like it",
        "rackup" => "the command line names it: licorne -c config/licorne.rb FILE; without, it is config.ru",
        "app" => "the application is what the rackup file runs: move it to config.ru",
        "worker_shutdown_timeout" => STOPS, "force_shutdown_after" => STOPS,
        "drain_on_shutdown" => "not needed: what was accepted before a stop is served",
        "raise_exception_on_sigterm" => "not needed: SIGTERM finishes the requests and raises nothing",
        "shutdown_debug" => "instead: `licorne backtrace` shows where each worker is, at any time",
        "worker_check_interval" => DEATHS,
        "worker_culling_strategy" => "nothing like it: the workers with the highest numbers go first",
        "wait_for_less_busy_worker" => "not needed: a worker takes a connection only while it is idle",
        "queue_requests" => "not needed: requests and responses are always buffered, outside Ruby",
        "max_fast_inline" => "not needed: kept connections wait for their turn",
        "io_selector_backend" => "not needed: there is one",
        "mutate_stdout_and_stderr_to_sync_on_write" => "not needed: both are in sync",
        "reaping_time" => NO_POOL, "max_io_threads" => NO_POOL, "clean_thread_locals" => "nothing like it",
        "max_keep_alive" => "nothing like it: a connection may be kept for any number of requests",
        "idle_timeout" => "nothing like it: the server stays until it is told to stop",
        "nakayoshi_fork" => "not needed: a mold collects its garbage and closes the gaps before it forks",
        "silence_single_worker_warning" => "not needed: there is no such warning",
        "silence_fork_callback_warning" => "not needed: there is no such warning",
        "supported_http_methods" => "nothing like it: the application is asked with each method",
        "rack_url_scheme" => "instead: the proxy sets X-Forwarded-Proto",
        "set_default_host" => "write the host into `listen`",
        "bind_to_activated_sockets" => "not needed: the sockets that systemd passes are listened on in any case",
        "ssl_bind" => TLS,
        "custom_logger" => "instead: `logger`, with an object that answers debug, info, warn, error and fatal",
        "log_formatter" => "instead: logger(Logger.new($stderr, formatter: ->(level, time, program, text) { … }))",
        "lowlevel_error_handler" => "nothing like it: what the application raises is logged and answered with 500; " \
                                    "to report it, rescue it in a middleware",
        "on_stopped" => "nothing like it: the master runs no Ruby; `at_exit` in `after_fork` runs in each worker",
        "after_stopped" => "nothing like it: the master runs no Ruby; `at_exit` in `after_fork` runs in each worker",
        "on_booted" => "the master runs no Ruby. For what runs once, beside the workers: " \
                       "service(\"name\") { |service| …; service.wait } (docs/services.md)",
        "after_booted" => "the master runs no Ruby. For what runs once, beside the workers: " \
                          "service(\"name\") { |service| …; service.wait } (docs/services.md)",
        "after_refork" => "nothing like it: the worker that others are forked from does not serve again",
        "load" => "another configuration: convert it as well, and read it with instance_eval(File.read(path), path)",
        "get" => "this asks Puma's own settings", "inject" => "this is about Puma's own settings"
      }.freeze

      PLUGINS = {
        "tmp_restart" => 'restart_file "tmp/restart.txt"',
        "solid_queue" => 'service "solid_queue", command: ["bin/jobs"]',
        "tailwindcss" => 'service "tailwindcss", command: ["bin/rails", "tailwindcss:watch"]',
        "dartsass" => 'service "dartsass", command: ["bin/rails", "dartsass:watch"]',
        "litestream" => 'service "litestream", command: ["bin/rails", "litestream:replicate"]'
      }.freeze

      METRICS = "instead: admin_listen 9293 answers /metrics, /status and health checks (docs/operating.md)"
      private_constant :METRICS
      PLUGINS_GONE = {
        "systemd" => "not needed: systemd is told what the server does in any case (docs/systemd.md)",
        "heroku" => "not needed: WEB_CONCURRENCY and PORT are read in any case",
        "metrics" => METRICS, "telemetry" => METRICS, "statsd" => METRICS, "yabeda" => METRICS,
        "yabeda_prometheus" => METRICS, "puma_stats_logger" => METRICS
      }.freeze

      # What the configuration of Puma names, and what is to be used instead.
      CONSTANTS = {
        "PumaWorkerKiller" => "instead: max_requests, max_age, max_memory or memory_budget (docs/memory.md#recycling)",
        "PumaAutoTune" => "instead: a range of workers and memory_budget (docs/memory.md)",
        "Puma" => "this speaks to Puma"
      }.freeze
      LIBRARIES = {
        /\Apuma_worker_killer/ => CONSTANTS["PumaWorkerKiller"],
        /\Apuma_auto_tune/ => CONSTANTS["PumaAutoTune"],
        %r{\A(?:puma|rack/handler/puma)\b} => "not needed: a library for Puma"
      }.freeze
      SETTINGS = "this is about Puma's own settings"
    end
  end
end
