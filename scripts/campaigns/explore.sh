# SPDX-License-Identifier: BSD-2-Clause
# Made-up workloads: STATES different crash states (100000000) over all MODELS and SCHEDULES. May be
# stopped and goes on where it was. Prints a certificate.

states=${STATES:-100000000}
models=${MODELS:-adr eadr page}
schedules=${SCHEDULES:-serial random pct}

. "$root/scripts/campaigns/certificate.inc"

# explore_all: each model under each schedule, an equal part of the states.
explore_all() {
    local model schedule parts=0 part name options total=0 violations=0
    for model in $models; do for schedule in $schedules; do parts=$((parts + 1)); done; done
    part=$(((states + parts - 1) / parts))
    certificate_head exploration schedule
    for model in $models; do
        for schedule in $schedules; do
            name=$reports/explore.$model.$schedule.$part
            options=(--generator random --ops 24 --space 64K --len-max 16K --cache 3M --vary
                --restart 5 --fill 40 --cut-every 4 --seed 1 --model "$model" --states "$part")
            [ "$schedule" = serial ] || options+=(--schedule "$schedule" --threads 4)
            say "explore: $model, $schedule"
            "$bin" explore "${options[@]}" --state "$name.state" --json 2>>"$log" |
                tail -n 1 >"$name.json"
            case ${PIPESTATUS[0]} in
            0) ;;
            4) bad=1 ;;
            *) die "explore ${options[*]}: see $log" ;;
            esac
            certificate_row "$model" "$schedule" "$name.json" "${options[*]}"
            total=$((total + $(number executed "$name.json")))
            violations=$((violations + $(number violations "$name.json")))
        done
    done
    printf '\n%s different states, %s violations.\n' "$total" "$violations"
}

build release cbd-sim
cd "$root" || exit 1
rm -f "$log"
explore_all
