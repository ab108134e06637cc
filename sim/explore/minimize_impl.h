/* SPDX-License-Identifier: BSD-2-Clause */
/* The minimiser's own state; internal to sim/explore/minimize*.c. */
#ifndef SIM_MINIMIZE_IMPL_H
#define SIM_MINIMIZE_IMPL_H

#include "minimize.h"

#define MINIMIZE_NAMES_MAX 256u

/* What a process that tried a candidate leaves. */
struct trial {
    bool done; /* it did not die */
    uint64_t seed;
    struct sim_tried tried;
    struct sim_survive_name pending[MINIMIZE_NAMES_MAX]; /* at its own cut */
};

struct minimizer {
    const struct sim_minimize *m;
    struct sim_minimized *result;
    struct sim_workload w;    /* the smallest so far; its cut is named, unless the run fails */
    struct sim_workload next; /* the candidate */
    struct sim_verdict like;
    int signal; /* the process dies by it; 0: there is a verdict */
    struct trial *shared;
    bool in_place; /* the power cut stays where it is: one state for each candidate */
    bool one_seed; /* a change that needs no luck: only the seed that it has */
    size_t tried_runs,
        tried_pairs; /* so many operations were left when these moves had been tried */
};

/* The strategy that found it, for what has no cut yet. False: it does not fail. */
bool minimize_find(struct minimizer *z);

/* Tries z->next; when it fails alike it becomes z->w. `exact`: at its own cut only. */
bool minimize_accept(struct minimizer *z, bool exact);

/* minimize_crash.c: the power cut. True: it became simpler. */
bool minimize_crash(struct minimizer *z);

#endif
