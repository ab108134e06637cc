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
cbd-check   -y @
cbd-check   --data -j 2 @
cbd-check   --apply-undo @ good
cbd-dump    @
cbd-dump    --map @
cbd-dump    --keys --json @
cbd-dump    --image made @
cbd-ctl     @ stat
cbd-ctl     @ backend list --json
cbd-ctl     @ backend add x --backing disk --cache-size 1M
cbd-ctl     @ backend remove x
cbd-ctl     @ writeback
cbd-ctl     @ salvage x --output made
cbd-format  -f --from-image @ good
cbd-sim     run @
cbd-sim     replay --trace @
cbd-sim     writeback --trace @
cbd-sim     minimize @
cbd-sim     cut @
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
each "empty file" empty 8 empty "$(grep -Ev '^cbd-sim     (run|minimize)' <<<"$rows")" # a workload without requests
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
    done <<<"$(grep -v apply-undo <<<"$rows")"
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
each "in use by a reader" good 8 good "$(grep -E '^cbd-format|-y @|apply-undo|add|remove|writeback @' <<<"$rows" |
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
for sub in replay rerun run minimize hits writeback cut explore drops litmus pcache canaries; do
    case $sub in explore | drops | litmus | pcache | canaries) ;; *) expect 16 cbd-sim $sub ;; esac
    expect 16 cbd-sim $sub --no-such-option x
    says "unknown option '--no-such-option'"
    expect 16 cbd-sim $sub -Z
    for option in -h --help; do
        expect 0 cbd-sim $sub $option
        says "cbd-sim $sub"
        "$bin/cbd-sim" $sub $option >/dev/full 2>err
        [ $? -eq 8 ] || flunk "$command with a full standard output: wrong exit code"
    done
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

# A full disk: whatever makes a file takes it away again, and changes nothing else.
expect 0 cbd-format --create 8M --segment-size 64K dirty
expect 0 cbd-ctl dirty backend add one --backing disk --cache-size 2M --streams 1
expect 0 tests/make_dirty dirty one 100
cp dirty damaged
for off in 4200 $((2097152 + 4200)); do
    poke damaged $off
done
table=$("$bin/cbd-dump" --super dirty | sed -n 's/^ *table_a_off *\([0-9]*\).*/\1/p' | head -n 1)
for segment in {0..31}; do # more blocks than there is room for
    poke damaged $((table + 32 * 512 + 32 * 64 + 64 * segment + 20))
done
remember
printf "fio version 3 iolog\n0 disk add\n0 disk open\n10 disk write 0 4096\n" >trace
remember
# limited KIB CODE TEXT TOOL ARGS...: with files of at most so many KiB.
limited() {
    local limit=$1 want=$2 text=$3 got
    shift 3
    command="$*, full disk"
    (
        ulimit -f "$limit"
        trap '' XFSZ
        exec "$bin/$1" "${@:2}" 2>&1
    ) | cat >out # a pipe has no limit
    got=${PIPESTATUS[0]}
    : >err
    [ "$got" = "$want" ] || flunk "$command: got exit code $got, expected $want"
    says "$text"
    [ ! -e made ] || flunk "$command: left a file behind"
    untouched
}
limited 32 8 made cbd-format --create 8M made
limited 32 8 made cbd-dump --image made good
limited 32 8 made cbd-ctl dirty salvage one --output made
limited 0 8 made cbd-check -y -f --undo made damaged
limited 1 8 made cbd-check -y -f --undo made damaged # room for the head of the undo file
limited 0 8 made cbd-sim replay --trace trace --crashes 1 --report made
limited 0 8 made cbd-sim explore --units 1 --state made
# An undo file that is full ends the repairs. What it holds brings back what was.
cp damaged half
(
    ulimit -f 4
    trap '' XFSZ
    exec "$bin/cbd-check" -y -f --undo undo half >out 2>err
)
got=$?
command="cbd-check -y --undo undo half, full disk"
[ $((got & 8)) -ne 0 ] || flunk "$command: got exit code $got"
says undo
if [ -e undo ]; then
    "$bin/cbd-check" -q --apply-undo undo half >out 2>err || [ $? -eq 1 ] || flunk "the undo file"
fi
cmp -s half damaged || flunk "$command: not as it was"
finish
