# frozen_string_literal: true

# Read by Unicorn and by Licorne alike.
require "logger"

worker_processes Integer(ENV.fetch("BENCH_WORKERS", 1))
preload_app true
logger Logger.new(File::NULL)
