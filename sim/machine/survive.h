/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What survives a power cut, in words: nothing, everything, a draw, or the pending units that are
 * named. A unit is named by the step of core/ whose store is pending there, or by its disk, and by
 * its number among those of the same name, in the order in which they became pending.
 */
#ifndef SIM_SURVIVE_H
#define SIM_SURVIVE_H

#include "world.h"

#define SIM_SURVIVE_NAMES_MAX 32u
#define SIM_SURVIVE_ALL_OF UINT32_MAX

enum sim_survive_kind {
    SIM_SURVIVE_CRASH,   /* what `crash` says */
    SIM_SURVIVE_ONLY,    /* nothing but what is named */
    SIM_SURVIVE_ALL_BUT, /* everything but what is named */
};

/* What the recovered cache is doing when the power fails once more. */
enum sim_later {
    SIM_LATER_NONE,
    SIM_LATER_WRITEBACK,
    SIM_LATER_RECLAIM,
    SIM_LATER_COUNT,
};

/* "writeback", "reclaim"; false: neither. */
const char *sim_later_name(enum sim_later later);
bool sim_later_parse(const char *name, enum sim_later *later);

struct sim_survive_name {
    enum cbd_step step; /* NONE: a disk */
    uint32_t disk;
    uint32_t number; /* from 0; ALL_OF: each */
};

struct sim_survive {
    enum sim_survive_kind kind;
    struct sim_crash crash;
    struct sim_survive_name name[SIM_SURVIVE_NAMES_MAX];
    uint32_t names;
};

/* Takes the power away. */
void sim_survive_cut(const struct sim_survive *s, struct sim_world *w);

/* The names of all that is pending now, each unit by itself; fills `cap`, returns how many. */
size_t sim_survive_list(struct sim_world *w, struct sim_survive_name *names, size_t cap);

#endif
