# shellcheck shell=bash
# What the scripts of this folder share. To be sourced, with the repository's root as current folder.

say() { printf '\n== %s\n' "$*" >&2; }

need_root() {
    [[ $(id -u) == 0 ]] || {
        echo "$0 starts a Swarm of its own, which takes root: sudo $0" >&2
        exit 1
    }
}

# Puts cargo on PATH. sudo hides the toolchain of the user who called it.
find_cargo() {
    local home
    for home in "$(user_home)" "$HOME"; do
        command -v cargo >/dev/null && break
        [[ -x $home/.cargo/bin/cargo ]] || continue
        PATH=$home/.cargo/bin:$PATH
        # Only the toolchain is theirs: what root downloads goes to root's own cargo folder.
        [[ ! -d $home/.rustup ]] || export RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
    done
    command -v cargo >/dev/null || {
        echo "cargo is missing: install Rust (https://rustup.rs), then run $0 again" >&2
        exit 1
    }
}

user_home() { getent passwd "${SUDO_USER:-root}" | cut -d: -f6; }

# What root built under sudo is the user's again, or their next `cargo build` would be refused.
give_back_target() {
    local target=${CARGO_TARGET_DIR:-target}
    [[ -z ${SUDO_UID-} || ! -d $target ]] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$target"
}

# A folder for a lab, short enough for unix sockets and not below what a lab's nodes see as their own.
new_lab_folder() { mktemp -d "/tmp/dockerops-lab.XXXXXX"; }
