#!/bin/sh
# Fails where this machine has a route to the rest of the world: tests may not run there.
# 192.0.2.1 and 2001:db8::1 are nobody's (RFC 5737, RFC 3849); asking for a route sends nothing.
set -u
command -v ip >/dev/null || { echo "ip (iproute2) is missing: nobody can say whether tests could reach the Internet" >&2; exit 1; }
for to in 192.0.2.1 2001:db8::1; do
    # Without a route, or with one that refuses, `ip` fails.
    if way=$(ip route get "$to" 2>/dev/null); then
        echo "tests could reach the Internet ($way): run them with \`cargo xtask test\`" >&2
        exit 1
    fi
done
