#!/usr/bin/env bash
# Installs, upgrades, removes and looks at DockerOps; `dockerops.sh help` says how.
#
# Also as `curl … | sudo bash -s install`: standard input is then this script, so questions go to /dev/tty,
# and nothing runs before the last line has arrived.
set -euo pipefail

readonly EXIT_FAILED=1 EXIT_USAGE=2

# ---- what people read ----

say() { printf '%s\n' "$*"; }
note() { printf 'note: %s\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$1" >&2
    [[ -z ${2-} ]] || printf 'hint: %s\n' "$2" >&2
    exit "$EXIT_FAILED"
}

usage() {
    printf 'error: %s\nhint: %s\n' "$1" "dockerops.sh help" >&2
    exit "$EXIT_USAGE"
}

show_help() {
    cat <<HELP
dockerops.sh: installs, upgrades, removes and looks at DockerOps

  sudo dockerops.sh install [-v vX.Y.Z]
                            [--clean-db] [--clean-dirs] [--clean-all] [--yes]
  sudo dockerops.sh uninstall [--clean-all] [--yes]
  dockerops.sh status
  dockerops.sh help

install     the latest release, or the one that -v (--version) names, an earlier
            one too. The version before stays as dockerops.backup; a failure at
            any point leaves all as it was.
uninstall   removes the program, its backup, completions and man page. Stacks go
            on running.
status      what is installed, watched and running, and what to do next; needs
            no root.

  --clean-db     removes the database
  --clean-dirs   removes checkouts that a killed run left behind, what is
                 kept of repositories, and /var/log/dockerops.log
  --clean-all    both
  --yes          does not ask; without a terminal nothing is asked either

Without the script as a file:
  curl -sSL https://raw.githubusercontent.com/$repository/main/dockerops.sh |
    sudo bash -s install

It needs bash 4, curl and Python 3.6, on Linux on x86_64 or aarch64.

variable                 default
DOCKEROPS_DB_PATH        ~/.dockerops/dockerops.db, of root; sudo hides it from
                         programs, this script sees it
DOCKEROPS_PREFIX         /usr/local
DOCKEROPS_REPOSITORY     TomBedinoVT/DockerOps
DOCKEROPS_API_URL        https://api.github.com
DOCKEROPS_DOWNLOAD_URL   https://github.com/\$DOCKEROPS_REPOSITORY/releases/download
Under sudo they stand behind it:
  sudo DOCKEROPS_PREFIX=/opt/dockerops dockerops.sh install
HELP
}

# ---- where things are ----

find_places() {
    repository=${DOCKEROPS_REPOSITORY:-TomBedinoVT/DockerOps}
    api=${DOCKEROPS_API_URL:-https://api.github.com}
    downloads=${DOCKEROPS_DOWNLOAD_URL:-https://github.com/$repository/releases/download}
    prefix=${DOCKEROPS_PREFIX:-/usr/local}
    [[ $prefix == /* ]] || fail "\`DOCKEROPS_PREFIX\` is \`$prefix\`, which is no absolute path"
    bin=$prefix/bin
    program=$bin/dockerops
    backup=$program.backup
    log=/var/log/dockerops.log
    # Where each file of the archive goes.
    shared=(
        [dockerops.bash]=$prefix/share/bash-completion/completions/dockerops
        [_dockerops]=$prefix/share/zsh/site-functions/_dockerops
        [dockerops.fish]=$prefix/share/fish/vendor_completions.d/dockerops.fish
        [dockerops.1]=$prefix/share/man/man1/dockerops.1
    )
    find_database
}

# As the program itself finds it, which runs as root.
find_database() {
    local home=${HOME-}
    [[ $EUID == 0 && -n $home ]] || home=~root
    default_database=$home/.dockerops/dockerops.db
    database=${DOCKEROPS_DB_PATH:-$(variable_behind_sudo DOCKEROPS_DB_PATH)}
    database=${database:-$default_database}
    [[ $database == /* ]] || database=$PWD/$database
}

# What the caller of sudo had set: sudo takes it from its child's environment, and keeps it in its own.
variable_behind_sudo() {
    local pid=$PPID name line
    [[ $EUID == 0 && -n ${SUDO_UID-} ]] || return 0
    # With `use_pty` there are two of them, one above the other.
    while name=$(cat "/proc/$pid/comm" 2>/dev/null) && [[ $name == sudo ]]; do
        while IFS= read -r -d '' line; do
            [[ $line != "$1="* ]] || { printf '%s' "${line#*=}"; return 0; }
        done 2>/dev/null <"/proc/$pid/environ" || true
        pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) || return 0
    done
}

# ---- what must be there ----

require_root() {
    [[ $EUID == 0 ]] || fail "\`$1\` needs root: it writes to \`$prefix\`" "sudo dockerops.sh $1"
}

require_programs() {
    local missing=() tool
    for tool in curl python3; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [[ ${#missing[@]} == 0 ]] ||
        fail "these are missing: ${missing[*]}" "apt-get install ${missing[*]}, or what your distribution calls them"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 6))' ||
        fail "\`python3\` is $(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'); it must be 3.6 or newer"
    # Distributions have a package with less.
    python3 -c 'import fcntl, json, tarfile, zlib' 2>/dev/null ||
        fail "\`python3\` lacks modules of its standard library (json, tarfile)" "apt-get install python3"
}

find_architecture() {
    local system machine
    system=$(uname -s) machine=$(uname -m)
    [[ $system == Linux ]] || fail "there is no release for \`$system\`: DockerOps runs on Linux"
    case $machine in
    x86_64 | amd64) architecture=x86_64 ;;
    aarch64 | arm64) architecture=aarch64 ;;
    *) fail "there is no release for \`$machine\`: there are x86_64 and aarch64" \
        "build it yourself: https://github.com/$repository" ;;
    esac
}

# ---- releases ----

# In the background, so that a signal to this script is heeded at once and not after the download.
ask() {
    local url=$1 file=$2 schemes='=https'
    shift 2
    [[ $url != http://* ]] || schemes='=http,https'
    curl --silent --show-error --fail --location --proto "$schemes" --connect-timeout 10 "$@" \
        --output "$file" -- "$url" 2>"$work/curl" &
    child=$!
    local status=0
    wait "$child" || status=$?
    child=
    return "$status"
}

# $1 is what it is, for the error.
download() {
    local what=$1 url=$2 file=$3 status=0
    ask "$url" "$file" --max-time 900 --retry 2 || status=$?
    [[ $status != 0 ]] || return 0
    local why
    why=$(sed 's/^curl: //' "$work/curl" 2>/dev/null) || why=
    case $status in
    22) fail "cannot download $what from \`$url\`: ${why:-refused}" \
        "is there such a release? https://github.com/$repository/releases" ;;
    23) fail "cannot write $what to \`$file\`: ${why:-no room}" "make room there and run it again; nothing was changed" ;;
    *) fail "the download of $what from \`$url\` broke: ${why:-curl ended with $status}" \
        "run it again; nothing was changed" ;;
    esac
}

# On failure `$work/curl` says why.
newest_release() {
    ask "$api/repos/$repository/releases/latest" "$work/latest.json" --max-time 30 || return 1
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["tag_name"])' "$work/latest.json" 2>/dev/null ||
        { echo "its answer names none" >"$work/curl"; return 1; }
}

verify() {
    local what=$1 file=$2 expected actual rest
    read -r expected rest <"$file.sha256" || true
    [[ $expected =~ ^[0-9a-f]{64}$ ]] || fail "the checksum of $what is no SHA-256; nothing was changed"
    read -r actual rest < <(sha256sum "$file")
    [[ $actual == "$expected" ]] ||
        fail "the checksum of $what is wrong: it is $actual, the release says $expected" \
            "the download was altered or is broken; nothing was changed"
}

version_of() {
    local first
    first=$(timeout 20 "$1" version 2>/dev/null </dev/null | head -n 1) || return 1
    # Releases before 0.2 say `DockerOps CLI v1.2.3`.
    [[ $first =~ ^(dockerops\ |DockerOps\ CLI\ v)([0-9][^[:space:]]*)$ ]] && printf '%s' "${BASH_REMATCH[2]}"
}

# ---- install ----

install() {
    require_root install
    require_programs
    find_architecture
    prepare_work
    [[ ! -d $program ]] || fail "\`$program\` is a folder" "move it away; nothing was changed"
    choose_release
    local installed
    installed=$(version_of "$program") || installed=
    if [[ $installed == "${release#v}" ]]; then
        say "dockerops $installed is installed already"
    else
        fetch_release
        replace
        say "installed dockerops ${release#v}${installed:+ (it was $installed, kept as $backup)} as $program"
        tell_what_still_runs "the version before: systemctl restart dockerops, or start it anew"
    fi
    clean
    [[ -n $installed ]] || say "next: sudo dockerops watch <repository>"
}

# The processes whose program was replaced or removed; one in a container has its own.
tell_what_still_runs() {
    local process
    for process in /proc/[0-9]*; do
        [[ $(readlink "$process/exe" 2>/dev/null) != "$program (deleted)" ]] || note "pid ${process##*/} still runs $1"
    done
}

# Beside the program, so that putting it in place is one rename. The folder's own lock needs no file.
prepare_work() {
    local room="make it writable and make room there"
    mkdir -p "$bin" || fail "cannot make \`$bin\`" "$room"
    exec 8<"$bin"
    lock 8 || fail "another dockerops.sh is at work in \`$bin\`" "run it again when that one has ended"
    rm -rf -- "$bin"/.dockerops-install.??????
    work=$(mktemp -d "$bin/.dockerops-install.XXXXXX") || fail "cannot write to \`$bin\`" "$room"
}

# The lock stays with the descriptor when python has ended.
lock() { python3 -c 'import fcntl, sys; fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)' "$1" 2>/dev/null; }

choose_release() {
    if [[ -z $release ]]; then
        release=$(newest_release) ||
            fail "cannot ask \`$api\` for the newest release: $(cat "$work/curl" 2>/dev/null)" \
                "try again later, or name one: dockerops.sh install -v vX.Y.Z"
    fi
    [[ $release == v* ]] || release=v$release
    [[ $release =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] ||
        fail "\`$release\` is no version" "versions look like v1.2.3"
}

fetch_release() {
    local asset=dockerops-linux-$architecture url=$downloads/$release reported
    download "the checksum of $asset $release" "$url/$asset.sha256" "$work/dockerops.sha256"
    download "$asset $release" "$url/$asset" "$work/dockerops"
    verify "$asset $release" "$work/dockerops"
    chmod 755 "$work/dockerops"
    reported=$(version_of "$work/dockerops") ||
        fail "the downloaded program does not run on this machine" "nothing was changed; please report it: https://github.com/$repository/issues"
    [[ v$reported == "$release" ]] ||
        fail "the downloaded program says it is $reported, not ${release#v}" "nothing was changed; choose another with -v"
    fetch_shared "$url/dockerops-share.tar.gz"
}

# Completions and man page. Only the four names are taken from the archive, so it cannot write elsewhere.
fetch_shared() {
    local status=0
    mkdir "$work/share"
    ask "$1.sha256" "$work/share.tar.sha256" --max-time 60 || status=$?
    if [[ $status == 22 ]]; then
        note "this release has no completions and no man page"
        return
    fi
    [[ $status == 0 ]] || download "the checksum of completions and man page" "$1.sha256" "$work/share.tar.sha256"
    download "completions and man page" "$1" "$work/share.tar"
    verify "completions and man page" "$work/share.tar"
    unpack "$work/share.tar" "$work/share" 2>/dev/null ||
        fail "cannot unpack completions and man page" "is there room in \`$bin\`? nothing was changed"
}

unpack() {
    python3 - "$1" "$2" "${!shared[@]}" <<'PYTHON'
import os, shutil, sys, tarfile
archive, folder, names = sys.argv[1], sys.argv[2], sys.argv[3:]
with tarfile.open(archive) as files:
    for name in names:
        with open(os.path.join(folder, name), "wb") as out:
            shutil.copyfileobj(files.extractfile(name), out)
PYTHON
}

# While `replacing` is set, every way out goes through `restore`.
replace() {
    [[ ! -e $backup ]] || cp -p "$backup" "$work/backup-before" ||
        fail "cannot keep \`$backup\`" "make room in \`$bin\`; nothing was changed"
    if [[ -e $program ]]; then
        { cp -pP "$program" "$work/before" && cp -p "$program" "$work/backup"; } ||
            fail "cannot back up \`$program\`" "make room in \`$bin\`; nothing was changed"
    fi
    replacing=yes
    [[ ! -e $work/backup ]] || mv -f "$work/backup" "$backup"
    mv -f "$work/dockerops" "$program" || fail "cannot write \`$program\`"
    [[ v$(version_of "$program") == "$release" ]] || fail "the installed program does not run" "the one before is back"
    install_shared
    replacing=''
}

install_shared() {
    local name target
    for name in "${!shared[@]}"; do
        [[ -e $work/share/$name ]] || continue
        target=${shared[$name]}
        place "$work/share/$name" "$target" ||
            fail "cannot write \`$target\`" "make room there and run it again; the program before is back"
    done
}

place() {
    mkdir -p "${2%/*}" && cp "$1" "$2.new" && chmod 644 "$2.new" && mv -f "$2.new" "$2" && return 0
    rm -f "$2.new"
    return 1
}

# shellcheck disable=SC2317 # called by `leave`
restore() {
    [[ -n $replacing ]] || return 0
    if [[ -e $work/before ]]; then
        mv -f "$work/before" "$program"
    else
        rm -f "$program"
    fi
    if [[ -e $work/backup-before ]]; then
        mv -f "$work/backup-before" "$backup"
    else
        rm -f "$backup"
    fi
    note "put everything back as it was"
}

# Runs at every end, signals included; a second signal must not cut it short.
# shellcheck disable=SC2317 # called by the trap
leave() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    [[ -z $child ]] || kill "$child" 2>/dev/null || true
    if [[ -n $work ]]; then
        restore
        rm -rf -- "$work"
    fi
    exit "$status"
}

# ---- removing ----

# Adds to `doomed` what is there.
doom() {
    local path
    for path; do
        [[ ! -e $path && ! -L $path ]] || doomed+=("$path")
    done
}

doom_database() {
    [[ -e $database ]] || { note "there is no database \`$database\`"; return 0; }
    # A wrong DOCKEROPS_DB_PATH must not cost anyone a file. At the default path even a damaged one is DockerOps'.
    if [[ $database != "$default_database" ]] && ! is_database "$database"; then
        fail "\`$database\` is no database of DockerOps; it stays" "is \`DOCKEROPS_DB_PATH\` right?"
    fi
    doom "$database" "$database-journal" "$database-wal" "$database-shm"
    if [[ $database != "$default_database" && -e $default_database ]]; then
        note "\`$default_database\` is there as well, and stays"
    fi
}

is_database() {
    [[ -f $1 && $(head -c 15 "$1") == "SQLite format 3" ]] && grep -q -a repository_cache "$1"
}

doom_folders() {
    local folder
    for folder in "$database.checkouts"/checkout-*; do
        [[ ! -d $folder || -L $folder ]] || doom "$folder"
    done
    for folder in "$database.objects"/*; do
        [[ ! -d $folder || -L $folder || ! -e $folder/fetching ]] || doom "$folder"
    done
    doom "$log"
}

clean() {
    [[ -n $clean_db$clean_dirs ]] || return 0
    doomed=()
    hold_database
    [[ -z $clean_db ]] || doom_database
    [[ -z $clean_dirs ]] || doom_folders
    remove
}

# No run may be at work on what is removed. The lock goes with the database, but last.
hold_database() {
    [[ -e $database.lock ]] || return 0
    exec 9<"$database.lock"
    lock 9 || fail "another run holds the lock \`$database.lock\`: $(cat "$database.lock")" \
        "run it again when that one has ended"
}

remove() {
    local path
    if [[ ${#doomed[@]} == 0 ]]; then
        say "there is nothing to remove"
        return
    fi
    say "to be removed:"
    printf '  %s\n' "${doomed[@]}"
    confirm || fail "not confirmed; nothing of that was removed"
    for path in "${doomed[@]}"; do
        rm -rf --one-file-system -- "$path" || fail "cannot remove \`$path\`"
    done
    [[ -e $database || ! -d ${database%/*} ]] || { rm -f -- "$database.lock"; rmdir "$database.checkouts" "$database.objects" 2>/dev/null || true; }
    say "removed"
}

confirm() {
    local answer
    # Opening tells whether there is a terminal; the file is there without one, too.
    if [[ -n $yes ]] || ! { : >/dev/tty; } 2>/dev/null; then
        return 0
    fi
    printf 'Remove them? [y/N] ' >/dev/tty
    read -r answer </dev/tty || return 1
    [[ $answer == [yY] || $answer == [yY][eE][sS] ]]
}

uninstall() {
    require_root uninstall
    local path
    doomed=()
    for path in "$program" "$backup" "${shared[@]}"; do
        if [[ -d $path && ! -L $path ]]; then
            note "\`$path\` is a folder, and stays"
        else
            doom "$path"
        fi
    done
    if [[ -n $clean_db ]]; then
        command -v python3 >/dev/null || fail "\`python3\` is missing" "apt-get install python3"
        hold_database
        doom_database
        doom_folders
    fi
    # Before the question, for afterwards it is too late.
    [[ ! -e $program ]] ||
        say "stacks that DockerOps deployed go on running; to remove them, first: sudo dockerops stop"
    remove
    [[ -n $clean_db || ! -e $database ]] || say "the database stays: $database"
    tell_what_still_runs "it: systemctl disable --now dockerops, or end it"
    local left
    for left in /etc/cron.d/dockerops /etc/systemd/system/dockerops.service; do
        [[ ! -e $left ]] || say "still there, and to be removed by you: $left"
    done
}

# ---- status ----

show_status() {
    local installed newest='' no_answer='' next=()
    work=$(mktemp -d)
    installed=$(version_of "$program") || installed=
    if ! command -v curl >/dev/null || ! command -v python3 >/dev/null; then
        no_answer="cannot be asked without curl and python3"
    elif ! newest=$(newest_release); then
        no_answer="cannot be asked of $api: $(cat "$work/curl")"
    fi
    say "installed:   ${installed:-$(tell_why_none)} ($program)"
    say "newest:      ${newest:-$no_answer}"
    [[ ! -e $backup ]] || say "backup:      $(version_of "$backup" || echo "does not run") ($backup)"
    show_database
    show_docker
    show_runner
    if [[ -z $installed ]]; then
        next+=("sudo dockerops.sh install")
    elif [[ -n $newest && ${newest#v} != "$installed" ]]; then
        next+=("sudo dockerops.sh install    # $installed becomes ${newest#v}")
    fi
    case $swarm in
    absent) next+=("install docker, and make a Swarm: docker swarm init") ;;
    silent) next+=("$(advise_on_silence)") ;;
    none) next+=("run DockerOps on a manager of a Swarm: docker swarm init makes a first one") ;;
    worker) next+=("run DockerOps on a manager of a Swarm; this node is a worker") ;;
    esac
    [[ $watched != 0 ]] || next+=("sudo dockerops watch <repository>")
    [[ -n $runner ]] || next+=("let it run by itself: a line in /etc/cron.d/dockerops, see https://github.com/$repository")
    [[ ${#next[@]} != 0 ]] || next+=("nothing; sudo dockerops status tells more")
    printf 'next:        %s\n' "${next[@]}"
}

tell_why_none() { if [[ -e $program ]]; then echo "one that does not run"; else echo no; fi; }

advise_on_silence() {
    if [[ $EUID == 0 ]]; then
        echo "start docker: systemctl start docker"
    else
        echo "sudo dockerops.sh status    # docker answers root, and the group docker"
    fi
}

show_database() {
    watched=0
    if [[ ! -e $database ]]; then
        if [[ -x ${database%/*} || ! -e ${database%/*} && -x ${database%/*/*} ]]; then
            say "database:    none ($database)"
        else
            watched=unknown
            say "database:    cannot be looked at without root ($database)"
        fi
        return
    fi
    if [[ ! -r $database ]]; then
        watched=unknown
        say "database:    cannot be read without root ($database)"
        return
    fi
    say "database:    $database"
    local urls
    if urls=$(watched_repositories); then
        [[ -z $urls ]] || watched=$(wc -l <<<"$urls")
        say "watched:     ${urls:-nothing}" | sed '2,$s/^/             /'
    else
        watched=unknown
        say "watched:     cannot be read$(python3 -c 'import sqlite3' 2>/dev/null || echo " without python3 and its module sqlite3")"
    fi
}

watched_repositories() {
    python3 - "$database" 2>/dev/null <<'PYTHON'
import pathlib, sqlite3, sys
database = sqlite3.connect(pathlib.Path(sys.argv[1]).as_uri() + "?mode=ro", uri=True, timeout=5)
for url, last in database.execute("SELECT url, last_watch FROM repository_cache ORDER BY url"):
    print("%s (%s)" % (url, last))
PYTHON
}

show_docker() {
    local answer version state control
    swarm=absent
    if ! command -v docker >/dev/null; then
        say "docker:      not installed"
        return
    fi
    answer=$(timeout 10 docker info --format '{{.ServerVersion}} {{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' \
        2>"$work/docker") || answer=
    read -r version state control <<<"$answer" || true
    if [[ -z ${version-} || -z ${state-} ]]; then
        swarm=silent
        say "docker:      does not answer: $(tail -n 1 "$work/docker")"
        return
    fi
    swarm=none
    [[ $state != active ]] || swarm=worker
    [[ $control != true ]] || swarm=manager
    say "docker:      $version"
    say "swarm:       ${swarm/none/this node is in no Swarm}"
}

# What makes it reconcile without being told.
show_runner() {
    local process found=()
    for process in /proc/[0-9]*; do
        [[ $(cat "$process/comm" 2>/dev/null) == dockerops ]] || continue
        [[ $(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) != *"dockerops run "* ]] || found+=("daemon, pid ${process##*/}")
    done
    [[ ! -e /etc/systemd/system/dockerops.service ]] || found+=("systemd unit dockerops.service")
    [[ ! -e /etc/cron.d/dockerops ]] || found+=("cron, /etc/cron.d/dockerops")
    runner=${found[*]-}
    say "runs by:     $(IFS=';'; echo "${found[*]:-nothing: neither daemon nor cron}")"
}

# ---- the command line ----

parse() {
    command=${1-help}
    shift || true
    while [[ $# != 0 ]]; do
        case $command:$1 in
        *:--help | *:-h) command=help ;;
        install:-v | install:--version)
            [[ -n ${2-} ]] || usage "\`$1\` needs a version, as in \`$1 v1.2.3\`"
            release=$2
            shift
            ;;
        install:--version=*) release=${1#*=} ;;
        install:--clean-db) clean_db=yes ;;
        install:--clean-dirs) clean_dirs=yes ;;
        install:--clean-all | uninstall:--clean-all) clean_db=yes clean_dirs=yes ;;
        install:--yes | install:-y | uninstall:--yes | uninstall:-y) yes=yes ;;
        *) usage "\`$command\` takes no \`$1\`" ;;
        esac
        shift
    done
}

main() {
    ((BASH_VERSINFO[0] >= 4)) || fail "this is bash $BASH_VERSION; it must be bash 4 or newer"
    release='' clean_db='' clean_dirs='' yes='' work='' child='' replacing=''
    local -A shared=()
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    parse "$@"
    find_places
    case $command in
    install) install ;;
    uninstall) uninstall ;;
    status) show_status ;;
    help | --help | -h) show_help ;;
    *) usage "there is no command \`$command\`" ;;
    esac
}

# In braces: a line that was cut off is a syntax error, and nothing runs.
{
    main "$@"
    exit
}
