/* SPDX-License-Identifier: BSD-2-Clause */
/* Names, sentences, reasons and phases of the persist steps, out of the one table. */
#include "cbd/steps.h"

#include <stddef.h>

struct step_row {
    const char *name;
    const char *sentence;
    const char *why_redundant;
    enum cbd_phase phase;
};

static const struct step_row rows[CBD_STEP_COUNT] = {
    [CBD_STEP_NONE] = {"NONE", "a store that the core did not make", "", CBD_PHASE_COUNT},
#define X(id, phase, sentence, why_redundant)                                                      \
    [CBD_STEP_##id] = {#id, sentence, why_redundant, CBD_PHASE_##phase},
#include "cbd/steps.def"
#undef X
};

static const char *const phase_names[CBD_PHASE_COUNT] = {
    [CBD_PHASE_FORMAT] = "FORMAT",   [CBD_PHASE_ADMIN] = "ADMIN",
    [CBD_PHASE_INSERT] = "INSERT",   [CBD_PHASE_WRITEBACK] = "WRITEBACK",
    [CBD_PHASE_RECLAIM] = "RECLAIM", [CBD_PHASE_RECOVERY] = "RECOVERY",
    [CBD_PHASE_REPAIR] = "REPAIR",
};

/* A step number may come from a recorded run, so any value is answered. */
static const struct step_row *row_of(enum cbd_step step)
{
    if ((unsigned)step >= CBD_STEP_COUNT) {
        return &rows[CBD_STEP_NONE];
    }
    return &rows[step];
}

const char *cbd_step_name(enum cbd_step step)
{
    return row_of(step)->name;
}

const char *cbd_step_sentence(enum cbd_step step)
{
    return row_of(step)->sentence;
}

const char *cbd_step_redundant(enum cbd_step step)
{
    return row_of(step)->why_redundant;
}

enum cbd_phase cbd_step_phase(enum cbd_step step)
{
    return row_of(step)->phase;
}

const char *cbd_phase_name(enum cbd_phase phase)
{
    if ((unsigned)phase >= CBD_PHASE_COUNT) {
        return "NONE";
    }
    return phase_names[phase];
}
