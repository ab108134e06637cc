/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Made-up workloads by number: (generator, settings, seed, unit) gives always the same workload.
 *
 *   random       any place of a small space
 *   sequential   one place after the other, round and round
 *   zipf         few places often, many seldom: the x-th most wanted with a weight of 1 / x
 *   all          every workload of exactly `ops` operations over `blocks` blocks of 4 KiB. Shorter
 *                ones are their beginnings: each cut of those is a cut of these
 *
 * `vary` draws the machine by the unit: streams, trees, disks, checksums, thresholds.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "workload.h"

#define SIM_SCENARIO_VERSION 1u /* another one: other workloads by the same numbers */

enum sim_scenario_kind {
    SIM_SCENARIO_RANDOM,
    SIM_SCENARIO_SEQUENTIAL,
    SIM_SCENARIO_ZIPF,
    SIM_SCENARIO_ALL,
    SIM_SCENARIO_KIND_COUNT,
};

struct sim_scenario {
    enum sim_scenario_kind kind;
    uint64_t seed;
    uint32_t ops;
    uint64_t space_bytes, len_max_bytes;
    uint32_t blocks; /* ALL */
    /* Percent of all operations; the rest are writes. ALL: 0 leaves the operation out. */
    uint32_t read, flush, discard, zero, wait, restart, reattach;
    uint32_t fill; /* percent: writes of len_max_bytes, which make the cache wrap */
    uint32_t fua; /* percent of the writes */
    bool vary;
    struct sim_config config;
};

void sim_scenario_init(struct sim_scenario *s);

/* Units that there are: UINT64_MAX but for ALL. */
uint64_t sim_scenario_units(const struct sim_scenario *s);

/* w was initialised. False: there is no such unit. */
bool sim_scenario_make(const struct sim_scenario *s, uint64_t unit, struct sim_workload *w);

/* Whether all its units can be run; else a sentence. */
bool sim_scenario_valid(const struct sim_scenario *s, char *why, size_t why_bytes);

/*
 * Its settings as words "name=value" with colons between, those that are as usual left out: always
 * the same text for the same scenario. set() takes one; false: not understood or out of range.
 */
void sim_scenario_print(const struct sim_scenario *s, FILE *out);
bool sim_scenario_set(struct sim_scenario *s, const char *name, const char *value);

/* For help texts: the n-th setting; NULL: there are no more. */
const char *sim_scenario_setting(size_t n, const char **help);

#endif
