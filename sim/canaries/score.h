/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The score of the fault models: which bugs of the catalogue each of them finds, and which of these
 * no other does. A model is what the devices may do; each is tried with the same campaign, in which
 * nothing else goes wrong, and with the scenes that play with it:
 *
 *   adr, eadr, page   what a power cut leaves of the stores; nothing else. With page the process
 *                     may also die alone: that is where its memory and the medium differ
 *   nested            adr, and the power fails in the run, and again inside recovery or behind it
 *   the others        adr, and this fault of sim_fault.h
 *
 * A bug is a model's own when the model finds it and no other model does, adr included.
 */
#ifndef SIM_SCORE_H
#define SIM_SCORE_H

#include "hunt.h"
#include "sim_fault.h"

enum sim_score_row {
    SIM_SCORE_ADR,
    SIM_SCORE_EADR,
    SIM_SCORE_PAGE,
    SIM_SCORE_NESTED,
    SIM_SCORE_FAULT, /* and the rest: one for each fault */
    SIM_SCORE_READ_EIO = SIM_SCORE_FAULT,
    SIM_SCORE_WRITE_EIO,
    SIM_SCORE_FLUSH_EIO,
    SIM_SCORE_LATENT,
    SIM_SCORE_GONE,
    SIM_SCORE_FULL,
    SIM_SCORE_POISON,
    SIM_SCORE_FLIP,
    SIM_SCORE_STALE,
    SIM_SCORE_LOST_FLUSH,
    SIM_SCORE_LOST_WRITE,
    SIM_SCORE_MISPLACED,
    SIM_SCORE_COUNT,
};

_Static_assert(SIM_SCORE_COUNT - SIM_SCORE_FAULT == SIM_FAULT_COUNT, "a row for each fault");

/* The bit of a model in contract_scene.models. */
#define SCORE(row) (1u << SIM_SCORE_##row)

struct sim_score {
    bool ran[CBD_CANARY_COUNT];                    /* this bug was tried */
    bool found[SIM_SCORE_COUNT][CBD_CANARY_COUNT]; /* an alarm; not tried: false */
    bool own[SIM_SCORE_COUNT][CBD_CANARY_COUNT];
    uint32_t founds[SIM_SCORE_COUNT], owns[SIM_SCORE_COUNT];
    bool alarm[SIM_SCORE_COUNT]; /* without a bug */
    bool good; /* every model has one of its own or a reason, and none of them gave a false alarm */
};

const char *sim_score_name(enum sim_score_row row);
const char *sim_score_what(enum sim_score_row row);
/* Why it has none of its own; NULL: it must have one. */
const char *sim_score_reason(enum sim_score_row row);
/* The bug that the fast score expects to be its own; NONE where there is a reason. */
enum cbd_canary_id sim_score_witness(enum sim_score_row row);

/* One model against the bug that is switched on. True: an alarm, as sim_hunt_try(). */
bool sim_score_try(enum sim_score_row row, uint64_t *states, char *failure, size_t failure_bytes);

/*
 * Tries the bugs that config->wanted names, or with `fast` the witnesses. 0 or an error of
 * sim_hunt_run(); config->only is not looked at.
 */
int sim_score_run(const struct sim_hunt_config *config, bool fast,
                  struct sim_score *score) CBD_MUST_CHECK;

#endif
