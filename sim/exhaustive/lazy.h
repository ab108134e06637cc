/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that one power cut can leave, judged: the exhaustive strategy.
 *
 * At a cut, nothing is decided about what was pending. core/check, and recovery with all reads that
 * the judge makes, run on undecided memory (lazy_mem.h); where they look they branch, and every
 * branch is run to its end and judged (lazy_walk.h). So
 *
 *   executed     paths of recovery that were run and judged
 *   merged       paths that ended recovery as an executed one did: not judged again
 *   represented  states of memory and disks that these paths stand for: all that the cut can leave
 *
 * N1  the check and the recovery are two processes that only read what the cut left, so each is
 *     explored by itself: both hold in every state exactly when each does in its own paths;
 * N2  two paths are merged when they made the same reads, stores, flushes and fences from the first
 *     to the last, with the same content stored, ended with the same index, and every decided cell
 *     that a reader can reach has the same content. What they decided otherwise the core has
 *     rejected in both, and rejects again: whether an object is valid is a function of its bytes
 *     and its place;
 * N3  a cut inside of a recovery sees what that recovery has decided as decided, what it has stored
 *     as pending, and all else as undecided as before;
 * N4  an extent of the recovered index that the running process had too, with the same order and
 *     place, over cells that were not pending, is not read in each path: its content is the same in
 *     all. Everything else is read through the cache and judged, and so is every range of an open
 *     request. At every SWEEPth step the content of all extents is looked at.
 */
#ifndef SIM_LAZY_H
#define SIM_LAZY_H

#include "judge.h"
#include "lazy_count.h"

#define SIM_LAZY_DEPTH_MAX 4u
#define SIM_LAZY_TRAIL_BYTES 400u

struct sim_lazy_options {
    uint32_t depth;        /* power cuts in a row: 1 .. SIM_LAZY_DEPTH_MAX; 0 counts as 1 */
    uint64_t paths_max;    /* of one cut; 0: no limit. What is left out is counted. */
    uint32_t torn_samples; /* 1 or 2; 0 counts as 1 */
    bool replay;           /* run every path from its start */
    bool no_merge;
};

/* Sums over cuts. */
struct sim_lazy_counts {
    uint64_t cuts;
    uint64_t executed, merged;
    uint64_t checks;      /* paths of core/check */
    uint64_t nested_cuts; /* cuts inside of recoveries; executed and merged count theirs too */
    uint64_t limited;     /* cuts that paths_max has ended early */
    uint64_t choices_max; /* on one path */
    uint64_t paths_max;   /* of one cut, executed and merged */
    uint64_t sectors;     /* compared */
    uint64_t disks;       /* bare disks that were judged, each for all its states (P4) */
    uint64_t disks_open;  /* of these without an answer: see sim_oracle_backing_any() */
    uint64_t imprecise;   /* reads that L1 did not foresee: should be 0 */
    uint64_t hash;        /* of what every path saw: same on every machine */
    struct sim_lazy_count represented; /* by the paths of recovery */
    struct sim_lazy_count states;      /* that the cuts can leave, by the pending sets alone */
};

struct sim_lazy;

struct sim_lazy *sim_lazy_create(struct sim_world *w, const struct sim_lazy_options *options);
void sim_lazy_destroy(struct sim_lazy *l);

/*
 * All states of a cut at this instant. The world is as before when it returns. Adds to *counts.
 * False: some state is wrong; *first is the first of them, and `trail` names it.
 */
bool sim_lazy_cut(struct sim_lazy *l, struct sim_lazy_counts *counts, struct sim_verdict *first,
                  char trail[SIM_LAZY_TRAIL_BYTES]);

/* The one state of a cut that a trail names. False: it is wrong, or the trail leads nowhere. */
bool sim_lazy_rerun(struct sim_lazy *l, const char *trail, struct sim_verdict *verdict);

/* Sums and maxima of both. */
void sim_lazy_counts_add(struct sim_lazy_counts *to, const struct sim_lazy_counts *from);

/* For tests: called at the end of each path with what was read from the open ranges. */
void sim_lazy_on_path(struct sim_lazy *l, void (*fn)(void *arg, uint64_t seen, unsigned level),
                      void *arg);

#endif
