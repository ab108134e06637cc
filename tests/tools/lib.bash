# SPDX-License-Identifier: BSD-2-Clause
# For the scripts beside it: a scratch directory, and one line for each expectation.
set -u
bin=${CBD_BIN_DIR:?the directory of the tools}
work=$(mktemp -d)
# Not by a child that a signal ends before it is the tool.
trap '[ "$BASHPID" != $$ ] || { cleanup; rm -rf "$work"; }' EXIT
cleanup() { :; }
cd "$work" || exit 1
failures=0

flunk() {
    echo "FAILED: $*"
    sed 's/^/    out: /' out
    sed 's/^/    err: /' err
    failures=$((failures + 1))
}

# expect CODE TOOL ARGS...: runs it with standard output in `out` and errors in `err`.
expect() {
    local want=$1 got
    shift
    command="$*"
    "$bin/$1" "${@:2}" >out 2>err
    got=$?
    [ "$got" -eq "$want" ] || flunk "$command: got exit code $got, expected $want"
}

# says TEXT, says_not TEXT: in the output or the errors of the last run.
says() { cat out err | grep -qF -- "$1" || flunk "$command: does not say '$1'"; }
says_not() { ! cat out err | grep -qF -- "$1" || flunk "$command: says '$1'"; }

# says_costs: of each problem in the output, what a repair does and what that costs.
says_costs() {
    awk '/: error [0-9]+: /{n++; getline a; getline b
             if (a !~ /^    repair: ./ || (b !~ /^    costs: ./ && a !~ /^    repair: none/)) bad = 1}
         END{exit bad || !n}' out || flunk "$command: does not say what each repair does and costs"
}

# remember FILE..., untouched: content, size and names of everything in the directory.
remember() { sums=$(find . -type f ! -name out ! -name err -exec cksum {} + | sort); }
untouched() {
    local now
    now=$(find . -type f ! -name out ! -name err -exec cksum {} + | sort)
    [ "$now" = "$sums" ] || flunk "$command: changed something:
$(diff <(echo "$sums") <(echo "$now"))"
}

# poke FILE OFFSET: turns one byte round.
poke() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((byte ^ 255)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

finish() {
    [ "$failures" -eq 0 ] && echo "all as expected" && exit 0
    echo "$failures failed"
    exit 1
}
