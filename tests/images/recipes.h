/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A damaged image for each row of problems.def: a small cache in a known state, and what is done to
 * it. What is forged has its checksums made again, so that it gets past them.
 */
#ifndef RECIPES_H
#define RECIPES_H

#include "engine_rig.h"

/* What the cache is before it is damaged. All: 1 MiB of disk, 8 segments of 64 KiB, one stream. */
enum recipe_base {
    BASE_NEW,      /* nothing was ever written */
    BASE_STOPPED,  /* four records in the open segment, dirty; the process died */
    BASE_MIXED,    /* clean and dirty records in closed segments and the open one; died */
    BASE_DETACHED, /* closed segments and an open one, all clean; detached */
    BASE_KILLED,   /* as STOPPED; died again in an attach that had made superblock 0 anew */
    BASE_COUNT,
};

/* What becomes of it. */
enum recipe_end {
    END_NOTE,   /* no error: the next attach deals with it */
    END_PREEN,  /* -p repairs it */
    END_DECIDE, /* -y repairs it, -p does not */
    END_LOSES,  /* -y with allow_data_loss repairs it */
    END_LEFT,   /* nothing repairs it: the same is named again */
};

struct recipe {
    uint32_t code;
    const char *name;
    enum recipe_base base;
    enum recipe_end end;
    void (*damage)(struct rig *r);
    bool forged; /* says something else than was ever stored, and is believed */
};

/* Problems of a backing device, which a check finds only when it has that. */
static inline bool recipe_of_disk(uint32_t code)
{
    return code >= 2030 && code < 2040;
}

extern const struct recipe recipes[];
extern const size_t recipe_count;

struct rig *recipe_base_make(enum recipe_base base, enum sim_model model);

#endif
