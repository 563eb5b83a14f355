# frozen_string_literal: true

# Licorne's part of Capistrano's config/deploy.rb. The tasks come with `require "licorne/capistrano"` in the Capfile;
# what each setting means, and those that are not here: docs/deploys.md.

# What a server is started with, for licorne:check and licorne:start.
set :licorne_config, "config/unicorn.rb"
# Which master is meant. Without it: the one that runs in `current`.
set :licorne_pid, "/srv/app/current/tmp/pids/licorne.pid"
# What each new worker has to answer before it serves; not needed where the configuration says so.
set :licorne_probe, "/up"
# The first new worker of the first machine serves for a minute beside the old ones, and has to do as well as they.
set :licorne_canary, 1
set :licorne_watch, 60
