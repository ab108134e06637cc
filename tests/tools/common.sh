#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What every tool is given sooner or later, as one table: exit code, a message that names the
# culprit, nothing changed, nothing left behind.
. "$(dirname "$0")/lib.bash"
chmod 755 .

# One row a tool: its name, and how it is called with a subject in the place of @.
rows='cbd-format  @
cbd-check   -f @
cbd-check   --json @
cbd-dump    @
cbd-dump    --map @
cbd-dump    --keys --json @
cbd-dump    --image made @
cbd-ctl     @ stat
cbd-ctl     @ backend list --json
cbd-ctl     @ backend add x --backing disk --cache-size 1M
cbd-ctl     @ backend remove x
cbd-ctl     @ writeback
cbd-sim     run @
cbd-sim     replay --trace @
cbd-sim     writeback --trace @
cbd-sim     hits --trace @'

expect 0 cbd-format --create 8M --segment-size 64K good
truncate -s 16M disk
mkdir directory
: >empty
printf x >one_byte
truncate -s 8M foreign
printf 'XFSB' | dd of=foreign conv=notrunc status=none
cp good unreadable
chmod 000 unreadable
remember

# each CASE SUBJECT CODE TEXT [ROWS]: every row with this subject. TEXT may be empty.
each() {
    local tool args code=$3
    while read -r tool args; do
        expect "$code" "$tool" ${args//@/$2}
        [ -z "$4" ] || says "$4"
        [ -s out ] && [ "$code" = 8 ] && [[ $args != *json* ]] && flunk "$1: prints to standard output"
        [ ! -e made ] || flunk "$1: $command: left a file behind"
    done <<<"${5:-$rows}"
    untouched
}

each "directory" directory 8 directory
each "missing" ./missing 8 missing
each "empty file" empty 8 empty "$(grep -v '^cbd-sim     run' <<<"$rows")" # a workload without requests
each "file of 1 byte" one_byte 8 one_byte
each "foreign signature" foreign 8 foreign
each "a device that is none" /dev/null 8 /dev/null "$(grep -v '^cbd-sim' <<<"$rows")"

# A file that only somebody else may read.
user=()
[ "$(id -u)" -ne 0 ] || user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
if "${user[@]}" "$bin/cbd-check" -V >/dev/null 2>&1; then
    while read -r tool args; do
        command="$tool ${args//@/unreadable}, as another user"
        "${user[@]}" "$bin/$tool" ${args//@/unreadable} >/dev/null 2>"$work/err"
        got=$?
        : >out
        [ $got -eq 8 ] || flunk "$command: got exit code $got, expected 8"
        says unreadable
    done <<<"$rows"
    untouched
else
    echo "no setpriv, or no way to the tools for another user: unreadable files are not tried"
fi

# A device in use: writers are kept off by readers, everybody by a writer.
exec 9<good
flock -x 9
each "in use" good 8 good "$(grep -v '^cbd-sim' <<<"$rows")"
flock -u 9
flock -s 9
each "in use by a reader" good 8 good "$(grep -E '^cbd-format|add|remove|writeback @' <<<"$rows" |
    grep -v ^cbd-sim)"
exec 9<&-

# The command line.
for tool in cbd-format cbd-check cbd-dump cbd-ctl cbd-sim; do
    expect 16 $tool
    expect 16 $tool --no-such-option
    says "unknown option '--no-such-option'"
    expect 16 $tool -Z
    says "unknown option '-Z'"
    expect 16 $tool --jso good
    says "unknown option"
    for option in -h --help -V --version; do
        expect 0 $tool $option
        [ -s out ] && [ ! -s err ] || flunk "$command: not on standard output, or more than that"
        says "$tool"
        "$bin/$tool" $option >/dev/full 2>err
        [ $? -eq 8 ] || flunk "$command with a full standard output: wrong exit code"
        "$bin/$tool" $option >&- 2>err
        [ $? -eq 8 ] || flunk "$command with a closed standard output: wrong exit code"
    done
done
for command in replay rerun run minimize hits writeback; do
    expect 16 cbd-sim $command
    expect 16 cbd-sim $command --no-such-option x
done
expect 16 cbd-sim frobnicate
untouched

# Standard output that is full or closed. With a closed one the first file that is opened would
# get its number, and the report would go into the device.
trace=${CBD_SOURCE_DIR:-$(dirname "$0")/../..}/examples/workloads/overwrite.txt
goes='cbd-check   -f good
cbd-check   --json good
cbd-dump    good
cbd-dump    --map good
cbd-dump    --json --segments good
cbd-ctl     good stat --json
cbd-ctl     good backend list
cbd-sim     run @
cbd-sim     litmus'
while read -r tool args; do
    for output in full closed; do
        command="$tool $args, standard output $output"
        if [ $output = full ]; then
            "$bin/$tool" ${args//@/$trace} >/dev/full 2>err
        else
            "$bin/$tool" ${args//@/$trace} >&- 2>err
        fi
        got=$?
        : >out
        [ $((got & 8)) -ne 0 ] || flunk "$command: got exit code $got, expected 8"
        says "standard output"
        "$bin/$tool" ${args//@/$trace} <&- >&- 2>&-
        [ $(($? & 8)) -ne 0 ] || flunk "$command, everything closed: wrong exit code"
    done
done <<<"$goes"
untouched
cp good written
"$bin/cbd-format" -f --segment-size 64K written >&- 2>&-
[ $? -eq 8 ] || flunk "cbd-format with a closed standard output: wrong exit code"
expect 0 cbd-check -f written
"$bin/cbd-ctl" written backend add x --backing disk --cache-size 1M >&- 2>&-
expect 0 cbd-check -f written
rm written
remember

# A full disk: whatever makes a file takes it away again.
printf 'version 3\n' >trace
fills='cbd-format --create 8M made
cbd-dump   --image made good'
while read -r tool args; do
    (
        ulimit -f 32
        trap '' XFSZ
        "$bin/$tool" $args >out 2>err
        echo $? >code
    )
    command="$tool $args, full disk"
    [ "$(cat code)" = 8 ] || flunk "$command: got exit code $(cat code), expected 8"
    says made
    [ ! -e made ] || flunk "$command: left a file behind"
    rm -f code made
done <<<"$fills"
finish
