#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The server is killed at random moments while four connections write, also while it starts
# (recovery) and while it ends (write-back). After each restart everything that was acknowledged is
# there, whole. KILLS in the environment: how often.
disk_bytes=16M cache_bytes=12M share_bytes=4M
. "$(dirname "$0")/lib.bash"
ledger=$bin/tests/nbd_ledger
[ -x "$ledger" ] || skip "nbd_ledger was not built: libnbd-dev"

make_cache
seed=${SEED:-1}
for kill in $(seq "${KILLS:-10}"); do
    seed=$(((seed * 16807 + 11) % 2147483647))
    serve idle=1 scrub-rate=1M
    check "kill $kill: what was acknowledged is there" timeout 120 "$ledger" check "$uri" log || break
    "$ledger" write "$uri" log "$seed" 60 &
    writer=$!
    sleep "0.$(printf %03d $((seed % 700)))"
    case $((kill % 5)) in
    3) # while it writes back
        kill -TERM "$server"
        sleep "0.0$(printf %02d $((seed % 40)))"
        ;;
    4) # and again while it recovers
        kill_server
        ended "$writer"
        writer=""
        run_nbdkit -f -U "$socket.2" "$plugin" cache.img >>server.log 2>&1 &
        server=$!
        sleep "0.0$(printf %02d $((seed % 60)))"
        ;;
    esac
    kill_server
    [ -z "$writer" ] || ended "$writer"
    check "kill $kill: no damage" timeout 120 "$bin/cbd-check" -f cache.img
done
serve
check "at the end" timeout 120 "$ledger" check "$uri" log
tail -n 1 check.log
check "all of it" timeout 120 nbdcopy "$uri" served.img
stop
check "the bare disk is what was served" cmp served.img disk.img
check_clean
finish
