# shellcheck shell=bash
# Before bin/debian.bash, where the other Debian is one for arm64: has what follows run in name spaces where the kernel runs
# programs of arm64 by qemu, unless this machine's does already.
#
# The name spaces have this machine's users. Needs Linux 6.7, where each user name space may have a binfmt_misc of its own.

if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    "$(dirname "$0")/debian-arm64" true
    # The numbers of users in the new name space are said from outside, by a process that is none of this one's children.
    exec 9> >({
        read -r pid
        for kind in gid uid; do
            awk '{ print $1, $1, $3 }' "/proc/self/${kind}_map" >"/proc/$pid/${kind}_map"
        done
    } <&0 &)
    wait $!
    # shellcheck disable=SC2016
    exec unshare --user --keep-caps --mount --propagation private bash -euc '
        echo $$ >&9
        exec 9>&-
        until read -r _ </proc/self/uid_map; do :; done
        mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
        "$1/debian-arm64" sh -c "cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register"
        shift
        exec setpriv --inh-caps -all --ambient-caps -all "$@"' enter "$(dirname "$0")" "$0" "$@"
fi

# Installs into $1, as that of bin/debian.bash does, but the files of the packages are all that is installed: qemu would
# take a quarter of an hour to configure them. What else is needed of that is done here.
install_debian() {
    local new=$1 mirror=$2 package
    # container: in a user name space no devices can be made, and none are needed.
    container=lxc debootstrap --foreign --arch=arm64 --variant=minbase --include="${packages// /,}" \
        "$suite" "$new" "$mirror" /usr/share/debootstrap/scripts/sid
    for package in "$new"/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory "$new"
    done
    cp "$new/usr/share/base-passwd/passwd.master" "$new/etc/passwd"
    cp "$new/usr/share/base-passwd/group.master" "$new/etc/group"
    ln -sf mawk "$new/usr/bin/awk"
    mkdir -p "$new"/usr/local/{bin,lib,share}
    declare -F complete >/dev/null && complete "$new" "$mirror"
    rm -rf "$new"/var/cache/apt/archives "$new/debootstrap"
}
