/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Repairs of a damaged cache, with the power cut inside them (P7, M1-M6 of core/src/repair.c). A cache
 * stops at some step of a run, by a power cut or because its process dies, and its medium is damaged
 * in up to three places at once:
 *
 *   run --stop--> damage --+--> repair --------------------------> serve     the whole repair
 *                          +--> repair --power cut--> repair -----> serve     nothing more is lost,
 *                                                                            nothing more is left
 *
 * The repair that was cut is done again to its end. What is served then is right, or was named by the
 * whole repair as lost. One policy of cbd-check is drawn for each damaged medium. One thread;
 * deterministic.
 */
#ifndef SIM_MEND_H
#define SIM_MEND_H

#include <stddef.h>

#include "world.h"

struct sim_mend_config {
    struct sim_config world; /* one backend; drop_step: of the repair that is cut, no other */
    uint64_t requests;       /* of the run */
    uint64_t every;          /* so many steps lie between two stops, about */
    uint32_t images;         /* damaged media of each stop */
    uint32_t cuts;    /* of each repair at most; the places are drawn when it has more steps */
    uint32_t subsets; /* crash states of each cut */
    uint64_t space_bytes;
    uint32_t len_max_bytes;
};

struct sim_mend_counts {
    uint64_t images;   /* damaged media */
    uint64_t repaired; /* of these, something was stored */
    uint64_t cuts, states;
    uint64_t drop_calls; /* of drop_step */
};

/* The n-th of all models and both durabilities, with data checksums and without. */
void sim_mend_vary(struct sim_config *world, uint32_t n);

/* Adds to *counts. False: a state was not as it must be; `why` says which. */
bool sim_mend_run(const struct sim_mend_config *config, struct sim_mend_counts *counts, char *why,
                  size_t why_bytes);

#endif
