#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Whatever a tool is given instead of a cache: a message, the right exit code, nothing written.
. "$(dirname "$0")/lib.bash"
tools="cbd-format cbd-check cbd-dump"
readers="cbd-check cbd-dump"

expect 0 cbd-format --create 8M --segment-size 64K good
truncate -s 16M disk
head -c 8388608 /dev/zero >zeroed
head -c 8388608 /dev/urandom >random
head -c 3000000 good >truncated
: >empty
printf x >one_byte
head -c 100000 /dev/zero >small
mkdir directory
remember

for tool in $tools cbd-ctl; do
    args=()
    [ $tool = cbd-ctl ] && args=(backend list)
    expect 0 $tool -h
    says "Usage: $tool"
    expect 0 $tool --help
    expect 0 $tool -V
    says "$tool"
    expect 16 $tool
    expect 16 $tool --no-such-option good "${args[@]}"
    says "unknown option '--no-such-option'"
    expect 16 $tool -Z good "${args[@]}"
    says "unknown option '-Z'"
    expect 8 $tool directory "${args[@]}"
    says "directory"
    expect 8 $tool missing "${args[@]}"
    says "missing"
    expect 8 $tool empty "${args[@]}"
    says "empty"
    expect 8 $tool one_byte "${args[@]}"
    says "one_byte"
    expect 8 $tool /dev/null "${args[@]}"
    says "/dev/null"
    untouched
done

for tool in $readers; do
    for bad in zeroed random small truncated; do
        expect 8 $tool $bad
        says "$bad"
        expect 8 $tool --json $bad
    done
    "$bin/$tool" --json good >/dev/full 2>err
    [ $? -eq 8 ] || flunk "$tool with a full standard output: wrong exit code"
done
for bad in zeroed random small truncated; do
    expect 8 cbd-ctl $bad stat
    says "$bad: cannot be opened"
    expect 8 cbd-ctl $bad backend add x --backing disk --cache-size 1M
done
untouched

expect 8 cbd-format small
says "small: too small: got 100000 bytes, limit at least"
least=$(sed -n 's/.*limit at least \([0-9]*\).*/\1/p' err)
truncate -s $((least - 4096)) small
expect 8 cbd-format small
truncate -s "$least" small
expect 0 cbd-format small
rm small
expect 8 cbd-format --create 64K new
says "too small: got 65536 bytes"
expect 16 cbd-format --create 12Q new
says "--create: got '12Q'"
expect 16 cbd-format --create 1000 new
expect 16 cbd-format --create 8M --segment-size 3M new
says "--segment-size: got 3M, limit a power of two"
expect 16 cbd-format --create 8M --uuid 123 new
says "--uuid: got '123'"
expect 16 cbd-format --create 8M --label "$(printf 'x%.0s' {1..65})" new
says "--label: got 65 bytes, limit 64"
expect 8 cbd-format --create 8M good
says "good"
expect 16 cbd-ctl good backend add x --backing disk
says "needs --cache-size"
expect 16 cbd-ctl good backend list --backing disk
says "does not take --backing"
expect 16 cbd-ctl good frobnicate
says "unknown command 'frobnicate'"
expect 16 cbd-ctl good backend add x --backing disk --cache-size 1X
expect 8 cbd-ctl good backend add x --backing disk --cache-size 1G
says "limit"
expect 8 cbd-ctl good backend add x --backing missing --cache-size 1M
says "missing"
expect 8 cbd-ctl good backend remove x
says "there is none of this name"
expect 8 cbd-ctl good writeback x
[ ! -e new ] || flunk "a failure left a file"

if command -v mkfs.ext4 >/dev/null || command -v mke2fs >/dev/null; then
    truncate -s 8M foreign
    "$(command -v mkfs.ext4 || command -v mke2fs)" -q -F -L precious foreign
    remember
    expect 8 cbd-format foreign
    says "foreign signature: got ext"
    says "label 'precious'"
    untouched
    expect 0 cbd-format -n -f foreign
    untouched
fi

# A device in use: whoever has it locked is not disturbed. Readers share a lock.
remember
exec 9<good
flock -x 9
for tool in $readers; do
    expect 8 $tool good
    says "good"
done
expect 8 cbd-format -f good
expect 8 cbd-ctl good stat
expect 8 cbd-ctl good backend add x --backing disk --cache-size 1M
flock -u 9
flock -s 9
expect 0 cbd-check good
expect 8 cbd-format -f good
exec 9<&-
untouched
finish
