/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Explores a scenario: tries its units one after the other, shared out to processes. A unit is a
 * workload by number, so the same units give the same results, whoever runs them:
 *
 *   shard i of n has the units i, i + n, i + 2n, ...
 *   results are handed out in the order of the units, with any number of processes
 *   a process that dies (an assertion of core/) is the failure of its unit; another takes over
 */
#ifndef SIM_EXPLORE_H
#define SIM_EXPLORE_H

#include "scenario.h"
#include "try.h"

#define SIM_EXPLORE_JOBS_MAX 64u

struct sim_explored {
    uint64_t unit;
    bool died;
    uint64_t steps;
    uint64_t cuts;
    uint64_t cuts_by[SIM_CLASS_COUNT];
    uint64_t executed_by[SIM_CLASS_COUNT]; /* by the class of the cut */
    struct sim_judged judged;
    uint64_t executed, merged; /* states, by any strategy */
    struct sim_lazy_count represented;
    uint64_t hash; /* of the run and of all that was judged */
    /* The first failure. */
    uint64_t failures, step, subset;
    char trail[SIM_LAZY_TRAIL_BYTES]; /* exhaustive; else empty */
    char text[400];
};

struct sim_explore {
    const struct sim_scenario *scenario;
    struct sim_try t;
    uint32_t shard, shards;
    uint64_t first;       /* units of this shard that are done already */
    uint64_t units;       /* of this shard at most, with those; UINT64_MAX: all there are */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; no unit begins after it; 0: none */
    uint32_t jobs;
    /* Each unit, in order. False: no more, please. */
    bool (*done)(void *arg, const struct sim_explored *e);
    /* Between units, several times a second; false: stop. May be NULL. */
    bool (*tick)(void *arg);
    void *arg;
};

/* Units of this shard. */
uint64_t sim_explore_units(const struct sim_explore *x);

/* One unit, in this process. */
void sim_explore_one(const struct sim_explore *x, uint64_t unit, struct sim_explored *e);

/* 0: all asked for, the deadline, or somebody said stop. CBD_E_SYSTEM, CBD_E_NOMEM. */
int sim_explore_run(const struct sim_explore *x) CBD_MUST_CHECK;

#endif
