# shellcheck shell=bash
# Runs a command in another Debian: bin/debian-13 and others are this, with a name ($debian), a suite ($suite), its packages
# ($packages) and what else is to be done once they are there (complete).
#
# The first time it installs that Debian in a directory of the user's cache (two minutes, 1 GB), from the mirror that
# this machine's apt uses. The command sees the checkout, the Rust toolchain, /tmp, /proc, /dev and /sys at their places,
# everything else is the other Debian's. What it builds goes to a directory of that name in cargo's target directory;
# LICORNE_BIN names the program there. The command becomes this process, so that it may be the runner of cargo and
# nextest.
#
# Where $bare is said, the command sees no Rust, and what it changes in that Debian is forgotten when it has ended.
#
# With `--root` as the command it tells where that Debian is, instead.

[ $# -ge 1 ] || { echo "usage: $0 COMMAND [ARGUMENT...]" >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd -P)
# Other packages make another installation: they are part of its name.
root=${XDG_CACHE_HOME:-$HOME/.cache}/licorne/$debian-$(cksum <<<"$packages" | cut -d ' ' -f 1)

say() { printf 'bin/%s: %s\n' "$debian" "$*" >&2; }

# What is done in the new installation, whose mirror is $2, after its packages are there.
declare -F complete >/dev/null || complete() { :; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The archive that packages of this machine come from, not its security updates.
mirror() {
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SUITE) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "Debian" { print $NF; exit }'
}

# Installs into $1, in a mount namespace of its own: what an interrupted installation has mounted goes with it.
declare -F install_debian >/dev/null || install_debian() {
    local new=$1 mirror=$2
    # A debootstrap older than the suite has no script for it; that of sid serves every suite.
    debootstrap --variant=minbase "$suite" "$new" "$mirror" /usr/share/debootstrap/scripts/sid
    cp /etc/resolv.conf "$new/etc/resolv.conf"
    apt-config dump Acquire >"$new/etc/apt/apt.conf.d/90host"
    mount --rbind /proc "$new/proc"
    mount --rbind /dev "$new/dev"
    # What serves (nginx) is not to be started.
    printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
    chmod 0755 "$new/usr/sbin/policy-rc.d"
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
    # shellcheck disable=SC2086 # a list of words
    chroot "$new" apt-get install -o Acquire::Retries=3 -qq -y --no-install-recommends $packages
    complete "$new" "$mirror"
    chroot "$new" apt-get clean
    rm -rf "$new"/var/lib/apt/lists/*
}

create() {
    local proxy mirror
    mirror=$(mirror)
    [ -n "$mirror" ] || { say "apt knows no mirror of Debian"; exit 1; }
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "${proxy:-}" ] || export http_proxy=$proxy
    say "installing $debian in $root, once"
    as_root rm -rf "$root.new"
    if ! as_root env ${http_proxy:+http_proxy="$http_proxy"} unshare -m --propagation private \
        bash -euc "suite=$suite packages='$packages'; $(declare -f complete install_debian); install_debian \"\$@\"" \
        install "$root.new" "$mirror" >"$root.log" 2>&1; then
        tail -n 30 "$root.log" >&2
        say "failed; all of it is in $root.log"
        exit 1
    fi
    as_root mv "$root.new" "$root"
}

mkdir -p "$(dirname "$root")"
if [ ! -d "$root" ]; then
    exec {lock}>"$root.lock"
    flock "$lock"
    [ -d "$root" ] || create
    exec {lock}>&-
fi

[ "$1" != --root ] || { printf '%s\n' "$root"; exit 0; }

# The settings of this machine's Ruby and shell are not that one's.
unset RUBYLIB RUBYOPT GEM_HOME GEM_PATH BUNDLE_GEMFILE
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
seen=(/proc /dev /sys /tmp "$here")
if [ -z "${bare:-}" ]; then
    export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target}
    case $CARGO_TARGET_DIR in */"$debian") ;; *) CARGO_TARGET_DIR=$CARGO_TARGET_DIR/$debian ;; esac
    export CARGO_TARGET_DIR LICORNE_BIN=$CARGO_TARGET_DIR/release/licorne PATH=$CARGO_HOME/bin:$PATH
    mkdir -p "$CARGO_TARGET_DIR"
    seen+=("$CARGO_TARGET_DIR" "$CARGO_HOME" "$RUSTUP_HOME")
else
    unset CARGO CARGO_HOME RUSTUP_HOME RUSTUP_TOOLCHAIN
fi

enter='
root=$1 directory=$PWD; shift
if [ -n "$1" ]; then
    over=$root.over
    mkdir -p "$over"
    mount -t tmpfs licorne "$over"
    mkdir "$over/upper" "$over/work" "$over/root"
    mount -t overlay -o "lowerdir=$root,upperdir=$over/upper,workdir=$over/work" licorne "$over/root"
    root=$over/root
fi
shift
# A root that is no mount would forbid mount namespaces within.
mount --bind "$root" "$root"
# Without it not even localhost has an address there.
[ -s "$root/etc/hosts" ] || cp /etc/hosts "$root/etc/hosts"
while [ "$1" != -- ]; do
    [ -d "$1" ] && mkdir -p "$root$1" && mount --rbind "$1" "$root$1"
    shift
done
shift
exec chroot "$root" sh -c '\''cd "$0" && exec "$@"'\'' "$directory" "$@"
'
flags=(-m --propagation private)
[ "$(id -u)" -eq 0 ] || flags+=(--map-root-user)
exec unshare "${flags[@]}" sh -euc "$enter" enter "$root" "${bare:-}" "${seen[@]}" -- "$@"
