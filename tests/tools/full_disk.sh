#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A file system without room: --create leaves nothing behind, and a sparse file is not touched.
. "$(dirname "$0")/lib.bash"

(
    ulimit -f 1024 # in KiB
    trap '' XFSZ
    "$bin/cbd-format" --create 8M limited >out 2>err
    echo $? >code
)
[ "$(cat code)" = 8 ] || flunk "a file beyond the limit: got exit code $(cat code), expected 8"
grep -q limited err || flunk "a file beyond the limit: is not named"
[ ! -e limited ] || flunk "a failure left a file"

mkdir small
mount -t tmpfs -o size=4m tmpfs small 2>/dev/null ||
    { [ "$failures" -eq 0 ] && echo "no mount: the rest is skipped"; finish; }
cleanup() { cd / && umount "$work/small"; }

expect 8 cbd-format --create 8M small/pm
says "small/pm"
[ ! -e small/pm ] || flunk "a failure left a file"

truncate -s 32M small/pm
head -c 2M /dev/zero >small/ballast
before=$(sha256sum <small/pm)
expect 8 cbd-format small/pm
says "no space for superblocks and tables"
[ "$(sha256sum <small/pm)" = "$before" ] || flunk "a failure wrote something"
rm small/ballast
expect 0 cbd-format --segment-size 64K small/pm
expect 0 cbd-check -f small/pm
finish
