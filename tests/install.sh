#!/usr/bin/env bash
# Installs what building, testing and trying DockerOps needs, on Debian or Ubuntu. Says and does nothing
# where all is there. Rust is not among it: see https://rustup.rs
#
# Programs are looked for, not packages: a machine with docker from elsewhere keeps that docker.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

fail() {
    echo "install: $1" >&2
    [[ -z ${2-} ]] || echo "hint: $2" >&2
    exit 1
}

has() { command -v "$1" >/dev/null; }

# The test images hold nothing but busybox, so it must not need the machine's libraries.
has_static_busybox() { has busybox && ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

missing_packages() {
    # The engine. Newer releases have the docker command in a package of its own, which docker.io only recommends.
    has dockerd || echo docker.io
    has docker || { apt-cache show docker-cli >/dev/null 2>&1 && echo docker-cli; } || echo docker.io
    has docker-registry || echo docker-registry
    has_static_busybox || echo busybox-static
    has iptables || echo iptables
    has ip || echo iproute2
    has ps || echo procps
    # libgit2 and SQLite come as C sources; https goes through the system's OpenSSL.
    has cc || echo gcc libc6-dev
    has make || echo make
    has pkg-config || echo pkg-config
    [[ -e /usr/include/openssl/ssl.h ]] || echo libssl-dev
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
    # The tests' own tools: git and ssh servers, certificates, peak memory, what the README uses, the linter.
    has git || echo git
    has python3 || echo python3
    has rsync || echo rsync
    has sqlite3 || echo sqlite3
    has sshd || echo openssh-server
    # Who signs commits.
    has ssh-keygen || echo openssh-client
    has gpg || echo gnupg
    has openssl || echo openssl
    has curl || echo curl
    # The status page is looked at in a browser. Ubuntu has it as a snap alone, and goes without.
    if ! grep -qs '^ID=ubuntu' /etc/os-release; then
        has chromium || echo chromium
        has chromedriver || echo chromium-driver
    fi
    [[ -x /usr/bin/time ]] || echo time
    has shellcheck || echo shellcheck
    has sudo || echo sudo
    has readelf || echo binutils
    has systemd-analyze || echo systemd
    has perl || echo perl
}

# A freshly installed docker or sshd is not to start: the lab starts its own, apart from the machine's.
forbid_services_to_start() {
    local policy=/usr/sbin/policy-rc.d
    [[ ! -e $policy ]] || return 0
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

apt() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}

main() {
    local packages
    packages=$(missing_packages)
    [[ -n $packages ]] || return 0
    has apt-get || fail "these are missing: ${packages//$'\n'/ }" \
        "this script knows only Debian and Ubuntu (apt-get); install their likes by hand"
    [[ $(id -u) == 0 ]] || fail "needs root to install: ${packages//$'\n'/ }" "sudo $0"
    apt update || fail "\`apt-get update\` failed" "its own message is above"
    # Once more: what apt offers is known only now.
    packages=$(missing_packages)
    echo "install: ${packages//$'\n'/ }" >&2
    forbid_services_to_start
    # shellcheck disable=SC2086 # one word per package
    apt install --yes --no-install-recommends $packages ||
        fail "\`apt-get install\` failed" "its own message is above"
    packages=$(missing_packages)
    [[ -z $packages ]] || fail "still missing after the installation: ${packages//$'\n'/ }" \
        "another program of that name may stand before the packaged one on PATH"
}

main
