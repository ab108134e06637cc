/* SPDX-License-Identifier: BSD-2-Clause */
/* Litmus tests of the simulated persistency models: see litmus.def. */
#ifndef SIM_LITMUS_H
#define SIM_LITMUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "sim_pmem.h"

#define SIM_LITMUS_VARS_MAX 4u
#define SIM_LITMUS_OUTCOMES_MAX 81u /* three values of each variable */

struct sim_litmus {
    enum sim_model model;
    const char *name;
    const char *shows;
    const char *program;
    const char *vars;
    const char *allowed; /* between spaces */
    const char *forbidden;
};

/* Outcomes as words, sorted, without repeats. */
struct sim_litmus_set {
    char word[SIM_LITMUS_OUTCOMES_MAX][SIM_LITMUS_VARS_MAX + 1];
    size_t count;
};

size_t sim_litmus_count(void);
const struct sim_litmus *sim_litmus_at(size_t i);

/* Runs the program and enumerates every outcome of what is pending then. */
void sim_litmus_enumerate(const struct sim_litmus *t, struct sim_litmus_set *outcomes);

/* The outcomes of `crash` alone: one word. */
void sim_litmus_crash(const struct sim_litmus *t, const struct sim_crash *crash,
                      struct sim_litmus_set *outcome);

/* A list as in litmus.def. */
void sim_litmus_parse(const char *list, struct sim_litmus_set *set);

/* All combinations of the values that the program stores, and 0. */
void sim_litmus_all(const struct sim_litmus *t, struct sim_litmus_set *set);

bool sim_litmus_equal(const struct sim_litmus_set *a, const struct sim_litmus_set *b);
bool sim_litmus_has(const struct sim_litmus_set *set, const char *word);

/* What is enumerated is exactly what is allowed, and all the rest is forbidden. */
bool sim_litmus_holds(const struct sim_litmus *t);

/* The drawing: a column for each thread, then the outcomes. */
void sim_litmus_print(const struct sim_litmus *t, FILE *out);

#endif
