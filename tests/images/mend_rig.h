/* SPDX-License-Identifier: BSD-2-Clause */
/* Repairs of a rig under one of four policies, and what may be served after them. */
#ifndef MEND_RIG_H
#define MEND_RIG_H

#include "engine_rig.h"
#include "mender.h"

/* Repairs what the policy accepts. m->want is the caller's; the rest is filled. */
void mend_run(struct rig *r, enum sim_mend_policy policy, struct sim_mender *m);

/*
 * Attaches backend 0 and reads every sector: right, or older where something was given up, or an
 * error where something was reported. 0, or what open or attach returned. Ends as a process dies.
 */
int mend_serve(struct rig *r, const struct sim_mender *named, char *why, size_t why_bytes);

#endif
