#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the demo shows: a cache in an ordinary file, a real trace replayed with thousands of power
# cuts, and what the offline tools say about a device that lost power in the middle.
# scripts/demo builds the tools first; CBD_BIN_DIR says where they are.
set -eu -o pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${CBD_BIN_DIR:-$root/build/release/bin}
trace=${1:-examples/traces/sqlite-block.v3.iolog.zst}
crashes=${2:-3000}
work=$root/build/demo
cd "$root"
rm -rf "$work"
mkdir -p "$work"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
step() {
    printf '$'
    printf ' %s' "${1##*/}" "${@:2}"
    printf '\n'
    "$@"
}

say "1. A cache in an ordinary file, in front of a disk that is one too"
cd "$work"
truncate -s 1G disk.img
step "$bin/cbd-format" --create 64M --label demo cache.img
step "$bin/cbd-ctl" cache.img backend add disk0 --backing disk.img --cache-size 48M
step "$bin/cbd-ctl" cache.img writeback disk0
step "$bin/cbd-ctl" cache.img backend list
step "$bin/cbd-check" -f cache.img

say "2. A real SQLite run replayed through the cache, the power cut at $crashes places"
cd "$root"
step "$bin/cbd-sim" replay --trace "$trace" --crashes "$crashes" --seed 1 \
    --report build/demo/report.json --image build/demo/powercut.img

say "3. The device as the last power cut left it: check, look, write back, check"
cd "$work"
step "$bin/cbd-check" powercut.img
step "$bin/cbd-dump" --segments powercut.img | sed -n '1,14p'
echo "  ..."
step "$bin/cbd-ctl" powercut.img writeback disk0 --backing powercut.img.disk0
step "$bin/cbd-check" -f powercut.img

say "Done. The report is in build/demo/report.json, the devices are beside it."
