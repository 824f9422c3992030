#!/usr/bin/env bash
# deploy/release/notes.sh vX.Y.Z
#
# Prints the part of CHANGELOG.md that is about this version: the notes of its release. Refuses a tag that is not
# Cargo.toml's version, or that the changelog does not know.
set -euo pipefail

fail() {
    echo "release: $*" >&2
    exit 1
}

main() {
    [[ $# == 1 ]] || fail "usage: deploy/release/notes.sh vX.Y.Z"
    cd "$(dirname "$0")/../.."
    local version notes
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
    [[ $1 == "v$version" ]] || fail "the tag is \`$1\`, and Cargo.toml's version is $version: the tag must be \`v$version\`"
    notes=$(awk -v heading="## $version" '
        /^## / { inside = ($0 == heading || index($0, heading " ") == 1); next }
        inside' CHANGELOG.md)
    [[ $notes =~ [^[:space:]] ]] || fail "CHANGELOG.md has no \`## $version\`, or nothing below it"
    # Without the empty lines at both ends.
    sed -e '/./,$!d' <<<"$notes"
}

main "$@"
