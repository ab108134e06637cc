/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every path of a process that makes choices, depth first.
 *
 *   start ---- choice ---- choice ---- end        path 0 0
 *                 |           '------- end        path 0 1
 *                 '------- choice ---- end        path 1 0   ...
 *
 * What lies before a choice runs once: the process runs on a stack of its own and takes all its
 * memory from one arena, so a choice saves both, and the next path is put back to where it left.
 * Where memory is watched (sanitizers), and on request, each path runs from the start instead;
 * the paths are the same.
 *
 * One thread; a process may not choose after it has left its own stack.
 */
#ifndef SIM_LAZY_WALK_H
#define SIM_LAZY_WALK_H

#include <setjmp.h>

#include "lazy_mem.h"

#define SIM_LAZY_TOKENS 8u

struct sim_lazy_step {
    struct sim_lazy_choice choice;
    uint32_t taken;
    size_t saved; /* where in walk.store */
    size_t stack_bytes, arena_bytes;
    size_t token[SIM_LAZY_TOKENS];
    jmp_buf again;
};

struct sim_lazy_walk {
    /* The caller's. */
    void (*body)(void *arg);  /* the process, from start to end */
    void (*start)(void *arg); /* puts everything as it is before it starts */
    /* The media: where they are, and back to there. */
    void (*now)(void *arg, size_t token[SIM_LAZY_TOKENS]);
    void (*back)(void *arg, const size_t token[SIM_LAZY_TOKENS]);
    void *arg;
    uint8_t *arena; /* the memory of the process, and how much of it is in use */
    size_t *arena_used;
    void *state; /* more of it, always copied */
    size_t state_bytes;
    bool replay; /* every path from the start */
    /* The first `forced_n` choices are given: one path, or the part below a choice. */
    const uint32_t *forced;
    size_t forced_n;

    /* Results. */
    struct sim_lazy_step *steps; /* the path */
    size_t steps_n;
    uint64_t paths, starts;
    bool bad_force; /* a given choice is not there */

    /* Private. */
    size_t steps_cap, pos;
    uint8_t *stack;
    uint8_t *store;
    size_t store_n, store_cap;
    jmp_buf home;
};

void sim_lazy_walk_init(struct sim_lazy_walk *w);
void sim_lazy_walk_free(struct sim_lazy_walk *w);

/* Forgets all paths. */
void sim_lazy_walk_reset(struct sim_lazy_walk *w);

/* Runs the next path to its end; false: there is none. */
bool sim_lazy_walk_next(struct sim_lazy_walk *w);

/* Called by the process. */
uint32_t sim_lazy_walk_choose(struct sim_lazy_walk *w, const struct sim_lazy_choice *choice);

/* States of memory that the path stands for, but for what it left undecided. */
struct sim_lazy_count sim_lazy_walk_weight(const struct sim_lazy_walk *w);

/* Whether this build can put a process back to where it was. */
bool sim_lazy_walk_can_save(void);

#endif
