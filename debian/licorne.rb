# frozen_string_literal: true

# The configuration of each licorne@NAME that has none of its own. One that has says so in /etc/default/licorne-NAME:
#
#   OPTIONS="-c config/licorne.rb"
#
# licorne.5 lists every directive. `listen` and `pid` are not needed: the sockets are those of licorne@NAME.socket, and
# systemd knows the master.

worker_processes :auto # as many as the machine has processors
timeout 60 # seconds that a request may take

# Workers share the memory of the loaded application. It has to connect to its database after the fork, as Rails does.
# preload_app true

# access_log File.join(ENV["LOGS_DIRECTORY"], "access.log")
