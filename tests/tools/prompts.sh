#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Questions on a terminal and every kind of answer; Ctrl-C before, in the middle of and between
# repairs; progress for a program; one pass alone.
. "$(dirname "$0")/lib.bash"

expect 0 cbd-format --create 8M --segment-size 64K fresh
truncate -s 16M disk
expect 0 cbd-ctl fresh backend add one --backing disk --cache-size 2M --streams 1
expect 0 tests/make_dirty fresh one 100
# Of one file: the hash of all is slow.
remember() { of=${1:-pm} && cp "$of" was; }
untouched() { cmp -s "$of" was || flunk "$command: changed $of"; }
field() { "$bin/cbd-dump" --super fresh | sed -n "s/^ *$1 *\([0-9]*\).*/\1/p" | head -n 1; }
# column KEY N: of record N, and the place of its payload in the file.
column() {
    "$bin/cbd-dump" --json --keys fresh | sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" | sed -n "$2p"
}
payload() {
    local segment
    segment=$("$bin/cbd-dump" --keys fresh | sed -n 's/^record \([0-9]*\)\..*/\1/p' | sed -n "$1p")
    echo $(($(field data_off) + 65536 * segment + $(column payload_off "$1")))
}
table_a=$(field table_a_off)
table_b=$(field table_b_off)
record=$(column offset_bytes 1)

# asked CODE ANSWER... -- ARGS...: cbd-check ARGS on a terminal.
asked() {
    local code=$1 got
    shift
    command="cbd-check on a terminal: $*"
    "$bin/tests/on_terminal" "q to end: " "${@/#--/--}" >out 2>err
    got=$?
    [ "$got" -eq "$code" ] || flunk "$command: got exit code $got, expected $code"
}
# check_asked CODE ANSWER...: of pm, with all records.
check_asked() { asked "$1" "${@:2}" -- "$bin/cbd-check" -f pm; }
questions() {
    local got
    got=$(grep -o 'repair it?' out | wc -l)
    [ "$got" -eq "$1" ] || flunk "$command: got $got questions, expected $1"
}

# Two superblock copies are damaged: two questions, yes by default.
two() {
    cp fresh pm
    poke pm 4200
    poke pm $((2097152 + 4200))
    remember
}
two && check_asked 1 y y
questions 2
expect 0 cbd-check -f pm
two && check_asked 5 y n
expect 4 cbd-check -f pm
says "copy 1"
says_not "copy 0"
two && check_asked 4 n n
untouched
two && check_asked 1 "" ""
two && check_asked 1 a
questions 1
two && check_asked 36 q
questions 1
untouched
two && check_asked 37 y q
expect 4 cbd-check -f pm
two && check_asked 36 ^D
questions 1
untouched
two && check_asked 37 y ^D
two && check_asked 36 ^C
untouched
two && check_asked 37 y ^C
expect 4 cbd-check -f pm
# What is no answer is asked again; a long line is one line.
two && check_asked 4 '?' maybe $'\001\377' n 'x y' n
questions 6
untouched
long=$(printf 'x%.0s' {1..63})
two && check_asked 4 "${long}y" n "$long$long${long}a" n
questions 4
untouched
two && check_asked 1 yes yes
# Nobody is asked with -n, -p, -y or --json.
two && asked 4 -- "$bin/cbd-check" -f -n pm
two && asked 4 -- "$bin/cbd-check" -f --json pm
untouched
two && asked 1 -- "$bin/cbd-check" -f -p pm
two && asked 1 -- "$bin/cbd-check" -f -y pm

# A second round finds what the first brought to light: both copies of an entry, then a record of it.
entry=$((32 * 512 + 32 * 64 + 64 * $("$bin/cbd-dump" --keys fresh |
    sed -n 's/^record \([0-9]*\)\..*/\1/p' | head -n 1) + 20))
hidden() {
    cp fresh pm
    poke pm $((table_a + entry))
    poke pm $((table_b + entry))
    poke pm $((record + 20))
    remember
}
hidden
asked 37 y ^C -- "$bin/cbd-check" -f --allow-data-loss pm
says " 2003: "
says " 3001: "
expect 4 cbd-check -f pm
says_not " 2003: "
expect 1 cbd-check -y --allow-data-loss -f pm
expect 0 cbd-check -f --data pm
hidden
asked 1 y y -- "$bin/cbd-check" -f --allow-data-loss pm
expect 0 cbd-check -f --data pm
hidden
asked 4 -- "$bin/cbd-check" -f pm
says "it may have had more"
says "needs --allow-data-loss"

# cbd-format asks before it overwrites what is foreign.
foreign() {
    truncate -s 0 foreign
    truncate -s 8M foreign
    printf 'XFSB' | dd of=foreign conv=notrunc status=none
    remember foreign
}
for answer in n "" no ^D ^C maybe; do
    foreign
    command="cbd-format on a terminal: $answer"
    "$bin/tests/on_terminal" "[y/N] " "$answer" -- "$bin/cbd-format" foreign >out 2>err
    got=$?
    [ $got = 32 ] || { [ "$answer" = ^C ] && [ $got = 130 ]; } || flunk "$command: exit code $got"
    untouched
done
foreign
"$bin/tests/on_terminal" "[y/N] " y -- "$bin/cbd-format" foreign >out 2>err ||
    flunk "cbd-format on a terminal: y: exit code $?"
expect 0 cbd-check -f foreign
rm -f foreign

# Ctrl-C in the middle of a check. The progress of a tool goes to a pipe that is full: it waits there.
shopt -s extglob
mkfifo pipe
# interrupted CODE SIGNAL ARGS...
interrupted() {
    local code=$1 signal=$2 pid got n
    shift 2
    command="cbd-check $*, interrupted"
    exec 3<>pipe
    dd if=/dev/zero of=pipe bs=4096 count=16 oflag=nonblock status=none
    # A shell in the background has Ctrl-C ignored.
    env --default-signal=INT "$bin/cbd-check" -C 3 "$@" >out 2>err &
    pid=$!
    for ((n = 0; n < 100; n++)); do # until it writes to descriptor 3
        [[ $(cat "/proc/$pid/syscall" 2>/dev/null) == *([0-9])\ 0x3\ * ]] && break
        sleep 0.02
    done
    kill -"$signal" $pid
    wait $pid
    got=$?
    exec 3<&-
    [ $got -eq "$code" ] || flunk "$command: got exit code $got, expected $code"
}
two
for args in "-f" "-f -n" "-f -p" "-f -y" "--data" "-y --data"; do
    interrupted 36 INT $args pm
    untouched
done
interrupted 36 TERM -f pm
interrupted 36 INT -f --json pm
says '"exit_code": 36'
interrupted 36 INT -f -y --json --undo undo pm
says '"exit_code": 36'
untouched
[ ! -e undo ] || flunk "an undo file without a repair"
cp fresh pm && remember
interrupted 32 INT -f pm
untouched
if [ -x "$bin/cbd-sim" ]; then # the same for dm-pcache
    expect 0 cbd-sim pcache --image dev D12
    expect 4 cbd-check -f dev
    "$bin/cbd-check" -C 3 dev >out 2>err 3>lines
    grep -qE '^1 ([0-9]+) \1 key sets$' lines || flunk "dm-pcache: no last line of progress"
    cp dev pm && remember
    interrupted 32 INT --data pm
    interrupted 32 TERM -y pm
    untouched
fi

# At any time in a repair: what it leaves is checked, repaired, and comes to the same.
damaged() {
    cp fresh pm
    for n in 2 9 17 33 51; do
        poke pm $(($(sed -n ${n}p <<<"$records") + 20))
    done
    poke pm 4200
    poke pm $((table_a + 32 * 512 + 40))
    poke pm $((table_b + entry))
}
records=$("$bin/cbd-dump" --json --keys fresh | sed -n 's/.*"offset_bytes": \([0-9]*\).*/\1/p')
damaged
expect 1 cbd-check -y --allow-data-loss -f pm
cp pm wanted
for ms in 1 3 4 6 9 14; do
    damaged
    env --default-signal=INT "$bin/cbd-check" -y --allow-data-loss -f pm >out 2>err &
    pid=$!
    for ((n = 0; n < 1000; n++)); do # a shell until then
        [ "$(cat /proc/$pid/comm 2>/dev/null)" = cbd-check ] && break
        kill -0 $pid 2>/dev/null || break
    done
    sleep "0.0$(printf %02d $ms)"
    kill -INT $pid 2>/dev/null
    wait $pid
    got=$?
    # 130: before it listens; 1: it was through.
    case $got in 1 | 33 | 36 | 37 | 130) ;; *) flunk "interrupted after $ms ms: exit code $got" ;; esac
    "$bin/cbd-check" -y --allow-data-loss -f pm >out 2>err
    [ $(($? & ~1)) -eq 0 ] || flunk "after an interrupt: not repaired"
    expect 0 cbd-check -f --data pm
done

# Progress: pass, done, total, what. Each pass ends with all done. A reader may go away.
cp fresh pm
expect 16 cbd-check -C 9 pm
says "descriptor 9 is not open"
expect 16 cbd-check -C 1 pm
expect 16 cbd-check -C x pm
for args in "-f" "--data -q" "-f -y"; do
    command="cbd-check $args -C 3"
    "$bin/cbd-check" $args -C 3 pm 3>lines >out 2>err || flunk "$command: exit code $?"
    [ "${args/-q/}" != "$args" ] && [ ! -s lines ] && continue # -q: none
    awk 'NF != 4 || $1 !~ /^[0-9]+$/ || $2 > $3 || $4 != "segments" || $1 < pass ||
         ($1 == pass && $2 < done) { exit 1 } { pass = $1; done = $2; total = $3 }
         END { exit done != total || pass < 1 }' lines || flunk "$command: $(cat lines)"
done
mkfifo gone
exec 4<>gone 3>gone 4<&-
expect 0 cbd-check -f -C 3 pm
expect 0 cbd-check -f -y -C 3 pm
exec 3>&-

# --pass: what it needs and no other. Damage of a table, a record, a header, data.
passes() {
    local pass want=$1 code
    shift
    for pass in tables records headers orders data; do
        code=0
        case " $* " in *" $pass "*) code=4 ;; esac
        expect $code cbd-check --pass $pass pm
        [ $code = 0 ] || says " $want: "
        [ $code = 4 ] || says_not " $want: "
    done
    expect 16 cbd-check --pass records -f pm
    expect 16 cbd-check --pass records --data pm
}
cp fresh pm
poke pm 4200
passes 1002 tables records headers orders data
cp fresh pm
poke pm $((record + 20))
passes 3001 records headers orders data
cp fresh pm
poke pm $(($(payload 5) - 64 + 20))
passes 3012 headers data
cp fresh pm
poke pm $(($(payload 5) + 1000))
passes 4001 data
expect 16 cbd-check --pass "" pm
expect 16 cbd-check --pass record pm
says "limit tables, records, headers, orders, data"
finish
