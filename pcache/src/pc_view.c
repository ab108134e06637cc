/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the driver would serve after its recovery: the log replayed from key_tail, later keys over
 * earlier ones, keys of an older generation left out.
 */
#include <string.h>

#include "pc_media.h"
#include "pc_sweep.h"

struct build {
    const struct cbd_pcache *pc;
    struct cbd_pcache_view *view;
    uint64_t backing_bytes;
    struct pc_range *ranges; /* NULL: they are counted */
    uint64_t range_count, range_cap;
    uint64_t extent_cap;
    uint8_t *used; /* bool, one a segment */
};

enum { TAG_DIRTY = 1 };

static void take_key(struct build *b, const struct cbd_pcache_key *key, bool behind)
{
    struct cbd_pcache_view *v = b->view;
    uint64_t order = v->key_count++;
    uint32_t problem;
    bool dirty = behind && (key->flags & CBD_PCACHE_KEY_CLEAN) == 0;

    if (behind && dirty)
        v->dirty_key_count++;
    if ((key->flags & CBD_PCACHE_KEY_CLEAN) != 0)
        v->clean_key_count++;
    if (cbd_pcache_key_check(b->pc, key, b->backing_bytes, &problem) != 0) {
        v->refused_count++;
        return;
    }
    if (cbd_pcache_key_stale(b->pc, key)) {
        v->stale_count++;
        return;
    }
    if (dirty)
        v->dirty_bytes += key->len_bytes;
    b->used[key->seg] = 1;
    if (b->ranges != NULL && b->range_count < b->range_cap)
        b->ranges[b->range_count] = (struct pc_range){
            .first = key->addr_bytes,
            .len = key->len_bytes,
            .order = order,
            .place =
                cbd_pcache_pos_off(b->pc, (struct cbd_pcache_pos){key->seg, key->seg_off_bytes}),
            .tag = dirty ? TAG_DIRTY : 0,
        };
    b->range_count++;
}

static int walk_log(struct build *b)
{
    const struct cbd_pcache *pc = b->pc;
    struct cbd_pcache_view *v = b->view;
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;
    bool behind = pc_pos_equal(pc->key_tail, pc->dirty_tail);
    int error = cbd_pcache_walk_begin(&walk, pc, pc->key_tail);

    b->range_count = 0;
    memset(v, 0, sizeof(*v));
    b->used[pc->key_tail.seg] = 1;
    while (error == 0 && cbd_pcache_walk_next(&walk, &kset)) {
        behind = behind || pc_pos_equal(kset.pos, pc->dirty_tail);
        v->kset_count++;
        v->dirty_kset_count += behind && !kset.last;
        b->used[kset.next.seg] = 1;
        for (uint32_t i = 0; i < kset.key_count; i++)
            take_key(b, &kset.keys[i], behind);
    }
    v->head = walk.pos;
    v->end = walk.end;
    cbd_pcache_walk_end(&walk);
    for (uint32_t i = 0; error == 0 && i < pc->seg_count; i++)
        v->used_segments += b->used[i];
    return error;
}

static int add_extent(void *arg, const struct pc_range *r, uint64_t skip, uint64_t len,
                      const struct pc_cover *cover)
{
    struct build *b = arg;
    struct cbd_pcache_view *v = b->view;
    struct cbd_pcache_extent *last = v->extent_count > 0 ? &v->extents[v->extent_count - 1] : NULL;

    (void)cover;
    /* Cut by something that ended meanwhile. */
    if (last != NULL && last->order == r->order &&
        last->addr_bytes + last->len_bytes == r->first + skip) {
        last->len_bytes += (uint32_t)len;
        return 0;
    }
    if (v->extent_count == b->extent_cap)
        return CBD_E_CORRUPT; /* cannot be: see cut_up() */
    v->extents[v->extent_count++] = (struct cbd_pcache_extent){
        .addr_bytes = r->first + skip,
        .media_off = r->place + skip,
        .len_bytes = (uint32_t)len,
        .dirty = r->tag == TAG_DIRTY,
        .order = r->order,
    };
    return 0;
}

/* Of n ranges at most 2n - 1 pieces are seen. */
static int cut_up(struct build *b, uint32_t *heap)
{
    struct cbd_pcache_view *v = b->view;
    struct cbd_env *env = b->pc->env;

    b->extent_cap = 2 * b->range_count;
    v->alloc_bytes = b->extent_cap * sizeof(*v->extents);
    v->extents = env->ops->alloc(env, v->alloc_bytes);
    if (v->extents == NULL)
        return CBD_E_NOMEM;
    return pc_sweep(b->ranges, b->range_count, heap, add_extent, b);
}

static int collect(struct build *b)
{
    struct cbd_env *env = b->pc->env;
    uint64_t count = b->range_count, alloc_bytes = count * (sizeof(struct pc_range) + 4);
    int error;

    if (count == 0)
        return 0;
    if (count >= UINT32_MAX)
        return CBD_E_NOMEM;
    b->ranges = env->ops->alloc(env, alloc_bytes);
    if (b->ranges == NULL)
        return CBD_E_NOMEM;
    b->range_cap = count;
    error = walk_log(b);
    if (error == 0 && b->range_count > count)
        b->range_count = count;
    if (error == 0)
        error = cut_up(b, (uint32_t *)(void *)(b->ranges + count));
    env->ops->free(env, b->ranges, alloc_bytes);
    return error;
}

int cbd_pcache_view(const struct cbd_pcache *pc, uint64_t backing_bytes,
                    struct cbd_pcache_view *view)
{
    struct build b = {.pc = pc, .view = view, .backing_bytes = backing_bytes};
    int error;

    memset(view, 0, sizeof(*view));
    if (!pc->key_tail_valid || !pc->dirty_tail_valid)
        return CBD_E_CORRUPT;
    b.used = pc->env->ops->alloc(pc->env, pc->seg_count);
    if (b.used == NULL)
        return CBD_E_NOMEM;
    memset(b.used, 0, pc->seg_count);
    error = walk_log(&b);
    if (error == 0) {
        memset(b.used, 0, pc->seg_count);
        error = collect(&b);
    }
    pc->env->ops->free(pc->env, b.used, pc->seg_count);
    return error;
}

void cbd_pcache_view_free(const struct cbd_pcache *pc, struct cbd_pcache_view *view)
{
    if (view->extents != NULL)
        pc->env->ops->free(pc->env, view->extents, view->alloc_bytes);
    view->extents = NULL;
    view->extent_count = 0;
}
