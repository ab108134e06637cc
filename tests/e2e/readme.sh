#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The commands of README.md, "A file system on it", as they stand there.
. "$(dirname "$0")/lib.bash"
need_mount
need mkfs.ext4
[ -z "$runtime" ] || skip "a sanitizer's runtime would have to be loaded first"
[ ! -e /tmp/cbd-fs ] || skip "/tmp/cbd-fs is there"
unset PMEM2_FORCE_GRANULARITY

cleanup_more() {
    umount /tmp/cbd-fs/mnt
    fusermount3 -u /tmp/cbd-fs/dev/nbd
    [ ! -f /tmp/cbd-fs/pid ] || kill "$(cat /tmp/cbd-fs/pid)"
    rm -rf /tmp/cbd-fs
} 2>/dev/null

# They are what is indented in that section. The tree stands for where it was built.
mkdir -p build/release
ln -s "$bin" build/release/bin
awk '/^## / { on = $0 == "## A file system on it" } on && /^    / { sub(/^    /, ""); print }' \
    "$tests/../../README.md" >commands
check "there are commands" test "$(wc -l <commands)" -ge 8
# As if pasted: one shell, line by line; the first failure ends it, and is named.
{
    echo 'set -u; trap '\''echo "failed: $BASH_COMMAND"; exit 1'\'' ERR'
    cat commands
    echo 'echo done'
} >script
# What goes on in the background must not hold the output open.
timeout 100 bash script >out.log 2>&1 </dev/null
check "they work: $(tail -n 3 out.log)" grep -qx "done" out.log
check "the file system was there, twice" test "$(grep -c '/tmp/cbd-fs/mnt' out.log)" -eq 2
finish
