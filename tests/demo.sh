#!/usr/bin/env bash
# sudo tests/demo.sh [--keep] [--binary FILE]
#
# Shows what DockerOps does, on a Swarm made for it: watch a repository, commit a change, break a service.
# Installs what is missing and builds first; the machine's own docker is not used. Afterwards all is removed,
# unless --keep asks for a Swarm to play with. --binary takes a built `dockerops` instead of building one.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/support/common.sh
source tests/support/common.sh

# Shows a command as one would type it, then runs it.
run() {
    echo
    echo "\$ $*"
    "$@"
}

explain() { printf '\n# %s\n' "$@"; }

stack() {
    local name=$1 service=$2 image=$3 replicas=$4
    mkdir -p "$repository/$name"
    cat >"$repository/$name/docker-compose.yml" <<COMPOSE
version: "3.8"
services:
  $service:
    image: $LAB_REGISTRY/$image
    deploy:
      replicas: $replicas
      update_config:
        order: start-first
        monitor: 1s
COMPOSE
}

commit() {
    git -C "$repository" add --all
    git -C "$repository" -c user.name=Demo -c user.email=demo@example.org commit --quiet --message "$1"
}

make_repository() {
    git init --quiet --initial-branch=main "$repository"
    printf -- '- name: db\n- name: web\n  depends_on: [db]\n' >"$repository/stacks.yaml"
    stack db store app:1 1
    stack web app app:1 2
    commit "Run the shop"
}

clean_up() {
    trap - EXIT
    give_back_target
    [[ -n ${folder-} && -z ${kept-} ]] || return 0
    say "clean up"
    tests/lab.sh down "$folder/lab"
    rm -rf "$folder"
}

set_up() {
    say "install what is missing"
    tests/install.sh
    if [[ -z $binary ]]; then
        find_cargo
        say "build"
        cargo build --locked --release
        binary=${CARGO_TARGET_DIR:-target}/release/dockerops
    fi
    binaries=$(dirname "$(realpath "$binary")")
    say "start a Swarm of two nodes, apart from any this machine has"
    folder=$(mktemp -d /tmp/dockerops-demo.XXXXXX)
    tests/lab.sh up "$folder/lab" "${owner[@]}"
    # What the caller's shell says about docker is about another Swarm.
    unset "${!DOCKER_@}" "${!DOCKEROPS_@}"
    set -a
    # shellcheck disable=SC1091 # written by lab.sh
    source "$folder/lab/env"
    DOCKEROPS_DB_PATH=$folder/dockerops.db
    PATH=$binaries:$PATH
    set +a
    repository=$folder/shop
    make_repository
}

show() {
    say "the demo"
    explain "A repository says what the Swarm is to run: two stacks, and web needs db."
    run cat "$repository/stacks.yaml"
    run cat "$repository/web/docker-compose.yml"
    run docker node ls

    explain "From now on the Swarm is what the repository says."
    run dockerops watch "file://$repository"
    run docker service ls

    explain "Someone commits a new version of web, with a third replica."
    stack web app app:2 3
    commit "Update web, and run three of it"
    run git -C "$repository" --no-pager show --format='%h %s' --unified=0
    run dockerops reconcile
    run docker service ls

    explain "Someone breaks it by hand: db is removed, web scaled to nothing."
    run docker service rm db_store
    run docker service scale --detach web_app=0
    run docker service ls
    explain "The next reconcile finds it, and puts it back."
    run dockerops reconcile
    run docker service ls
    run dockerops status
}

tell_how_to_play() {
    cat <<TEXT

The Swarm is still up. To play with it, as root:

    export DOCKER_HOST=$DOCKER_HOST
    export DOCKEROPS_DB_PATH=$DOCKEROPS_DB_PATH
    export PATH=$binaries:\$PATH
    cd $repository      # edit, git commit, then: dockerops reconcile

Images to use there: $LAB_REGISTRY/ app:1 app:2 entry:1 user:1 noshell:1 health:1
To take it down, from $PWD:

    tests/lab.sh down $folder/lab && rm -rf $folder
TEXT
}

main() {
    owner=(--owner $$)
    binary=
    local keep=
    while (($#)); do
        case $1 in
        --keep) keep=yes owner=() ;;
        --binary) binary=${2?} && shift ;;
        *)
            echo "usage: sudo $0 [--keep] [--binary FILE]" >&2
            exit 2
            ;;
        esac
        shift
    done
    need_root
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    set_up
    show
    if [[ -n $keep ]]; then
        kept=yes
        tell_how_to_play
    fi
}

main "$@"
