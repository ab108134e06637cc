/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a backend: many trees, each with its own lock and its own counter of orders.
 *
 * The address space is cut into regions of 4 MiB that go round the trees. Inside a tree the
 * regions that it owns are put side by side, so that any range of the device is at most one
 * contiguous part of each tree, and a discard of a whole device costs one extent a tree.
 *
 *   device  | r0 | r1 | r2 | r3 | r4 | r5 | ...        2 trees
 *   tree 0  | r0 | r2 | r4 | ...
 *   tree 1  | r1 | r3 | r5 | ...
 */
#include <string.h>

#include "engine.h"

static uint32_t tree_count(const struct cbd_backend *b)
{
    return 1u << b->tree_bits;
}

int cbd_index_create(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    uint32_t n = tree_count(b);

    b->trees = env->ops->alloc(env, n * sizeof(*b->trees));
    if (b->trees == NULL)
        return CBD_E_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        memset(&b->trees[i], 0, sizeof(b->trees[i]));
        cbd_tree_init(&b->trees[i].tree);
        cbd_tree_pool_init(&b->trees[i].pool, env);
    }
    return 0;
}

void cbd_index_destroy(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    if (b->trees == NULL)
        return;
    for (uint32_t i = 0; i < tree_count(b); i++)
        cbd_tree_pool_destroy(&b->trees[i].pool);
    env->ops->free(env, b->trees, tree_count(b) * sizeof(*b->trees));
    b->trees = NULL;
}

/*
 * Orders grow within a tree, and an order of a later era is higher than any of an earlier one that
 * did not run over. The tree's lock is held.
 */
uint64_t cbd_index_next_order(struct cbd_backend *b, struct cbd_index_tree *t)
{
    uint64_t floor =
        CBD_CANARY(ORDER_WITHOUT_ERA) ? 1 : atomic_load(&b->era) << CBD_ORDER_COUNT_BITS;

    t->last_order = t->last_order + 1 > floor ? t->last_order + !CBD_CANARY(ORDER_STUCK) : floor;
    return t->last_order;
}

void cbd_index_trees(const struct cbd_backend *b, uint64_t addr, uint64_t len, uint32_t *first,
                     uint32_t *end)
{
    uint32_t mask = tree_count(b) - 1;

    *first = 0;
    *end = tree_count(b);
    if (addr / CBD_REGION_BYTES != (addr + len - 1) / CBD_REGION_BYTES)
        return;
    *first = (uint32_t)(addr / CBD_REGION_BYTES) & mask;
    *end = *first + 1;
}

bool cbd_index_part(struct cbd_backend *b, uint32_t n, uint64_t addr, uint64_t len,
                    struct cbd_index_part *part)
{
    uint64_t trees = tree_count(b);
    uint64_t r0 = addr / CBD_REGION_BYTES;
    uint64_t r1 = (addr + len - 1) / CBD_REGION_BYTES;
    uint64_t first = r0 + ((n - r0) & (trees - 1)); /* first region >= r0 of this tree */
    uint64_t last, end;

    if (first > r1)
        return false;
    last = r1 - ((r1 - n) & (trees - 1)); /* last region <= r1 of this tree */
    part->tree = &b->trees[n];
    part->start = first == r0 ? cbd_index_local(b, addr) : (first / trees) * CBD_REGION_SECTORS;
    end = last == r1 ? cbd_index_local(b, addr + len - 1) + 1
                     : (last / trees + (last == first || !CBD_CANARY(LAST_REGION_LEFT_OUT))) *
                           CBD_REGION_SECTORS;
    part->len = end - part->start;
    return true;
}

/* What a record says, without a place in a tree. */
static struct cbd_extent extent_of(const struct cbd_backend *b, const struct cbd_record *r,
                                   uint32_t segment)
{
    bool zero = r->type == CBD_M_RECORD_ZERO;
    uint64_t off = cbd_segment_off(&b->cache->super.geo, segment) + r->payload_off;

    return (struct cbd_extent){
        .order = r->order,
        .loc = zero ? 0 : off / CBD_LINE_BYTES,
        .kind = zero ? CBD_EXTENT_ZERO : CBD_EXTENT_DATA,
    };
}

/* A payload never crosses a region, so it is in one tree. */
static inline void place_data(const struct cbd_backend *b, const struct cbd_record *r,
                              struct cbd_extent *e)
{
    e->start = cbd_index_local(b, r->addr_bytes);
    e->len = r->len_bytes / CBD_SECTOR_BYTES;
}

void cbd_index_extent(const struct cbd_backend *b, const struct cbd_record *r, uint32_t segment,
                      struct cbd_extent *e)
{
    *e = extent_of(b, r, segment);
    place_data(b, r, e);
}

/*
 * Inserts what a record says into every tree that it touches. Their locks are held, or recovery.
 * aim: of a record with payload, or NULL.
 */
int cbd_index_insert_range(struct cbd_backend *b, const struct cbd_record *r, uint32_t segment,
                           const struct cbd_tree_aim *aim)
{
    struct cbd_extent e = extent_of(b, r, segment);

    if (e.kind == CBD_EXTENT_DATA) {
        struct cbd_index_tree *t = cbd_index_tree_of(b, r->addr_bytes);

        place_data(b, r, &e);
        return cbd_tree_insert_aimed(&t->pool, &t->tree, &e, aim);
    }
    for (uint32_t n = 0; n < tree_count(b); n++) {
        struct cbd_index_part part;
        int error;

        if (!cbd_index_part(b, n, r->addr_bytes, r->len_bytes, &part))
            continue;
        if (CBD_CANARY(DISCARD_IN_ONE_TREE) && e.len != 0)
            break;
        e.start = part.start;
        e.len = part.len;
        error = cbd_tree_insert(&part.tree->pool, &part.tree->tree, &e);
        if (error != 0)
            return error;
    }
    return 0;
}

/* Inserts a record that newer ones may hide, beside lookups and writes: each tree under its lock. */
int cbd_index_add_old(struct cbd_backend *b, const struct cbd_record *r, uint32_t segment)
{
    uint32_t first, end;
    int error = 0;

    cbd_index_trees(b, r->addr_bytes, r->len_bytes, &first, &end);
    for (uint32_t n = first; n < end && error == 0; n++) {
        struct cbd_index_part part;
        struct cbd_extent e;

        if (!cbd_index_part(b, n, r->addr_bytes, r->len_bytes, &part))
            continue;
        e = extent_of(b, r, segment);
        e.start = part.start;
        e.len = part.len;
        cbd_lock_take(b->cache->env, &part.tree->lock);
        error = cbd_tree_insert(&part.tree->pool, &part.tree->tree, &e);
        cbd_lock_drop(&part.tree->lock);
    }
    return error;
}

/* A range of one region that nothing can be read from. */
int cbd_index_insert_lost(struct cbd_backend *b, uint64_t addr, uint64_t len, uint64_t order)
{
    struct cbd_index_tree *t = cbd_index_tree_of(b, addr);
    struct cbd_extent e = {
        .start = cbd_index_local(b, addr),
        .len = len / CBD_SECTOR_BYTES,
        .order = order,
        .kind = CBD_EXTENT_LOST,
    };

    return cbd_tree_insert(&t->pool, &t->tree, &e);
}

/* Removes everything of order below `below` in the range, tree by tree under its lock. */
int cbd_index_forget_range(struct cbd_backend *b, uint64_t addr, uint64_t len, uint64_t below)
{
    uint32_t first, end;

    cbd_index_trees(b, addr, len, &first, &end);
    for (uint32_t n = first; n < end; n++) {
        struct cbd_index_part part;
        int error;

        if (!cbd_index_part(b, n, addr, len, &part))
            continue;
        cbd_lock_take(b->cache->env, &part.tree->lock);
        error =
            cbd_tree_remove_below(&part.tree->pool, &part.tree->tree, part.start, part.len, below);
        cbd_lock_drop(&part.tree->lock);
        if (error != 0)
            return error;
    }
    return 0;
}

void cbd_backend_extents(struct cbd_backend *b,
                         void (*visit)(void *arg, const struct cbd_extent_view *extent), void *arg)
{
    for (uint32_t n = 0; n < tree_count(b); n++) {
        struct cbd_extent e;

        for (uint64_t pos = 0; cbd_tree_find(&b->trees[n].tree, pos, &e); pos = e.start + e.len) {
            /* Cut at region boundaries: only inside a region are local and device order the same. */
            uint64_t at = e.start, end = e.start + e.len;

            while (at < end) {
                uint64_t region = at / CBD_REGION_SECTORS;
                uint64_t stop = cbd_min64(end, (region + 1) * CBD_REGION_SECTORS);
                struct cbd_extent_view view = {
                    .addr_bytes = ((region << b->tree_bits) + n) * CBD_REGION_BYTES +
                                  at % CBD_REGION_SECTORS * CBD_SECTOR_BYTES,
                    .len_bytes = (stop - at) * CBD_SECTOR_BYTES,
                    .order = e.order,
                    .zero = e.kind == CBD_EXTENT_ZERO,
                    .lost = e.kind == CBD_EXTENT_LOST,
                };

                if (e.kind == CBD_EXTENT_DATA)
                    view.pmem_off = e.loc * CBD_LINE_BYTES + (at - e.start) * CBD_SECTOR_BYTES;
                visit(arg, &view);
                at = stop;
            }
        }
    }
}
