/* SPDX-License-Identifier: BSD-2-Clause */
/* What `explore` knows of its work: settings, totals, what is done, and the IDs of failures. */
#ifndef CBD_SIM_EXPLORE_TOOL_H
#define CBD_SIM_EXPLORE_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "explore.h"

#define CBD_EXPLORE_FAILURES_KEPT 1000u
#define CBD_EXPLORE_ID_BYTES 1024

/* Sums over units, in their order. */
struct cbd_explore_totals {
    uint64_t done; /* units of the shard */
    uint64_t steps, cuts;
    uint64_t cuts_by[SIM_CLASS_COUNT];
    uint64_t executed, merged;
    uint64_t executed_by[SIM_CLASS_COUNT];
    struct sim_lazy_count represented;
    /* second power cuts inside work of the recovered cache; of these, when it had ended */
    uint64_t later_writeback, later_reclaim, later_rest;
    uint64_t nested, twice, killed, backing, lost_copies, faults, full, sectors;
    uint64_t failed; /* units */
    uint64_t hash;
};

struct cbd_explore {
    struct sim_scenario scenario;
    struct sim_explore x;
    struct cbd_explore_totals totals;
    char (*failures)[CBD_EXPLORE_ID_BYTES];
    uint32_t failures_kept;
};

void cbd_explore_init(struct cbd_explore *e);
void cbd_explore_free(struct cbd_explore *e);

/* Adds one unit to the totals. */
void cbd_explore_add(struct cbd_explore *e, const struct sim_explored *u);

/* All that decides what a unit does: "generator=...:strategy=...". */
void cbd_explore_settings(const struct cbd_explore *e, FILE *out);

/* The ID of a failed unit. */
void cbd_explore_id(const struct cbd_explore *e, const struct sim_explored *u,
                    char id[CBD_EXPLORE_ID_BYTES]);

/* One unit of an ID. */
struct cbd_explore_case {
    uint64_t unit;
    bool whole; /* no step: the run itself, or the simulator died */
    uint64_t step, subset;
    char trail[SIM_LAZY_TRAIL_BYTES]; /* instead of subset, unless empty */
};

/* Whether this is such an ID; then e and c are filled, or false and a sentence in why. */
bool cbd_explore_is_id(const char *text);
bool cbd_explore_parse(const char *text, struct cbd_explore *e, struct cbd_explore_case *c,
                       char *why, size_t why_bytes);

/* One "name=value" of the settings. */
bool cbd_explore_set(struct cbd_explore *e, const char *name, const char *value);

/*
 * The state file: written whole and put in place at once, so that it may be killed at any time.
 * False: a message was printed. Loading a file that is not there is no error.
 */
bool cbd_explore_save(const struct cbd_explore *e, const char *path);
bool cbd_explore_load(struct cbd_explore *e, const char *path);

#endif
