/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nodes of the B+-tree and the edits that change its structure. Private to tree*.c.
 *
 * Invariants; cbd_tree_valid() checks them:
 *   T1  All leaves are at level 0, the root is at level height-1. No node is empty and no inner
 *       root has a single child. An empty tree has no node.
 *   T2  Extents of a leaf ascend and do not overlap.
 *   T3  A separator k between two neighbouring subtrees: every extent of the left one ends at or
 *       before k, every extent of the right one starts at or after k. So one descent finds the
 *       only leaf that can cover a position. A separator need not be the start of an extent.
 *   T4  tree->extents and tree->nodes are exact.
 *
 * Readers without the lock (cbd_tree_find_shared, cbd_tree_aim) see a tree that changes under them. What they
 * rely on:
 *   L1  Nodes are only changed between cbd_tree_change_begin and cbd_tree_change_end, which make
 *       tree->seq odd and even again. Every store into a node is a release store and every load an
 *       acquire load of one word: who has seen anything of a change sees its odd count too.
 *   L2  Memory of nodes stays memory of nodes until the pool is destroyed, and nothing is read
 *       through a pointer before the count is found unchanged after the load of the pointer. So a
 *       reader never leaves the pool, and never takes an extent for a pointer.
 *   L3  What a reader returns was read between two equal even counts: it stood in the tree, all of
 *       it, at one moment of the call.
 *
 * Fill: a full leaf hands extents to a neighbour before it is split; an append splits off an empty
 * right leaf, so that ascending inserts leave full ones. After a removal, neighbours under one
 * parent are merged when the result keeps CBD_TREE_SLACK places free.
 */
#ifndef CBD_TREE_NODE_H
#define CBD_TREE_NODE_H

#include <stdatomic.h>

#include "cbd/canary.h"
#include "tree.h"

#define CBD_TREE_NODE_BYTES 512u
#define CBD_TREE_LEAF_MAX 21u  /* extents */
#define CBD_TREE_INNER_MAX 32u /* children */
#define CBD_TREE_SLACK 2u      /* keeps a merge from being undone by the next insert */
#define CBD_TREE_HEIGHT_MAX 16u
#define CBD_TREE_CHUNK_NODES 16u /* a tree has a pool of its own: half a chunk of each lies idle */

#define CBD_TREE_LEN_MAX ((UINT64_C(1) << CBD_TREE_LEN_BITS) - 1)
#define CBD_TREE_POS_MAX (UINT64_C(1) << CBD_TREE_POS_BITS)
#define CBD_TREE_LOC_BITS 40
#define CBD_TREE_DELTA_BITS 14
#define CBD_TREE_KIND_SHIFT (CBD_TREE_LOC_BITS + CBD_TREE_DELTA_BITS)
#define CBD_TREE_SECTOR_LOC 8u /* a sector is eight units of loc */

struct cbd_tree_node {
    _Alignas(64) _Atomic(uint16_t) level; /* 0: leaf */
    _Atomic(uint16_t) count;              /* leaf: extents; inner: children */
    uint32_t reserved;
    union {
        struct {
            _Atomic(uint64_t) w0[CBD_TREE_LEAF_MAX];
            _Atomic(uint64_t) w1[CBD_TREE_LEAF_MAX];
            _Atomic(uint64_t) w2[CBD_TREE_LEAF_MAX];
        } leaf;
        struct {
            _Atomic(uint64_t) key[CBD_TREE_INNER_MAX - 1]; /* key[i]: between child[i] and [i+1] */
            _Atomic(struct cbd_tree_node *) child[CBD_TREE_INNER_MAX];
        } inner;
        _Atomic(struct cbd_tree_node *) next_free; /* while in the pool */
    };
};

/* L1. A plain store to an atomic field would be right too, and as dear as a fence. */
#define CBD_TREE_GET(field) atomic_load_explicit(&(field), memory_order_acquire)
#define CBD_TREE_SET(field, value) atomic_store_explicit(&(field), (value), memory_order_release)

_Static_assert(sizeof(struct cbd_tree_node) == CBD_TREE_NODE_BYTES, "node");

/* A way from the root to a place in a leaf. Dead after any structural change. */
struct cbd_tree_path {
    struct cbd_tree_node *node[CBD_TREE_HEIGHT_MAX]; /* by level, so node[0] is the leaf */
    unsigned idx[CBD_TREE_HEIGHT_MAX];               /* child taken; in the leaf a place */
    _Atomic(uint64_t) *upper; /* separator at the right end of the leaf; NULL: nothing behind */
};

static inline uint64_t cbd_tree_words_start(uint64_t w0)
{
    return w0 >> CBD_TREE_LEN_BITS;
}

static inline uint64_t cbd_tree_words_end(uint64_t w0)
{
    return (w0 >> CBD_TREE_LEN_BITS) + (w0 & CBD_TREE_LEN_MAX);
}

static inline uint64_t cbd_tree_words_range(uint64_t start, uint64_t len)
{
    return start << CBD_TREE_LEN_BITS | len;
}

static inline struct cbd_tree_words cbd_tree_words_pack(const struct cbd_extent *e)
{
    struct cbd_tree_words w;

    w.w0 = cbd_tree_words_range(e->start, e->len);
    w.w1 = e->order;
    w.w2 = (uint64_t)e->kind << CBD_TREE_KIND_SHIFT;
    if (e->kind == CBD_EXTENT_DATA)
        w.w2 |= (uint64_t)e->delta << CBD_TREE_LOC_BITS | e->loc;
    return w;
}

static inline void cbd_tree_words_unpack(const struct cbd_tree_words *w, struct cbd_extent *out)
{
    out->start = cbd_tree_words_start(w->w0);
    out->len = w->w0 & CBD_TREE_LEN_MAX;
    out->order = w->w1;
    out->loc = w->w2 & ((UINT64_C(1) << CBD_TREE_LOC_BITS) - 1);
    out->delta = (uint32_t)(w->w2 >> CBD_TREE_LOC_BITS) & ((1u << CBD_TREE_DELTA_BITS) - 1);
    out->kind = (enum cbd_extent_kind)(w->w2 >> CBD_TREE_KIND_SHIFT);
}

/* Removes the first n sectors; the extent is longer than that. */
void cbd_tree_words_cut_front(struct cbd_tree_words *w, uint64_t n);

/*
 * How many of the n < 32 ascending values are <= key. No branch depends on the values. Never looks
 * behind 31 values, whatever n is.
 */
static inline size_t cbd_tree_count_step(const _Atomic(uint64_t) *values, size_t n, uint64_t key,
                                         size_t base, size_t step)
{
    size_t at = base + step < n ? base + step : n;

    return CBD_TREE_GET(values[at - 1]) <= key ? at : base;
}

static inline unsigned cbd_tree_count_le(const _Atomic(uint64_t) *values, size_t n, uint64_t key)
{
    size_t base = 0;

    if (n == 0)
        return 0;
    base = cbd_tree_count_step(values, n, key, base, 16);
    base = cbd_tree_count_step(values, n, key, base, 8);
    base = cbd_tree_count_step(values, n, key, base, 4);
    base = cbd_tree_count_step(values, n, key, base, 2);
    return (unsigned)cbd_tree_count_step(values, n, key, base, 1);
}

/* The child whose range holds pos. */
static inline unsigned cbd_tree_inner_search(const struct cbd_tree_node *node, uint64_t pos)
{
    return cbd_tree_count_le(node->inner.key, node->count - 1u, pos);
}

/* How many extents of the leaf start at or before pos. */
static inline unsigned cbd_tree_leaf_search(const struct cbd_tree_node *leaf, uint64_t pos)
{
    return cbd_tree_count_le(leaf->leaf.w0, leaf->count,
                             cbd_tree_words_range(pos, CBD_TREE_LEN_MAX));
}

/*
 * All lines of the node, asked for at once: one miss instead of one for the search, one for the
 * child or the order, and one for the place.
 */
static inline void cbd_tree_node_prefetch(const struct cbd_tree_node *node)
{
    const char *p = (const char *)node;

    __builtin_prefetch(p);
    __builtin_prefetch(p + 64);
    __builtin_prefetch(p + 128);
    __builtin_prefetch(p + 192);
    __builtin_prefetch(p + 256);
    __builtin_prefetch(p + 320);
    __builtin_prefetch(p + 384);
    __builtin_prefetch(p + 448);
}

/* L1: around everything that stores into nodes. The lock of the tree is held. */
static inline void cbd_tree_change_begin(struct cbd_tree *tree)
{
    uint64_t seq = atomic_load_explicit(&tree->seq, memory_order_relaxed);

    atomic_store_explicit(&tree->seq, seq + 1, memory_order_relaxed);
}

static inline void cbd_tree_change_end(struct cbd_tree *tree)
{
    uint64_t seq = atomic_load_explicit(&tree->seq, memory_order_relaxed);

    atomic_store_explicit(&tree->seq, seq + 1, memory_order_release);
}

/* Takes a node; there must be one. */
struct cbd_tree_node *cbd_tree_pool_take(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                                         unsigned level);
void cbd_tree_pool_give(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                        struct cbd_tree_node *node);

/* Makes sure that `nodes` nodes are free. 0 or CBD_E_NOMEM. */
int cbd_tree_pool_ensure(struct cbd_tree_pool *pool, uint64_t nodes) CBD_MUST_CHECK;

/* To the leaf that may cover pos; idx[0] is the number of its extents that start at or before it.
 * The tree is not empty. */
void cbd_tree_path_descend(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_path *path);

/* To the first extent that ends after pos. False: none. */
bool cbd_tree_path_seek(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_path *path);

/* Stores w at idx[0] of a leaf with room; the separator to its right moves out of its way. */
void cbd_tree_leaf_store(struct cbd_tree *tree, struct cbd_tree_path *path,
                         const struct cbd_tree_words *w);

/* Stores w into a range that is free. Takes at most height + 1 nodes, which must be in the pool. */
void cbd_tree_edit_put(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                       const struct cbd_tree_words *w);

/* Removes n > 0 extents from idx[0] of the leaf on, all in this leaf. Takes no node. */
void cbd_tree_edit_remove(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                          struct cbd_tree_path *path, unsigned n);

#endif
