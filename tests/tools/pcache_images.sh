#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Devices that the real driver wrote: what the tools make of them is what the driver itself made of
# them at its next activation. The images are not part of the tree: without them this is skipped.
. "$(dirname "$0")/lib.bash"

images=${CBD_PCACHE_IMAGES:-$CBD_SOURCE_DIR/../shared/pcache-images}
command -v zstd >/dev/null && ls "$images"/*.pmem.zst >/dev/null 2>&1 || {
    echo "skipped: no zstd, or no images in $images"
    exit 77
}

# status FILE TAG FIELD: of the line of `dmsetup status` with this tag.
status() {
    sed -n "s/.*\"tag\": \"$2\", \"status\": \"\([^\"]*\)\".*/\1/p" "$1" | awk -v n="$3" '{print $n}'
}

# field NAME: an integer of the JSON output.
field() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" out | head -1; }

one() {
    local name=$1 pmem=$work/pmem backing=$work/backing oracle=$work/oracle seg off
    zstd -q -d --sparse -f "$images/$name.pmem.zst" -o "$pmem"
    zstd -q -d -f "$images/$name.backing.zst" -o "$backing"
    zstd -q -d -f "$images/$name.recovered-logical.zst" -o "$oracle"
    chmod u+w "$pmem" "$backing"

    # The verdict, and the same head and number of used segments as the driver's replay.
    expect 0 cbd-check --data --json "$pmem"
    recover=$images/$name.recover.jsonl
    seg=$(sed -n '/"head"/,/}/s/.*"segment": \([0-9]*\).*/\1/p' out)
    off=$(sed -n '/"head"/,/}/s/.*"offset_bytes": \([0-9]*\).*/\1/p' out)
    [ "$seg:$off" = "$(status "$recover" after-replay 10)" ] ||
        flunk "$name: head is $seg:$off, the driver's is $(status "$recover" after-replay 10)"
    [ "$(field used_segments)" = "$(status "$recover" after-replay 7)" ] ||
        flunk "$name: $(field used_segments) used segments"
    [ "$(field cache_segments)" = "$(status "$recover" after-replay 6)" ] ||
        flunk "$name: $(field cache_segments) segments"

    # A dry run and a run to a copy change nothing.
    before=$(sha256sum "$pmem" "$backing")
    expect 0 cbd-ctl --dry-run "$pmem" writeback
    expect 0 cbd-ctl --backing "$backing" --output copy "$pmem" writeback
    [ "$(sha256sum "$pmem" "$backing")" = "$before" ] || flunk "$name: something was changed"
    cmp -s copy "$oracle" || flunk "$name: the copy is not what the driver served"
    rm -f copy

    # Moved to a CBD cache, which then writes it back.
    cp --sparse=always "$pmem" moved
    cp "$backing" disk
    expect 0 cbd-format --create 64M new.cbd
    expect 0 cbd-ctl new.cbd backend add d0 --backing disk --cache-size 48M
    expect 0 cbd-ctl moved import d0 --to new.cbd --backing disk
    expect 0 cbd-check moved
    expect 0 cbd-check -f new.cbd
    expect 0 cbd-ctl new.cbd writeback d0 --backing disk
    cmp -s disk "$oracle" || flunk "$name: after a move the disk is not what the driver served"
    rm -f moved disk new.cbd

    # A metadata image has the same verdict and the same dirty data.
    expect 0 cbd-dump --image meta "$pmem"
    expect 0 cbd-check meta
    expect 0 cbd-dump --map meta
    expect 8 cbd-ctl --backing "$backing" meta writeback
    rm -f meta

    # In place; then nothing is dirty, and nothing changes any more.
    expect 0 cbd-ctl --backing "$backing" "$pmem" writeback
    cmp -s "$backing" "$oracle" || flunk "$name: the disk is not what the driver served"
    expect 0 cbd-check --data --json "$pmem"
    [ "$(field dirty_keys)" = 0 ] || flunk "$name: still dirty"
    expect 0 cbd-ctl --backing "$backing" --empty "$pmem" writeback
    cmp -s "$backing" "$oracle" || flunk "$name: emptying changed the disk"
    expect 0 cbd-check --data --json "$pmem"
    [ "$(field keys)" = 0 ] || flunk "$name: not empty"
}

for image in "$images"/*.pmem.zst; do
    name=$(basename "$image" .pmem.zst)
    one "$name"
done

# A new device is what the driver makes, byte for byte.
zstd -q -d --sparse -f "$images/fresh-crc_false.pmem.zst" -o fresh
expect 0 cbd-format --type dm-pcache --create 512M new
cmp -s new fresh || flunk "a new device is not as the driver makes it"
finish
