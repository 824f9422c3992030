#!/usr/bin/env bash
# sudo tests/bench.sh [--runs N] [--stacks 1,20,200] [--sources 20] [--tags 50] [--only idle,rollback,changes,stacks,sources,among]
#
# Measures DockerOps beside its floor, the docker and git calls nobody can do without, in one run on one
# Swarm that is made for it and removed afterwards. Prints medians and ratios, and the target beside each.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/support/common.sh
source tests/support/common.sh

clean_up() {
    trap - EXIT
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
    cargo build --locked --release
    say "start the Swarm"
    lab=$(new_lab_folder)
    tests/lab.sh up "$lab" --owner $$
    say "measure"
    python3 tests/support/bench.py --lab "$lab" --dockerops "${CARGO_TARGET_DIR:-target}/release/dockerops" "$@"
    cargo test --locked --release --bin dockerops -- --ignored --nocapture beside | grep ratio
}

main "$@"
