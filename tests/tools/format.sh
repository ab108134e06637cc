#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cbd-format: what it asks, what it refuses, what it says before it does anything, images, sizes.
. "$(dirname "$0")/lib.bash"
make_dirty=$bin/tests/make_dirty

# sign FILE OFFSET BYTES: a zeroed file with a signature.
sign() {
    rm -f "$1"
    truncate -s 8M "$1"
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Signatures that libblkid knows, and those that only the own probe knows.
refuses() { # refuses TEXT OFFSET BYTES
    sign foreign "$2" "$3"
    remember
    expect 8 cbd-format foreign
    says "foreign signature"
    says "$1"
    says "(-f overwrites it)"
    untouched
}
refuses "libpmemobj pool" 0 'PMEMOBJ\0'
refuses "libpmemlog pool" 0 'PMEMLOG\0'
refuses "dm-pcache" 4104 '\xef\xc5\x96\xa9\xfa\x5e\xb0\x65'
refuses "transport of the kernel driver" 0 '\xef\xc5\x96\xa9\xfa\x5e\xb0\x65'
refuses "XFS" 0 'XFSB'
refuses "dos" 510 '\x55\xaa'
expect 0 cbd-format -f foreign
rm foreign

# Without a terminal nobody is asked; on one the answer decides.
expect 0 cbd-format --create 8M --segment-size 64K cache
remember
expect 8 cbd-format cache </dev/null
says "holds a CBD cache already (-f overwrites it)"
untouched
if command -v script >/dev/null; then
    answer() { # answer TEXT: exit code of cbd-format on a terminal where TEXT is typed
        { sleep 1; printf '%s\n' "$1"; sleep 1; } |
            script -qec "'$bin/cbd-format' --segment-size 64K cache" /dev/null >out 2>err
        code=$?
        command="cbd-format on a terminal, answer '$1'"
    }
    answer n
    [ $code = 32 ] || flunk "answer n: exit code $code"
    says "Overwrite it? [y/N]"
    says "nothing was written"
    untouched
    answer y
    [ $code = 0 ] || flunk "answer y: exit code $code"
    says "formatted"
else
    echo "no script(1): the question is not tried"
fi

# Dirty data: named, with the command that saves it; -f alone is not enough.
truncate -s 4M disk
expect 0 cbd-ctl cache backend add data --backing disk --cache-size 1M
"$make_dirty" cache data 10 || flunk "make_dirty"
remember
for option in '' -f -n '-n -f'; do
    expect 8 cbd-format $option cache
    says "backend 'data': 40960 dirty bytes"
    says "To save the data: cbd-ctl cache writeback"
    says "To lose it: -f --discard-dirty"
done
expect 16 cbd-format --discard-dirty cache
untouched

# An image of it goes somewhere else, and back to where a cache is.
expect 0 cbd-dump --image image cache
expect 0 cbd-format --from-image image --create 12M copy
says "holds the image"
expect 0 cbd-check -f copy
says "metadata image"
says "11 records"
expect 0 cbd-dump --image image2 copy
cmp -s image image2 || flunk "an image that was restored is another one"
expect 8 cbd-ctl copy writeback data --backing disk
says "metadata image"
expect 8 cbd-format --from-image cache --create 8M new
says "is a cache with its data"
expect 8 cbd-format --from-image disk --create 8M new
expect 8 cbd-format --from-image image --create 4M new
says "limit at least 8388608"
expect 16 cbd-format --from-image image --label x copy
[ ! -e new ] || flunk "a failure left a file"
expect 8 cbd-format --from-image image cache
says "40960 dirty bytes"
expect 8 cbd-format copy
says "holds the metadata image of a cache"
expect 0 cbd-format -f --discard-dirty --from-image image cache
cmp -s <("$bin/cbd-dump" --keys cache) <("$bin/cbd-dump" --keys image) ||
    flunk "the image over a cache shows other records"
expect 0 cbd-format -f copy
says_not "image"

# The plan is what is made: layout, memory and overhead are the same, and add up.
expect 0 cbd-format -n --json --create 64M planned
cp out plan
expect 0 cbd-format --json --create 64M planned
diff <(grep -vE '"(uuid|written|created_seconds)"' plan) \
    <(grep -vE '"(uuid|written|created_seconds)"' out) >>err || flunk "the plan is not what is made"
value() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" out; }
[ $(($(value cache_bytes) + $(value overhead_bytes))) = 67108864 ] || flunk "bytes do not add up"
[ $(($(value blocks_of_4k) * 4096 + $(value record_overhead_bytes))) = "$(value cache_bytes)" ] ||
    flunk "blocks and records do not add up"
share=$(value share_min_bytes)
truncate -s 1M small
expect 0 cbd-ctl planned backend add least --backing small --cache-size "$share" --streams 1
expect 0 cbd-ctl planned backend remove least
expect 8 cbd-ctl planned backend add less --backing small --cache-size $((share - 1)) --streams 1
says "limit at least $share"

# 16 MiB works without options; the least size is exact and named.
expect 0 cbd-format --create 16M sixteen
expect 0 cbd-check -f sixteen
for segment in 64K 1M 16M 64M; do
    expect 8 cbd-format --create 64K --segment-size $segment least
    least=$(sed -n 's/.*limit at least \([0-9]*\).*/\1/p' err)
    expect 8 cbd-format -n --create $((least - 4096)) --segment-size $segment least
    says "limit at least $least"
    expect 0 cbd-format -n --create "$least" --segment-size $segment least
done
rm -f ./*

# Up to 16 TiB by the numbers; a sparse file as far as the file system has it.
for size in 1G 16G 1T 4T 16T; do
    expect 0 cbd-format -n --json --create $size large
    segment=$(value segment_bytes)
    [ $(($(value data_offset_bytes) + $(value segments) * segment)) -le \
        "$(value superblock_2_offset_bytes)" ] || flunk "$size: segments overlap the superblock"
    [ "$(value overhead_bytes)" -lt $((segment * 2 + $(value segments) * 160 + 4194304)) ] ||
        flunk "$size: $(value overhead_bytes) bytes of overhead"
done
made=no
for size in 16T 15T 1T; do
    truncate -s $size large 2>/dev/null || continue
    expect 0 cbd-format -n large
    expect 0 cbd-format large
    expect 0 cbd-check large
    expect 0 cbd-dump --map large
    [ "$(wc -l <out)" -lt 40 ] || flunk "the map of $size has $(wc -l <out) lines"
    truncate -s 1G behind
    expect 0 cbd-ctl large backend add one --backing behind --cache-size 1G
    expect 0 tests/make_dirty large one 10
    expect 0 cbd-check -f --data --backing one=behind large
    says "not detached cleanly"
    expect 0 cbd-ctl large writeback
    expect 0 cbd-check -f large
    made=yes
    rm large
    break
done
[ $made = yes ] || echo "the file system has no file of 1 TiB: not tried"
finish
