#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cbd-sim replay --strategy exhaustive: nothing is left out, and the report does not depend on jobs.
. "$(dirname "$0")/lib.bash"

# workload N: a log of N requests over 4 MiB: 60 % writes, flushes, discards, reads.
workload() {
    echo "fio version 2 iolog"
    echo "disk add"
    echo "disk open"
    awk -v n="$1" 'BEGIN {
        x = 1
        for (i = 0; i < n; i++) {
            x = (x * 1103515245 + 12345) % 2147483648
            k = int(x / 65536) % 20
            x = (x * 1103515245 + 12345) % 2147483648
            at = int(x / 65536) % 1024 * 4096
            if (k < 12) printf "disk write %d %d\n", at, (1 + k % 3) * 4096
            else if (k < 15) print "disk sync 0 0"
            else if (k < 17) printf "disk trim %d 16384\n", at
            else printf "disk read %d 4096\n", at
        }
    }'
    echo "disk close"
}

all() { expect 0 cbd-sim replay --strategy exhaustive --cache-size 4M --segment-size 64K "$@"; }

# number KEY: of the certificate in `out`.
number() { grep -F "\"$1\":" out | tr -dc 0-9; }

workload 120 >log
all --trace log --jobs 1 --json
cp out one
all --trace log --jobs 2 --json
cmp -s one out || flunk "another report with two processes"
says '"certificate"'
says '"violations": 0'
[ "$(number cuts_limited)" = 0 ] || flunk "cuts were limited"
[ "$(number imprecise_reads)" = 0 ] || flunk "reads were imprecise"
[ "$(grep -F '"represented"' out | tr -d ' ' | cut -d: -f2)" = \
    "$(grep -F '"possible"' out | tr -d ' ' | cut -d: -f2)" ] || flunk "states are missing"
[ "$(number executed)" -gt 1000 ] || flunk "hardly anything was executed"

all --trace log --crashes 20 --crash-depth 2
says "model adr, depth 2"
says "violations             0"
for model in eadr page; do
    all --trace log --crashes 40 --model $model
    says "violations             0"
done

expect 16 cbd-sim replay --trace log --crash-depth 2
says "--crash-depth is for"
expect 16 cbd-sim replay --trace log --strategy exhaustive --crash-depth 9
says "--crash-depth"
expect 16 cbd-sim replay --trace log --strategy exhaustive --faults all
says "no --faults"

# A trail names one state: the ID of a replay that found nothing is put together here.
crc=$(gzip -c log | tail -c 8 | od -An -tu4 -N 4 | tr -d ' ')
id="replay:step=200:subset=0:number=0:seed=1:restarts=8:subsets=16:cache=4194304:segment=65536"
id="$id:streams=4:checksum=1:lenient=0:model=adr:format=auto"
id="$id:schedule=serial:threads=4:depth=3:faults=none"
end="crc=$(printf %08x "$crc"):trace=log"
expect 0 cbd-sim rerun "$id:trail=r0:$end"
says "as promised"
expect 0 cbd-sim rerun "$id:trail=d:$end"
expect 0 cbd-sim rerun "$id:trail=@3/r0:$end"
expect 4 cbd-sim rerun "$id:trail=7@99999/r0:$end"
says "leads nowhere"
finish
