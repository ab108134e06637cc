#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Devices of dm-pcache as its driver's faults leave them, made by the model of it: the tools name
# each, and write-back, as it is advised, leaves a device without errors.
. "$(dirname "$0")/lib.bash"

# state FAULT: writes `dev` and `dev.disk`.
state() {
    rm -f dev dev.disk
    expect 0 cbd-sim pcache --image dev "$1"
    expect 4 cbd-check --data dev
    says "dm-pcache $1"
}

# saved OPTIONS...: write-back with these, and nothing is wrong any more.
saved() {
    expect 0 cbd-ctl "$@" --backing dev.disk dev writeback
    says "nothing is dirty"
    expect 0 cbd-check --data dev
    says_not "error"
}

for fault in D1 D2 D3 D5; do
    state $fault
    saved
done

state D12
end=$(sed -n 's/.*cbd-ctl --log-end //p' out)
expect 8 cbd-ctl --backing dev.disk dev writeback
says "doubtful"
saved --log-end "$end"

state D15
expect 8 cbd-ctl --backing dev.disk dev writeback
saved --past-damage

# The driver would format it; the tools do not.
state D4
says "keep the driver away"
expect 4 cbd-check -n dev
says "cache_info can be written again, at no cost (-p)"
cp dev before
expect 1 cbd-check -p --undo undo dev
says "cache_info written again"
expect 0 cbd-check --data dev
cp dev after
expect 1 cbd-check --apply-undo undo dev
cmp -s dev before || flunk "--apply-undo did not put everything back"
expect 12 cbd-check -p --undo undo dev
says "undo: undo file: File exists"
cmp -s dev before || flunk "a repair went on without its undo file"
expect 1 cbd-check -y --json dev
grep -q '"repaired": *\[ *"cache_info" *\]' <(tr -d '\n' <out) || flunk "--json does not say what was repaired"
cmp -s dev after || flunk "-y did something else than -p"
expect 0 cbd-check -p dev
saved

# One record after the other is damaged, and written again.
for at in 4096 4104 4112 8192 16384 20480 28688; do
    rm -f dev dev.disk
    expect 0 cbd-sim pcache --script "W0 W1 b x |" --image dev
    expect 4 cbd-check -n dev
    expect 1 cbd-check -p dev
    poke dev $at
    expect 4 cbd-check dev
    "$bin/cbd-check" -p dev >out 2>err
    expect 0 cbd-check --data dev
    saved
done

# Nothing is offered that would not be done: where a log begins cannot be told without a tail.
rm -f dev dev.disk
expect 0 cbd-sim pcache --script "W0 W1 b x |" --image dev
head -c 32 /dev/zero | tr '\0' '\377' | dd of=dev bs=1 seek=16384 conv=notrunc status=none
expect 4 cbd-check -n dev
says "5201"
says_not "at no cost"
cp dev before
expect 4 cbd-check -p dev
cmp -s dev before || flunk "a device without a tail was changed"

# A part of a device is not made a whole one while the log names what was behind it.
rm -f dev dev.disk
expect 0 cbd-sim pcache --script "W0 W1 x |" --image dev
size=$(stat -c %s dev)
truncate -s $((20480 + 16777216)) dev
expect 4 cbd-check -n dev
says "give it back its length"
says_not "at no cost"
cp dev before
expect 4 cbd-check -p dev
cmp -s dev before || flunk "the rest of a device was cut off for good"
truncate -s "$size" dev

# An image that is given to others: a check finds the same, and no checksum of data is there.
# SOURCE: a fault, or a script.
same_of_image() {
    rm -f dev dev.disk plain anon again
    expect 0 cbd-sim pcache --image dev "$@"
    "$bin/cbd-dump" --image plain dev >out 2>err
    SOURCE_DATE_EPOCH=1 "$bin/cbd-dump" --image anon --anonymize dev >out 2>err
    SOURCE_DATE_EPOCH=1 "$bin/cbd-dump" --image again --anonymize dev >out 2>err
    cmp -s anon again || flunk "$*: two images with the same SOURCE_DATE_EPOCH differ"
    "$bin/cbd-check" plain 2>&1 | sed 's/^plain/image/' >of_plain
    "$bin/cbd-check" anon 2>&1 | sed 's/^anon/image/' >of_anon
    cmp -s of_plain of_anon || flunk "$*: $(diff of_plain of_anon)"
    "$bin/cbd-dump" --keys plain | grep -o 'data_crc=.*' >of_plain
    "$bin/cbd-dump" --keys anon | grep -o 'data_crc=.*' >of_anon
}
for fault in D1 D2 D3 D4 D5 D12 D15; do
    same_of_image $fault
done
same_of_image --data-crc --script "W0 W1 W0 x |"
[ "$(grep -c . of_plain)" = 3 ] || flunk "an image has $(grep -c . of_plain) keys"
! grep -qxFf of_plain of_anon || flunk "an anonymized image has a checksum of data"

# The options of dm-pcache on something else.
truncate -s 8192 nothing
expect 16 cbd-ctl --dry-run nothing writeback
says "no dm-pcache on the device"

# Dirty data is not overwritten by the way.
rm -f dev dev.disk
expect 0 cbd-sim pcache --script "W0 b W1 d x |" --image dev
expect 8 cbd-format -f --type dm-pcache dev
expect 8 cbd-format -f dev

# Only what the driver takes is made, and only for it are there these options.
expect 8 cbd-format --type dm-pcache --create 511M new
says "limit at least"
expect 16 cbd-format --type zfs --create 512M new
expect 16 cbd-format --data-crc --create 512M new
expect 0 cbd-format --type dm-pcache --data-crc --create 512M new
expect 0 cbd-check --data new
expect 0 cbd-dump --super --segments --keys --hex new
expect 0 cbd-dump --json new
expect 0 cbd-ctl new stat
expect 16 cbd-ctl new backend list
expect 16 cbd-ctl --streams 4 --backing dev.disk new writeback
expect 16 cbd-ctl --log-end 7 --backing dev.disk new writeback
finish
