/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The environment of one simulated process: memory that vanishes with it, virtual time, and
 * waiting, which means that the scheduler lets somebody else run.
 */
#ifndef SIM_ENV_H
#define SIM_ENV_H

#include "cbd/env.h"
#include "rng.h"

#define SIM_ENV_REPORTS_KEPT 8u

struct sim_env_block;

/*
 * Logical threads on top of the environment: see sim_sched.h. A caller that is none of them, as the
 * one that starts the process, gets `false` and waits by itself.
 */
struct sim_env_threads {
    bool (*wait)(void *arg, bool (*ready)(void *ready_arg), void *ready_arg, uint64_t timeout_ns,
                 int *error);
    bool (*yield)(void *arg, enum cbd_yield why);
    void (*wake)(void *arg);
};

struct sim_env {
    struct cbd_env env; /* what core/ gets; first */
    struct sim_rng rng;
    uint64_t now_ns;

    /* Lets one thing happen: a disk completion or a background step. False: nothing can. */
    bool (*progress)(void *arg);
    void *progress_arg;

    const struct sim_env_threads *threads; /* NULL: there is one thread only */
    void *threads_arg;

    /* Findings of severity ERROR, and the first few of them. */
    uint64_t errors;
    struct cbd_report first[SIM_ENV_REPORTS_KEPT];

    /* Private: chunks that are used again after a reset. */
    struct sim_env_block *blocks;
    struct sim_env_block *current;
};

void sim_env_init(struct sim_env *env, uint64_t seed);

/* The process has ended: all its memory is gone. The memory itself is kept for the next one. */
void sim_env_reset(struct sim_env *env, uint64_t seed);

void sim_env_destroy(struct sim_env *env);

#endif
