/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One tree of the index: non-overlapping extents ordered by address, in a B+-tree of 512-byte
 * nodes. 24 bytes an extent. Positions and lengths are in sectors of 512 bytes.
 *
 * The order decides, not the time of the call: an extent never hides one of higher order. So the
 * same records give the same tree in whatever order they are inserted, which is what recovery
 * needs; and a fill that was overtaken by a write loses to it.
 *
 * The owner holds the lock of the tree, but for cbd_tree_find_shared and cbd_tree_aim. Memory comes
 * from a node pool.
 */
#ifndef CBD_TREE_H
#define CBD_TREE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cbd/env.h"
#include "count.h"

#define CBD_SECTOR_BYTES 512u
#define CBD_TREE_POS_BITS 40 /* positions below 2^40 sectors */
#define CBD_TREE_LEN_BITS 24 /* 1 .. 2^24-1 sectors in one stored extent; longer input is split */

enum cbd_extent_kind {
    CBD_EXTENT_DATA = 0,  /* loc names the payload */
    CBD_EXTENT_ZERO = 1,  /* reads as zeroes; loc is 0 */
    CBD_EXTENT_PUNCH = 2, /* the same, and the disk may unmap it */
    CBD_EXTENT_LOST = 3,  /* nothing can be read from it; loc is 0 */
};

struct cbd_extent {
    uint64_t start; /* sector */
    uint64_t len;   /* sectors, > 0 */
    uint64_t order; /* of the record this extent came from */
    uint64_t loc;   /* DATA: offset of the first byte of this extent on the pmem device, in units of
                     * 64 bytes. Cutting the front by n sectors advances it by 8*n, so
                     * loc + 8*len <= 2^40. */
    uint32_t delta; /* DATA: sectors from the first byte of the record's payload to loc. Cutting the
                     * front by n sectors adds n, so delta + len <= 2^14. */
    enum cbd_extent_kind kind;
};

/* The same in three words. Of two extents the one that starts later has a higher w0. */
struct cbd_tree_words {
    uint64_t w0; /* start (40) | len (24) */
    uint64_t w1; /* order (64) */
    uint64_t w2; /* 0 (8) | kind (2) | delta (14) | loc (40) */
};

void cbd_tree_pack(const struct cbd_extent *e, struct cbd_tree_words *out);

struct cbd_tree_node;

#define CBD_TREE_CHUNK_BYTES 8256u /* what a pool takes from env at a time */

/* Nodes of one owner. Not thread safe; the owner's lock covers it. */
struct cbd_tree_pool {
    struct cbd_env *env;
    struct cbd_tree_node *free_nodes;
    uint64_t free_count;
    void *chunks;   /* what to give back to env */
    uint64_t bytes; /* taken from env */
};

struct cbd_tree {
    _Atomic(struct cbd_tree_node *) root; /* NULL: empty */
    _Atomic(uint64_t) seq;                /* odd while nodes change; never goes back */
    _Atomic(uint32_t) height;             /* levels; 0: empty */
    uint64_t extents;
    uint64_t nodes;
};

void cbd_tree_pool_init(struct cbd_tree_pool *pool, struct cbd_env *env);

/* Gives all memory back; every tree that used the pool is dead afterwards. */
void cbd_tree_pool_destroy(struct cbd_tree_pool *pool);

/*
 * Makes sure that the next `inserts` calls of cbd_tree_insert on `tree` with an extent of higher
 * order than anything it overlaps, each at most 2^24-1 sectors long, cannot fail.
 * 0 or CBD_E_NOMEM.
 */
int cbd_tree_reserve(struct cbd_tree_pool *pool, const struct cbd_tree *tree,
                     unsigned inserts) CBD_MUST_CHECK;

void cbd_tree_init(struct cbd_tree *tree);

/* Gives all nodes back to the pool and leaves the tree empty. O(nodes). */
void cbd_tree_clear(struct cbd_tree_pool *pool, struct cbd_tree *tree);

/*
 * Inserts e wherever nothing of higher or equal order is; parts of lower order are cut away. e
 * must keep the limits of struct cbd_extent and end at or before 2^40; loc and delta of a ZERO are
 * not looked at. Neighbours are never merged: each extent is a part of one record.
 *
 *   old    |-----------|        |-----|        |--|           |----------|
 *   new         |---------|   |---------|   |--------|           |----|
 *   higher |----|------new|   |---new---|   |--new---|        |--|new-|--|
 *   lower  |----old----|nn|   |n|-old-|n|   |n|old|nn|        |----old---|
 *
 * 0 or CBD_E_NOMEM (never after a matching reserve). On CBD_E_NOMEM the tree is valid and holds a
 * part of e: every sector reads either as before or as e.
 */
int cbd_tree_insert(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                    const struct cbd_extent *e) CBD_MUST_CHECK;

/* The extent that covers pos, or else the first one after it, whole. False: none; out unchanged. */
bool cbd_tree_find(const struct cbd_tree *tree, uint64_t pos, struct cbd_extent *out);

/*
 * The same without the lock, while its holder may change the tree. True: *out covers pos, and stood
 * in the tree at one moment of this call. False, *out unchanged: nothing covers pos, or the tree
 * changed too often: ask again with the lock. The pool must outlive the call.
 */
bool cbd_tree_find_shared(const struct cbd_tree *tree, uint64_t pos, struct cbd_extent *out);

/* What one try without the lock found: good as long as the tree does not change. */
struct cbd_tree_look {
    uint64_t pos;
    uint64_t seq;
    bool found;
    struct cbd_extent extent; /* when found */
};

/* One try of cbd_tree_find_shared(). */
void cbd_tree_look(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_look *look);

/* Whether what was found stands in the tree now. */
static inline bool cbd_tree_look_holds(const struct cbd_tree *tree,
                                       const struct cbd_tree_look *look)
{
    return look->found && atomic_load_explicit(&tree->seq, memory_order_acquire) == look->seq;
}

/* Where an insert will go: good as long as the tree does not change. */
struct cbd_tree_aim {
    uint64_t pos;
    uint64_t seq;
    struct cbd_tree_node *node; /* NULL: not known */
    unsigned level;             /* of node; 0: it is the leaf */
    _Atomic(uint64_t) *upper;   /* the separator at its right end; NULL: none */
    bool placed;
    unsigned place; /* when placed: extents of the leaf that start at or before pos */
};

/*
 * The way to the leaf for pos, without the lock, in steps: each asks for the memory of the next
 * node and does not wait for it. A caller that has something else to do between them never waits.
 * At the end the way need not be gone again by cbd_tree_insert_aimed(), called with the lock.
 */
void cbd_tree_aim(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_aim *aim);
void cbd_tree_aim_step(const struct cbd_tree *tree, struct cbd_tree_aim *aim);

/* The steps that are left. */
static inline void cbd_tree_aim_finish(const struct cbd_tree *tree, struct cbd_tree_aim *aim)
{
    while (aim->level > 0)
        cbd_tree_aim_step(tree, aim);
}

/* With the lock: the last step, within the leaf. */
void cbd_tree_aim_place(const struct cbd_tree *tree, struct cbd_tree_aim *aim);

/* cbd_tree_insert() of an extent whose start was aimed at. aim may be NULL. */
int cbd_tree_insert_aimed(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                          const struct cbd_extent *e,
                          const struct cbd_tree_aim *aim) CBD_MUST_CHECK;

/*
 * cbd_tree_insert() of n extents, none of which starts before the one in front of it: each begins
 * where the last one went.
 */
int cbd_tree_insert_sorted(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                           const struct cbd_tree_words *w, size_t n) CBD_MUST_CHECK;

/*
 * Removes from [start, start+len) everything of order below `below`; an extent that sticks out is
 * cut. Needs memory only when one extent sticks out on both sides, and then does all or, with
 * CBD_E_NOMEM, nothing. A reserve of one insert covers it.
 */
int cbd_tree_remove_below(struct cbd_tree_pool *pool, struct cbd_tree *tree, uint64_t start,
                          uint64_t len, uint64_t below) CBD_MUST_CHECK;

/* The whole structure is sound: order, bounds, fill, counts. For tests and the expensive checks. */
bool cbd_tree_valid(const struct cbd_tree *tree);

#endif
