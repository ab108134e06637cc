#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A cache of 16 MiB, as small as anybody would have it, goes through every tool.
. "$(dirname "$0")/lib.bash"

truncate -s 24M disk
for segment in default 64K 256K 1M; do
    rm -rf pm out-image other undo salvaged
    if [ $segment = default ]; then
        expect 0 cbd-format --create 16M pm
    else
        expect 0 cbd-format --create 16M --segment-size $segment pm
    fi
    truncate -s 0 disk && truncate -s 24M disk
    expect 0 cbd-ctl pm backend add one --backing disk --cache-size 6M
    expect 0 cbd-ctl pm backend list
    says "one"
    expect 0 tests/make_dirty pm one 300
    expect 0 cbd-ctl pm stat
    expect 0 cbd-check -n -f --data --backing one=disk pm
    says "not detached cleanly"
    for form in --super --backends --segments --keys --map "--json --keys"; do
        expect 0 cbd-dump $form pm
    done
    expect 0 cbd-dump --image out-image pm
    expect 0 cbd-check -f out-image
    expect 0 cbd-format --create 16M --from-image out-image other
    expect 0 cbd-check -f other
    echo "$work/pm" >caches
    expect 4 cbd-ctl guard disk --caches caches

    # Damaged, repaired, and put back.
    poke pm 4200
    cp pm damaged
    expect 4 cbd-check -n -f pm
    expect 1 cbd-check -y -f --undo undo pm
    expect 0 cbd-check -n -f pm
    expect 1 cbd-check --apply-undo undo pm
    cmp -s pm damaged || flunk "$segment: not as it was before the repair"
    expect 1 cbd-check -p -f pm

    expect 0 cbd-ctl pm salvage one --output salvaged
    expect 0 cbd-ctl pm writeback
    cmp -s disk salvaged || flunk "$segment: what was salvaged is not what was written back"
    [ "$(dd if=disk bs=4096 skip=299 count=1 status=none | tr -d '\055' | wc -c)" = 0 ] ||
        flunk "$segment: the disk does not have the last block"
    expect 0 cbd-check -n -f --backing one=disk pm
    says "clean"
    expect 0 cbd-ctl guard disk --caches caches
    expect 0 cbd-ctl pm backend remove one
    expect 0 cbd-check -f pm
done

# Segments that leave no share for a backend are refused, with the least that would do.
expect 8 cbd-format --create 16M --segment-size 16M pm2
says "limit at least"
finish
