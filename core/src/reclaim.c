/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reclaim: forgets the oldest records so that their segments can be used again. FIFO by order; what
 * was read since it came is stored again before (keep.c).
 *
 * Live or forgotten is decided by one durable number for each backend, the horizon D: a record of
 * lower order is not there. Records die strictly in order, over all streams and segments, so a
 * record is never forgotten while an older one that it hides can still be seen.
 *
 *   order  ------ forgotten ------|D-------- in the cache --------|next
 *   segment 7 (closed)  [======]                                      free
 *   segment 2 (closed)      [=====|=====]                             keeps its younger part
 *   segment 5 (open)                   [=====...
 *
 * R1  before D' is chosen a new era begins and every writer of the old one has published: no
 *     record below D' appears after this (E2; fills are dropped by horizon_next);
 * R2  D' is chosen only so that every dirty record below it is on the disk: its epoch <= E; or what
 *     the index showed of it was carried above D' (carry.c);
 * R3  the index forgets before D moves: a reader that comes later cannot find what D' forgets;
 * R4  D' is durable in both copies before a segment below it is given out: "forgotten" and "free"
 *     are the same fact, and recovery concludes both from it;
 * R5  readers that may have seen a forgotten extent are gone before its segment is given out (G1);
 * R6  what is copied forward (keep.c) is taken after R2 and before R3: clean, still in the index,
 *     and with a new order of the era above D', so that D' does not forget the copy.
 */
#include "engine.h"

/* Below this many free segments reclaim begins. */
static uint32_t low_mark(const struct cbd_backend *b)
{
    uint32_t share = b->cache->configs[b->id].segments;
    uint32_t low = share / 16;

    return low > 2 ? low : 2;
}

/* One round over the segments that were in use when it began. */
struct walk {
    struct cbd_backend *b;
    uint32_t count; /* of b->in_use */
    uint64_t below;
    uint64_t epoch_written;
    uint64_t freed_bytes; /* of the segments that become free at the end */
    bool keep;            /* what was read is copied forward */
    bool passed;          /* the cursor of write-back has passed the record that is visited */
    uint64_t carried;     /* the epoch of dirty records that were carried; 0: there are none */
};

/*
 * Notes every segment in use. Only reclaim makes one free, so they stay in use and in their
 * stream; what else is in them is read under the lock of that stream.
 */
static void snapshot(struct walk *w)
{
    struct cbd_backend *b = w->b;
    const struct cbd_cache *c = b->cache;

    w->below = UINT64_MAX;
    cbd_lock_take(c->env, &b->table_lock);
    w->epoch_written = b->state.epoch_written;
    for (uint32_t id = 0; id < c->super.geo.segment_count; id++) {
        const struct cbd_segment *seg = &c->segments[id];

        if (seg->entry.owner != b->id + 1 || seg->entry.status == CBD_M_SEGMENT_FREE)
            continue;
        b->in_use[w->count++] = (struct cbd_segment_ref){id, seg->entry.stream % b->stream_count};
        /* The lowest order above every record of some closed segment. */
        if (seg->entry.status == CBD_M_SEGMENT_CLOSED)
            w->below = cbd_min64(w->below, seg->order_max + 1);
    }
    cbd_lock_drop(&b->table_lock);
}

/* Calls visit for each segment in use with its stream locked, until it returns non-zero. */
static int for_each_segment(struct walk *w, int (*visit)(struct walk *w, uint32_t id))
{
    int error = 0;

    for (uint32_t i = 0; i < w->count && error == 0; i++) {
        struct cbd_lock *lock = &w->b->streams[w->b->in_use[i].stream].lock;

        cbd_lock_take(w->b->cache->env, lock);
        error = visit(w, w->b->in_use[i].id);
        cbd_lock_drop(lock);
    }
    return error;
}

/* Calls visit for each record of the segment below w->below. */
static int for_each_record(struct walk *w, uint32_t id,
                           int (*visit)(struct walk *w, const struct cbd_record *r))
{
    struct cbd_cache *c = w->b->cache;
    const struct cbd_segment *seg = &c->segments[id];
    int error = 0;

    if (seg->cold)
        return 0; /* clean, and not in the index */
    for (uint32_t slot = 0; seg->order_min < w->below && slot < seg->records && error == 0;
         slot++) {
        struct cbd_record r;

        error = cbd_load_record(c, id, slot, &r);
        if (error != 0 && cbd_lost_at(w->b, id, slot)) {
            error = 0; /* known to be gone, and clean (L1) */
            continue;
        }
        if (error != 0 && CBD_CANARY(BAD_RECORD_PASSED))
            error = 0;
        w->passed = slot < seg->written;
        if (error == 0 && r.type != CBD_M_RECORD_VOID && r.order < w->below)
            error = visit(w, &r);
    }
    return error;
}

static int must_be_clean(struct walk *w, const struct cbd_record *r)
{
    if (r->type == CBD_M_RECORD_FILL || CBD_CANARY(DIRTY_FORGOTTEN) ||
        r->epoch <= w->epoch_written + CBD_CANARY(CLEAN_OFF_BY_ONE))
        return 0;
    if (!w->passed)
        return CBD_E_AGAIN;
    w->carried = r->epoch;
    return 0;
}

/* A closed segment all of whose records are below D'. */
static bool whole(const struct walk *w, const struct cbd_segment *seg)
{
    return seg->entry.status == CBD_M_SEGMENT_CLOSED &&
           (seg->order_max < w->below || CBD_CANARY(LIVE_SEGMENT_FREED));
}

/* R2, and write-back must have passed every segment that would become free. */
static int segment_clean(struct walk *w, uint32_t id)
{
    const struct cbd_segment *seg = &w->b->cache->segments[id];

    if (whole(w, seg) && seg->listed && !CBD_CANARY(LISTED_SEGMENT_FREED))
        return CBD_E_AGAIN;
    return for_each_record(w, id, must_be_clean);
}

static int forget(struct walk *w, const struct cbd_record *r)
{
    return cbd_index_forget_range(w->b, r->addr_bytes, r->len_bytes, w->below);
}

/* Space that becomes free at the end of this step. */
static int count_whole(struct walk *w, uint32_t id)
{
    if (whole(w, &w->b->cache->segments[id]))
        w->freed_bytes += w->b->cache->super.geo.segment_bytes;
    return 0;
}

/*
 * R6. A copy takes a stream's lock, so none is held here: records that are there do not change, and
 * nobody else makes their segment free.
 */
static void keep_hot(struct walk *w)
{
    struct cbd_backend *b = w->b;
    struct cbd_cache *c = b->cache;
    uint64_t budget;

    (void)for_each_segment(w, count_whole);
    /* K3 */
    b->keep_credit = cbd_min64(b->keep_credit + w->freed_bytes / 2, c->super.geo.segment_bytes);
    budget = b->keep_credit;
    for (uint32_t i = 0; i < w->count && budget != 0; i++) {
        uint32_t id = w->b->in_use[i].id;
        const struct cbd_segment *seg = &c->segments[id];
        struct cbd_lock *lock = &b->streams[b->in_use[i].stream].lock;
        uint32_t records;

        cbd_lock_take(c->env, lock);
        /* What is cold is not in the index: nobody can have read it. */
        records = seg->cold || seg->order_min >= w->below ? 0 : seg->records;
        cbd_lock_drop(lock);
        for (uint32_t slot = 0; slot < records && budget != 0; slot++) {
            struct cbd_record r;

            if (cbd_load_record(c, id, slot, &r) == 0 && r.order < w->below)
                budget = cbd_keep_record(b, &r, budget);
        }
    }
}

/* R3 */
static int segment_forget(struct walk *w, uint32_t id)
{
    return CBD_CANARY(INDEX_NOT_FORGOTTEN) ? 0 : for_each_record(w, id, forget);
}

/*
 * A segment that was closed only now may still be in the list of its stream: it stays, and the
 * next step frees it.
 */
static int segment_free(struct walk *w, uint32_t id)
{
    struct cbd_backend *b = w->b;
    const struct cbd_segment *seg = &b->cache->segments[id];

    if (!whole(w, seg) || (seg->listed && !CBD_CANARY(LISTED_SEGMENT_FREED)))
        return 0;
    cbd_lock_take(b->cache->env, &b->table_lock);
    cbd_segment_make_free(b, id);
    if (CBD_CANARY(FREED_TWICE))
        cbd_segment_make_free(b, id);
    cbd_count(&b->reclaim_stats.segments_reclaimed, 1);
    cbd_lock_drop(&b->table_lock);
    return 0;
}

/* R5 */
static void wait_for_readers(struct cbd_backend *b)
{
    uint64_t now = atomic_fetch_add(&b->grace, 1) + 1;
    struct cbd_env *env = b->cache->env;

    for (uint32_t i = 0; i < CBD_LANES_ALL && !CBD_CANARY(READERS_NOT_AWAITED); i++) {
        for (;;) {
            uint64_t reading = atomic_load(&b->lanes[i].reading);

            if (reading == 0 || reading >= now)
                break;
            if (env->ops->yield != NULL)
                env->ops->yield(env, CBD_YIELD_SPIN);
        }
    }
}

/* R1 */
static void begin_era_above(struct cbd_backend *b, uint64_t below)
{
    uint64_t era = (below >> CBD_ORDER_COUNT_BITS) + 1;
    unsigned long long now = atomic_load(&b->era);

    while (now < era && !atomic_compare_exchange_weak(&b->era, &now, era))
        ;
    if (atomic_load(&b->horizon_next) < below)
        atomic_store(&b->horizon_next, below);
    cbd_epoch_barrier(b);
}

static int move_horizon(struct walk *w)
{
    struct cbd_backend *b = w->b;
    uint64_t below = w->below;
    int error;

    cbd_lock_take(b->cache->env, &b->table_lock);
    if (w->carried != 0 && !CBD_CANARY(CARRIED_NOT_NAMED))
        b->state.carried = w->carried; /* X4 */
    if (!CBD_CANARY(HORIZON_STORED_LATE))
        b->state.horizon = below;
    error = CBD_CANARY(HORIZON_NOT_STORED)
                ? 0
                : cbd_twin_write_state(b->cache, b->id, &b->state, CBD_TWIN_HORIZON); /* R4 */
    if (CBD_CANARY(HORIZON_STORED_LATE))
        b->state.horizon = below;
    cbd_lock_drop(&b->table_lock);
    if (error != 0)
        atomic_store(&b->failed, error);
    return error;
}

/* CBD_E_AGAIN: something below w->below is dirty, and nothing was done. */
static int reclaim(struct walk *w)
{
    struct cbd_backend *b = w->b;
    int error;

    begin_era_above(b, w->below);
    error = for_each_segment(w, segment_clean);
    if (error == 0 && w->keep && b->reads != NULL)
        keep_hot(w);
    if (error == 0)
        error = for_each_segment(w, segment_forget);
    if (CBD_CANARY(FREED_BEFORE_HORIZON))
        (void)for_each_segment(w, segment_free);
    if (error == 0 && w->below > b->state.horizon)
        error = move_horizon(w);
    if (error != 0)
        return error;
    wait_for_readers(b);
    (void)for_each_segment(w, segment_free);
    cbd_count(&b->reclaim_stats.reclaims, 1);
    b->cache->env->ops->wake(b->cache->env);
    return 0;
}

int cbd_reclaim_step(struct cbd_backend *b)
{
    struct walk w = {.b = b, .keep = true};
    int error = atomic_load(&b->failed);

    if (error != 0)
        return error;
    if (atomic_load(&b->free_count) >= low_mark(b))
        return cbd_warm_step(b);
    snapshot(&w);
    if (w.below == UINT64_MAX)
        return 0; /* nothing is closed */
    error = reclaim(&w);
    if (error == CBD_E_AGAIN) {
        atomic_store(&b->wb.carry_below, w.below);
        atomic_store(&b->urgent, true);
        cbd_pressure_update(b);
        cbd_writeback_nudge(b);
        return 0;
    }
    return error != 0 ? error : 1;
}

/* Forgets every record of lower order: all of them are clean, or CBD_E_AGAIN. */
int cbd_reclaim_below(struct cbd_backend *b, uint64_t below)
{
    struct walk w = {.b = b};

    snapshot(&w);
    w.below = below;
    return reclaim(&w);
}
