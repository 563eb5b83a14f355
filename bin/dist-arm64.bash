# shellcheck shell=bash
# The part arm64 of bin/dist: compiled here, on x86_64, as bin/debian-arm64 does.

arm64() {
    local stage=$work/gem-arm64 each release
    pack "$work/tree" aarch64-linux-musl
    say "compiling the program for arm64"
    compile_arm64 licorne
    rm -rf "$stage"
    cp -a "$work/tree" "$stage"
    put_arm64 licorne "$stage/gem/libexec/licorne"
    for each in "${rubies[@]}"; do
        release=${each%% *}
        say "compiling the extension for Ruby $release on arm64"
        compile_arm64 licorne_ext "$release"
        put_arm64 liblicorne_ext.so "$stage/gem/lib/licorne/$release/licorne_ext.so"
    done
    pack "$stage" aarch64-linux
}

compile_arm64() {
    bin/debian-arm64 env -C "$work/tree" ${2:+RUBY="/usr/share/rubies/$2/ruby"} cross-cargo build --quiet --release --locked \
        --target-dir "$work/build-arm64" --package "$1"
}

put_arm64() {
    install -D -m 755 "$work/build-arm64/aarch64-unknown-linux-gnu/release/$1" "$2"
    bin/debian-arm64 aarch64-linux-gnu-strip --strip-all "$2"
    check_glibc "$2"
}
