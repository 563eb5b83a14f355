# frozen_string_literal: true

# What `make run` serves with. The same file works for Unicorn.

root = File.expand_path("..", __dir__)

# Each worker serves one request at a time.
worker_processes Integer(ENV.fetch("WEB_CONCURRENCY", 2))

# Load the application once, then fork: memory is shared, and workers start at once.
preload_app true

# A request that takes longer is ended, with its worker.
timeout 30

working_directory root
pid File.join(root, "tmp/licorne.pid")
