/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every call of core/ that stores to, flushes or fences persistent memory has a number here, so
 * that a simulator can name it, cut the power at it, or leave it out and prove that it was needed.
 */
#ifndef CBD_STEPS_H
#define CBD_STEPS_H

enum cbd_phase {
    CBD_PHASE_FORMAT,
    CBD_PHASE_ADMIN, /* backend add, remove, attach, detach */
    CBD_PHASE_INSERT,
    CBD_PHASE_WRITEBACK,
    CBD_PHASE_RECLAIM,
    CBD_PHASE_RECOVERY,
    CBD_PHASE_REPAIR,
    CBD_PHASE_COUNT,
};

enum cbd_step {
    CBD_STEP_NONE, /* a caller outside core/ */
#define X(id, phase, sentence, why_redundant) CBD_STEP_##id,
#include "cbd/steps.def"
#undef X
    CBD_STEP_COUNT,
};

/* Static strings; "NONE" and the like for values outside the table. */
const char *cbd_step_name(enum cbd_step step);
const char *cbd_step_sentence(enum cbd_step step);
/* Why nothing would go wrong without this call; "": it is needed. */
const char *cbd_step_redundant(enum cbd_step step);
enum cbd_phase cbd_step_phase(enum cbd_step step);
const char *cbd_phase_name(enum cbd_phase phase);

#endif
