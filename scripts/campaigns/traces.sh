# SPDX-License-Identifier: BSD-2-Clause
# Every trace with 10,000 power cuts of 16 crash states each, under several models and seeds. FILE is a
# trace; of a DIRECTORY every file that is one. CRASHES, SUBSETS, SEEDS and MODELS in the environment
# replace the numbers below; CACHE is the size of the cache, "10%" for a tenth of what the trace touches.

crashes=${CRASHES:-10000}
subsets=${SUBSETS:-16}
seeds=${SEEDS:-1 2 3}
models=${MODELS:-adr eadr page}

[ $# -gt 0 ] || set -- "$root/examples/traces"
traces=()
for given in "$@"; do
    if [ -d "$given" ]; then
        while IFS= read -r file; do
            traces+=("$(realpath "$file")")
        done < <(find "$given" -maxdepth 1 -type f ! -name 'README*' | LC_ALL=C sort)
    elif [ -f "$given" ]; then
        traces+=("$(realpath "$given")")
    else
        die "$given: no such file or directory"
    fi
done
[ "${#traces[@]}" -gt 0 ] || die "no traces"

cd "$root" || exit 1
build release cbd-sim
rm -f "$log"

# field NAME REPORT: a number at the top of the report's results.
field() {
    sed -n "s/^ *\"$1\": \([0-9]*\),*$/\1/p" "$2" | head -n 1
}

# row TRACE SEED MODEL: one run, one line of the table.
row() {
    local trace=$1 seed=$2 model=$3 start=$SECONDS status=0 report shown
    local options=(--crashes "$crashes" --subsets "$subsets" --seed "$seed" --model "$model"
        ${CACHE:+--cache-size "$CACHE"})
    name=$(basename "$trace")
    report=$reports/$name.$model.$seed.json
    shown=$(realpath --relative-to="$root" "$trace")
    # A trace from elsewhere is named without its place, which is nobody's business.
    [ "${shown#../}" = "$shown" ] || shown=$name
    say "$name, seed $seed, $model"
    "$bin" replay --trace "$trace" "${options[@]}" --json >"$report" 2>>"$log" || status=$?
    if [ "$status" -ne 0 ] && [ "$status" -ne 4 ]; then
        printf '%s: seed %s, model %s: exit status %s, see %s\n' "$name" "$seed" "$model" \
            "$status" "$log" >&2
        bad=1
        return
    fi
    [ "$status" -eq 0 ] || bad=1
    printf '| %s | %s | %s | %s | %s | %s | %s | `cbd-sim replay --trace %s %s` |\n' \
        "$name" "$seed" "$model" "$(field cuts "$report")" "$(field executed "$report")" \
        "$(field violations "$report")" "$((SECONDS - start))" "$shown" "${options[*]}"
}

# A file that is no trace is left out with a word, once.
is_trace() {
    "$bin" replay --trace "$1" --crashes 0 --restarts 0 --jobs 1 --json >/dev/null 2>>"$log" ||
        [ $? -eq 4 ]
}

printf '| trace | seed | model | cuts | states | violations | seconds | command |\n'
printf '| --- | ---: | --- | ---: | ---: | ---: | ---: | --- |\n'
for trace in "${traces[@]}"; do
    if ! is_trace "$trace"; then
        say "$(basename "$trace"): left out, not a trace that cbd-sim reads"
        continue
    fi
    for model in $models; do
        for seed in $seeds; do
            row "$trace" "$seed" "$model"
        done
    done
done
