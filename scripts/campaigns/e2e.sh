# SPDX-License-Identifier: BSD-2-Clause
# The tests of tests/e2e and tests/e2e/long with large numbers: KILLS (100), CUTS (10000) and OPENED
# (100) places of each record. As root.

# e2e_all: one line for each test, with what it said.
e2e_all() {
    local script name start status
    export CBD_BIN_DIR=$root/build/release/bin CBD_SOURCE_DIR=$root
    export KILLS=${KILLS:-100} CUTS=${CUTS:-10000} OPENED=${OPENED:-100} SEEDS=${SEEDS:-30}
    export COMMITS=${COMMITS:-3000} FILES=${FILES:-20000} SECONDS_OF_WORK=${SECONDS_OF_WORK:-30}
    printf '| test | seconds | result |\n| --- | ---: | --- |\n'
    for script in tests/e2e/*.sh tests/e2e/long/*.sh; do
        name=${script#tests/e2e/}
        start=$SECONDS
        status=0
        say "$name"
        "$script" >"$reports/e2e.log" 2>&1 || status=$?
        cat "$reports/e2e.log" >>"$log"
        [ "$status" -eq 0 ] || [ "$status" -eq 77 ] || bad=1
        printf '| %s | %s | %s |\n' "${name%.sh}" "$((SECONDS - start))" \
            "$(grep -vE '^ |^$' "$reports/e2e.log" | tail -n 6 | tr '\n|' ';/' | sed 's/;$//')"
    done
}

build release all test
cd "$root" || exit 1
rm -f "$log"
e2e_all
