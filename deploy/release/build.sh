#!/usr/bin/env bash
# deploy/release/build.sh FOLDER
#
# Builds what a release consists of, for this machine's architecture, into FOLDER:
#
#   dockerops-linux-<x86_64|aarch64>   the program; needs no library of the machine it runs on
#   dockerops-share.tar.gz             shell completions and man page
#   *.sha256                           of each
#
# It needs Rust, a C compiler, make, perl (for OpenSSL's own build), and glibc 2.36 or newer with its static libraries,
# as Debian 12 and Ubuntu 24.04 have (libc6-dev). Where it was built does not matter for where it runs.
set -euo pipefail

fail() {
    echo "release: $*" >&2
    exit 1
}

find_target() {
    local machine
    machine=$(uname -m)
    case $machine in
    x86_64 | aarch64) target=$machine-unknown-linux-gnu architecture=$machine ;;
    *) fail "releases are made for x86_64 and aarch64, and on them; this is $machine" ;;
    esac
}

check_tools() {
    local tool
    for tool in cargo cc make perl readelf tar sha256sum; do
        command -v "$tool" >/dev/null || fail "\`$tool\` is missing"
    done
    [[ -e $(cc -print-file-name=libc.a) ]] || fail "glibc's static libraries are missing: apt-get install libc6-dev"
}

build() {
    local made=$root/target/portable flags
    mkdir -p "$made"
    cc -O2 -fPIC -c "$root/deploy/release/names.c" -o "$made/names.o"
    # The relocations of a program that lies anywhere in memory take 0.9 MiB, or 10 KiB when packed. (On aarch64 Rust
    # puts a static program at a fixed place.)
    flags="-C target-feature=+crt-static -C link-arg=$made/names.o -C link-arg=-Wl,-z,pack-relative-relocs"
    # The paths of the machine that builds are no part of the program, but for the folder OpenSSL takes modules from
    # where its configuration names some.
    flags+=" --remap-path-prefix=$root=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    # No stack of C is ever unwound, and its tables are as large as a tenth of the code. OpenSSL would be built for speed,
    # and what takes time in it is written in assembler.
    export "CFLAGS_${target//-/_}=-Os -fno-asynchronous-unwind-tables -fno-unwind-tables"
    export CARGO_TARGET_DIR=$made RUSTFLAGS=$flags
    # From the repository's root, for rustup takes the toolchain from there.
    cd "$root"
    cargo build --locked --release --features vendored-openssl --target "$target"
    install -m 755 "$made/$target/release/dockerops" "$folder/dockerops-linux-$architecture"
}

# The program itself has them, and needs nothing to tell them.
write_share() {
    local program=$folder/dockerops-linux-$architecture share
    share=$(mktemp -d)
    env -i "$program" completion bash >"$share/dockerops.bash"
    env -i "$program" completion zsh >"$share/_dockerops"
    env -i "$program" completion fish >"$share/dockerops.fish"
    env -i "$program" man >"$share/dockerops.1"
    # The same files make the same archive, whenever and by whomever.
    tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --directory "$share" \
        _dockerops dockerops.1 dockerops.bash dockerops.fish | gzip -n >"$folder/dockerops-share.tar.gz"
    rm -r "$share"
}

write_checksums() {
    local file
    cd "$folder"
    for file in "dockerops-linux-$architecture" dockerops-share.tar.gz; do
        sha256sum "$file" >"$file.sha256"
    done
}

main() {
    [[ $# == 1 ]] || fail "usage: deploy/release/build.sh FOLDER"
    root=$(realpath "$(dirname "$0")/../..")
    mkdir -p "$1"
    folder=$(realpath "$1")
    find_target
    check_tools
    cd "$root"
    build
    write_share
    write_checksums
    "$root/deploy/release/check.sh" "$folder"
}

main "$@"
