#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Clients that nobody here wrote: nbdinfo, nbdcopy, fio, qemu-img. What they see, copy in and out,
# and verify; then the disk without the cache.
. "$(dirname "$0")/lib.bash"
need nbdinfo nbdcopy

make_cache
truncate -s 128M disk1.img
"$bin/cbd-ctl" cache.img backend add disk1 --backing disk1.img --cache-size 2M >make.log 2>&1
truncate -s 128M other.img

# --- what is offered ---
serve backend=disk0
timeout 60 nbdinfo --json "$uri" >info.json
for field in '"can_fua": true' '"can_flush": true' '"can_trim": true' '"can_zero": true' \
    '"can_fast_zero": true' '"can_multi_conn": true' '"can_cache": true' '"is_read_only": false' \
    '"block_size_minimum": 512' '"block_size_preferred": 4096' '"export-size": 134217728'; do
    check "nbdinfo says $field" says info.json "$field"
done
check_not "others may write to the socket" sh -c "stat -c %A '$socket' | grep -qE '^.....w|^........w'"
timeout 60 nbdinfo --map "$uri" >map.txt
check "an empty disk is a hole" grep -q 'hole,zero' map.txt
check_not "an export that is not there" timeout 60 nbdinfo "nbd+unix:///none?socket=$socket"

# --- in and out ---
head -c 30000000 /dev/urandom >in.img
truncate -s 128M in.img
check "nbdcopy in" timeout 100 nbdcopy --flush in.img "$uri"
check "nbdcopy out" timeout 100 nbdcopy "$uri" out.img
check "the same comes out" cmp in.img out.img
run_nbdkit -f -U second "$plugin" cache.img >second.log 2>&1 &
ended $!
check "a second server for the same cache is refused" says second.log "in use"
stop
check "the disk is what was written" cmp in.img disk.img
check_clean

# --- verified by fio, on many connections ---
if command -v fio >/dev/null && fio --enghelp=nbd >/dev/null 2>&1; then
    serve backend=disk0 queue-depth=16
    check "fio" timeout 120 fio --name=v --ioengine=nbd --uri="$uri" --rw=randrw --bsrange=512-64k \
        --size=48M --io_size=24M --verify=crc32c --verify_fatal=1 --iodepth=16 --fsync=64 \
        --randseed=7
    stop
    check_clean
else
    echo "no fio with the nbd engine: left out"
fi
if ! command -v qemu-img >/dev/null; then
    echo "no qemu-img: left out"
else
    serve backend=disk0
    check "qemu-img reads the same" timeout 60 qemu-img compare -f raw -F raw disk.img "$uri"
    stop
fi

# --- what is refused, and that it is said ---
refused() {
    local text=$1
    shift
    local status=0
    run_nbdkit -f -U none "$plugin" "$@" >refused.log 2>&1 &
    ended $! || status=$?
    check "refused, not ended by a signal: $* (got $status)" test "$status" -eq 1
    check "refused with '$text'" says refused.log "$text"
}
refused "there is none of this name" cache.img backend=nothing
refused "limit true or false" cache.img fill=perhaps
refused "unknown parameter" cache.img colour=blue
refused "device=PATH is missing"
refused "device: got 'other.img', limit one path" cache.img other.img
refused "holds no CBD cache" other.img
refused "cannot be attached" cache.img backend=disk0 backing=other.img
# The C library words this error: see preload/asan_early.c.
refused "nowhere.img" ./nowhere.img
(run_nbdkit "$plugin" --help) >help.txt
check "help lists the options" says help.txt "writeback-on-exit=BOOL"
(run_nbdkit "$plugin" --dump-plugin) >dump.txt
check "dump-plugin" says dump.txt "thread_model=parallel"
finish
