/* SPDX-License-Identifier: BSD-2-Clause */
/* Crash strategies: from a subset number to what survives. */
#include "sim_crash.h"

#include "rng.h"

struct sim_crash sim_crash_subset(uint64_t index, uint64_t seed)
{
    static const enum sim_crash_kind mix[] = {
        SIM_CRASH_RANDOM, SIM_CRASH_ONE_LOST, SIM_CRASH_RANDOM, SIM_CRASH_PREFIX,
        SIM_CRASH_RANDOM, SIM_CRASH_ONE_KEPT, SIM_CRASH_RANDOM, SIM_CRASH_PREFIX,
    };
    struct sim_crash crash = {.kind = SIM_CRASH_NONE};
    if (index == 0)
        return crash;
    if (index == 1) {
        crash.kind = SIM_CRASH_ALL;
        return crash;
    }
    crash.kind = mix[(index - 2) % (sizeof mix / sizeof mix[0])];
    crash.seed = sim_rng_mix(seed, index);
    crash.k = sim_rng_mix(crash.seed, 1);
    return crash;
}

void sim_crash_bias(const struct sim_crash *crash, unsigned *keep_eighths,
                    enum sim_crash_grain *grain)
{
    static const uint8_t eighths[] = {1, 2, 4, 6, 7};
    uint64_t draw = sim_rng_mix(crash->seed, 2);
    *keep_eighths = eighths[draw % 5];
    *grain = (enum sim_crash_grain)(draw / 5 % SIM_GRAIN_COUNT);
}
