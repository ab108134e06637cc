#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Recognition: file(1) knows a cache, cbd-ctl guard knows which disks must not be used alone, and the
# udev rule asks it.
. "$(dirname "$0")/lib.bash"
source_dir=${CBD_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
make_dirty=$bin/tests/make_dirty

truncate -s 4M disk0 disk1 other
expect 0 cbd-format --create 8M --segment-size 64K --label 'my label' cache \
    --uuid 00112233-4455-6677-8899-aabbccddeeff
for id in 0 1; do
    expect 0 cbd-ctl cache backend add b$id --backing disk$id --cache-size 512K --streams 1
done

# file(1)
if command -v file >/dev/null; then
    file -m "$source_dir/contrib/magic" cache other >out 2>err
    command="file -m"
    says "cache: CBD cache, disk version 1, 8388608 bytes in segments of 65536, UUID 00112233-4455-6677-8899-aabbccddeeff, label \"my label\""
    says_not "other: CBD"
    expect 0 cbd-dump --image image cache
    file -m "$source_dir/contrib/magic" image >out 2>err
    says "metadata image without data"
    [ ! -s err ] || flunk "file -m: $(cat err)"
else
    echo "no file(1): the magic is not tried"
fi

# Nothing is dirty: nothing is guarded.
expect 0 cbd-ctl guard --cache cache
[ ! -s out ] || flunk "a clean cache guards something"
expect 0 cbd-ctl guard disk0 --cache cache
says "no cache needs it"
expect 0 cbd-ctl guard disk0 --cache cache --json
says '"guarded": false'

"$make_dirty" cache b0 10 || flunk "make_dirty"
remember
expect 4 cbd-ctl guard --cache cache
says "$work/disk0: backend 'b0' of cache: not detached cleanly, 44.0 KiB dirty"
says_not "disk1"
expect 4 cbd-ctl guard disk0 --cache cache
expect 0 cbd-ctl guard disk1 --cache cache
expect 0 cbd-ctl guard other --cache cache
expect 4 cbd-ctl guard disk0 --cache cache --json
says '"guarded": true'
says '"dirty_bytes": 40960'
expect 8 cbd-ctl guard nothing --cache cache
expect 16 cbd-ctl guard disk0 disk1
expect 16 cbd-ctl guard --udev
expect 16 cbd-ctl guard disk0 --streams 1
expect 0 cbd-ctl guard disk0 --cache image
expect 0 cbd-ctl guard disk0 --cache other
ln -s disk0 link
expect 4 cbd-ctl guard link --cache cache

# What udev reads: assignments and exit code 0, and nothing for other disks.
expect 0 cbd-ctl guard disk0 --cache cache --udev
says "CBD_GUARD=dirty"
says "CBD_GUARD_CACHE=cache"
expect 0 cbd-ctl guard other --cache cache --udev
[ ! -s out ] || flunk "another disk is guarded"

# A list of caches, with comments, and paths that are not there.
printf '# caches\n\n  %s   # the first\n/no/such/cache\n%s\n' "$work/cache" "$work/other" >list
expect 4 cbd-ctl guard disk0 --caches list
expect 0 cbd-ctl guard disk1 --caches list

# While the cache is in use, nobody waits and the disk is guarded.
exec 9<cache
flock -x 9
expect 4 cbd-ctl guard disk0 --cache cache
says "in use"
exec 9<&-
rm -f list link
untouched

# Damage: one copy is enough; without any nobody can tell.
cp cache damaged
poke damaged 4200
expect 4 cbd-ctl guard disk0 --cache damaged
poke damaged 2101300
poke damaged $((8388608 - 4096 + 50))
expect 8 cbd-ctl guard disk0 --cache damaged
says "damaged: cannot be examined"
rm damaged

expect 0 cbd-ctl cache writeback b0
expect 0 cbd-ctl guard disk0 --cache cache

# The rule asks with a command line that is understood, and udev understands the rule.
rule=$bin/../contrib/90-cbd-guard.rules
line=$(sed -n 's/^IMPORT{program}="[^ ]*cbd-ctl \(.*\)"$/\1/p' "$rule")
expect 0 cbd-ctl ${line//\$devnode/disk0}
for word in UDISKS_IGNORE SYSTEMD_READY ID_FS_USAGE; do
    grep -q "ENV{$word}=" "$rule" || flunk "the rule does not set $word"
done
if command -v udevadm >/dev/null && udevadm verify --help >/dev/null 2>&1; then
    udevadm verify "$rule" >out 2>err || flunk "udevadm verify: $(cat err)"
else
    echo "no udevadm verify: the rule's syntax is not tried"
fi
finish
