#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cbd-check --backing: the disk of a backend is compared with what is cached of it, and only read.
. "$(dirname "$0")/lib.bash"

expect 0 cbd-format --create 8M --segment-size 64K pm
truncate -s 16M disk
expect 0 cbd-ctl pm backend add one --backing disk --cache-size 2M --streams 1
expect 0 tests/make_dirty pm one 100
cp pm dirty
cp disk before
remember

# Dirty data is not on the disk, and does not speak against it.
expect 0 cbd-check -n --backing one=disk pm
says_not "error"
untouched
expect 0 cbd-ctl pm writeback
cp disk good
remember
expect 0 cbd-check -n --backing one=disk pm
expect 0 cbd-check -n --pass identity --backing one=disk pm
expect 0 cbd-check -y --backing=one=disk pm
says "clean"
untouched

# The disk as it was, another one, and one byte of it.
expect 4 cbd-check -n --backing one=before pm
says " 2032: backing device 0"
says "another disk, or used without its cache"
says_costs
poke disk $((5 * 4096 + 4095))
remember
expect 4 cbd-check -y --allow-data-loss --undo undo --backing one=disk pm
says " 2032: "
says "bytes 20480..24575"
says "0 repaired, 1 left"
expect 4 cbd-check --json --backing one=disk pm
says '"DISK_CONTENT"'
untouched
cp good disk
truncate -s 8M small
expect 4 cbd-check -n --backing one=small pm
says " 2030: backing device 0"
says "got 8388608, limit 16777216"

# What an image does not hold is not compared; size and block are.
expect 0 cbd-dump --image image pm
expect 0 cbd-check -n --backing one=before image
expect 4 cbd-check -n --backing one=small image

# What cannot be meant.
remember
expect 16 cbd-check --backing disk pm
says "NAME=PATH"
expect 16 cbd-check --backing one= pm
expect 16 cbd-check --backing one=disk --backing one=good pm
expect 16 cbd-check --pass identity pm
expect 16 cbd-check --apply-undo undo --backing one=disk pm
expect 8 cbd-check --backing two=disk pm
says "there is none of this name"
expect 8 cbd-check --backing one=missing pm
says "missing"
expect 8 cbd-check --backing one=. pm
untouched
finish
