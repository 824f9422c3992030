#!/usr/bin/env bash
# sudo tests/run.sh [ARGUMENTS OF cargo test]
#
# Does all the set-up and passes all tests, on a real two-node Swarm that is started for it and taken down
# whatever happens, or on the one that DOCKEROPS_TEST_LAB names. A test that would be skipped fails. The last lines
# are cargo's own results.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/support/common.sh
source tests/support/common.sh

readonly SECOND_CHANCES=10

clean_up() {
    trap - EXIT
    # Groups of their own: cargo does not pass a signal on to the tests it runs.
    local group
    for group in $(jobs -pr); do
        kill -TERM -- "-$group" 2>/dev/null || true
    done
    [[ -z ${lab-} ]] || tests/lab.sh down "$lab"
    [[ -z ${said-} ]] || rm -rf "$said"
    give_back_target
}

main() {
    need_root
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    say "install what is missing"
    tests/install.sh
    find_cargo
    say "build"
    cargo test --locked --no-run
    if [[ -z ${DOCKEROPS_TEST_LAB-} ]]; then
        say "start the Swarm"
        lab=$(new_lab_folder)
        tests/lab.sh up "$lab" --owner $$
    fi
    say "test"
    export DOCKEROPS_TEST_LAB=${DOCKEROPS_TEST_LAB:-$lab} DOCKEROPS_TEST_STRICT=1
    # They mostly wait for docker, so more of them at a time than a machine has processors.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
    set -m
    if [[ $# != 0 ]]; then
        cargo test --locked "$@" </dev/null &
        set +m
        wait $!
        return
    fi
    # Begun beside the tests that wait; those of the release do it again, and find all of it built.
    nice -n 12 deploy/release/build.sh target/release-early </dev/null >/dev/null 2>&1 &
    said=$(mktemp -d)
    # These want processors; those on the Swarm want to be in time.
    timed nice -n 10 cargo test --locked --bins </dev/null >"$said/units" 2>&1 &
    local units=$!
    on_the_swarm &
    local swarm=$! failed=0
    set +m
    wait "$swarm" || failed=$?
    say "unit tests"
    wait "$units" || units=failed
    # Each of thousands that passed is no news.
    grep --invert-match --extended-regexp '^test .* \.\.\. ok$' "$said/units" || true
    [[ $failed == 0 ]] || once_more swarm --test dockerops || return "$failed"
    [[ $units != failed ]] || once_more units --bins
}

on_the_swarm() {
    timed cargo test --locked --test dockerops </dev/null | tee "$said/swarm"
}

# A deadline that was missed beside three others and the unit tests may be the machine's fault: a few that failed get a
# second chance, alone. What fails again has failed.
#
# $1: the file under "$said" with the first results; the rest: cargo's words for which tests these are.
once_more() {
    local again
    mapfile -t again < <(sed -nE 's/^test (.*) \.\.\. FAILED$/\1/p' "$said/$1")
    ((${#again[@]} > 0 && ${#again[@]} <= SECOND_CHANCES)) || return 1
    say "again, alone: ${again[*]}"
    RUST_TEST_THREADS=1 timed cargo test --locked "${@:2}" -- --exact "${again[@]}" </dev/null || return 1
    say "passed alone, and failed beside others: ${again[*]}"
}

# Runs it, and says how long it took.
timed() {
    local begun=$SECONDS code=0
    "$@" || code=$?
    say "$((SECONDS - begun)) s: $*"
    return "$code"
}

main "$@"
