#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# docs/canaries.md has each bug of the catalogue, found, and no other. scripts/canaries writes it.
set -eu -o pipefail
cd "${CBD_SOURCE_DIR:-$(dirname "$0")/../..}"
diff <(grep -oE '^X\([A-Z0-9_]+' core/include/cbd/canaries.def | sed 's/X(//' | LC_ALL=C sort) \
    <(grep -E '^\| [A-Z]+ \| [A-Z0-9_]+ \|.*\| found \|' docs/canaries.md | awk '{ print $4 }' | LC_ALL=C sort) || {
    echo "canaries: < core/include/cbd/canaries.def, > docs/canaries.md; scripts/canaries writes the page"
    exit 1
}
