#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Latency through the socket: the plugin beside nbdkit's memory plugin, same client, same run.
# SECONDS_EACH in the environment: for each figure and server.
#
#   bench/nbd/nbd.sh [BIN]     BIN: the bin/ folder of a release build (build/release/bin)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${1:-$root/build/release/bin}" && pwd)
seconds=${SECONDS_EACH:-5}
work=$(mktemp -d /dev/shm/cbd-nbd.XXXXXX)
servers=()
cleanup() {
    trap - EXIT
    [ "${#servers[@]}" -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap cleanup EXIT
cd "$work"
"$bin/cbd-format" --create 768M cache.img >/dev/null
truncate -s 256M disk.img
"$bin/cbd-ctl" cache.img backend add disk0 --backing disk.img --cache-size 700M >/dev/null

# Memory is the pmem here: caches are flushed as on a real one, nothing is msynced.
export PMEM2_FORCE_GRANULARITY=CACHE_LINE
nbdkit -f -U memory.socket memory 256M 2>memory.log &
servers+=($!)
nbdkit -f -U cbd.socket "$bin/nbdkit-cbd-plugin.so" cache.img dirty-start=45 dirty-urgent=95 2>cbd.log &
servers+=($!)
for n in $(seq 100); do
    [ -S memory.socket ] && [ -S cbd.socket ] && break || sleep 0.1
done

# Both have every block, and have touched all of their memory, before anything is measured.
head -c 256M /dev/urandom >fill.img
for n in 1 2 3; do
    for server in memory cbd; do
        nbdcopy --flush fill.img "nbd+unix:///?socket=$work/$server.socket"
    done
done
rm fill.img
run() {
    printf '\n%s, %s bytes, depth %s\n' "$1" "$2" "$3"
    "$bin/nbd_latency" "$seconds" "$1" "$2" "$3" "memory=nbd+unix:///?socket=$work/memory.socket" \
        "cbd=nbd+unix:///?socket=$work/cbd.socket"
}
# Write-back goes on for a while after writes: what does not write comes first.
run read 4096 1
run flush 4096 1
run write 4096 1
run write 65536 1
run write 4096 16
