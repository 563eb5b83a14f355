# frozen_string_literal: true

# Read by Unicorn, Pitchfork and Licorne alike. BENCH_MORE is a directive of a variant.
require "logger"

worker_processes Integer(ENV.fetch("BENCH_WORKERS", 1))
preload_app true if respond_to?(:preload_app)
logger Logger.new(File::NULL)
instance_eval(ENV.fetch("BENCH_MORE", ""))
