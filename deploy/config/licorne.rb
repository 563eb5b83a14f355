# frozen_string_literal: true

# A configuration to begin with. `licorne config` tells what holds, docs/reference.md every directive.

worker_processes :auto # as many as the machine, or the container, has processors
preload_app true # workers share the memory of the loaded application
listen "/run/licorne.sock"
pid "/srv/app/current/tmp/pids/licorne.pid"
timeout 60 # seconds that a request may take

# Each new worker answers this before it serves: a release that boots and does not work ends its own reload.
probe "/up"

# The first new worker serves for a minute beside the old ones. If more of its responses are errors, or it is slower,
# the release is undone.
canary workers: 1, watch: 60, max_error_ratio: 2, max_slowdown: 1.5

# For ten minutes `licorne rollback` goes back to the release before without booting it: for the memory of one loaded
# application.
# keep_previous 600
