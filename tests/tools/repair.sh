#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cbd-check repairs: what is said before, what -n, -p, -y and --allow-data-loss do, and undo files.
. "$(dirname "$0")/lib.bash"

expect 0 cbd-format --create 8M --segment-size 64K fresh
truncate -s 16M disk
expect 0 cbd-ctl fresh backend add one --backing disk --cache-size 2M --streams 1
expect 0 tests/make_dirty fresh one 100
field() { "$bin/cbd-dump" --super fresh | sed -n "s/^ *$1 *\([0-9]*\).*/\1/p" | head -n 1; }
table_a=$(field table_a_off)
table_b=$(field table_b_off)
record=$("$bin/cbd-dump" --json --keys fresh |
    sed -n 's/.*"offset_bytes": \([0-9]*\).*/\1/p' | head -n 1)

# What does not go together.
cp fresh pm
remember
expect 16 cbd-check -n -p pm
says "exclude each other"
expect 16 cbd-check -p --allow-data-loss pm
expect 16 cbd-check --allow-data-loss pm
expect 16 cbd-check --undo undo pm
expect 16 cbd-check --apply-undo undo -y pm
expect 16 cbd-check --pass nonsense pm
says "nonsense"
expect 16 cbd-check -C 99 pm
expect 0 cbd-check --pass tables pm
expect 0 cbd-check --pass data pm
untouched

# A clean cache is left alone, and no undo file is made.
expect 0 cbd-check -y -f --undo undo pm
untouched

# -p: a lost superblock copy. -n changes nothing; without a terminal neither does no option.
poke pm 4200
remember
expect 4 cbd-check -f pm
expect 4 cbd-check -n -f pm
says_costs
says "costs: nothing"
untouched
expect 4 cbd-check -n -q -f pm
says_not "costs"
expect 1 cbd-check -p -f --undo undo pm
says_costs
says " 1002: "
says "repair: write it again from a valid copy"
says "costs: nothing"
says "1 problem, 1 repaired, 0 left"
expect 0 cbd-check -f pm
says "clean"
cmp -s pm fresh || flunk "the superblock is not as it was"

# The undo file brings the damage back.
expect 1 cbd-check --apply-undo undo pm
says "1 blocks"
expect 4 cbd-check -f pm
says " 1002: "
expect 8 cbd-check -y --undo undo pm
says "undo"
expect 4 cbd-check -f pm
expect 1 cbd-check -y --json pm
says '"repaired": 1'
says '"repair_accepted": true'

# Undo files that are not whole, or not of this cache, are refused and nothing is stored.
cp fresh pm
expect 0 cbd-format --create 8M --segment-size 64K other
poke undo 70
cp undo bent
poke undo 70
printf x >short
head -c 100 undo >head
cp undo longer && printf 'tail' >>longer
remember
for file in short missing directory /dev/null; do
    [ "$file" = directory ] && mkdir -p directory
    expect 8 cbd-check --apply-undo "$file" pm
done
expect 8 cbd-check --apply-undo undo other
says "of another cache"
expect 0 cbd-check --apply-undo head pm
cp undo crc && poke crc 21
remember
expect 8 cbd-check --apply-undo crc pm
says "wrong checksum"
untouched

# Dirty data goes only when that is allowed.
cp fresh pm
poke pm $((record + 20))
remember
expect 4 cbd-check -n -f pm
says_costs
says "costs: the range, if it was dirty"
expect 4 cbd-check -p -f pm
says " 3001: "
says_costs
untouched
expect 4 cbd-check -y -f pm
says "needs --allow-data-loss"
says_costs
untouched
expect 1 cbd-check -y --allow-data-loss -f --undo undo2 pm
says "dirty bytes of backend 0, bytes"
expect 0 cbd-check -f pm
expect 0 cbd-ctl pm writeback
expect 1 cbd-check --apply-undo undo2 pm

# Both copies of a segment's entry: found again from its records.
cp fresh pm
size=$((32 * 512 + 32 * 64))
for segment in 0 1 2; do
    poke pm $((table_a + size + 64 * segment + 20))
    poke pm $((table_b + size + 64 * segment + 20))
done
expect 4 cbd-check -f pm
says " 2003: "
expect 1 cbd-check -p -f pm
expect 0 cbd-check -f --data pm
cp disk disk2
expect 0 cbd-ctl pm writeback
cp disk wanted
cp disk2 disk
cp fresh dirty
expect 0 cbd-ctl fresh writeback
cmp -s disk wanted || flunk "what was found again is not what was written"

# Everything in front of the segments, then everything behind them: the other end has it all.
data=$(field data_off)
for end in front behind; do
    cp dirty pm
    if [ $end = front ]; then
        dd if=/dev/urandom of=pm bs="$data" count=1 conv=notrunc status=none
    else
        dd if=/dev/urandom of=pm bs="$(($(stat -c %s pm) - table_b))" count=1 conv=notrunc \
            oflag=seek_bytes seek="$table_b" status=none
    fi
    expect 4 cbd-check -n -f pm
    expect 1 cbd-check -p -f pm
    says " 0 left"
    expect 0 cbd-check -f pm
    cp disk2 disk
    expect 0 cbd-ctl pm writeback
    cmp -s disk wanted || flunk "$end: what is written back is not what was written"
done

# Progress for a program.
cp fresh pm
"$bin/cbd-check" -f -C 3 pm 3>lines >out 2>err
grep -q segments lines || flunk "-C: no lines"
finish
