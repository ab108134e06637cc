#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Dirty data that is partly lost: salvage saves and lists, writeback refuses or gives up by option.
. "$(dirname "$0")/lib.bash"

expect 0 cbd-format --create 8M --segment-size 64K fresh
truncate -s 16M disk
expect 0 cbd-ctl fresh backend add one --backing disk --cache-size 2M --streams 1
expect 0 tests/make_dirty fresh one 100
cp disk bare

field() { "$bin/cbd-dump" --super fresh | sed -n "s/^ *$1 *\([0-9]*\).*/\1/p" | head -n 1; }
# column KEY N: of record N, and the place of its payload in the file.
column() {
    "$bin/cbd-dump" --json --keys fresh | sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" | sed -n "$2p"
}
payload() {
    local segment
    segment=$("$bin/cbd-dump" --keys fresh | sed -n 's/^record \([0-9]*\)\..*/\1/p' | sed -n "$1p")
    echo $(($(field data_off) + 65536 * segment + $(column payload_off "$1")))
}
# block FILE N: the byte that block N is full of, or "mixed".
block() {
    local bytes
    bytes=$(dd if="$1" bs=4096 skip="$2" count=1 status=none | od -An -v -tu1 -w1 | sort -u)
    [ "$(wc -l <<<"$bytes")" = 1 ] && echo $((bytes)) || echo mixed
}

zero=$("$bin/cbd-dump" --keys fresh | grep '^record' | grep -n 'type=zero' | cut -d: -f1)

# Nothing is lost: as writeback, but the cache stays.
cp fresh pm
remember
expect 0 cbd-ctl pm salvage one --output copy
says "400.0 KiB of data and 4.0 KiB of zeroes written to copy, in 1 ranges"
says "nothing is lost"
cmp -s disk bare || flunk "the disk was changed"
for i in 0 50 99; do
    [ "$(block copy $i)" = $((1 + i)) ] || flunk "block $i of the copy: $(block copy $i)"
done
[ "$(stat -c %s copy)" = 16777216 ] || flunk "the size of the copy"
expect 8 cbd-ctl pm salvage one --output copy
says "cannot be made: File exists"

# One record is damaged, and one byte of the data of another.
a=$(column addr_bytes 4)
b=$(column addr_bytes 8)
cp fresh pm
poke pm $(($(column offset_bytes 4) + 20))
poke pm $(($(payload 8) + 1000))
expect 8 cbd-ctl pm writeback one
expect 4 cbd-ctl pm salvage one
says "392.0 KiB of data"
says "lost: bytes $a..$((a + 4095)):"
says "lost: bytes $b..$((b + 4095)):"
says "lost: 8.0 KiB; suspect: 0 B"
says "backend remove one --discard-dirty"
for i in 0 2 50 99; do
    [ "$(block disk $i)" = $((1 + i)) ] || flunk "block $i of the disk: $(block disk $i)"
done
[ "$(block disk $((a / 4096))) $(block disk $((b / 4096)))" = "0 0" ] || flunk "lost blocks were written"
expect 4 cbd-ctl pm salvage one --json
says "\"addr_bytes\": $a"
says '"data_bytes": 401408'
says '"lost_records_of_unknown_place": 0'
expect 0 cbd-ctl pm backend remove one --discard-dirty

# The record of the zeroes: nobody knows where it was, so all of its epoch is suspect.
cp fresh pm
cp bare disk
expect 0 tests/make_dirty pm one 2
poke pm $(($(column offset_bytes "$zero") + 20))
expect 4 cbd-ctl pm salvage one
says "records, and nothing says which ranges they covered"
says "suspect, not written (--suspect): bytes"
expect 4 cbd-ctl pm salvage one --suspect
says_not "not written"
[ "$(block disk 50)" = 51 ] || flunk "block 50 of the disk: $(block disk 50)"

# A byte of the data: write-back is held until somebody says that it may go.
cp fresh pm
cp bare disk
poke pm $(($(payload 8) + 1000))
expect 8 cbd-ctl pm writeback one
says "holds write-back: dirty, cannot be read: bytes $b..$((b + 4095))"
says "--give-up-unreadable"
expect 0 cbd-ctl pm writeback one --give-up-unreadable
says "given up: dirty, cannot be read: bytes $b..$((b + 4095))"
says "nothing is dirty"
for i in 0 2 50 99; do
    [ "$(block disk $i)" = $((1 + i)) ] || flunk "block $i of the disk: $(block disk $i)"
done
[ "$(block disk $((b / 4096)))" = 0 ] || flunk "the block that was given up was written"
expect 0 cbd-ctl pm backend remove one

expect 16 cbd-ctl pm salvage
expect 8 cbd-ctl pm salvage nobody
expect 16 cbd-ctl pm salvage one --discard-dirty
finish
