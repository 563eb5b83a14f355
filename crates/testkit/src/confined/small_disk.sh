#!/bin/sh
# Becomes $CONFINED_PROGRAM where $TEST_DIR/$SMALL_DISK is a file system of $SMALL_DISK_SIZE.
set -eu
mkdir -p "$TEST_DIR/$SMALL_DISK"
# A user other than root has to be root of something, where there are no other users.
[ "$(id -u)" = 0 ] && as=--mount || as="--mount --map-root-user"
# shellcheck disable=SC2016,SC2086 # The inner shell expands them; these are several words.
exec unshare $as sh -c '
    mount -t tmpfs -o "size=$SMALL_DISK_SIZE" none "$TEST_DIR/$SMALL_DISK" && exec "$CONFINED_PROGRAM" "$@"' - "$@"
