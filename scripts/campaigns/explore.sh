# SPDX-License-Identifier: BSD-2-Clause
# Made-up workloads: STATES different crash states (100000000) over all DURABILITIES, MODELS and
# SCHEDULES. Where each write is durable when it returns, every store is non-temporal: eadr would
# leave the states of adr, and is left out. May be stopped and goes on where it was. Prints a
# certificate.

states=${STATES:-100000000}
durabilities=${DURABILITIES:-ack flush}
models=${MODELS:-adr eadr page}
schedules=${SCHEDULES:-serial random pct}

. "$root/scripts/campaigns/certificate.inc"

# all_parts: a line "DURABILITY MODEL SCHEDULE" for each.
all_parts() {
    local durability model schedule
    for durability in $durabilities; do
        for model in $models; do
            [ "$durability $model" != "ack eadr" ] || continue
            for schedule in $schedules; do echo "$durability $model $schedule"; done
        done
    done
}

# explore_all: each durability and model under each schedule, an equal part of the states.
explore_all() {
    local durability model schedule parts part name options total=0 violations=0
    parts=$(all_parts | wc -l)
    part=$(((states + parts - 1) / parts))
    certificate_head exploration schedule
    while read -r durability model schedule; do
        name=$reports/explore.$durability.$model.$schedule.$part
        options=(--generator random --ops 24 --space 64K --len-max 16K --cache 3M --vary
            --restart 5 --fill 40 --cut-every 4 --seed 1 --durability "$durability"
            --model "$model" --states "$part")
        [ "$schedule" = serial ] || options+=(--schedule "$schedule" --threads 4)
        say "explore: durability=$durability, $model, $schedule"
        "$bin" explore "${options[@]}" --state "$name.state" --json 2>>"$log" </dev/null |
            tail -n 1 >"$name.json"
        case ${PIPESTATUS[0]} in
        0) ;;
        4) bad=1 ;;
        *) die "explore ${options[*]}: see $log" ;;
        esac
        certificate_row "$model, $durability" "$schedule" "$name.json" "${options[*]}"
        total=$((total + $(number executed "$name.json")))
        violations=$((violations + $(number violations "$name.json")))
    done < <(all_parts)
    printf '\n%s different states, %s violations.\n' "$total" "$violations"
}

build release cbd-sim
cd "$root" || exit 1
rm -f "$log"
explore_all
