#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The backing device is a block device: a loop device, with logical blocks of 512 and of 4096 bytes.
# It is held O_EXCL; what is discarded and zeroed reads as zeroes through the server and on the
# device; a device that is mounted, or served already, is refused, and so is one of another block
# size. Needs root and loop devices.
disk_bytes=32M cache_bytes=12M share_bytes=4M
. "$(dirname "$0")/lib.bash"
[ "$(id -u)" -eq 0 ] || skip "loop devices need root"
[ -c /dev/loop-control ] || skip "no /dev/loop-control"
need losetup blockdev blkdiscard qemu-io nbdinfo

device=""
detach_device() {
    [ -z "$device" ] || losetup -d "$device"
    device=""
}
cleanup_more() {
    [ -z "$server" ] || kill -9 "$server" # it holds the device
    detach_device
}

# device_cache BLOCK: cache.img with disk0 on $device, which is on disk.img.
device_cache() {
    rm -f cache.img disk.img
    truncate -s "$disk_bytes" disk.img
    device=$(losetup -f --show --sector-size "$1" disk.img) || skip "no loop device can be made here"
    "$bin/cbd-format" --create "$cache_bytes" --segment-size 256K cache.img >make.log 2>&1
    "$bin/cbd-ctl" cache.img backend add disk0 --backing "$device" --cache-size "$share_bytes" \
        >>make.log 2>&1 || {
        cat make.log
        exit 1
    }
}

# refused TEXT COMMAND...: it does not go well, and says so.
refused() {
    local text=$1
    shift
    timeout 60 "$@" >refused.log 2>&1 </dev/null
    check "refused (got $?): $*" test $? -ne 0
    check "it says '$text': $*" says refused.log "$text" || cat refused.log
}
# Opens it as mkfs and mount do; writes zeroes where there are zeroes.
take_exclusively() { blkdiscard -z -o 30M -l 4096 "$device"; }
io() { timeout 100 qemu-io -f raw "$uri" "$@"; }

for block in 512 4096; do
    device_cache "$block"
    check "$block: the device has this block size" test "$(blockdev --getss "$device")" -eq "$block"
    check "$block: nobody has the device yet" take_exclusively
    serve
    check_not "$block: nobody else gets it exclusively" take_exclusively
    run_nbdkit -f -U second "$plugin" cache.img >refused.log 2>&1 &
    ended $!
    check "$block: a second server is refused" says refused.log "in use"
    timeout 60 nbdinfo --json "$uri" >info.json
    check "$block: a client is told" says info.json "\"block_size_minimum\": $block"

    # More than the cache holds, so that some of it comes from the device.
    check "$block: writes" io -c "write -P 1 0 16M" -c "write -P 2 16M 8M" -c flush
    check "$block: discard and zero" io -c "discard 1M 2M" -c "write -z 4M 1M" -c "write -z -u 6M 1M" \
        -c "write -f -P 3 8M $block" -c flush
    look() {
        local at
        for at in "1 0 1M" "0 1M 2M" "1 3M 1M" "0 4M 1M" "1 5M 1M" "0 6M 1M" "1 7M 1M" "3 8M $block" \
            "2 16M 8M" "0 24M 8M"; do
            timeout 60 qemu-io -f raw "$1" -c "read -P $at" | grep -q 'read [0-9]' || return 1
            ! timeout 60 qemu-io -f raw "$1" -c "read -P $at" | grep -q 'verification failed' || return 1
        done
    }
    check "$block: what was written is read" look "$uri"
    kill_server
    serve # recovers
    check "$block: after a kill" look "$uri"
    stop
    check "$block: the bare device" look "$device"
    check_clean
    check "$block: it was given back" take_exclusively

    # In use by somebody else.
    if command -v mkfs.ext4 >/dev/null && mkfs.ext4 -q -F -b 4096 "$device" >mkfs.log 2>&1 &&
        mount_at "$device" mnt; then
        refused "in use" "$bin/cbd-ctl" cache.img writeback disk0 --backing "$device"
        run_nbdkit -f -U second "$plugin" cache.img >refused.log 2>&1 &
        ended $!
        check "$block: a mounted device is refused" says refused.log "in use"
        umount_at mnt
    else
        echo "$block: not mounted: left out"
    fi
    detach_device
done

# --- the block size of the device is what counts ---
device_cache 512
detach_device
device=$(losetup -f --show --sector-size 4096 disk.img)
run_nbdkit -f -U other "$plugin" cache.img backend=disk0 "backing=$device" >refused.log 2>&1 &
ended $!
check "a device of another block size is refused" \
    says refused.log "got 33554432 and 4096, limit 33554432 and 512" || cat refused.log
detach_device
device_cache 4096
"$bin/cbd-ctl" cache.img backend remove disk0 >make.log 2>&1
refused "--logical-block: got 512, limit what the device has: 4096" "$bin/cbd-ctl" cache.img backend add disk1 --backing "$device" \
    --logical-block 512 --cache-size 1M
detach_device
finish
