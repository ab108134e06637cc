#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What a client is told of each error that a request can run into (the table in docs/frontends.md):
# EINVAL, ENOSPC, EIO, EPERM, and that the server goes on behind each of them.
disk_bytes=16M cache_bytes=12M share_bytes=2M
. "$(dirname "$0")/lib.bash"
asker=$bin/tests/nbd_errno
[ -x "$asker" ] || skip "nbd_errno was not built: libnbd-dev"
need jq

# answers ERRNO REQUEST...: each of them is answered so.
answers() {
    local want=$1 request
    shift
    for request in "$@"; do
        timeout 60 "$asker" "$uri" "$request" >asked.log 2>&1
        check "$request: $want (got $(head -c 200 asked.log))" grep -qx "$request $want" asked.log
    done
}
end=$((16 << 20))

# --- not made of logical blocks, beyond the end ---
"$bin/cbd-format" --create "$cache_bytes" --segment-size 256K cache.img >make.log 2>&1
truncate -s "$disk_bytes" disk.img
"$bin/cbd-ctl" cache.img backend add disk0 --backing disk.img --cache-size "$share_bytes" --streams 1 \
    --logical-block 4096 >>make.log 2>&1 || { cat make.log; exit 1; }
serve
answers ok write:0:4096 read:0:4096 zero:4096:4096 trim:8192:4096 cache:0:4096 flush
answers EINVAL write:512:4096 write:0:512 read:512:4096 read:0:512 zero:512:4096 zero:0:512 \
    trim:512:4096 trim:0:512
answers EINVAL read:$end:4096 read:$((end - 4096)):8192 trim:$end:4096 cache:$end:4096
answers ENOSPC write:$end:4096 zero:$end:4096
answers ok read:0:4096 write:$((end - 4096)):4096 flush
stop

# --- the disk cannot be read: its file has become shorter ---
make_cache --streams 1
serve
truncate -s 1M disk.img
answers EIO read:$((8 << 20)):4096 read:$((2 << 20)):4096
answers ok write:$((8 << 20)):4096 read:$((8 << 20)):4096 read:0:4096
truncate -s "$disk_bytes" disk.img
answers ok read:$((2 << 20)):4096
stop
check_clean

# --- no room: the disk takes nothing behind its first MiB, so write-back makes no progress ---
make_cache --streams 1
trap '' XFSZ
limit=$(ulimit -S -f)
ulimit -S -f 1024
serve space-timeout=300ms
ulimit -S -f "$limit"
full=""
for n in $(seq 2 14); do
    timeout 60 "$asker" "$uri" "write:$((n << 20)):1048576" >asked.log 2>&1
    grep -q ' ok$' asked.log && continue
    full=$n
    break
done
check "a write finds no room" grep -q 'ENOSPC$' asked.log
answers ENOSPC write:$(((full + 1) << 20)):524288
answers ok read:$((2 << 20)):4096 read:$((15 << 20)):4096
kill_server
serve # without the limit: what was answered is there, and there is room again
answers ok write:$((full << 20)):1048576 read:$((2 << 20)):4096 flush
stop
check_clean

# --- served for reading only: a record that was durable is damaged ---
make_cache --streams 1
serve dirty-start=100 dirty-urgent=100
answers ok write:0:65536 write:1048576:65536 write:2097152:65536
kill_server
"$bin/cbd-dump" --json --keys --range=1M..1100K cache.img >keys.json
offset=$(jq '[.records[] | select(.addr_bytes == 1048576) | .offset_bytes] | first' keys.json)
check "its place is known" test "${offset:-null}" != null || finish
printf XXXX | dd of=cache.img bs=1 seek=$((offset + 16)) conv=notrunc status=none
serve
answers EPERM write:0:4096 zero:0:4096 trim:0:4096
answers EIO read:1048576:4096
answers ok read:0:4096 read:2097152:4096
kill_server
finish
