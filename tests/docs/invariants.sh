#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every invariant that a file of core/src numbers at its top is argued in docs/design.md, every one
# there is in the sources, and no fault of the two lists is left out.
set -eu -o pipefail
cd "${CBD_SOURCE_DIR:-$(dirname "$0")/../..}"

# "X1  text" in the opening comment of a .c file. The tree numbers its own in a header.
in_sources=$(grep -hoE '^ \* [A-Z][0-9]  ' core/src/*.c | tr -d ' *' | sort)
in_design=$(grep -hoE '^- \*\*[A-Z][0-9]\*\*' docs/design.md | tr -d ' *-' | sort)
status=0
if ! diff <(echo "$in_sources") <(echo "$in_design"); then
    echo "invariants: < core/src only, > docs/design.md only"
    status=1
fi

# The same for pcache/src and docs/dm-pcache.md.
in_sources=$(grep -hoE '^ \* [A-Z][0-9]  ' pcache/src/*.c | tr -d ' *' | sort)
in_doc=$(grep -hoE '^- \*\*[A-Z][0-9]\*\*' docs/dm-pcache.md | tr -d ' *-' | sort)
if ! diff <(echo "$in_sources") <(echo "$in_doc"); then
    echo "invariants: < pcache/src only, > docs/dm-pcache.md only"
    status=1
fi

faults=$(sed '/^### Where each is tested$/,$d' docs/design.md | grep -oE '^\| [DC][0-9]+ \|' | tr -d ' |')
expected=$(printf 'D%d\n' $(seq 25); printf 'C%d\n' $(seq 8))
if ! diff <(echo "$expected") <(echo "$faults"); then
    echo "faults: < missing in docs/design.md, > unknown"
    status=1
fi
exit $status
