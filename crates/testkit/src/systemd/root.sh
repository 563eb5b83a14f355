#!/bin/sh
# Becomes systemd as the first process of fresh namespaces, on a copy of this machine's files that no other process sees.
#
# usage: root.sh STATE [GEM RELEASE]
#   STATE/shared     the test's files: /srv inside, writable
#   STATE/units      /etc/systemd/system inside
#   GEM, RELEASE     the gem's files and the directory of the program: inside as a checkout in /opt/licorne, read-only,
#                    with the program in /usr/local/bin; without them there is none
#
# There is a user `app`, as the files in deploy/ have it.
# Only units that are named here exist, so nothing of this machine's own services starts, whatever is installed.
set -eu
state=$1
units="basic.target sysinit.target local-fs-pre.target local-fs.target swap.target sockets.target timers.target
  paths.target slices.target multi-user.target network.target network-online.target shutdown.target umount.target
  final.target time-set.target systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket"
systemd=$(readlink -f /lib/systemd)

mount --make-rprivate /
# The upper layer must not lie below the lower one, and is gone with the last process when it is a tmpfs.
mkdir -p "$state/layer" "$state/root"
mount -t tmpfs -o mode=0755,size=1g layer "$state/layer"
mkdir "$state/layer/upper" "$state/layer/work"
root=$state/root
mount -t overlay -o "lowerdir=/,upperdir=$state/layer/upper,workdir=$state/layer/work" root "$root"

if [ $# -eq 3 ]; then
    mkdir -p "$root/opt/licorne/gem" "$root/opt/licorne/target/release" "$root/usr/local/bin"
    mount --bind "$2" "$root/opt/licorne/gem"
    mount --bind "$3" "$root/opt/licorne/target/release"
    mount -o remount,bind,ro "$root/opt/licorne/gem"
    mount -o remount,bind,ro "$root/opt/licorne/target/release"
    ln -sf /opt/licorne/target/release/licorne "$root/usr/local/bin/licorne"
fi
mkdir -p "$root/srv"
mount --bind "$state/shared" "$root/srv"
echo 'app:x:990:990::/srv/app:/usr/sbin/nologin' >>"$root/etc/passwd"
echo 'app:x:990:' >>"$root/etc/group"

mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mkdir "$root/run/units" "$root/run/generators"
for unit in $units; do
    [ ! -e "$systemd/system/$unit" ] || cp "$systemd/system/$unit" "$root/run/units/"
done
mount --bind "$root/run/units" "$root$systemd/system"
mount --bind "$root/run/generators" "$root$systemd/system-generators"
mkdir -p "$root/etc/systemd/system" "$root/etc/systemd/journald.conf.d" "$root/etc/systemd/system.conf.d"
mount --bind "$state/units" "$root/etc/systemd/system"
mkdir "$state/units/sysinit.target.wants"
ln -s "$systemd/system/systemd-journald.service" "$state/units/sysinit.target.wants/"
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' >"$root/etc/systemd/journald.conf.d/test.conf"
printf '[Manager]\nShowStatus=no\nStatusUnitFormat=name\n' >"$root/etc/systemd/system.conf.d/test.conf"
rm -f "$root/etc/machine-id" # an empty one would mean a first boot, which enables everything
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
: >"$root/etc/fstab"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"

# Devices of their own: what systemd does to the nodes of /dev must not happen to this machine's.
mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
mkdir -m 1777 "$root/dev/shm"
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    ln -s "/proc/self/${link#*:}" "$root/dev/${link%%:*}"
done
: >"$root/dev/console"
mkdir "$root/run/systemd"
echo licorne-test >"$root/run/systemd/container"

cd "$root"
mkdir run/before
pivot_root . run/before
exec chroot . /bin/sh -c 'umount -l /run/before && rmdir /run/before && cd / && exec env -i container=licorne-test \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"' sh \
    "$systemd/systemd" --system --log-target=journal-or-kmsg --unit=multi-user.target </dev/null
