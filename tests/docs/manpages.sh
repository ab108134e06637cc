#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Man pages and completions against the tools: each option that --help has is in the page and in
# the completion, and neither has any other; the pages are clean; cbd(5) has every field.
set -u
cd "${CBD_SOURCE_DIR:-$(dirname "$0")/../..}" || exit 1
bin=${CBD_BIN_DIR:?the directory of the tools}
pages=$bin/../man
status=0

bad() {
    echo "$*"
    status=1
}

# words TOOL [COMMAND]: the options of --help, long and short, one a line.
words() {
    "$bin/$1" "${@:2}" --help | sed -n '/^Options:/,/^$/p' | grep -E '^ {2,6}-' |
        sed -E 's/^ *//; s/  .*//' | tr ', ' '\n\n' | sed 's/=.*//' | grep '^-' | LC_ALL=C sort -u
}

# render PAGE: as text, with plain hyphens.
render() {
    if command -v mandoc >/dev/null; then
        mandoc -T utf8 -O width=200 "$1" | col -b
    else
        MANWIDTH=200 LC_ALL=C man -l "$1" 2>/dev/null | col -b
    fi | sed 's/‐/-/g; s/−/-/g'
}

same() { # same WHAT WANT GOT
    [ "$2" = "$3" ] || bad "$1: < --help, > there:
$(diff <(echo "$2") <(echo "$3") | grep '^[<>]')"
}

source contrib/completions/cbd-tools.bash
completed() { # completed TOOL [COMMAND]
    COMP_WORDS=("$@" -)
    COMP_CWORD=$#
    __cbd_complete "$bin/$1"
    printf '%s\n' "${COMPREPLY[@]}" | sed 's/=$//' | LC_ALL=C sort -u
}

for page in "$pages"/cbd-*.[1-8]; do
    tool=$(basename "$page" | sed 's/\.[1-8]$//')
    commands=("")
    [ "$tool" != cbd-sim ] || commands=($("$bin/$tool" --help | sed -nE 's/^  ([a-z]+) .*/\1/p'))
    text=$(render "$page")
    all=""
    for command in "${commands[@]}"; do
        want=$(words "$tool" $command)
        [ -n "$want" ] || bad "$tool $command --help has no options"
        all+="$want"$'\n'
        same "$tool $command: completion" "$want" "$(completed "$tool" $command)"
        [ -z "$command" ] || grep -q "COMMAND ${command^^}" <<<"$text" ||
            bad "$(basename "$page"): does not have the command $command"
    done
    got=$(awk '/^[A-Z]/ { on = /^(OPTIONS|COMMAND )/ } on' <<<"$text" | grep -E '^ {5}-' | sed -E 's/^ *//; s/   .*//' | tr ', ' '\n\n' |
        sed 's/=.*//' | grep -E '^--?[A-Za-z]' | LC_ALL=C sort -u)
    same "$(basename "$page")" "$(grep . <<<"$all" | LC_ALL=C sort -u)" "$got"
done
for tool in "$bin"/cbd-*; do
    case $(basename "$tool") in
    cbd-bench | cbd-count | cbd-huge) continue ;; # not installed
    esac
    ls "$pages/$(basename "$tool")".[1-8] >/dev/null 2>&1 || bad "$(basename "$tool") has no page"
done

# Clean pages: no warning of the renderer.
for page in "$pages"/*.[1-8]; do
    if command -v mandoc >/dev/null; then
        notes=$(mandoc -T lint -W warning "$page" 2>&1)
    else
        notes=$(LC_ALL=C.UTF-8 MANROFFSEQ= man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
    fi
    [ -z "$notes" ] || bad "$(basename "$page"): $notes"
done

# cbd(5) has every field, in order, with the words of the description.
want=$(sed -nE 's/^X\([a-z_]+, ([a-z0-9_]+), [A-Z]+, "(.*)"\)$/\1 "\2"/p' \
    core/include/cbd/media_fields.def)
got=$(sed -nE 's/^\.It [0-9]+ Ta [0-9]+ Ta ([a-z0-9_]+) Ta "(\\&)?(.*)"$/\1 "\3"/p' man/cbd.5.in)
same "cbd.5" "$want" "$got"
exit $status
