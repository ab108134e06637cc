/* SPDX-License-Identifier: BSD-2-Clause */
/* Checkpoints of a simulated medium. */
#include "sim_marks.h"

#include <string.h>

#include "sim_base.h"

void sim_marks_init(struct sim_marks *m, unsigned cell_shift)
{
    memset(m, 0, sizeof *m);
    sim_pend_init(&m->pend, cell_shift);
}

void sim_marks_free(struct sim_marks *m)
{
    sim_pend_free(&m->pend);
    for (unsigned i = 0; i < SIM_MARKS_DEPTH_MAX; i++) {
        if (m->level[i].pend_ready)
            sim_pend_free(&m->level[i].pend);
    }
    free(m->undo);
    memset(m, 0, sizeof *m);
}

void sim_marks_push(struct sim_marks *m)
{
    SIM_REQUIRE(m->depth < SIM_MARKS_DEPTH_MAX);
    struct sim_mark_level *level = &m->level[m->depth++];
    level->undo_start = m->undo_count;
    level->pend_saved = false;
    if (!level->pend_ready) {
        sim_pend_init(&level->pend, m->pend.cell_shift);
        level->pend_ready = true;
    }
}

/* The level whose copy has to be made now, or NULL. */
static struct sim_mark_level *unsaved_level(struct sim_marks *m)
{
    if (m->depth == 0 || m->level[m->depth - 1].pend_saved)
        return NULL;
    struct sim_mark_level *level = &m->level[m->depth - 1];
    level->pend_saved = true;
    return level;
}

void sim_marks_own_pend(struct sim_marks *m)
{
    struct sim_mark_level *level = unsaved_level(m);
    if (level != NULL)
        sim_pend_copy(&level->pend, &m->pend);
}

static void swap_pend(struct sim_pend *a, struct sim_pend *b)
{
    struct sim_pend t = *a;
    *a = *b;
    *b = t;
}

void sim_marks_drop_pend(struct sim_marks *m)
{
    struct sim_mark_level *level = unsaved_level(m);
    if (level != NULL)
        swap_pend(&level->pend, &m->pend);
    sim_pend_clear(&m->pend);
}

void sim_marks_log(struct sim_marks *m, uint64_t cell, uint8_t *stamp, uint8_t extra,
                   const uint64_t old[SIM_PEND_WORDS])
{
    m->undo = sim_grow(m->undo, &m->undo_cap, m->undo_count + 1, sizeof m->undo[0]);
    struct sim_undo *u = &m->undo[m->undo_count++];
    memcpy(u->old, old, sizeof u->old);
    u->cell = cell;
    u->stamp = *stamp;
    u->extra = extra;
    *stamp = (uint8_t)m->depth;
}

void sim_marks_pop(struct sim_marks *m, void (*undo)(void *arg, const struct sim_undo *u),
                   void *arg)
{
    SIM_REQUIRE(m->depth > 0);
    struct sim_mark_level *level = &m->level[m->depth - 1];
    while (m->undo_count > level->undo_start)
        undo(arg, &m->undo[--m->undo_count]);
    if (level->pend_saved)
        swap_pend(&level->pend, &m->pend);
    m->depth--;
}
