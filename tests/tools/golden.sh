#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The golden image of each disk version: this build opens, checks and drains it, and the disks are
# what the application had written. tests/golden/make makes them; it says when that is right.
. "$(dirname "$0")/lib.bash"
golden=${CBD_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/golden
command -v zstd >/dev/null || { echo "no zstd"; exit 77; }

expect 0 cbd-format --create 4M --segment-size 64K new
expect 0 cbd-dump --super --json new
current=v$(sed -n 's/.*"disk_version": \([0-9]*\).*/\1/p' out | head -1)
[ -e "$golden/$current.cache.zst" ] || flunk "there is no golden image of $current (tests/golden/make)"

for image in "$golden"/v*.cache.zst; do
    version=$(basename "$image" .cache.zst)
    for file in cache a b c; do
        zstd -qdf "$golden/$version.$file.zst" -o $file
    done
    expect 0 cbd-check -f --data cache
    says "backend 'a'"
    says "not detached cleanly"
    expect 0 cbd-dump --super --backends --segments --keys --hex cache
    says "golden"
    expect 0 cbd-dump --image meta cache
    expect 0 cbd-check -f meta
    for backend in a b c; do
        before=$(sha256sum <$backend)
        expect 0 cbd-ctl cache writeback $backend --backing $backend
        says "nothing is dirty"
        want=$(sed -n "s/  $backend\$//p" "$golden/$version.sha256")
        got=$(sha256sum <$backend | cut -d' ' -f1)
        [ "$got" = "$want" ] || flunk "$version: disk $backend is $got, expected $want"
        case $backend in
        c) [ "${before%% *}" = "$got" ] || flunk "$version: a drained disk was written" ;;
        *) [ "${before%% *}" != "$got" ] || flunk "$version: nothing of $backend was dirty" ;;
        esac
    done
    expect 0 cbd-check -f --data cache
    says_not "note 2010"
    rm -f cache a b c meta
done
finish
