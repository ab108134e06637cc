/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Undecided memory: what a power cut leaves, before anybody has looked.
 *
 * It is built from the pending set of a power cut. A word with pending stores has no value yet; it
 * gets one when the process that recovers reads an object that holds it. The object then becomes
 *
 *   a version   its content after the first k of the pending stores, k = 0 .. n, or
 *   torn        anything else that the persistency model allows: one stands for all of them.
 *
 *   pending   old  ----store 1----  ----store 2----
 *   object     |  a b c  ->  A B c  ->  A B C
 *   outcomes   v0        v1         v2          torn: A b c, a B c, a b C, a B C, A b C
 *
 * L1  one read() is one object with one checksum, or less: a caller that trusts parts of an object
 *     each for itself reads them one by one. Then what it does depends on the object's class alone,
 *     but for the 2^-32 of a torn object whose checksum is right;
 * L2  a class is there exactly when the model allows one of its contents;
 *     When the caller tells which contents of a line can be an object at all, versions before the
 *     newest that cannot are torn too; and a line that cannot be one, in no version, is not decided
 *     by looking at it. A line that was torn in this way and is read again as a part of something
 *     larger would contradict that: such reads are counted;
 * L3  words that nobody has read stay undecided, and nothing that was done depends on them;
 * L4  stores that depend on each other (ordered stores of a line, a sector of the page model) are
 *     decided together, unless one object holds them all;
 * L5  a store to an undecided word decides it first, so that the next power cut knows what the
 *     word held before.
 *
 * Cells and words as in sim_pend.h: lines of memory, or pages of a disk. One thread.
 */
#ifndef SIM_LAZY_MEM_H
#define SIM_LAZY_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lazy_count.h"
#include "sim_pend.h"

#define SIM_LAZY_VALUES_MAX 64u /* of one word */

/* One choice between the outcomes of an object. */
struct sim_lazy_choice {
    uint64_t first_word; /* where: cell * SIM_PEND_WORDS + word */
    uint32_t count;      /* alternatives, at least 2 */
    uint32_t torn;       /* those from here on are torn */
    /* Contents that each of them stands for: 1 for a version. */
    struct sim_lazy_count torn_states;
};

struct sim_lazy_cell {
    uint64_t cell;
    uint64_t words[SIM_PEND_WORDS]; /* those that are decided */
    uint64_t oldest[SIM_PEND_WORDS];
    uint32_t first_piece, pieces; /* of lazy_mem.pieces: its stores */
    uint32_t group;               /* it is decided with others: number + 1; 0: word by word */
    uint8_t mask;                 /* words that are undecided */
    bool alone;                   /* torn as an object of its own */
};

/* A store to one cell, and the words as they were behind it. */
struct sim_lazy_piece {
    uint64_t op;
    uint64_t words[SIM_PEND_WORDS];
    uint8_t mask;
};

/* Cells whose outcomes depend on each other. */
struct sim_lazy_group {
    uint32_t first_cell, cells; /* side by side in lazy_mem.cells */
    uint32_t first_word;        /* of lazy_mem.contents: outcomes * cells * SIM_PEND_WORDS */
    uint32_t outcomes;          /* different ones */
    uint32_t first_op, ops;     /* of lazy_mem.group_ops: what is there after each store */
};

struct sim_lazy_group_op {
    uint64_t op;
    uint32_t outcome;
};

/* Words of one cell that belong to the object being decided. */
struct sim_lazy_part {
    uint32_t cell; /* of lazy_mem.cells */
    uint8_t mask;
};

struct sim_lazy_undo {
    uint32_t cell;
    uint8_t mask;
    bool alone;
    uint64_t words[SIM_PEND_WORDS];
};

struct sim_lazy_mem {
    /* The caller's: which outcome; called with at least two. */
    uint32_t (*choose)(void *arg, const struct sim_lazy_choice *choice);
    /* The words in `mask` of a cell have been decided. */
    void (*decided)(void *arg, uint64_t cell, uint8_t mask, const uint64_t words[SIM_PEND_WORDS]);
    /*
     * The cell as it is in the medium; and whether it may be an object that is believed, when it
     * is read by itself. Both NULL: every content may be.
     */
    void (*load)(void *arg, uint64_t cell, uint64_t words[SIM_PEND_WORDS]);
    bool (*plausible)(void *arg, uint64_t cell, const uint64_t words[SIM_PEND_WORDS]);
    void *arg;
    uint32_t torn_samples; /* different torn contents that are tried; 1 is sound by L1 */

    /* A line that was taken for no object is read as a part of one: see L1. Should be 0. */
    uint64_t imprecise;

    /* Private. */
    uint32_t *at; /* for each cell of the medium: number in cells + 1 */
    size_t at_bytes;
    uint64_t medium_cells;
    uint64_t low, high; /* all undecided cells are in here */
    struct sim_lazy_cell *cells;
    size_t cells_n, cells_cap;
    struct sim_lazy_piece *pieces;
    size_t pieces_n, pieces_cap;
    struct sim_lazy_group *groups;
    size_t groups_n, groups_cap;
    uint64_t *contents;
    size_t contents_n, contents_cap;
    struct sim_lazy_group_op *group_ops;
    size_t group_ops_n, group_ops_cap;
    struct sim_lazy_undo *undo; /* decisions, to be taken back */
    size_t undo_n, undo_cap;
    /* scratch of one decision */
    uint64_t collected; /* how often */
    struct sim_lazy_part *parts;
    size_t parts_n, parts_cap;
    uint64_t *ops;
    size_t ops_n, ops_cap;
    uint64_t *versions; /* contents of the object, parts_n cells each */
    size_t versions_n, versions_cap;
};

void sim_lazy_mem_init(struct sim_lazy_mem *m, uint64_t medium_cells);
void sim_lazy_mem_free(struct sim_lazy_mem *m);

/* Nothing is undecided. */
void sim_lazy_mem_clear(struct sim_lazy_mem *m);

/*
 * Adds the pending stores of p; `view` is where its newest values are. Words that any outcome
 * leaves as they are stay decided. p is not changed and not needed later.
 */
void sim_lazy_mem_add(struct sim_lazy_mem *m, const struct sim_pend *p,
                      const struct sim_pend_view *view);

/*
 * Adds what is undecided in `from`: the next power cut hits a process that has not read it.
 * `all`: also the cells that are decided, for a medium that is not told.
 */
void sim_lazy_mem_inherit(struct sim_lazy_mem *m, const struct sim_lazy_mem *from, bool all);

/* All states that a power cut may leave, and those that are left after the choices so far. */
struct sim_lazy_count sim_lazy_mem_states(const struct sim_lazy_mem *m);

/*
 * Words [first, end), counted over the whole medium, are one object that is read; or written, which
 * decides them in any case.
 */
void sim_lazy_mem_decide(struct sim_lazy_mem *m, uint64_t first, uint64_t end, bool store);

/* Decisions so far, and how to take the later ones back; `decided` is not called. */
static inline size_t sim_lazy_mem_now(const struct sim_lazy_mem *m)
{
    return m->undo_n;
}
void sim_lazy_mem_back(struct sim_lazy_mem *m, size_t then);

/* Some word of the cells [first, end] is, or was, undecided. */
static inline bool sim_lazy_mem_near(const struct sim_lazy_mem *m, uint64_t first, uint64_t last)
{
    return last >= m->low && first <= m->high;
}

/* The cell as it is decided so far, or NULL when it was never pending. */
const struct sim_lazy_cell *sim_lazy_mem_cell(const struct sim_lazy_mem *m, uint64_t cell);

/* The values that a word may still have, oldest first; returns how many. Not for grouped cells. */
size_t sim_lazy_mem_values(const struct sim_lazy_mem *m, const struct sim_lazy_cell *c,
                           unsigned word, uint64_t values[SIM_LAZY_VALUES_MAX]);

#endif
