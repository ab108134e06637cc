/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pending set: stores that were made but are not durable yet. Used for memory and disk alike.
 *
 *                memory                disk
 *   cell         64-byte line          4 KiB page
 *   word         8 bytes               version of a 512-byte sector
 *   store        piece of one operation in one cell, with the words it wrote (mask) and their
 *                values just before it (old)
 *   group        the stores of one cell (of the 8 cells of a sector in the page model), oldest
 *                first; groups are kept in the order of their first store
 *
 * The newest values are not here but in the buffer (what the CPU sees). So for one word with the
 * pending stores e1 e2 .. en the values it went through are
 *
 *   old(e1)   old(e2)   ..   old(en)   buffer
 *   durable   after e1       after e(n-1)   after en
 *
 * Making e durable therefore means: forget it, and forget its words in all older stores.
 * Owned by one thread.
 */
#ifndef SIM_PEND_H
#define SIM_PEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim_crash.h"

#define SIM_PEND_WORDS 8u
#define SIM_PEND_THREADS 64u
#define SIM_PEND_NIL UINT32_MAX

enum sim_pend_flags {
    SIM_PEND_ORDERED = 1 << 0,     /* persists in program order with the other ordered ones */
    SIM_PEND_NT = 1 << 1,          /* the next fence of its thread makes it durable */
    SIM_PEND_DECLARED_NT = 1 << 2, /* what the caller asked for, even if that was dropped */
};

struct sim_pend_store {
    uint64_t old[SIM_PEND_WORDS];
    uint64_t cell;
    uint64_t op;        /* number of the operation; 0 marks a free slot */
    uint64_t flushers;  /* bit t: thread t flushed it since */
    uint64_t fence_seq; /* fences its thread had made before it */
    uint32_t group;
    uint32_t prev, next; /* in the group; next also links free slots */
    uint16_t step;
    uint8_t mask;
    uint8_t flags;
    uint8_t thread;
};

struct sim_pend_group {
    uint64_t key; /* cell >> cell_shift */
    uint32_t first, last;
    uint32_t prev, next; /* in order of first store; next also links free slots */
    uint32_t slot;       /* place in the hash table */
};

/* Memory: a store (slot, op) that waits for a fence. Page model: pages a..b to be synced. */
struct sim_pend_ready {
    uint64_t a, b;
};

struct sim_pend_queue {
    struct sim_pend_ready *items;
    size_t count, cap;
};

struct sim_pend {
    unsigned cell_shift;
    struct sim_pend_store *stores;
    size_t store_top, store_cap;
    uint32_t store_free;
    struct sim_pend_group *groups;
    size_t group_top, group_cap;
    uint32_t group_free, group_first, group_last;
    size_t group_count, store_count;
    uint32_t *table; /* group + 1, 0 is empty; linear probing */
    size_t table_size;
    struct sim_pend_queue ready[SIM_PEND_THREADS];
};

void sim_pend_init(struct sim_pend *p, unsigned cell_shift);
void sim_pend_free(struct sim_pend *p);
void sim_pend_clear(struct sim_pend *p);

/* dst was initialised; its memory is reused. */
void sim_pend_copy(struct sim_pend *dst, const struct sim_pend *src);

/* The group that holds a cell, or SIM_PEND_NIL. */
uint32_t sim_pend_find(const struct sim_pend *p, uint64_t cell);

/* What sim_pend_add() needs to know of a store; see sim_pend_store for the fields. */
struct sim_pend_new {
    uint64_t cell, op, fence_seq;
    const uint64_t *old;
    uint16_t step;
    uint8_t mask, flags, thread;
};

/* Appends a store; returns its slot. Pointers into p are invalid afterwards. */
uint32_t sim_pend_add(struct sim_pend *p, const struct sim_pend_new *store);

void sim_pend_queue_ready(struct sim_pend *p, uint8_t thread, uint64_t a, uint64_t b);

/* Slot `slot` still holds the store of operation `op`. */
static inline bool sim_pend_holds(const struct sim_pend *p, uint64_t slot, uint64_t op)
{
    return slot < p->store_top && p->stores[slot].op == op;
}

/* The store is durable: forgets it and its words in older stores. */
void sim_pend_settle(struct sim_pend *p, uint32_t slot);

/* These words of a cell are durable as the buffer has them, or will have after this operation. */
void sim_pend_settle_words(struct sim_pend *p, uint64_t cell, uint8_t mask);

/* All stores of a group are durable. */
void sim_pend_settle_group(struct sim_pend *p, uint32_t group);

/* Where the newest values live. `snapshot`: a group survives as it was at one moment. */
struct sim_pend_view {
    void (*load)(void *arg, uint64_t cell, uint64_t words[SIM_PEND_WORDS]);
    void (*store)(void *arg, uint64_t cell, const uint64_t words[SIM_PEND_WORDS]);
    void *arg;
    bool snapshot;
};

/* Puts into the buffer what survives. Does not clear p. */
void sim_pend_crash(const struct sim_pend *p, const struct sim_pend_view *view,
                    const struct sim_crash *crash);

/*
 * Number of independent choices. Unit u has choices[u] values: 0 is the durable one, the highest
 * the newest. Fills the first `cap` entries; choices may be NULL. Units are, for each group in
 * order: how many of its ordered stores survive (if it has any), then for each word which of its
 * unordered stores it shows. With `snapshot`: one a group, how many of its stores survive.
 */
size_t sim_pend_units(const struct sim_pend *p, bool snapshot, uint64_t *choices, size_t cap);

/* Where a unit is. */
struct sim_pend_unit {
    uint64_t cell;
    unsigned word; /* of the cell; SIM_PEND_WORDS: a number of stores of the group */
    uint64_t choices;
};

/* The units with their places; fills the first `cap` entries and returns how many there are. */
size_t sim_pend_list(const struct sim_pend *p, bool snapshot, struct sim_pend_unit *units,
                     size_t cap);

/* Like sim_pend_crash() with every choice given. */
void sim_pend_crash_choices(const struct sim_pend *p, const struct sim_pend_view *view,
                            const uint64_t *choice_per_unit);

/* Most units that one group has. */
#define SIM_PEND_GROUP_UNITS (1 + SIM_PEND_WORDS)

/* The units of one group, as sim_pend_units() counts them; returns how many. */
unsigned sim_pend_group_units(const struct sim_pend *p, uint32_t group, bool snapshot,
                              uint64_t choices[SIM_PEND_GROUP_UNITS]);

/* One group alone: every choice given; or its operations below `op_end` survive. */
void sim_pend_group_crash(const struct sim_pend *p, uint32_t group,
                          const struct sim_pend_view *view, const uint64_t *choice_per_unit);
void sim_pend_group_prefix(const struct sim_pend *p, uint32_t group,
                           const struct sim_pend_view *view, uint64_t op_end);

#endif
