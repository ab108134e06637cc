#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cbd-sim cut by hand: its JSON, and what it says of a file that is no record, of one that ends
# early, is damaged, or is of another version. Each exit code is named.
disk_bytes=1M cache_bytes=3M share_bytes=256K
. "$(dirname "$0")/lib.bash"
need qemu-io jq

# The name of a backend may have anything but control characters: it must not lead out of a folder.
"$bin/cbd-format" --create "$cache_bytes" --segment-size 64K cache.img >make.log 2>&1
truncate -s "$disk_bytes" disk.img
"$bin/cbd-ctl" cache.img backend add ../../up --backing disk.img --streams 1 \
    --cache-size "$share_bytes" >>make.log 2>&1 || { cat make.log; exit 1; }
serve record=rec
check "writes" timeout 60 qemu-io -f raw "$uri" -c "write -P 1 0 64k" -c flush -c "write -f -P 2 4k 4k" \
    -c "discard 8k 8k" -c "read 0 4k"
stop

# expect CODE TEXT ARGUMENTS: the exit code, and what it says to either output.
expect() {
    local want=$1 text=$2 got=0
    shift 2
    timeout 60 "$bin/cbd-sim" cut "$@" >cut.log 2>&1 </dev/null || got=$?
    check "exit code $want (got $got): cut $*" test "$got" -eq "$want" || cat cut.log
    check "it says '$text': cut $*" says cut.log "$text" || cat cut.log
}

# --- JSON ---
expect 0 "0 violations" rec --random 3
expect 0 "up to the end of the server" rec --at 0
timeout 60 "$bin/cbd-sim" cut rec --random 3 --json >cut.json
check "the JSON" jq -e '.format == "cbd-sim-cut" and .format_version == 1 and .good and .judged and
    .record.complete and .record.events > 20 and .places == 3 and .states == 6 and .violations == 0
    and .disks == [{name: "../../up", size_bytes: 1048576, durable_at_flush: false,
    requests: .disks[0].requests}] and .first_violations == [] and .model == "adr"' cut.json
code=0
timeout 60 "$bin/cbd-sim" cut rec --random 20 --drop INSERT_RECORD_FENCE --json >cut.json || code=$?
check "a violation is 4 (got $code)" test "$code" -eq 4
check "and is in the JSON" jq -e '.good == false and .violations > 0 and
    (.first_violations | length) > 0 and all(.first_violations[]; .what | length > 0)' cut.json
expect 8 "/dev/null/x: cannot be made" rec --out /dev/null/x --at 1
expect 0 "1 states written" rec --out out --at 1
check "the disk is in its folder" test -f out/1/.._.._up.img
expect 8 "File exists" rec --out out --at 1

# --- no record ---
expect 8 "cannot be opened" none
expect 8 "not a file, or empty" /dev/null
expect 8 "not a file, or empty" .
: >empty
expect 8 "not a file, or empty" empty
head -c 39 rec >short
expect 8 "too short: got 39 bytes, limit 40" short
expect 8 "this is no record" cache.img
# patch FILE OFFSET BYTES
patch() {
    cp rec "$1"
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
patch version 16 '\x03'
expect 8 "version: got 3, limit 2" version
patch head 24 '\x07'
expect 8 "the checksum of its head is wrong" head

# --- it ends early, or is damaged ---
size=$(stat -c %s rec)
head -c 40 rec >short
expect 8 "it ends before all that the devices held, at byte 40" short
head -c 200 rec >short
expect 8 "the file ends inside a block" short
patch damaged 3000 'X'
expect 8 "the checksum of a block is wrong" damaged

# --- wrong words ---
events=$(timeout 60 "$bin/cbd-sim" cut rec --at 0 --json | jq .record.events)
expect 8 "--at: got $((events + 1)), limit $events" rec --at $((events + 1))
expect 0 "1 place cut" rec --at "$events"
expect 16 "--at: got 'x'" rec --at x
expect 16 "--random: got '0'" rec --random 0
expect 16 "--model: got 'fast', limit adr, eadr or page" rec --model fast
expect 16 "--drop: got 'NOTHING', limit a persist call" rec --drop NOTHING
expect 16 "FILE" rec rec
expect 16 "FILE"
expect 16 "unknown option '--nothing'" rec --nothing
code=0
timeout 60 "$bin/cbd-sim" cut rec --at 1 --json >/dev/full 2>cut.log || code=$?
check "a full output is 8 (got $code)" test "$code" -eq 8
echo "$size bytes of record, $events events"
finish
