#!/bin/sh
# Runs one test in a network of its own, in which there is only `lo`: no port that another test or a client
# beside it has taken is in the way, and what a test leaves behind is gone with it.
exec unshare -n sh -c 'ip link set lo up && exec "$@"' sh "$@"
