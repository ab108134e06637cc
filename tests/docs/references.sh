#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the documents name is there: files of the tree, the budgets of the test groups, commands of
# the tools, tests.
set -eu -o pipefail
cd "${CBD_SOURCE_DIR:-$(dirname "$0")/../..}"
documents=(README.md CONTRIBUTING.md docs/*.md)
status=0

bad() {
    echo "$*"
    status=1
}

# `folder/...` in backticks, without a placeholder (X, <name>, *) in it.
while IFS=: read -r document path; do
    [ -e "$path" ] || bad "$document: there is no $path"
done < <(grep -oE '`(bench|cmake|core|docs|examples|frontends|fuzz|scripts|shim|sim|tests|tools)/[^` ]*' \
    "${documents[@]}" | tr -d '`' | grep -vE '[X<*]|build/')

# Unit tests by name.
while IFS=: read -r document name; do
    [ -e "tests/unit/$name.c" ] || bad "$document: there is no test $name"
done < <(grep -oE '`test_[a-z_]+`' "${documents[@]}" | tr -d '`')

# The table in CONTRIBUTING.md has the groups and minutes of scripts/budget.txt.
budgets=$(grep -v '^#' scripts/budget.txt | awk '{ print $1, $2 }')
table=$(sed -n '/^| group | minutes/,/^$/p' CONTRIBUTING.md | awk -F' *[|] *' \
    '$3 ~ /^[0-9]+$/ { print $2, $3 }')
diff <(echo "$budgets") <(echo "$table") || bad "budgets: < scripts/budget.txt, > CONTRIBUTING.md"

# Options that the documents give to a tool are in its sources, or in those of the simulator.
while read -r tool option; do
    grep -rqF "\"$option\"" "tools/$tool" sim || bad "$tool has no --$option"
done < <(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' "${documents[@]}" |
    grep -oE 'cbd-(check|ctl|dump|format|sim) [^`|]*' | awk '{
        for (i = 2; i <= NF; i++)
            if ($i ~ /^--[a-z]/) { sub(/^--/, "", $i); sub(/[^a-z-].*$/, "", $i); print $1, $i }
    }' | sort -u)
exit $status
