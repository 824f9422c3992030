#!/bin/sh
# The container's first process until it becomes DockerOps, which then gets the signals: `docker stop` ends a run in
# order. Words of no subcommand of its own, so that `docker run … dockerops status` works as well as `… status`.
set -eu

[ "${1-}" != dockerops ] || shift
# Swarm mounts the secret; where there is none, a token of the environment counts.
if [ -z "${GITHUB_TOKEN-}${GITHUB_TOKEN_FILE-}" ] && [ -s /run/secrets/github_token ]; then
    export GITHUB_TOKEN_FILE=/run/secrets/github_token
fi
exec dockerops "$@"
