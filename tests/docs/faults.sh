#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Where each fault is tested, docs/design.md: every fault has a row, every test that is named exists and
# is run, and every test that is named after a fault is named in its row.
set -eu -o pipefail
cd "${CBD_SOURCE_DIR:-$(dirname "$0")/../..}"
status=0
bad() {
    echo "faults: $*"
    status=1
}

section=$(sed -n '/^### Where each is tested$/,/^## /p' docs/design.md)
rows=$(grep -oE '^\| [DC][0-9]+ \|' <<<"$section" | tr -d ' |')
expected=$(printf 'D%d\n' $(seq 25); printf 'C%d\n' $(seq 8))
diff <(echo "$expected") <(echo "$rows") || bad "< without a row, > no fault"

# A row names a test, or says why there is none.
while IFS= read -r row; do
    grep -qE '\| none: [a-z]|`[a-z0-9_]+`' <<<"$row" || bad "no test and no reason: $row"
done < <(grep -E '^\| ' <<<"$section" | grep -vE '^\| (---|fault|what) ')

run=$(cat tests/unit/test_*.c | grep -oE 'cmocka_unit_test[a-z_]*\([a-z0-9_]+' | sed 's/.*(//' | sort -u)
for name in $(grep -oE '`[a-z0-9_]+`' <<<"$section" | tr -d '`' | sort -u); do
    grep -qx "$name" <<<"$run" || bad "there is no test $name"
done
for name in $(grep -E '^test_([dc][0-9]+_)+' <<<"$run"); do
    for fault in $(grep -oE '^test_([dc][0-9]+_)+' <<<"$name" | grep -oE '[dc][0-9]+' | tr dc DC); do
        grep -E "^\| $fault \|" <<<"$section" | grep -qF "\`$name\`" ||
            bad "$name is not in the row of $fault"
    done
done
exit $status
