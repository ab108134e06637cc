/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Forgets everything clean of a backend, so that something dirty can be given up (M7).
 *
 * The cache may hold an older, clean version of what is given up, and write-back may have begun to
 * send the newer one. Without the newer one the cache would show the older version, and the disk has
 * something else: the next attach would take it for another disk. Without anything clean the disk is
 * what counts.
 *
 *   orders -->   | clean, all of it |  clean  dirty  clean  dirty |
 *                                   ^ horizon: as far as nothing dirty is below it
 *                                      void     void: the oldest first, so that none uncovers another
 */
#include "repair.h"
#include "sort.h"

#define BATCH 16384u /* the oldest so many go, then the next ones are looked for */

struct clean {
    uint64_t order;
    uint32_t segment, slot;
};

struct gather {
    const struct cbd_check *k;
    uint32_t backend, segment;
    struct clean *item; /* 2 * BATCH */
    uint32_t count;
    bool more; /* than one batch */
};

static bool before(const void *x, const void *y)
{
    const struct clean *a = x, *b = y;

    if (a->order != b->order)
        return a->order < b->order;
    return a->segment != b->segment ? a->segment < b->segment : a->slot < b->slot;
}

/* The oldest stay. */
static void make_room(struct gather *g)
{
    cbd_sort(g->item, g->count, sizeof(*g->item), before);
    g->more = g->more || g->count > BATCH;
    g->count = g->count < BATCH ? g->count : BATCH;
}

static int gather_record(void *arg, uint32_t slot, const struct cbd_record *r)
{
    struct gather *g = arg;

    if (!cbd_check_live(g->k, g->backend, r) || cbd_check_dirty(g->k, g->backend, r))
        return 0;
    if (g->count == 2 * BATCH)
        make_room(g);
    g->item[g->count++] = (struct clean){r->order, g->segment, slot};
    return 0;
}

static int gather_oldest(struct cbd_repair *r, struct gather *g)
{
    struct cbd_check *k = r->k;
    int error = 0;

    g->count = 0;
    g->more = false;
    for (uint32_t id = 0; id < k->cache.super.geo.segment_count && error == 0; id++) {
        struct cbd_scan scan;

        if (k->entries[id].plan != CBD_CHECK_PLAN_SCAN ||
            k->cache.segments[id].entry.owner != g->backend + 1)
            continue;
        g->segment = id;
        error = cbd_scan_segment(&k->cache, id, &scan, gather_record, g);
    }
    make_room(g);
    return error;
}

static int void_all(struct cbd_repair *r, struct gather *g)
{
    int error;

    do {
        error = gather_oldest(r, g);
        for (uint32_t i = 0; i < g->count && error == 0; i++)
            error = cbd_mend_void(r, g->item[i].segment, g->item[i].slot,
                                  r->k->entries[g->item[i].segment].durable);
    } while (g->more && error == 0);
    return error;
}

/*
 * Of what is clean, all that is older than anything dirty, when all that is dirty is known. A state
 * that is lost has no horizon yet.
 */
static int forget_older(struct cbd_repair *r, uint32_t backend)
{
    uint64_t dirty = r->k->dirty_order_min[backend];
    uint64_t top = cbd_min64(r->k->order_top[backend], CBD_ORDER_START_MAX - 1);

    if (dirty == 0 || r->k->entries_lost != 0 || !r->k->state_valid[backend])
        return 0;
    return cbd_mend_forget(r, backend, cbd_min64(top, dirty - 1));
}

int cbd_mend_forget_clean(struct cbd_repair *r, uint32_t backend)
{
    struct cbd_env *env = r->k->cache.env;
    struct gather g = {.k = r->k, .backend = backend};
    int error;

    if (r->forgotten[backend] || CBD_CANARY(REPAIR_KEEPS_CLEAN))
        return 0;
    g.item = env->ops->alloc(env, 2 * BATCH * sizeof(*g.item));
    if (g.item == NULL)
        return CBD_E_NOMEM;
    error = forget_older(r, backend);
    if (error == 0)
        error = void_all(r, &g);
    env->ops->free(env, g.item, 2 * BATCH * sizeof(*g.item));
    r->forgotten[backend] = error == 0;
    return error;
}
