#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The straight way: format, add a backend, dirty it, look at it, save it, remove it, format again.
. "$(dirname "$0")/lib.bash"

expect 0 cbd-format --create 8M --segment-size 64K --label 'a cache' pm
says "pm: formatted"
says "a cache"
[ "$(stat -c '%s %a' pm)" = "8388608 600" ] || flunk "mode and size: $(stat -c '%s %a' pm)"
expect 0 cbd-check -f pm
says "clean, checked records"

truncate -s 16M disk
expect 0 cbd-ctl pm backend add one --backing disk --cache-size 2M --streams 2
says "backend 'one' added"
expect 8 cbd-ctl pm backend add one --backing disk --cache-size 1M
says "the name is taken"
ln -s disk symlink
ln disk hardlink
for same in disk symlink hardlink; do
    expect 8 cbd-ctl pm backend add other --backing $same --cache-size 1M
    says "not added: $same is the disk of backend 'one'"
done
expect 0 cbd-ctl pm backend list
says "$work/disk"
expect 0 cbd-ctl pm backend list --json
says '"cache_bytes": 2097152'
says '"format_version": 1'

expect 0 tests/make_dirty pm one 100
remember
expect 0 cbd-check pm
says "note 2010"
says "clean, checked records"
expect 0 cbd-check --data -v pm
says "409600 bytes of data verified"
expect 0 cbd-check -q pm
[ ! -s out ] && [ ! -s err ] || flunk "cbd-check -q: says something about a clean cache"
expect 0 cbd-check --json --data pm
says '"dirty_bytes": 409600'
says '"errors": 0'
says '"exit_code": 0'
expect 0 cbd-ctl pm stat
says "dirty       400.0 KiB and 4.0 KiB of zeroes, 101 records"
expect 0 cbd-ctl pm stat --json
says '"dirty_zero_bytes": 4096'
expect 0 cbd-dump pm
says "superblock 2 at 0x7ff000"
says "name                 one"
says "[##################..]"
says_not "DAMAGED"
expect 0 cbd-dump --keys pm
says "dirty type=write addr_bytes=405504 len_bytes=4096"
says "dirty type=zero addr_bytes=409600"
expect 0 cbd-dump --json --super --backends --segments --keys pm
says '"addr_bytes": 405504'
if command -v python3 >/dev/null; then
    python3 -m json.tool <out >/dev/null || flunk "cbd-dump --json: is no JSON"
fi

expect 8 cbd-format pm
says "To save the data: cbd-ctl pm writeback"
expect 8 cbd-format -f pm
says "backend 'one': 409600 dirty bytes and 4096 bytes of dirty zeroes are not on $work/disk yet"
says "cbd-ctl pm writeback"
expect 8 cbd-format -n -f pm
says "409600 dirty bytes"
expect 16 cbd-format --discard-dirty pm
expect 8 cbd-ctl pm backend remove one
says "409600 dirty bytes"
says "cbd-ctl pm writeback one"
untouched

expect 0 cbd-ctl pm writeback
says "backend 'one': 400.0 KiB written to its disk, nothing is dirty"
for i in 0 1 50 99; do
    want=$(printf '%d' $((1 + i % 255)))
    got=$(od -An -tu1 -v -j $((i * 4096)) -N 4096 -w1 disk | sort -u | tr -d ' ')
    [ "$got" = "$want" ] || flunk "block $i on the disk: got $got, expected $want"
done
expect 0 cbd-check pm
says "superblocks and tables only (-f checks all)"
expect 0 cbd-check -f --data pm
says "clean, checked records and data"
says_not "note"
expect 0 cbd-format -n -f pm
says "nothing was written"
expect 0 cbd-ctl pm backend remove one
expect 0 cbd-ctl pm backend list --json
says '"backends": []'
expect 0 cbd-format -f --no-data-checksum --segment-size 64K pm
says "data checksums no"
expect 0 cbd-check -f pm

expect 0 cbd-ctl pm backend add two --backing disk --cache-size 1M --logical-block 4K
expect 0 tests/make_dirty pm two 3
expect 0 cbd-format -f --discard-dirty --json pm
says '"written": true'
expect 0 cbd-check -f pm
says "clean"
finish
