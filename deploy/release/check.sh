#!/usr/bin/env bash
# deploy/release/check.sh FOLDER
#
# Holds what deploy/release/build.sh made against what RELEASE.md says of it: names, checksums, size, that it asks for no
# library, and that it starts where there is nothing else.
set -euo pipefail

readonly MOST_BYTES=$((16 * 1024 * 1024))

fail() {
    echo "release: $*" >&2
    exit 1
}

main() {
    [[ $# == 1 ]] || fail "usage: deploy/release/check.sh FOLDER"
    local program size version
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$(dirname "$0")/../../Cargo.toml" | head -n 1)
    cd "$1"
    program=dockerops-linux-$(uname -m)
    sha256sum --check --strict --quiet "$program.sha256" dockerops-share.tar.gz.sha256
    size=$(stat --format %s "$program")
    ((size <= MOST_BYTES)) || fail "$program has $size bytes, more than $MOST_BYTES"
    if readelf --dynamic "$program" | grep NEEDED || readelf --program-headers "$program" | grep INTERP; then
        fail "$program asks for a library or a loader of the machine it runs on"
    fi
    [[ $(env -i "./$program" version | head -n 1) == "dockerops $version" ]] || fail "$program does not say it is $version"
    tar -tzf dockerops-share.tar.gz | sort | diff - <(printf '%s\n' _dockerops dockerops.1 dockerops.bash dockerops.fish) ||
        fail "dockerops-share.tar.gz does not hold the four files"
    echo "$program: $size bytes, no libraries"
}

main "$@"
