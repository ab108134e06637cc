#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The commands of docs/runbook.md, in order, as they stand there. After a line "    $ COMMAND" the
# indented lines are parts of what it prints: each must be found in what it says. "[exit status N]" is
# how it ends, else 0 is meant. A comment <!-- test: COMMAND --> makes what the reader finds.
. "$(dirname "$0")/lib.bash"
page=${CBD_SOURCE_DIR:-$(dirname "$0")/../..}/docs/runbook.md
PATH=$bin:$bin/tests:$PATH

# The N-th record, and a byte of its data.
keys() { cbd-dump --json --keys "$1" | sed -n "s/.*\"$2\": \([0-9]*\).*/\1/p" | sed -n "$3p"; }
offset_of_record() { echo $(($(keys "$1" offset_bytes "$2") + 20)); }
offset_of_data() {
    local segment data_off
    segment=$(cbd-dump --keys "$1" | sed -n 's/^record \([0-9]*\)\..*/\1/p' | sed -n "$2p")
    data_off=$(cbd-dump --super "$1" | sed -n 's/^ *data_off *\([0-9]*\).*/\1/p' | head -n 1)
    echo $((data_off + 65536 * segment + $(keys "$1" payload_off "$2") + 1000))
}

commands=0
command=
wanted=()

# judge: what the command before has said and how it ended.
judge() {
    local want=0 got line text
    [ -n "$command" ] || return 0
    commands=$((commands + 1))
    got=$status
    text=$(cat out err)
    for line in "${wanted[@]}"; do
        if [[ $line =~ ^\[exit\ status\ ([0-9]+)\]$ ]]; then
            want=${BASH_REMATCH[1]}
        elif [[ $text != *"$line"* ]]; then
            flunk "$command: does not say '$line'"
        fi
    done
    [ "$got" -eq "$want" ] || flunk "$command: got exit code $got, expected $want"
    command=
    wanted=()
}

prepare='^<!-- test: (.*) -->$'
run='^ {4,}\$ (.*)$'
output='^ {4,}([^ ].*)$'
while IFS= read -r line; do
    if [[ $line =~ $prepare ]]; then
        next=${BASH_REMATCH[1]}
        judge
        command=$next
        eval "$command" >out 2>err </dev/null || flunk "preparing: $command"
        command=
    elif [[ $line =~ $run ]]; then
        next=${BASH_REMATCH[1]}
        judge
        command=$next
        eval "$command" >out 2>err </dev/null
        status=$?
    elif [[ $line =~ $output ]] && [ -n "$command" ]; then
        wanted+=("${BASH_REMATCH[1]}")
    else
        judge
    fi
done <"$page"
judge
[ "$commands" -gt 20 ] || flunk "only $commands commands were found"
finish
