#!/usr/bin/env bash
# A disposable two-node Swarm with a private registry, on one machine.
#
#   tests/lab.sh up DIR [--owner PID]   start it; DIR/env tells how to reach it
#   tests/lab.sh down DIR               take it down; nothing is left, whatever state it was in
#
# A node is a dockerd with network, process, mount and host-name namespaces of its own, so the machine's
# own docker, firewall and files stay as they are, and ending a node's first process ends all it started.
# Inside a node /run, /etc, /opt and /var/lib are private: files made there are not the machine's.
# With --owner, the lab is taken down as soon as that process is gone, `kill -9` included.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

readonly NET=10.77.0
readonly REGISTRY=$NET.254:5000
readonly MARKER=.dockerops-lab
readonly SECONDS_TO_START=60

# What a caller's shell says about docker or proxies is about other machines than these.
unset "${!DOCKER_@}" HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy

fail() {
    echo "lab: $*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}

# Every name follows from the folder: `down` needs no file to find what `up` made, and labs do not meet.
name_lab() {
    dir=$(realpath -m -- "$1")
    # Namespace names are seen by everyone; mount options and unix sockets bear neither spaces nor long paths.
    [[ $dir =~ ^/[A-Za-z0-9._/-]+$ && ${#dir} -le 80 ]] ||
        fail "the folder must be at most 80 plain characters (letters, digits, . _ - /): $dir"
    case $dir/ in
    /run/* | /etc/* | /opt/* | /var/lib/*) fail "the folder cannot be below /run, /etc, /opt or /var/lib: $dir" ;;
    esac
    id=$(printf %s "$dir" | sha256sum | cut -c1-8)
    bridge=dockerops-$id-br
    cgroup=dockerops-$id
}

node_namespace() { echo "dockerops-$id-n$1"; }
node_docker() { docker --config "$dir/docker-config" -H "unix://$dir/node$1/docker.sock" "${@:2}"; }

# ---- up ----

up() {
    [[ $(id -u) == 0 ]] || fail "needs root: sudo $0 up $dir"
    local program
    for program in docker dockerd docker-registry busybox iptables ip flock unshare; do
        command -v "$program" >/dev/null || fail "\`$program\` is missing: run tests/install.sh"
    done
    local since=
    if [[ -n $owner ]]; then
        since=$(started_at "$owner") || fail "no process has the pid $owner that --owner names"
    fi
    claim_folder
    [[ -z $owner ]] || detached /dev/null bash "$(realpath "$0")" guard "$dir" "$owner" "$since"
    if [[ -e $dir/env ]] && answers; then
        echo "lab: already up in $dir" >&2
        return
    fi
    remove_remains
    trap 'give_up $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    make_network
    start_registry
    start_node 1
    start_node 2
    make_image_folders
    await "node 1" node_docker 1 version
    await "node 2" node_docker 2 version
    join_nodes
    await "the registry" registry_answers
    push_images
    await "both nodes to be ready" both_ready
    write_env
    trap - EXIT INT TERM
}

claim_folder() {
    if [[ -e $dir && ! -e $dir/$MARKER && -n $(ls -A "$dir") ]]; then
        fail "the folder is in use for something else: $dir"
    fi
    # A `down` that held the lock has meanwhile deleted it, and the folder: then once more.
    until [[ $dir/lock -ef /proc/self/fd/9 ]]; do
        mkdir -p "$dir"
        chmod 700 "$dir"
        touch "$dir/$MARKER"
        take_lock
    done
}

take_lock() {
    exec 9>"$dir/lock"
    flock 9
}

# Runs something that outlives this script and its terminal.
detached() {
    local log=$1
    shift
    # Without the lock, or it would be held as long as the lab lives.
    (cd / && exec setsid "$@" </dev/null >>"$log" 2>&1 9>&-) &
    disown
}

make_network() {
    ip netns add "$bridge"
    inside "$bridge" ip link set lo up
    inside "$bridge" ip link add br0 type bridge
    inside "$bridge" ip addr add "$NET.254/24" dev br0
    inside "$bridge" ip link set br0 up
    local number namespace
    for number in 1 2; do
        namespace=$(node_namespace "$number")
        ip netns add "$namespace"
        ip link add eth0 netns "$namespace" type veth peer name "port$number" netns "$bridge"
        inside "$bridge" ip link set "port$number" master br0 up
        inside "$namespace" ip link set lo up
        inside "$namespace" ip addr add "$NET.$number/24" dev eth0
        inside "$namespace" ip link set eth0 up
        inside "$namespace" ip route add default via "$NET.254"
        # Nothing is behind it: a name or a registry that is not here is refused at once, not after 20 seconds.
        inside "$namespace" ip route add unreachable 0.0.0.0/1
        inside "$namespace" ip route add unreachable 128.0.0.0/1
    done
}

inside() { ip netns exec "$@"; }

start_registry() {
    mkdir -p "$dir/registry"
    cat >"$dir/registry.yml" <<CONFIG
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $dir/registry}, delete: {enabled: true}}
http: {addr: "$REGISTRY"}
CONFIG
    detached "$dir/registry.log" env -i "PATH=$PATH" ip netns exec "$bridge" docker-registry serve "$dir/registry.yml"
}

start_node() {
    mkdir -p "$dir/node$1"
    detached "$dir/node$1/log" env -i "PATH=$PATH" "HOME=$dir/node$1" \
        ip netns exec "$(node_namespace "$1")" \
        unshare --mount --uts --pid --fork --kill-child \
        bash "$(realpath "$0")" node "$dir" "$1"
}

# Runs as the first process of a node's namespaces; as such it also reaps what dockerd leaves.
node() {
    local number=$1 outer_pid rest
    # /proc is still the machine's here, so this is the pid by which the machine knows this process.
    read -r outer_pid rest </proc/self/stat
    echo "$outer_pid" >"$dir/node$number/pid"
    hostname "node$number"
    mount -t proc proc /proc
    # `ip netns exec` brings a bare /sys. Elsewhere this is the same hierarchy mounted once more.
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount -t tmpfs tmpfs /run
    # dockerd and containerd write a key, empty folders and sockets there, whatever their options say;
    # and a dockerd that sees /run/containerd/containerd.sock uses the machine's own containerd.
    local private
    for private in /etc /opt /var/lib; do
        mkdir -p "/run/private$private/upper" "/run/private$private/work"
        mount -t overlay -o "lowerdir=$private,upperdir=/run/private$private/upper,workdir=/run/private$private/work" \
            overlay "$private"
    done
    echo '{}' >/run/daemon.json
    dockerd --config-file /run/daemon.json --insecure-registry "$NET.0/24" \
        --data-root "$dir/node$number/data" --exec-root /run/docker --pidfile /run/docker.pid \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$cgroup" \
        -H "unix://$dir/node$number/docker.sock" -H unix:///run/docker.sock
}

join_nodes() {
    local token
    node_docker 1 swarm init --advertise-addr "$NET.1" >/dev/null
    token=$(node_docker 1 swarm join-token --quiet worker)
    node_docker 2 swarm join --token "$token" "$NET.1:2377" >/dev/null
}

answers() { node_docker 1 version >/dev/null 2>&1 && node_docker 2 version >/dev/null 2>&1; }

both_ready() {
    local ready
    ready=$(node_docker 1 node ls --format '{{.Status}}') && [[ $ready == $'Ready\nReady' ]]
}

registry_answers() { inside "$bridge" busybox wget -q -O /dev/null "http://$REGISTRY/v2/"; }

await() {
    local what=$1 deadline=$((SECONDS + SECONDS_TO_START))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || fail "gave up waiting for $what after $SECONDS_TO_START seconds"
        sleep 0.1
    done
}

# Written last and at once: who sees it sees a whole lab.
write_env() {
    cat >"$dir/env.new" <<ENV
DOCKER_HOST=unix://$dir/node1/docker.sock
LAB_DIR=$dir
LAB_NODE2=unix://$dir/node2/docker.sock
LAB_REGISTRY=$REGISTRY
LAB_BRIDGE_NETNS=$bridge
LAB_NODE1_NETNS=$(node_namespace 1)
LAB_NODE2_NETNS=$(node_namespace 2)
ENV
    mv "$dir/env.new" "$dir/env"
}

give_up() {
    trap - EXIT
    local log
    echo "lab: could not be started in $dir" >&2
    for log in "$dir"/node?/log "$dir/registry.log"; do
        # Above 128 it was a signal, which the logs know nothing of.
        [[ $1 -lt 128 && -e $log ]] || continue
        # dockerd's complaints about IPVS kernel parameters are many, and harmless here.
        grep -vE 'level=(info|warning|debug)|kernel parameter' "$log" | tail -n 8 | sed "s|^|${log#"$dir/"}: |" >&2 || true
    done
    remove_all
    exit "$1"
}

# ---- images ----

make_image_folders() {
    mkdir -p "$dir/docker-config"
    local applet root=$dir/images/base/root
    mkdir -p "$root/bin" "$root/etc" "$root/tmp"
    chmod 1777 "$root/tmp"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in $(busybox --list); do
        [[ -e $root/bin/$applet ]] || ln -s busybox "$root/bin/$applet"
    done
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    echo 'user:x:1000:1000:user:/tmp:/bin/sh' >>"$root/etc/passwd"
    # The processes are the first of their container and heed no SIGTERM; without this each stop takes 10 s.
    image base 'FROM scratch' 'COPY root /' 'STOPSIGNAL SIGKILL'
    image app:1 "$(from_base)" 'LABEL lab.version=1' 'ENV APP_VERSION=1' 'CMD ["/bin/sleep","100000"]'
    image app:2 "$(from_base)" 'LABEL lab.version=2' 'ENV APP_VERSION=2' 'CMD ["/bin/sleep","100000"]'
    image entry:1 "$(from_base)" 'ENTRYPOINT ["/bin/busybox"]' 'CMD ["sleep","100000"]'
    image user:1 "$(from_base)" 'USER 1000' 'CMD ["/bin/sleep","100000"]'
    image health:1 "$(from_base)" 'HEALTHCHECK --interval=1s --timeout=1s --retries=3 CMD ["/bin/true"]' \
        'CMD ["/bin/sleep","100000"]'
    image shellform:1 "$(from_base)" 'ENTRYPOINT exec /bin/sleep 100000'
    image noshell:1 'FROM scratch' 'COPY sleep /sleep' 'STOPSIGNAL SIGKILL' 'CMD ["/sleep","100000"]'
    cp "$root/bin/busybox" "$dir/images/noshell:1/sleep"
}

from_base() { echo "FROM $REGISTRY/base"; }

image() {
    mkdir -p "$dir/images/$1"
    printf '%s\n' "${@:2}" >"$dir/images/$1/Dockerfile"
}

push_images() {
    local name
    for name in base app:1 app:2 entry:1 user:1 health:1 shellform:1 noshell:1; do
        # The classic builder needs no plugin beside the docker CLI.
        DOCKER_BUILDKIT=0 node_docker 1 build --quiet --tag "$REGISTRY/$name" "$dir/images/$name" \
            >>"$dir/build.log" 2>&1 || fail "cannot build $name: $(cat "$dir/build.log")"
    done
    for name in app:1 app:2 entry:1 user:1 health:1 shellform:1 noshell:1; do
        node_docker 1 push --quiet "$REGISTRY/$name" >>"$dir/build.log" 2>&1 ||
            fail "cannot push $name: $(cat "$dir/build.log")"
    done
    rm -r "$dir/images"
}

# ---- down ----

down() {
    [[ $(id -u) == 0 ]] || fail "needs root: sudo $0 down $dir"
    if [[ -e $dir && ! -e $dir/$MARKER ]]; then
        [[ -d $dir && -z $(ls -A "$dir") ]] || fail "not a lab's folder: $dir"
    fi
    if [[ -e $dir/$MARKER ]]; then
        take_lock
        # Whoever held the lock has taken the lab down; one that is up by now is not the one meant.
        [[ $dir/lock -ef /proc/self/fd/9 ]] || return 0
    fi
    remove_all
}

remove_all() {
    end_guards
    end_namespaces
    end_cgroups
    rm -rf --one-file-system -- "$dir"
    # `ip netns add` turned this folder into a mount; with no namespace left it is of no use to anyone.
    if [[ -d /run/netns && -z $(ls -A /run/netns) ]] && mountpoint -q /run/netns; then
        umount /run/netns 2>/dev/null || return 0
        rmdir /run/netns || true
    fi
}

# What an `up` that was killed left behind; the lock and the guards stay.
remove_remains() {
    end_namespaces
    end_cgroups
    find "$dir" -mindepth 1 -maxdepth 1 ! -name lock ! -name guards ! -name "$MARKER" -exec rm -rf --one-file-system {} +
}

# Ends by membership of the lab's own namespaces, so no other process can be hit: not by name, and not
# by a pid that may have passed to someone else. The containers end with their node's first process.
end_namespaces() {
    local namespace pids deadline=$((SECONDS + 20))
    for namespace in "$(node_namespace 1)" "$(node_namespace 2)" "$bridge"; do
        [[ -e /run/netns/$namespace ]] || continue
        while pids=$(ip netns pids "$namespace" 2>/dev/null) && [[ -n $pids ]]; do
            ((SECONDS < deadline)) || fail "these processes do not end: ${pids//$'\n'/ }"
            # shellcheck disable=SC2086 # one word per pid
            kill -9 $pids 2>/dev/null || true
            sleep 0.05
        done
        ip netns del "$namespace"
    done
}

# A cgroup can be removed once its last process is gone, so this also waits for the containers' end.
end_cgroups() {
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --mount bash -c '
        mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 0
        for try in $(seq 200); do
            [[ -d /sys/fs/cgroup/$1 ]] || exit 0
            find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
        done
        echo "lab: the cgroup $1 still has processes" >&2' _ "$cgroup"
}

# ---- the owner's guard ----

# The start time tells a process from a later one with the same pid.
started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name in parentheses may hold spaces; the start time is the 20th field behind it.
    # shellcheck disable=SC2086 # split into fields
    set -- ${stat##*) }
    [[ $1 != Z ]] && echo "${20}"
}

guard() {
    local pid=$1 since=$2
    echo "$$ $(started_at $$)" >>"$dir/guards"
    # A wait without a `sleep` process, which would outlive a guard that is ended.
    exec 8<> <(:)
    while [[ $(started_at "$pid" || true) == "$since" ]]; do
        [[ -e $dir/$MARKER ]] || return 0
        read -r -t 0.5 -u 8 _ || true
    done
    [[ ! -e $dir/$MARKER ]] || down
}

# It would end by itself, but half a second after the lab.
end_guards() {
    local pid since
    [[ -e $dir/guards ]] || return 0
    while read -r pid since; do
        [[ $pid == "$$" || $(started_at "$pid" || true) != "$since" ]] || kill "$pid" 2>/dev/null || true
    done <"$dir/guards"
}

main() {
    [[ $# -ge 2 ]] || usage
    local command=$1
    name_lab "$2"
    shift 2
    owner=
    case $command in
    up)
        if [[ ${1-} == --owner && $# == 2 ]]; then
            owner=$2
        elif [[ $# != 0 ]]; then
            usage
        fi
        up
        ;;
    down) [[ $# == 0 ]] || usage; down ;;
    node) node "$1" ;;
    guard) guard "$1" "$2" ;;
    *) usage ;;
    esac
}

main "$@"
