#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A backend that has lost something dirty is served for reading only: the client is told so, writes are
# refused, what is lost gives EIO, everything else is there.
disk_bytes=16M cache_bytes=12M share_bytes=4M
. "$(dirname "$0")/lib.bash"
need qemu-io nbdinfo
command -v jq >/dev/null || skip "jq is not installed"

make_cache --streams 1
serve dirty-start=100 dirty-urgent=100
check "writes" timeout 60 qemu-io -f raw "$uri" -c "write -P 1 0 64k" -c "write -P 2 1M 64k" -c "write -P 3 2M 64k"
kill_server
# The record of the write in the middle: durable, dirty, and not the newest of its stream.
"$bin/cbd-dump" --json --keys --range=1M..1100K cache.img >keys.json
offset=$(jq '[.records[] | select(.addr_bytes == 1048576) | .offset_bytes] | first' keys.json)
check "its place is known" test "${offset:-null}" != null || { head -c 1500 keys.json; finish; }
printf XXXX | dd of=cache.img bs=1 seek=$((offset + 16)) conv=notrunc status=none

serve
check "it says what is lost" grep -q "served for reading only" server.log
timeout 60 nbdinfo --json "$uri" >info.json
check "the client is told" says info.json '"is_read_only": true'
check "the rest is there" timeout 60 qemu-io -r -f raw "$uri" -c "read -P 1 0 64k" -c "read -P 3 2M 64k"
timeout 60 qemu-io -r -f raw "$uri" -c "read 1M 64k" >read.log 2>&1
check "what is lost gives EIO" grep -q "Input/output error" read.log
check_not "no client may write" timeout 60 qemu-io -f raw "$uri" -c "write -P 9 0 64k"
cp cache.img before.img
stop
check "the cache is left as it was" cmp cache.img before.img
finish
