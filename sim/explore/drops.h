/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaves out each persist call of the core in turn and sees whether anybody notices.
 *
 * A dropped store or flush is never durable by itself, a dropped fence orders nothing; everything
 * else goes on. Each step is tried with generated campaigns and with the administrative scenario,
 * under several models, until the first failure. A step is either needed, and then something must
 * fail, or steps.def says why it is redundant, and then nothing may. Anything else is an error: a
 * hole in the judges or a wrong comment. Deterministic; does not depend on the number of workers.
 */
#ifndef SIM_DROPS_H
#define SIM_DROPS_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/errors.h"
#include "cbd/steps.h"

enum sim_drop_verdict {
    SIM_DROP_DIED,      /* the simulator itself did; nothing is known */
    SIM_DROP_FOUND,     /* needed, and noticed */
    SIM_DROP_REDUNDANT, /* declared so; called, and nothing failed */
    SIM_DROP_HOLE,      /* not declared redundant, and nothing failed */
    SIM_DROP_WRONG,     /* declared redundant, but something failed */
    SIM_DROP_UNCALLED,  /* declared redundant, but never called: nothing was shown */
    SIM_DROP_VERDICT_COUNT,
};

struct sim_drop {
    enum cbd_step step;
    enum sim_drop_verdict verdict;
    uint64_t states; /* crash states judged */
    uint64_t calls;  /* of the step, in the runs of the scenes and the administrative scenario */
    char by[32];     /* what noticed it: "campaign, page model", ... */
    char failure[320];
};

struct sim_drops_config {
    uint64_t seed;
    enum cbd_step only; /* CBD_STEP_NONE: all */
    uint32_t workers;   /* processes, 1 .. SIM_DROPS_WORKERS_MAX */
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void *progress_arg;
};

#define SIM_DROPS_WORKERS_MAX 64u

struct sim_drops_result {
    uint32_t count;
    struct sim_drop drop[CBD_STEP_COUNT];
    uint32_t verdicts[SIM_DROP_VERDICT_COUNT];
};

/* 0 or CBD_E_NOMEM, CBD_E_SYSTEM (no process could be started). */
int sim_drops_run(const struct sim_drops_config *config,
                  struct sim_drops_result *result) CBD_MUST_CHECK;

/* Everything is found or rightly declared redundant. */
bool sim_drops_good(const struct sim_drops_result *result);

const char *sim_drop_verdict_name(enum sim_drop_verdict verdict);

#endif
