/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a power cut leaves of stores that were not durable: the strategies, shared by the simulated
 * memory (unit: an aligned 8-byte word or the ordered stores of a line) and disk (unit: a sector).
 */
#ifndef SIM_CRASH_H
#define SIM_CRASH_H

#include <stdint.h>

enum sim_crash_kind {
    SIM_CRASH_NONE,     /* nothing pending survives */
    SIM_CRASH_ALL,      /* everything survives */
    SIM_CRASH_RANDOM,   /* bias and grain drawn from the seed, then one draw per unit */
    SIM_CRASH_ONE_LOST, /* all units but one are newest, that one is old */
    SIM_CRASH_ONE_KEPT, /* the reverse */
    SIM_CRASH_PREFIX,   /* exactly the first k pending stores, in program order, survive */
};

/* What one random draw decides about. */
enum sim_crash_grain {
    SIM_GRAIN_WORD,  /* each unit by itself, any of its pending values */
    SIM_GRAIN_LINE,  /* a line (memory), a 4 KiB page (page model, disk): newest or old */
    SIM_GRAIN_STORE, /* a whole store or disk request: survives or is lost */
    SIM_GRAIN_COUNT,
};

/*
 * k counts modulo what there is: units for ONE_LOST and ONE_KEPT, stores + 1 for PREFIX, so that
 * any number names a crash.
 */
struct sim_crash {
    enum sim_crash_kind kind;
    uint64_t k;
    uint64_t seed; /* RANDOM only */
};

/*
 * Subset `index` of a cut: 0 is NONE, 1 is ALL, the others are a mix of RANDOM (half of them),
 * ONE_LOST, ONE_KEPT and PREFIX, a function of index and seed alone.
 */
struct sim_crash sim_crash_subset(uint64_t index, uint64_t seed);

/* The bias (out of 8) with which a unit survives, and the grain, of a RANDOM crash. */
void sim_crash_bias(const struct sim_crash *crash, unsigned *keep_eighths,
                    enum sim_crash_grain *grain);

#endif
