/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tries a workload: runs it, and judges the power cut that it names or, when it names none, the
 * cuts that a strategy chooses. The strategies cut before every step (or one in `cut_every`, and
 * every step of reclaim, which has few):
 *
 *   none        never: only the run itself is judged
 *   each        nothing survives; everything survives
 *   random      one draw
 *   partial     `subsets` states, as in a replay: parts survive, and what docs/simulator.md lists
 *               happens besides
 *   exhaustive  everything that the cut can leave: lazy.h
 *
 * Deterministic: a function of the workload and the settings.
 */
#ifndef SIM_TRY_H
#define SIM_TRY_H

#include "campaign.h"
#include "workload.h"

enum sim_strategy {
    SIM_STRATEGY_NONE,
    SIM_STRATEGY_EACH,
    SIM_STRATEGY_RANDOM,
    SIM_STRATEGY_PARTIAL,
    SIM_STRATEGY_EXHAUSTIVE,
    SIM_STRATEGY_COUNT,
};

struct sim_try {
    enum sim_strategy strategy;
    uint32_t subsets;   /* PARTIAL */
    uint32_t cut_every; /* 0 counts as 1 */
    bool merge;         /* states that are the same are judged once */
    bool stop_at_first;
    bool only; /* one state */
    uint64_t only_step, only_subset;
    const char *only_trail;       /* EXHAUSTIVE: instead of only_subset */
    struct sim_lazy_options lazy; /* EXHAUSTIVE */
    /*
     * Only steps of the same name as this, unless NULL; what survives and happens there is tried
     * before the draws.
     */
    const struct sim_work_cut *near;
    const struct sim_verdict *like;   /* other failures do not count, unless NULL */
    struct sim_survive_name *pending; /* takes what is pending at the workload's own cut */
    size_t pending_cap;
    uint64_t states_max; /* ends the run; 0: no limit */
};

struct sim_tried {
    uint64_t steps;
    uint64_t steps_by[SIM_CLASS_COUNT];
    uint64_t cuts;
    uint64_t cuts_by[SIM_CLASS_COUNT];
    uint64_t executed_by[SIM_CLASS_COUNT]; /* states that were judged, by the class of their cut */
    struct sim_judged judged;
    struct sim_lazy_counts lazy; /* EXHAUSTIVE */
    uint64_t failures;
    /* The first failure. step UINT64_MAX: the run itself. */
    uint64_t step, subset;
    struct sim_work_cut cut; /* by name; EXHAUSTIVE: only its place, and the state is a trail */
    char trail[SIM_LAZY_TRAIL_BYTES];
    struct sim_verdict verdict;
    size_t pendings; /* names that are in `pending`, or would be with more room */
    bool reached;    /* the workload's own cut, or the only state */
    uint64_t hash;   /* of everything that the run did: same on every machine */
};

void sim_try_run(const struct sim_workload *w, const struct sim_try *t, struct sim_tried *result);

/* Same judge and same promise: the same bug as far as one can tell from outside. */
bool sim_try_alike(const struct sim_verdict *a, const struct sim_verdict *b);

const char *sim_strategy_name(enum sim_strategy strategy);
bool sim_strategy_parse(const char *name, enum sim_strategy *strategy);

#endif
