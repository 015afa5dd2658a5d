#!/bin/sh
# Asks the API everything that its OpenAPI document allows, and much that it forbids: no answer may
# be a 5xx, and none may be one that the document does not tell of.
#
#   scripts/schemathesis.sh [COMMAND...]
#
# COMMAND starts a server on a loopback address, prints `url URL` and `token TOKEN` on its first
# two lines, and ends when its input does. Left out: the example `api` of bellwether-hub.
# SCHEMATHESIS=/path/to/it takes one that is there; else it is fetched into target/schemathesis.
# EXAMPLES (50) is how many requests each operation gets, SEED (1) makes the run repeatable.
set -eu

cd "$(dirname "$0")/.."
version=4.32.5
schemathesis=${SCHEMATHESIS:-$PWD/target/schemathesis/bin/schemathesis}
if [ ! -x "$schemathesis" ]; then
    python3 -m venv target/schemathesis
    target/schemathesis/bin/pip install --quiet "schemathesis==$version"
fi
if [ $# -eq 0 ]; then
    set -- cargo run --quiet -p bellwether-hub --example api
fi

work=$(mktemp -d)
mkfifo "$work/input"
"$@" <"$work/input" >"$work/output" &
server=$!
exec 3>"$work/input"
trap 'exec 3>&-; kill "$server" 2>/dev/null || true; rm -r "$work"' EXIT

waited=0
until grep -q '^token ' "$work/output"; do
    waited=$((waited + 1))
    if [ "$waited" -gt 3000 ] || ! kill -0 "$server" 2>/dev/null; then
        echo "the server did not start" >&2
        exit 1
    fi
    sleep 0.2
done
url=$(sed -n 's/^url //p' "$work/output")
token=$(sed -n 's/^token //p' "$work/output")
case $url in
http://127.0.0.1:* | http://localhost:* | "http://[::1]:"*) ;;
*)
    echo "not on a loopback address: $url" >&2
    exit 1
    ;;
esac

# What it writes down while it runs goes away with it.
cd "$work"

# The event stream lasts a quarter of an hour, and schemathesis waits for the end of each answer
# before it judges it: it would meet its own time limit and call that a failure. What the stream
# says, and to how many, is proven by crates/bellwether-hub/tests/hub/events.rs, and through a
# running program by `events_come_as_they_happen` of crates/bellwether/tests/serve.
# `positive_data_acceptance`: some rules say more than JSON Schema can (`from` before `to`, `failed`
# no more than `total`, a service that exists), so what fits the schema may still be refused.
# `ignored_auth`: on a loopback address reading is open, and what is open needs no token.
"$schemathesis" run "$url/api/v1/openapi.json" \
    --header "Authorization: Bearer $token" \
    --exclude-path /api/v1/events \
    --exclude-checks positive_data_acceptance,ignored_auth \
    --max-examples "${EXAMPLES:-50}" \
    --seed "${SEED:-1}" \
    --workers 1 \
    --request-timeout 10 \
    --generation-database none

# Alive still, and well.
python3 - "$url" <<'PYTHON'
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1] + "/readyz").read().decode())
PYTHON
