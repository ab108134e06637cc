#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Damaged caches: check names what is wrong by its code, dump goes on and marks it.
. "$(dirname "$0")/lib.bash"

expect 0 cbd-format --create 8M --segment-size 64K fresh
truncate -s 16M disk
expect 0 cbd-ctl fresh backend add one --backing disk --cache-size 2M --streams 1
expect 0 tests/make_dirty fresh one 100

# Where things are, from the tools themselves.
field() { "$bin/cbd-dump" --super fresh | sed -n "s/^ *$1 *\([0-9]*\).*/\1/p" | head -n 1; }
table_a=$(field table_a_off)
table_b=$(field table_b_off)
record=$("$bin/cbd-dump" --json --keys fresh |
    sed -n 's/.*"offset_bytes": \([0-9]*\).*/\1/p' | head -n 1)
data=$("$bin/cbd-dump" --json --keys fresh |
    sed -n 's/.*"payload_off": \([0-9]*\).*/\1/p' | sed -n 2p)
address=$("$bin/cbd-dump" --json --keys fresh |
    sed -n 's/.*"addr_bytes": \([0-9]*\).*/\1/p' | sed -n 2p)
segment=$(($(field data_off) + 65536 * $("$bin/cbd-dump" --keys fresh |
    sed -n 's/^record \([0-9]*\)\..*/\1/p' | head -n 1)))

# case CODE EXIT OFFSET...: damages a copy there.
case_of() {
    local code=$1 want=$2 off
    shift 2
    cp fresh pm
    for off in "$@"; do
        poke pm "$off"
    done
    remember
    expect "$want" cbd-check -f --data pm
    says " $code: "
    expect "$want" cbd-check -f --data --json pm
    says "\"code\": $code"
    expect "$want" cbd-dump --super --backends --segments --keys pm
    untouched
}

case_of 1002 4 4200
says "***DAMAGED***"
case_of 1002 4 $((2097152 + 4200))
case_of 1002 4 $((8388608 - 4096 + 100))
case_of 2004 0 $((table_b + 30))
says "***DAMAGED***"
case_of 2001 4 $((table_a + 30)) $((table_b + 30))
case_of 3001 4 $((record + 20))
says "was durable and is damaged"

# Damage that only --data sees: dump does not read the data.
cp fresh pm
poke pm $((segment + data + 1000))
expect 4 cbd-check --data -v pm
says " 4001: "
says "bytes $address..$((address + 4095)), dirty"
says "costs: the range of the whole record: the backing device has an older version"
expect 0 cbd-check pm
expect 8 cbd-ctl pm writeback
says "not all was written back"

# All superblocks: the tools stop with a message, and format needs to be told to lose the rest.
cp fresh pm
for off in 4200 $((2097152 + 4200)) $((8388608 - 4096 + 100)); do
    poke pm "$off"
done
remember
expect 8 cbd-check pm
says "1001"
expect 8 cbd-dump pm
says "***DAMAGED***"
expect 8 cbd-format pm
expect 8 cbd-format -f pm
says "--discard-dirty"
untouched
expect 0 cbd-format -f --discard-dirty pm
expect 0 cbd-check -f pm
says "clean"
finish
