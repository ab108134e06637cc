#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What README.md and docs/simulator.md show of the demo's report is what the simulator says of that
# trace. The number of cuts is not compared but what does not depend on it: the run, and its steps.
set -eu -o pipefail
cd "${CBD_SOURCE_DIR:-$(dirname "$0")/../..}"
trace=examples/traces/sqlite-block.v3.iolog.zst
report=$("$CBD_BIN_DIR/cbd-sim" replay --trace "$trace" --crashes 20 --seed 1)
status=0

# squeezed: lines without the space around and between words.
squeezed() {
    tr -s ' ' | sed 's/^ //; s/ $//'
}
said=$(squeezed <<<"$report")

for document in README.md docs/simulator.md; do
    lines=0
    while read -r line; do
        case $line in
        requests* | writes* | discards* | flushes* | reclaimed*)
            grep -qxF -- "$line" <<<"$said" || { echo "$document: '$line' is not in the report" && status=1; }
            lines=$((lines + 1))
            ;;
        "write path "* | "write-back "* | "reclaim "* | "recovery "* | "read miss "*)
            name=$(sed 's/ [-0-9].*//' <<<"$line")
            steps=$(grep "^$name [-0-9]" <<<"$said" | awk '{print $NF}')
            [ "${line##* }" = "$steps" ] || { echo "$document: $name has $steps steps: '$line'" && status=1; }
            lines=$((lines + 1))
            ;;
        esac
    done < <(sed -n '/power cuts at  *store/,/read miss/p; /^ *requests  *[0-9,]*$/,/reclaimed/p' "$document" | squeezed)
    [ "$lines" -ge 5 ] || { echo "$document: shows nothing of the report" && status=1; }
done
exit $status
