# SPDX-License-Identifier: BSD-2-Clause
# Each fuzz target, or those named, FUZZ_SECONDS (600) long with libFuzzer on a walk that no run took
# before. Prints a line for each; what fails stays in build/campaign/fuzz_NAME/.

seconds=${FUZZ_SECONDS:-600}

# walk TARGET
walk() {
    local work=$reports/$1 status=0 extra=()
    rm -rf "$work"
    mkdir -p "$work/found"
    say "$1"
    [ ! -f "fuzz/$1.dict" ] || extra+=("-dict=fuzz/$1.dict")
    build/fuzz/bin/fuzz/"$1" $(cat "fuzz/$1.options") -runs=-1 "-max_total_time=$seconds" -timeout=20 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 "-artifact_prefix=$work/" "${extra[@]}" \
        "$work/found" "fuzz/corpus/${1#fuzz_}" >"$work/log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || bad=1
    printf '| %s | %s | %s | %s | %s |\n' "$1" "$seconds" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")" \
        "$(sed -n 's/.*DONE *cov: \([0-9]*\) .*/\1/p' "$work/log")" \
        "$([ "$status" -eq 0 ] && echo nothing || echo "see $work/log")"
}

build fuzz fuzzers test
cd "$root" || exit 1
[ $# -gt 0 ] || set -- $(cd build/fuzz/bin/fuzz && ls -- fuzz_* | grep -v _replay)
printf '| target | seconds | runs | edges covered | found |\n| --- | ---: | ---: | ---: | --- |\n'
for target in "$@"; do
    walk "$target"
done
