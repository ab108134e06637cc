/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes a workload that fails small: delta debugging, until no single change of those below leaves
 * one that still fails alike (the same judge, the same promise).
 *
 *   operations   dropped in halves, quarters, ... one by one; then one that is simpler in its place
 *   machine      each setting as usual, so also the serial schedule; fewer disks; another seed
 *   sizes        smaller requests, at lower addresses
 *   power cut    without all that happens besides; then what survives: nothing, everything, all but
 *                what one step has stored, all but one word of it, ...
 *
 * A candidate fails alike if the power cut does so where it was or at some step of the same name,
 * with what survived before or with another draw. Each is tried in a process of its own, so that a
 * core that dies is a failure as any other. Deterministic.
 */
#ifndef SIM_MINIMIZE_H
#define SIM_MINIMIZE_H

#include "try.h"

struct sim_minimize {
    uint32_t subsets; /* draws at each step */
    uint64_t tries;   /* candidates at most */
    void (*progress)(void *arg, uint64_t tries, size_t lines);
    void *progress_arg;
};

struct sim_minimized {
    bool failed;    /* the workload fails at all */
    bool died;      /* the simulator died (an assertion of core/): there is no verdict */
    bool exhausted; /* `tries` were not enough: it may not be minimal */
    uint64_t tries;
    size_t lines_before, lines;
    struct sim_verdict verdict;
};

/* w: in, a workload with or without its power cut; out, the smallest. */
void sim_minimize_run(struct sim_workload *w, const struct sim_minimize *m,
                      struct sim_minimized *result);

#endif
