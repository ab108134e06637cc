#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The same --uuid and SOURCE_DATE_EPOCH make the same bytes, whatever was there before.
. "$(dirname "$0")/lib.bash"
uuid=01234567-89ab-4cde-8f01-23456789abcd

same() { cmp "$1" "$2" || { : >out; : >err; flunk "$1 and $2 differ"; }; }

export SOURCE_DATE_EPOCH=1700000000
expect 0 cbd-format --create 8M --uuid $uuid --label same new
head -c 8388608 /dev/urandom >dense
expect 0 cbd-format --uuid $uuid --label same -f dense
same new dense
truncate -s 8M sparse
head -c 4000000 /dev/urandom | dd of=sparse bs=1M seek=3 conv=notrunc status=none
expect 0 cbd-format --uuid $uuid --label same -f sparse
same new sparse
expect 0 cbd-format --uuid $uuid --label same -f sparse
same new sparse
[ $(($(stat -c %b dense) * 512)) -ge 8388608 ] || flunk "a dense file has become sparse"

truncate -s 16M disk
expect 0 cbd-ctl dense backend add one --backing disk --cache-size 4M
expect 0 tests/make_dirty dense one 20
expect 0 cbd-format --uuid $uuid --label same -f --discard-dirty dense
same new dense

export SOURCE_DATE_EPOCH=1700000001
expect 0 cbd-format --create 8M --uuid $uuid --label same later
! cmp -s new later || flunk "another time makes the same device"
unset SOURCE_DATE_EPOCH
expect 0 cbd-format --create 8M --uuid $uuid --label same a
expect 0 cbd-format --create 8M --uuid $uuid --label same b
! cmp -s a b || flunk "without SOURCE_DATE_EPOCH the salt is not random"
SOURCE_DATE_EPOCH=soon expect 16 cbd-format --create 8M c
says "SOURCE_DATE_EPOCH"
[ ! -e c ] || flunk "a usage error made a file"
finish
