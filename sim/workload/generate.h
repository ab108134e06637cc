/* SPDX-License-Identifier: BSD-2-Clause */
/* Made-up workloads: seeded requests over a small space, so that everything overlaps. */
#ifndef SIM_GENERATE_H
#define SIM_GENERATE_H

#include "campaign.h"
#include "rng.h"

struct sim_generator {
    uint64_t seed;
    uint64_t requests;
    uint64_t space_bytes; /* addresses are below; multiples of 512 */
    uint32_t volumes;
    uint32_t len_max_bytes;
    uint64_t trim_max_bytes; /* of every fourth discard; 0: like all others */
    uint64_t edge_bytes;     /* every fourth request lies across a multiple of this; 0: none does */
    bool no_flush;           /* neither FLUSH nor FUA */
    /* private */
    struct sim_rng rng;
    uint64_t done;
};

/* A source that reads from g, which must outlive it. */
struct sim_source sim_generator_source(struct sim_generator *g);

#endif
