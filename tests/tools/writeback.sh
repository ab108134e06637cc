#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cbd-sim writeback: write-back makes at most 5 % more requests, flushes and bytes than the best.
. "$(dirname "$0")/lib.bash"

# Few writes between many reads, which fill a cache of 4 MiB again and again, and no flush: the dirty
# records of the one epoch come in reclaim's way, and are carried.
{
    echo "fio version 3 iolog"
    echo "0 disk add"
    echo "0 disk open"
    for ((i = 1; i < 12000; i++)); do
        ((i % 150 == 0)) && echo "$i disk write $((i * 56 % 8192 * 4096)) 8192"
        echo "$i disk read $(((i * 7919 % 16384 + 2048) * 4096)) 4096"
    done
    echo "12000 disk close"
} >reads.iolog

for trace in reads.iolog "$CBD_SOURCE_DIR"/examples/traces/*.zst; do
    for size in 4M 24M; do
        expect 0 cbd-sim writeback --trace "$trace" --cache-size $size --limit 5
    done
done
finish
