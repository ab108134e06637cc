#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cbd-check -j: whatever the number, the same text, the same JSON, the same exit code, the same repair.
. "$(dirname "$0")/lib.bash"

expect 16 cbd-check -j
expect 16 cbd-check -j 0 pm
says "-j: got '0'"
expect 16 cbd-check -j 65 pm
says "limit"
expect 16 cbd-check --jobs many pm

# same CODE ARGS...: pm is checked by 1, 2, 3 and 8 at a time.
same() {
    local n code=$1
    shift
    expect "$code" cbd-check -j 1 "$@" pm
    mv out out.1
    for n in 2 3 8; do
        expect "$code" cbd-check -j $n "$@" pm
        cmp -s out out.1 || flunk "$command: not what -j 1 says: $(diff out out.1 | head -n 5)"
    done
    rm out.1
}

# A cache with closed segments, and damage of every kind that bytes can have.
expect 0 cbd-format --create 8M --segment-size 64K fresh
truncate -s 16M disk
expect 0 cbd-ctl fresh backend add one --backing disk --cache-size 4M --streams 1
expect 0 tests/make_dirty fresh one 400
field() { "$bin/cbd-dump" --super fresh | sed -n "s/^ *$1 *\([0-9]*\).*/\1/p" | head -n 1; }
data=$(field data_off)
records=$("$bin/cbd-dump" --json --keys fresh | sed -n 's/.*"offset_bytes": \([0-9]*\).*/\1/p')
[ "$("$bin/cbd-dump" --segments fresh | grep -c closed)" -gt 5 ] || flunk "few closed segments"

cp fresh pm
same 0 -f -v
same 0 --data --json
poke pm 4200
poke pm $(($(field table_a_off) + 2100))
for n in 3 50 51 120 200 330; do
    poke pm $(($(sed -n ${n}p <<<"$records") + 24))
done
for n in 5 70 130 350; do
    poke pm $((data + n * 4096 * 2 + 777))
done
same 4 -f -v
same 4 -f --json
same 4 --data -v
same 4 --data --json
same 4 --pass records -v
for n in 1 8; do
    cp pm pm.$n
    expect 5 cbd-check -j $n -y --data pm.$n
    sed -i "s/pm\.$n/pm/g" out
    mv out out.$n
done
cmp -s pm.1 pm.8 || flunk "repairs differ with the number of jobs"
cmp -s out.1 out.8 || flunk "what repairs say differs: $(diff out.1 out.8 | head -n 5)"
rm pm pm.[18] out.[18]

# More segments than one round has: sparse, ten records each.
if [ -x "$bin/cbd-huge" ]; then
    "$bin/cbd-huge" pm 20 12770 >/dev/null || flunk "cbd-huge"
    same 4 --pass orders -v
    says "12770 records"
    data=$("$bin/cbd-dump" --super pm | sed -n 's/^ *data_off *\([0-9]*\).*/\1/p' | head -n 1)
    top=$((data + 901 * 16777216 - 3 * 64)) # slot 2 of segment 900
    poke pm $((top + 20))
    same 4 --pass orders -v
    says "record 900.2"
fi
finish
