/* SPDX-License-Identifier: BSD-2-Clause */
/* Repairs of a rig under one of four policies, and what may be served after them. */
#ifndef MEND_RIG_H
#define MEND_RIG_H

#include "cbd/repair.h"
#include "engine_rig.h"

enum mend_policy {
    MEND_NONE,  /* -n */
    MEND_PREEN, /* -p */
    MEND_YES,   /* -y */
    MEND_LOSES, /* -y --allow-data-loss */
};

#define MEND_NAMED_MAX 4096u

/* Ranges of backend 0. */
struct mend_named {
    struct {
        uint64_t addr, len;
    } at[MEND_NAMED_MAX];
    uint32_t count;
    bool all; /* any range, or more than fit */
};

struct mend {
    struct rig *rig;
    enum mend_policy policy;
    struct cbd_repair_result result;
    int error;
    struct mend_named lost;     /* what was given up: may read as something older */
    struct mend_named reported; /* what any finding named: may be an error to its reader */
    uint32_t offers, accepted;
    uint32_t want; /* a code */
    bool wanted_found;
    bool gave_up_backend;
};

/* Repairs what the policy accepts. m->want is the caller's; the rest is filled. */
void mend_run(struct rig *r, enum mend_policy policy, struct mend *m);

/* All of `inner` lies in `outer`. */
bool mend_within(const struct mend_named *inner, const struct mend_named *outer);

/*
 * Attaches backend 0 and reads every sector: right, or older where something was given up, or an
 * error where something was reported. 0, or what open or attach returned. Ends as a process dies.
 */
int mend_serve(struct rig *r, const struct mend *named, char *why, size_t why_bytes);

#endif
