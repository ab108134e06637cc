#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cbd-dump: what each form shows, the picture, filters, and metadata images that check as the cache.
. "$(dirname "$0")/lib.bash"
make_dirty=$bin/tests/make_dirty

truncate -s 4M disk0 disk1
expect 0 cbd-format --create 8M --segment-size 64K --label secret-label cache
expect 0 cbd-ctl cache backend add alpha --backing disk0 --cache-size 1M
expect 0 cbd-ctl cache backend add beta --backing disk1 --cache-size 512K --streams 1
"$make_dirty" cache alpha 40 && "$make_dirty" cache beta 3 || flunk "make_dirty"
remember

# Filters.
expect 0 cbd-dump --keys cache
[ "$(grep -c ^record out)" = 45 ] || flunk "--keys: $(grep -c ^record out) records, expected 45"
expect 0 cbd-dump --keys --backend beta cache
[ "$(grep -c ^record out)" = 4 ] || flunk "--backend beta: $(grep -c ^record out), expected 4"
expect 0 cbd-dump --keys --backend alpha --range 5K..12289 cache
[ "$(grep -c ^record out)" = 3 ] || flunk "--range: $(grep -c ^record out), expected 3"
expect 0 cbd-dump --keys --range 160K.. cache
[ "$(grep -c ^record out)" = 1 ] || flunk "--range to the end: $(grep -c ^record out), expected 1"
says "type=zero"
expect 0 cbd-dump --backends --backend beta cache
says "beta"
says_not "alpha"
expect 8 cbd-dump --keys --backend gamma cache
says "backend 'gamma': there is none of this name"
for bad in 4096 4K..4K 5..4 x..9 ..9 1..2..3; do
    expect 16 cbd-dump --keys --range $bad cache
    says "--range"
done
expect 16 cbd-dump --range 0..1 cache
expect 16 cbd-dump --anonymize cache
expect 16 cbd-dump --image new --keys cache

# Hex beside the fields: the bytes are those of the file.
expect 0 cbd-dump --super --hex cache
says "89434244 43414348 450d0a1a 0a000000  magic"
expect 0 cbd-dump --keys --hex --backend beta cache
says "payload header at"
says "block_crc"
expect 0 cbd-dump --segments --hex cache
says "generation "

# JSON has the same fields as text, as numbers, and the bytes with --hex.
if command -v python3 >/dev/null; then
    expect 0 cbd-dump --super --backends --segments --keys --map --hex --json cache
    python3 - <<'END' >>err || flunk "JSON is not what was expected"
import json
d = json.load(open("out"))
raw = open("cache", "rb").read()
assert d["format"] == "cbd-dump" and d["format_version"] == 1
assert len(d["superblocks"]) == 3 and len(d["records"]) == 45 and d["records_omitted"] == 0
for r in d["records"]:
    at = r["offset_bytes"]
    assert r["hex"] == raw[at:at + 64].hex()
    assert r["addr_bytes"] == int.from_bytes(raw[at + 32:at + 40], "little")
    assert ("header" in r) == (r["type"] in (1, 2))
s = d["superblocks"][0]
assert s["hex"] == raw[4096:4096 + 512].hex() and s["label"] == "secret-label"
assert len(d["segments"]) == s["segment_count"]
END
fi

# The picture: at most 80 columns, plain ASCII into a file, every backend in the legend.
expect 0 cbd-dump --map cache
says "0 'alpha'"
says "1 'beta'"
says "a cell is one"
[ "$(LC_ALL=C awk 'length > 80' out | wc -l)" = 0 ] || flunk "--map is wider than 80 columns"
! LC_ALL=C grep -q '[^ -~]' out || flunk "--map into a file is not plain ASCII"
grep -qE 'owner +0{16}1{8}-' out || flunk "--map: owners are not 16 of alpha and 8 of beta"
expect 0 cbd-format --create 32M --segment-size 64K large
expect 0 cbd-dump --map large
says "a cell is 2 of them"
rm large
remember
if command -v script >/dev/null && [ -n "$(locale -a 2>/dev/null | grep -i 'c.utf')" ]; then
    LC_ALL=C.UTF-8 script -qec "'$bin/cbd-dump' --map cache" /dev/null >out </dev/null 2>err
    grep -q '░' out || flunk "--map on a terminal shows no shades"
    rm -f typescript
fi
untouched

# Images: as the cache, small, and nobody takes them for one.
image() { # image NAME OPTIONS...: and the check of it says what the check of the cache says
    local name=$1
    shift
    rm -f "$name"
    "$bin/cbd-dump" --image "$name" "$@" cache >out 2>err
    code=$?
    command="cbd-dump --image $name"
    [ "$(stat -c %a "$name")" = 600 ] || flunk "$name: mode $(stat -c %a "$name")"
    [ "$(stat -c %s "$name")" = "$(stat -c %s cache)" ] || flunk "$name: length"
    [ "$(du -k "$name" | cut -f1)" -lt 512 ] || flunk "$name: takes $(du -k "$name")"
    "$bin/cbd-check" -f cache | sed "s/^cache: //; s/'[a-z0-9]*'//" >of_cache
    want=$?
    "$bin/cbd-check" -f "$name" | sed "s/^$name: //; s/'[a-z0-9]*'//" |
        grep -v '^note 1007' >of_image
    cmp -s of_cache of_image || flunk "$name: another check: $(diff of_cache of_image)"
    rm -f of_cache of_image
    expect 8 cbd-ctl "$name" writeback alpha --backing disk0
    says "metadata image"
}
image plain
[ $code = 0 ] || flunk "--image: exit code $code"
expect 8 cbd-dump --image plain cache
says "plain: cannot be made"
image again
cmp -s plain again || flunk "two images of one cache differ"
SOURCE_DATE_EPOCH=1 image anon --anonymize
for word in secret-label alpha beta disk0 disk1; do
    ! grep -qa "$word" anon || flunk "an anonymized image has '$word'"
done
uuid=$(dd if=cache bs=1 skip=4112 count=16 status=none | od -An -tx1 | tr -d ' ')
! od -An -v -tx1 anon | tr -d ' \n' | grep -q "$uuid" || flunk "an anonymized image has the UUID"
expect 0 cbd-dump --keys anon
[ "$(grep -c ^record out)" = 45 ] || flunk "the image has $(grep -c ^record out) records"
# No byte of data: every block was full of one byte other than zero.
"$bin/cbd-dump" --image twice plain >out 2>err
cmp -s plain twice || flunk "an image of an image is another one"

# Damage: one copy of a superblock, of an entry, a record in the middle, a header.
poke cache 4200
poke cache 2105400
at=$("$bin/cbd-dump" --json --keys cache | tr -d ' \n' | grep -o '"slot":2,[^}]*"offset_bytes":[0-9]*' |
    head -1 | grep -o '[0-9]*$')
poke cache $((at + 33))
image damaged
[ $code = 4 ] || flunk "--image of a damaged cache: exit code $code, expected 4"
image damaged_anon --anonymize
expect 4 cbd-dump --keys damaged
says "***DAMAGED***"
! grep -qa "alpha" damaged_anon || flunk "an anonymized image of a damaged cache has a name"

# No space for the image: nothing is left behind.
(
    ulimit -f 64
    trap '' XFSZ
    "$bin/cbd-dump" --image limited cache >out 2>err
    echo $? >code
)
[ "$(cat code)" = 8 ] && [ ! -e limited ] || flunk "an image beyond the limit: $(cat code)"
finish
