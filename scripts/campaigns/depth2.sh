# SPDX-License-Identifier: BSD-2-Clause
# Every state of two power cuts in a row: all short workloads, and some that make the cache wrap.
# Prints a certificate.

. "$root/scripts/campaigns/certificate.inc"

# depth2_row NAME MODEL WHAT OPTION...: one exhaustive exploration, one line of the table.
depth2_row() {
    local name=$reports/depth2.$1 model=$2 what=$3 options
    shift 3
    options=(--strategy exhaustive --crash-depth 2 --model "$model" "$@")
    say "depth 2: $model, $what"
    "$bin" explore "${options[@]}" --json 2>>"$log" | tail -n 1 >"$name.json"
    case ${PIPESTATUS[0]} in
    0) ;;
    4) bad=1 ;;
    *) die "explore ${options[*]}: see $log" ;;
    esac
    certificate_row "$model" "$what" "$name.json" "${options[*]}"
    total=$((total + $(number executed "$name.json")))
}

# depth2_all: all short workloads, and some that make the cache wrap.
depth2_all() {
    local total=0 start=$SECONDS
    local wrap=(--ops 16 --fill 40 --vary --space 256K --len-max 64K --restart 6 --cut-every 4 --seed 1)
    certificate_head 'two power cuts in a row' workloads
    depth2_row all3 adr 'all of 3 operations, 1 block' --generator all --ops 3 --blocks 1
    depth2_row all2 adr 'all of 2 operations, 2 blocks' --generator all --ops 2 --blocks 2
    depth2_row plain adr 'the same, no data checksums' --generator all --ops 2 --blocks 2 \
        --checksums off
    depth2_row page page 'the same' --generator all --ops 2 --blocks 2
    depth2_row wrap adr 'made up, the cache wraps' "${wrap[@]}" --units 100
    depth2_row wrap.page page 'made up, the cache wraps' "${wrap[@]}" --units 50
    depth2_row wrap.eadr eadr 'made up, the cache wraps' "${wrap[@]}" --units 50
    printf '\n%s different states in %s seconds.\n' "$total" "$((SECONDS - start))"
}

build release cbd-sim
cd "$root" || exit 1
rm -f "$log"
depth2_all
