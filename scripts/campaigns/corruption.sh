# SPDX-License-Identifier: BSD-2-Clause
# Seeded damage under AddressSanitizer and UBSan: CORRUPTIONS (10000) of bytes, lines and pages each of
# every base image of ours, and as many of devices of dm-pcache; and a tenth as many runs in which what
# stopped is damaged and the power fails in its repair. Prints what the tests counted.
# PRESET=release: without the sanitizers, in a fifth of the time.

count=${CORRUPTIONS:-10000}
preset=${PRESET:-asan-ubsan}
tests=build/$preset/bin/tests

# damage TEST: one test that counts what it did
damage() {
    local start=$SECONDS
    say "$1"
    CBD_CORRUPTIONS=$count PCACHE_SEEDS=$count CBD_MEND_RUNS=$((count / 10)) "$tests/$1" >"$reports/$1.log" 2>&1 || bad=1
    printf '    %s, %d s\n' "$1" "$((SECONDS - start))"
    grep -v '^\[' "$reports/$1.log" | sed 's/^/    /'
}

build "$preset" test_check_corruption
build "$preset" test_pcache_corrupt
build "$preset" test_mend
cd "$root" || exit 1
damage test_check_corruption
damage test_pcache_corrupt
damage test_mend
