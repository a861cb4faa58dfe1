#!/bin/sh
# Has a command done and follows it to its end: client.sh <api> <token> <command as JSON>
# Ends with 0 if it succeeded or there was nothing to do, with 1 if it failed, with 2 if it was not admitted.
set -eu
api=$1 token=$2 command=$3
owner=$api/v1/owners/me
answer=$(mktemp) headers=$(mktemp)
trap 'rm -f "$answer" "$headers"' EXIT

ask() { # prints the status; the answer is in $answer, its headers are in $headers
  curl -sS -D "$headers" -o "$answer" -w '%{http_code}' -H "authorization: Bearer $token" \
    -H 'content-type: application/json' "$@"
}
header() { tr -d '\r' < "$headers" | grep -i "^$1:" | cut -d ' ' -f 2-; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$answer"; }

# The key makes it one command, however often the request has to be repeated because its answer was lost.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
status=$(ask -H "idempotency-key: $key" --retry 5 --retry-connrefused -d "$command" "$owner/commands")
if [ "$status" != 202 ]; then
  cat "$answer" >&2
  exit 2
fi
location=$api$(header location)

# Accepted is not done: look again when the server says so, until it says nothing more.
while pause=$(header retry-after) && [ -n "$pause" ]; do
  echo "$(field status)" >&2
  sleep "$pause"
  ask --retry 5 --retry-connrefused "$location" > /dev/null
done
cat "$answer"
case $(field status) in succeeded | no_op) ;; *) exit 1 ;; esac
