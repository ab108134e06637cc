/* SPDX-License-Identifier: BSD-2-Clause */
/* Spreads the cuts: evenly over all steps, but no class is left out. */
#include "campaign_plan.h"

#include <stdlib.h>

#include "sim_base.h"

/* A class gets at least one cut in this many. */
#define LEAST_SHARE 20u

static void share_out(const uint64_t have[SIM_CLASS_COUNT], uint64_t crashes,
                      uint64_t want[SIM_CLASS_COUNT])
{
    uint64_t total = 0, given = 0, largest = 0;

    for (int c = 0; c < SIM_CLASS_COUNT; c++)
        total += have[c];
    for (int c = 0; c < SIM_CLASS_COUNT; c++) {
        uint64_t least = crashes / LEAST_SHARE;

        want[c] = total != 0 ? (uint64_t)((__uint128_t)crashes * have[c] / total) : 0;
        want[c] = want[c] < least ? least : want[c];
        want[c] = want[c] > have[c] ? have[c] : want[c];
        given += want[c];
        if (have[c] - want[c] > have[largest] - want[largest])
            largest = (uint64_t)c;
    }
    /* The class with most steps to spare takes or gives what is missing or too much. */
    if (given < crashes)
        want[largest] += crashes - given;
    else
        want[largest] -= given - crashes < want[largest] ? given - crashes : want[largest];
    if (want[largest] > have[largest])
        want[largest] = have[largest];
}

size_t sim_plan_cuts(const struct sim_step_log *log, uint64_t crashes, uint64_t seed,
                     struct sim_cut **cuts)
{
    uint64_t have[SIM_CLASS_COUNT] = {0}, want[SIM_CLASS_COUNT] = {0};
    uint64_t seen[SIM_CLASS_COUNT] = {0}, taken[SIM_CLASS_COUNT] = {0};
    size_t n = 0;

    for (size_t i = 0; i < log->count; i++)
        have[log->bytes[i] >> 4]++;
    crashes = crashes < log->count ? crashes : log->count;
    share_out(have, crashes, want);
    *cuts = sim_zalloc(crashes + SIM_CLASS_COUNT, sizeof(**cuts));
    for (size_t i = 0; i < log->count && n < crashes; i++) {
        unsigned c = log->bytes[i] >> 4;
        uint64_t at = seen[c]++;
        uint64_t from, to;

        if (taken[c] == want[c])
            continue;
        /* The taken-th of want equal parts of this class; one step of it, drawn by the seed. */
        from = (uint64_t)((__uint128_t)have[c] * taken[c] / want[c]);
        to = (uint64_t)((__uint128_t)have[c] * (taken[c] + 1) / want[c]);
        if (at != from + sim_rng_mix(sim_rng_mix(seed, c), taken[c]) % (to - from))
            continue;
        taken[c]++;
        (*cuts)[n] = (struct sim_cut){.step = i, .number = n};
        n++;
    }
    return n;
}

enum sim_class sim_class_of(enum cbd_step step, bool recovering)
{
    if (recovering)
        return SIM_CLASS_RECOVERY;
    switch (cbd_step_phase(step)) {
    case CBD_PHASE_WRITEBACK:
        return SIM_CLASS_WRITEBACK;
    case CBD_PHASE_RECLAIM:
        return SIM_CLASS_RECLAIM;
    case CBD_PHASE_RECOVERY:
        return SIM_CLASS_RECOVERY;
    default:
        return SIM_CLASS_WRITE_PATH;
    }
}
