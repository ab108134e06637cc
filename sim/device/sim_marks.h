/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checkpoints of a simulated medium: nested marks, an undo log of cells, and the pending set as it
 * was at each mark. The cost of a rollback is what was changed since its mark.
 *
 *   run --- mark --- crash --- recovery --- rollback --- crash --- recovery --- rollback --- run
 *             1                   '-- mark -- crash -- recovery -- rollback --'
 *                                       2
 *
 * The pending set is moved aside by a crash (which empties it anyway), and copied only if it is
 * changed in another way first. The owner keeps one byte a cell, the stamp: the depth at which the
 * cell was logged last, so that it is logged once a mark. Owned by one thread.
 */
#ifndef SIM_MARKS_H
#define SIM_MARKS_H

#include "sim_pend.h"

#define SIM_MARKS_DEPTH_MAX 16u

struct sim_undo {
    uint64_t old[SIM_PEND_WORDS];
    uint64_t cell;
    uint8_t stamp; /* before it was logged */
    uint8_t extra; /* the owner's */
};

struct sim_mark_level {
    size_t undo_start;
    bool pend_saved;
    struct sim_pend pend; /* initialised on first use, kept for the next */
    bool pend_ready;
};

struct sim_marks {
    struct sim_pend pend; /* the live pending set */
    unsigned depth;
    struct sim_mark_level level[SIM_MARKS_DEPTH_MAX];
    struct sim_undo *undo;
    size_t undo_count, undo_cap;
};

void sim_marks_init(struct sim_marks *m, unsigned cell_shift);
void sim_marks_free(struct sim_marks *m);

/* Opens a mark. */
void sim_marks_push(struct sim_marks *m);

/* To be called before m->pend is changed in any way. */
void sim_marks_own_pend(struct sim_marks *m);

/* Empties m->pend. */
void sim_marks_drop_pend(struct sim_marks *m);

static inline bool sim_marks_wants(const struct sim_marks *m, uint8_t stamp)
{
    return stamp != m->depth;
}

/* Remembers a cell that is about to change; only if sim_marks_wants(). Updates the stamp. */
void sim_marks_log(struct sim_marks *m, uint64_t cell, uint8_t *stamp, uint8_t extra,
                   const uint64_t old[SIM_PEND_WORDS]);

/* A cell with its content, as one number; different cells are XORed. */
static inline uint64_t sim_marks_hash(uint64_t cell, const uint64_t words[SIM_PEND_WORDS])
{
    uint64_t h = (cell + 1) * UINT64_C(0x9e3779b97f4a7c15);

    for (unsigned i = 0; i < SIM_PEND_WORDS; i++) {
        h = (h ^ words[i]) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    return h * UINT64_C(0xc4ceb9fe1a85ec53);
}

/* Ends the innermost mark: restores the pending set, calls undo() for each cell, newest first. */
void sim_marks_pop(struct sim_marks *m, void (*undo)(void *arg, const struct sim_undo *u),
                   void *arg);

#endif
