#!/usr/bin/env bash
# Keeps up one comment on a pull or merge request: what `dockerops validate --markdown` printed.
#
#   comment.sh github comment.md    with GITHUB_TOKEN and PULL_REQUEST, its number
#   comment.sh gitlab comment.md    with GITLAB_TOKEN, of a project access token that has the scope `api`
#
# All else the forge's own runner says. Needs curl and jq. Who may not comment, on a pull request from a fork, say, is told
# so, and that is no failure: the log has it all.
set -euo pipefail

MARK='<!-- dockerops validate -->'
forge=${1-} file=${2-}

fail() {
    echo "comment.sh: $1" >&2
    exit 1
}

[[ $forge =~ ^git(hub|lab)$ && -f $file ]] || fail "usage: comment.sh github|gitlab FILE"
head -n 1 "$file" | grep -qxF -- "$MARK" || fail "\`$file\` is not what \`dockerops validate --markdown\` prints"

if [[ $forge == github ]]; then
    : "${GITHUB_API_URL:?}" "${GITHUB_REPOSITORY:?}" "${GITHUB_TOKEN:?}" "${PULL_REQUEST:?}"
    header="Authorization: Bearer $GITHUB_TOKEN"
    comments=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments
    comment=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues/comments update=PATCH
else
    : "${CI_API_V4_URL:?}" "${CI_PROJECT_ID:?}" "${GITLAB_TOKEN:?}" "${CI_MERGE_REQUEST_IID:?}"
    header="PRIVATE-TOKEN: $GITLAB_TOKEN"
    comments=$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes
    comment=$comments update=PUT
fi

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# The status; the body lies in $answer. The token is in no argument, which others could list.
ask() {
    local method=$1 address=$2
    shift 2
    curl --silent --show-error --max-time 60 --retry 3 --output "$answer" --write-out '%{http_code}' \
        --header @<(printf '%s\n' "$header") --header 'Content-Type: application/json' \
        --request "$method" "$@" "$address"
}

expect() {
    [[ $1 == 2?? ]] && return
    if [[ $1 == 403 ]]; then
        echo "no comment: this token may not $2" >&2
        exit 0
    fi
    fail "the forge answers $1 to who would $2"
}

# Anybody can write a comment with that mark: ours is the one of our own hand.
# shellcheck disable=SC2016 # these are jq's own variables
if [[ $forge == github ]]; then
    own='.user.login == $me' me=${COMMENT_USER:-github-actions[bot]}
else
    status=$(ask GET "$CI_API_V4_URL/user")
    expect "$status" 'tell who it is'
    own='(.author.id | tostring) == $me' me=$(jq -r .id "$answer")
fi

id=
for ((page = 1; page <= 100; page++)); do
    status=$(ask GET "$comments?per_page=100&page=$page")
    expect "$status" 'read the comments'
    id=$(jq -r --arg mark "$MARK" --arg me "$me" \
        "[.[] | select($own and (.body | startswith(\$mark)))][0].id // empty" "$answer")
    [[ -z $id && $(jq length "$answer") == 100 ]] || break
done

body() {
    jq -n --rawfile body "$file" '{$body}'
}

if [[ -n $id ]]; then
    status=$(ask "$update" "$comment/$id" --data-binary @<(body))
    expect "$status" 'write the comment anew'
else
    status=$(ask POST "$comments" --data-binary @<(body))
    expect "$status" 'write a comment'
fi
