#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the demo shows: a cache in a file, a backend, a replayed trace with crashes, a check, a dump.
# scripts/demo builds the tools first; CBD_BIN_DIR says where they are.
set -eu -o pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${CBD_BIN_DIR:-$root/build/release/bin}
trace=${1:-$root/examples/traces/sqlite-block.v3.iolog.zst}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() {
    printf '\n$'
    printf ' %s' "${1##*/}" "${@:2}"
    printf '\n'
    "$@"
}

truncate -s 256M "$work/disk"
step "$bin/cbd-format" --create 32M "$work/pmem"
step "$bin/cbd-ctl" add "$work/pmem" disk0 "$work/disk"
step "$bin/cbd-sim" replay --trace "$trace" --crashes 1000 --seed 1
step "$bin/cbd-check" "$work/pmem"
step "$bin/cbd-dump" --segments "$work/pmem"
