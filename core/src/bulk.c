/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records into the index in great numbers, as recovery does it. A record waits in line while the
 * nodes on the way to its leaf come out of memory; the records before it go in meanwhile.
 *
 *   newest                                                  oldest
 *   | root asked for | ... | next level asked for | ... | leaf asked for | -> index
 *
 * Nothing else uses the index, but other lines may: then each insert takes the lock of its tree.
 * Which of two lines comes first does not matter, because the order decides (V2).
 */
#include "engine.h"

/* Records from one step of the way to the next. */
#define STEP 5u

static int insert(struct cbd_bulk *k, const struct cbd_bulk_record *a)
{
    struct cbd_index_tree *t = a->tree;
    int error;

    if (!k->shared)
        return cbd_index_insert_range(k->backend, &a->record, a->segment, &a->aim);
    cbd_lock_take(k->backend->cache->env, &t->lock);
    error = cbd_index_insert_range(k->backend, &a->record, a->segment, &a->aim);
    cbd_lock_drop(&t->lock);
    return error;
}

static int insert_oldest(struct cbd_bulk *k)
{
    struct cbd_bulk_record *a = &k->line[k->out++ % CBD_BULK_LINE];

    cbd_tree_aim_finish(&a->tree->tree, &a->aim);
    return insert(k, a);
}

/* A zero record touches many trees, and only its own line may go on meanwhile. */
static int insert_zero(struct cbd_bulk *k, const struct cbd_record *r, uint32_t segment)
{
    struct cbd_env *env = k->backend->cache->env;
    uint32_t first, end;
    int error;

    cbd_index_trees(k->backend, r->addr_bytes, r->len_bytes, &first, &end);
    for (uint32_t n = first; n < end && k->shared; n++)
        cbd_lock_take(env, &k->backend->trees[n].lock);
    error = cbd_index_insert_range(k->backend, r, segment, NULL);
    for (uint32_t n = first; n < end && k->shared; n++)
        cbd_lock_drop(&k->backend->trees[n].lock);
    return error;
}

/* An error may be that of a record that was given earlier. */
int cbd_bulk_insert(struct cbd_bulk *k, const struct cbd_record *r, uint32_t segment)
{
    struct cbd_bulk_record *a = &k->line[k->in % CBD_BULK_LINE];
    int error = 0;

    if (r->type == CBD_M_RECORD_ZERO)
        return insert_zero(k, r, segment);
    if (k->in - k->out == CBD_BULK_LINE)
        error = insert_oldest(k);
    a->record = *r;
    a->segment = segment;
    a->tree = cbd_index_tree_of(k->backend, r->addr_bytes);
    cbd_tree_aim(&a->tree->tree, cbd_index_local(k->backend, r->addr_bytes), &a->aim);
    k->in++;
    for (uint64_t age = STEP; age < CBD_BULK_LINE && age < k->in - k->out; age += STEP) {
        a = &k->line[(k->in - 1 - age) % CBD_BULK_LINE];
        cbd_tree_aim_step(&a->tree->tree, &a->aim);
    }
    return error;
}

/* Puts in what is still in line. */
int cbd_bulk_end(struct cbd_bulk *k)
{
    int error = 0;

    while (k->out < k->in && error == 0)
        error = insert_oldest(k);
    return error;
}
