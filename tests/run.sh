#!/usr/bin/env bash
# sudo tests/run.sh [ARGUMENTS OF cargo test]
#
# Does all the set-up and passes all tests, on a real two-node Swarm that is started for it and taken down
# whatever happens. A test that would be skipped fails. The last lines are cargo's own results.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/support/common.sh
source tests/support/common.sh

clean_up() {
    trap - EXIT
    # A group of its own: cargo does not pass a signal on to the tests it runs.
    [[ -z ${tests-} ]] || kill -TERM -- "-$tests" 2>/dev/null || true
    [[ -z ${lab-} ]] || tests/lab.sh down "$lab"
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
    say "start the Swarm"
    lab=$(new_lab_folder)
    tests/lab.sh up "$lab" --owner $$
    say "test"
    export DOCKEROPS_TEST_LAB=$lab DOCKEROPS_TEST_STRICT=1
    set -m
    cargo test --locked "$@" </dev/null &
    tests=$!
    set +m
    local status=0
    wait "$tests" || status=$?
    tests=
    return "$status"
}

main "$@"
