/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hunts canaries: switches on one bug of core/include/cbd/canaries.def after the other and tries a
 * fixed list of strategies until one of them raises an alarm. Without a bug none may. Each bug has
 * a process of its own. Deterministic but for the times; does not depend on the number of workers.
 */
#ifndef SIM_HUNT_H
#define SIM_HUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbd/canary.h"
#include "cbd/errors.h"

enum sim_hunt_verdict {
    SIM_HUNT_DIED, /* the process did, without an assertion of core/: nothing is known */
    SIM_HUNT_FOUND,
    SIM_HUNT_QUIET, /* no strategy raised an alarm */
    SIM_HUNT_VERDICT_COUNT,
};

struct sim_hunt {
    enum cbd_canary_id canary; /* CBD_CANARY_NONE: the clean run */
    enum sim_hunt_verdict verdict;
    uint32_t strategy; /* the one that found it */
    uint64_t states;   /* crash states, damaged images and scenes until then */
    uint64_t cpu_us;
    char failure[320];
};

struct sim_hunt_config {
    bool wanted[CBD_CANARY_COUNT]; /* NONE: the clean run */
    int32_t only;                  /* this strategy only; negative: all */
    uint32_t workers;              /* processes, 1 .. SIM_HUNT_WORKERS_MAX */
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void *progress_arg;
};

#define SIM_HUNT_WORKERS_MAX 64u

struct sim_hunt_result {
    uint32_t count;
    struct sim_hunt hunt[CBD_CANARY_COUNT];
    uint32_t verdicts[SIM_HUNT_VERDICT_COUNT];
};

/* Whether this build has canaries. */
bool sim_hunt_possible(void);

/* 0 or CBD_E_NOMEM, CBD_E_SYSTEM (no process could be started), CBD_E_INVALID (no canaries). */
int sim_hunt_run(const struct sim_hunt_config *config,
                 struct sim_hunt_result *result) CBD_MUST_CHECK;

/* Every bug was found, and without one there was no alarm. */
bool sim_hunt_good(const struct sim_hunt_result *result);

/* The catalogue: static strings. */
const char *sim_canary_name(enum cbd_canary_id id);
const char *sim_canary_area(enum cbd_canary_id id);
const char *sim_canary_rules(enum cbd_canary_id id);
const char *sim_canary_sentence(enum cbd_canary_id id);

/* The two first of each area. */
bool sim_canary_fast(enum cbd_canary_id id);

/*
 * hunt_try.c: one attempt. True: an alarm, and `failure` says which. Adds to *states. Numbers
 * behind the last strategy are the fault models of score.h, which are tried when they are asked for.
 */
uint32_t sim_hunt_strategies(void);
const char *sim_hunt_strategy_name(uint32_t strategy);
const char *sim_hunt_strategy_what(uint32_t strategy);
bool sim_hunt_try(uint32_t strategy, uint64_t *states, char *failure, size_t failure_bytes);

#endif
