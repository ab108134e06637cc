#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# ctest: timeout=300
# Power cuts of the real server: what it did is recorded (record=FILE) while clients write, and the
# simulator takes the power away at places of the record, recovers, and judges by what the clients
# were answered. CUTS in the environment: at how many places.
disk_bytes=16M cache_bytes=12M share_bytes=4M
. "$(dirname "$0")/lib.bash"
ledger=$bin/tests/nbd_ledger
[ -x "$ledger" ] || skip "nbd_ledger was not built: libnbd-dev"
cuts=${CUTS:-12}
[ -z "$runtime" ] || cuts=4
patience=$((200 + cuts / 2)) # seconds for all of them

# --- four connections at once ---
make_cache
serve record=record1 writeback-rate=64M
check "writers" timeout 120 "$ledger" write "$uri" log 1 1
stop
check "no violation" timeout "$patience" "$bin/cbd-sim" cut record1 --random "$cuts" --seed "${SEED:-1}"
cat check.log
cp check.log cut.log
check "all of it was recorded" says cut.log "up to the end of the server"

# --- the same seed says the same ---
"$bin/cbd-sim" cut record1 --random 5 --out out1 --seed 3 >/dev/null
"$bin/cbd-sim" cut record1 --random 5 --out out2 --seed 3 >/dev/null
check "the same images twice" diff -r out1 out2
check "the images are a cache" "$bin/cbd-check" -f out1/3/pmem.img
check "and can be written back" "$bin/cbd-ctl" out1/3/pmem.img writeback disk0 --backing out1/3/disk0.img

# --- the judge is not blind: without these it finds something ---
# Exit code 4 is a violation; anything else is not good enough.
finds() {
    local status=0
    timeout 200 "$bin/cbd-sim" cut record1 --random 4 --seed 5 --subsets 3 "$@" >find.log 2>&1 ||
        status=$?
    check "violations are found: $*" test "$status" -eq 4
}
finds --drop INSERT_RECORD_FENCE
finds --drop INSERT_DATA
finds --forget-flushes

# --- a record that ends anywhere, or is damaged, is read up to there ---
size=$(stat -c %s record1)
head -c $((size * 2 / 3)) record1 >short
check "a record that was cut off" timeout 100 "$bin/cbd-sim" cut short --random 3
cp check.log cut.log
check "is said to be so" says cut.log "cut off"
printf X | dd of=short bs=1 seek=$((size / 2)) conv=notrunc status=none
check "a record that is damaged" timeout 100 "$bin/cbd-sim" cut short --random 3
check_not "no record at all" "$bin/cbd-sim" cut disk.img
rm -f record1 short

# --- small and unaligned requests, flushes, trims ---
if command -v fio >/dev/null && fio --enghelp=nbd >/dev/null 2>&1; then
    make_cache
    serve record=record2
    timeout 120 fio --ioengine=nbd --uri="$uri" --thread --randseed=9 --size=12M --group_reporting \
        --name=w --rw=randrw --bsrange=512-48k --io_size=6M --iodepth=8 --fsync=16 --refill_buffers \
        --name=t --rw=randtrim --bs=12k --io_size=1M --offset=2M --size=4M >fio.log 2>&1
    check "fio" test $? -eq 0
    stop
    check "no violation" timeout "$patience" "$bin/cbd-sim" cut record2 --random "$cuts" --seed "${SEED:-1}" \
        --subsets 3
    cat check.log
    check "nor in the page model" timeout 200 "$bin/cbd-sim" cut record2 --random 10 --model page
fi

# --- durable at a flush ---
make_cache
serve record=record4 durability=flush
check "writers" timeout 120 "$ledger" write "$uri" log4 2 1
stop
check "no violation, durable at a flush" timeout "$patience" "$bin/cbd-sim" cut record4 --random "$cuts" \
    --seed 7 --subsets 3
cat check.log
rm -f record4

# --- the bound ---
make_cache
serve record=record3 record-max=2M
timeout 120 "$ledger" write "$uri" log3 1 1
stop
check "the bound is said" says server.log "has reached its bound"
check "what is there can be cut" timeout 100 "$bin/cbd-sim" cut record3 --random 3
finish
