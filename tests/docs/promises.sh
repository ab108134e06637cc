#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# docs/promises.md: each promise has a section with an oracle, canaries of the catalogue that break just
# this promise, and something that was measured.
set -eu -o pipefail
cd "${CBD_SOURCE_DIR:-$(dirname "$0")/../..}"
status=0

bad() {
    echo "docs/promises.md: $*"
    status=1
}

# section P: its text
section() {
    awk -v p="### $1:" 'index($0, "### ") == 1 { on = index($0, p) == 1 } on' docs/promises.md
}

for p in P1 P2 P3 P4 P5 P6 P7 P8; do
    text=$(section "$p")
    grep -q "^| $p | .* | .* |$" docs/promises.md || bad "no row $p in the table"
    for what in Oracle Canaries Measured; do
        grep -q "^- $what: " <<<"$text" || bad "$p: no '$what'"
    done
    names=$(sed -n '/^- Canaries/,/^- Measured/p' <<<"$text" | grep -oE '`[A-Z_]+`' | tr -d '`')
    [ -n "$names" ] || bad "$p: no canary"
    for name in $names; do
        grep -qE "^X\($name, [A-Z]+, \"[^\"]*\b$p\b" core/include/cbd/canaries.def ||
            bad "$p: the catalogue has no $name that breaks $p"
    done
done
exit $status
