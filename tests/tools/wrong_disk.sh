#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The disk behind a cache is another one, or was used without it: refused, until it is accepted.
. "$(dirname "$0")/lib.bash"

expect 0 cbd-format --create 8M --segment-size 64K pm
truncate -s 16M disk
expect 0 cbd-ctl pm backend add one --backing disk --cache-size 2M --streams 2
expect 0 tests/make_dirty pm one 100
expect 0 cbd-ctl pm writeback
expect 0 tests/make_dirty pm one 3
cp disk right
remember

truncate -s 16M other
expect 8 cbd-ctl pm writeback one --backing other
says "another disk, or used without its cache"
says "--accept-backing"
[ "$(tr -d '\0' <other | wc -c)" = 0 ] || flunk "a disk that was refused was written to"
printf 'somebody mounted it' | dd of=disk bs=1 seek=$((50 * 4096)) conv=notrunc status=none
expect 8 cbd-ctl pm writeback
expect 0 cbd-ctl pm writeback one --backing right
says "12.0 KiB written to its disk"

expect 0 tests/make_dirty pm one 3
expect 0 cbd-ctl pm writeback --accept-backing
says "dirty, goes over what the disk has: 12288 bytes at 0"
[ "$(dd if=disk bs=1 skip=$((50 * 4096)) count=8 status=none)" = somebody ] ||
    flunk "what somebody wrote to the disk is gone"
expect 0 cbd-check -f pm
expect 0 cbd-ctl pm writeback
expect 16 cbd-ctl pm stat --accept-backing
