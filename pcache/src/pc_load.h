/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of opening a device share. */
#ifndef PC_LOAD_H
#define PC_LOAD_H

#include "cbd/pcache.h"

/*
 * pc_tails.c: the slots of both tails against each other and against the log. Reports D3 and D5 and
 * sets key_tail and dirty_tail to where they were before; incomplete older slots are notes.
 */
void pc_judge_tails(struct cbd_pcache *pc, struct cbd_pcache_sink *sink);

#endif
