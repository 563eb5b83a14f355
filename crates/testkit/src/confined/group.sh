#!/bin/sh
# Becomes $CONFINED_PROGRAM in the control group $CONTROL_GROUP.
set -eu
echo $$ >"$CONTROL_GROUP/cgroup.procs"
exec "$CONFINED_PROGRAM" "$@"
