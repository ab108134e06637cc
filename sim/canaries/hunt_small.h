/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small workload that shows a bug of the catalogue. Workloads are tried in a fixed sequence until
 * one fails: units of scenario.h with a few operations first, then what the campaigns of the hunt
 * run, as workloads. The first that fails is minimised.
 *
 * Deterministic but for the times. A bug that only a scene, damage or the administrative scenario
 * shows is not found like this.
 */
#ifndef SIM_HUNT_SMALL_H
#define SIM_HUNT_SMALL_H

#include "hunt.h"
#include "minimize.h"

struct sim_small {
    bool found;
    char from[48];     /* what has shown it: "explore, crowded 12", "small" */
    uint64_t tried;    /* workloads until then */
    uint64_t find_us;  /* processor time until then, */
    uint64_t small_us; /* and of the minimisation */
    struct sim_minimized minimized;
};

/* w: initialised; out, the smallest. In a build with canaries. */
void sim_hunt_small(enum cbd_canary_id canary, struct sim_workload *w, struct sim_small *small);

/*
 * hunt_try.c: campaign `n` of strategy `strategy` as a workload, and how many power cuts and
 * states of each it has. False: there is none of this number, or it is no campaign.
 */
bool sim_hunt_workload(uint32_t strategy, uint64_t n, struct sim_workload *w, uint64_t *crashes,
                       uint32_t *subsets);

#endif
