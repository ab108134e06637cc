/* SPDX-License-Identifier: BSD-2-Clause */
/* Which steps of a run are cut. */
#ifndef SIM_CAMPAIGN_PLAN_H
#define SIM_CAMPAIGN_PLAN_H

#include <stddef.h>

#include "campaign.h"

/* One byte a step: class and kind. */
struct sim_step_log {
    uint8_t *bytes;
    size_t count, cap;
};

struct sim_cut {
    uint64_t step;
    uint64_t number; /* of the cut, in order of steps */
};

static inline uint8_t sim_step_byte(enum sim_class class, enum sim_step_kind kind)
{
    return (uint8_t)((unsigned)class << 4 | (unsigned)kind);
}

/* Sorted by step, without repeats; at most `crashes`. The caller frees *cuts. */
size_t sim_plan_cuts(const struct sim_step_log *log, uint64_t crashes, uint64_t seed,
                     struct sim_cut **cuts);

#endif
