/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Warming up: after a clean detach everything cached is clean, so attach need not read all of it.
 * It reads the open segments; the records of the closed ones come into the index later, newest
 * first, in steps of reclaim. Until then their ranges are read from the disk.
 *
 *   order     0 ......................... above .............. at the detach ... new
 *   segment 4 (closed)                     |      [=======]                       in the index
 *   segment 7 (closed)                 [===|========]                             its newer part is
 *   segment 2 (closed)      [=========]    |                                      next: cold
 *
 * H1  every record from before the detach whose order is above `above` is in the index, and none
 *     other: so nothing in the index is older than what a cold segment holds for the same range.
 *     Readers go on during a step: what it brings in comes newest first, whatever segment it is of,
 *     so it holds between any two inserts;
 * H2  a record comes in only when its segment, and every one that could hold a newer record, has
 *     been read as a whole without damage. At the first damage all that is still cold is given up:
 *     what was lost may have hidden older data (it is clean: the disk has it);
 * H3  what was written since the attach has higher orders and wins (I3); what was forgotten since
 *     has an order below the horizon and stays out: steps of reclaim and of this never overlap.
 */
#include "engine.h"
#include "sort.h"

static void end(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    if (b->warm.segments != NULL)
        env->ops->free(env, b->warm.segments, b->warm.capacity * sizeof(*b->warm.segments));
    b->warm = (struct cbd_warm){0};
}

void cbd_warm_destroy(struct cbd_backend *b)
{
    end(b);
}

/* Whether a backend can be attached with its closed segments unread. */
bool cbd_warm_possible(const struct cbd_backend *b)
{
    const struct cbd_cache *c = b->cache;

    if ((b->state.flags & (CBD_M_STATE_ATTACHED | CBD_M_STATE_DROPPING)) != 0)
        return false;
    for (uint32_t id = 0; id < c->super.geo.segment_count; id++) {
        const struct cbd_segment_entry *e = &c->segments[id].entry;

        if (e->owner == b->id + 1 && e->status == CBD_M_SEGMENT_CLOSED &&
            e->order_max >= b->state.horizon && e->epoch_max > b->state.epoch_written)
            return false; /* says "clean" and is not: read everything and see */
    }
    return true;
}

/* Room for every segment; nothing at or below the highest order of a closed one goes in at first. */
int cbd_warm_begin(struct cbd_backend *b)
{
    const struct cbd_cache *c = b->cache;
    struct cbd_warm *w = &b->warm;

    w->capacity = cbd_owned_segments(b) + 1;
    w->segments = c->env->ops->alloc(c->env, w->capacity * sizeof(*w->segments));
    if (w->segments == NULL)
        return CBD_E_NOMEM;
    w->epoch = b->state.epoch_written;
    for (uint32_t id = 0; id < c->super.geo.segment_count; id++) {
        const struct cbd_segment_entry *e = &c->segments[id].entry;

        if (e->owner == b->id + 1 && e->status == CBD_M_SEGMENT_CLOSED && e->order_max > w->above)
            w->above = e->order_max;
    }
    return 0;
}

void cbd_warm_add_closed(struct cbd_backend *b, uint32_t id)
{
    struct cbd_segment *seg = &b->cache->segments[id];
    struct cbd_warm *w = &b->warm;

    seg->cold = true;
    seg->records = seg->entry.records;
    seg->written = seg->records;
    seg->payload_end = 0;
    seg->listed = false;
    seg->order_min = 0;
    seg->order_max = seg->entry.order_max;
    seg->epoch_max = seg->entry.epoch_max;
    w->segments[w->count++] = (struct cbd_warm_segment){id, seg->records, seg->order_max};
}

/* An open segment was read already; what of it is not in the index goes in with its neighbours. */
void cbd_warm_add_open(struct cbd_backend *b, uint32_t id)
{
    const struct cbd_segment *seg = &b->cache->segments[id];
    struct cbd_warm *w = &b->warm;

    if (seg->records == 0 || seg->order_min > w->above)
        return;
    w->segments[w->count++] = w->segments[w->next];
    w->segments[w->next++] = (struct cbd_warm_segment){id, seg->records, seg->order_max};
}

static bool newer(const void *pa, const void *pb)
{
    const struct cbd_warm_segment *a = pa, *b = pb;

    return a->order_max != b->order_max ? a->order_max > b->order_max : a->id < b->id;
}

/* All segments were added: sorts them and brings in what is newest, a part for each stream. */
int cbd_warm_ready(struct cbd_backend *b)
{
    struct cbd_warm *w = &b->warm;
    int did = 1;

    cbd_sort(w->segments + w->next, w->count - w->next, sizeof(*w->segments), newer);
    for (uint32_t i = 0; i < b->stream_count && did > 0; i++)
        did = cbd_warm_step(b);
    return did < 0 ? did : 0;
}

/* H2: every slot holds a sound record. Notes the lowest order. */
static bool read_segment(struct cbd_backend *b, const struct cbd_warm_segment *ws)
{
    struct cbd_segment *seg = &b->cache->segments[ws->id];
    uint64_t order_min = UINT64_MAX;

    for (uint32_t slot = 0; slot < ws->slots; slot++) {
        struct cbd_record r;

        if (CBD_CANARY(WARM_PASSES_DAMAGE) && cbd_load_record(b->cache, ws->id, slot, &r) != 0)
            continue;
        if (cbd_load_record(b->cache, ws->id, slot, &r) != 0 ||
            (r.type != CBD_M_RECORD_VOID &&
             (r.epoch > b->warm.epoch || !cbd_record_fits(b, ws->id, &r)))) {
            cbd_report(b->cache->env, CBD_WARNING, CBD_E_CORRUPT, "record",
                       "is damaged and clean: it and what is older is read from the disk", ws->id,
                       cbd_segment_off(&b->cache->super.geo, ws->id) +
                           cbd_slot_off(&b->cache->super.geo, slot),
                       slot, ws->slots);
            return false;
        }
        if (r.type != CBD_M_RECORD_VOID)
            order_min = cbd_min64(order_min, r.order);
    }
    seg->order_min = order_min;
    seg->cold = false;
    return true;
}

/* A segment that was reclaimed since the attach belongs to somebody else by now. */
static bool gone(const struct cbd_backend *b, const struct cbd_warm_segment *ws)
{
    return ws->order_max < b->state.horizon;
}

/* A record that a step brings in. */
struct incoming {
    uint64_t order;
    uint32_t segment, slot;
};

static bool order_falls(const void *pa, const void *pb)
{
    const struct incoming *a = pa, *b = pb;

    return a->order > b->order;
}

/* Adds the records of a segment with floor < order <= above. */
static int find_incoming(const struct cbd_backend *b, const struct cbd_warm_segment *ws,
                         uint64_t floor, struct incoming *in, size_t *n)
{
    for (uint32_t slot = 0; slot < ws->slots; slot++) {
        struct cbd_record r;
        int error = cbd_load_record(b->cache, ws->id, slot, &r);

        if (error != 0 && CBD_CANARY(WARM_PASSES_DAMAGE))
            continue;
        if (error != 0)
            return CBD_E_CORRUPT; /* it was sound a moment ago */
        if (r.type == CBD_M_RECORD_VOID || (r.order <= floor && !CBD_CANARY(WARM_SHOWS_OLD)) ||
            r.order > b->warm.above ||
            (r.order < b->state.horizon && !CBD_CANARY(WARM_SHOWS_FORGOTTEN)))
            continue;
        in[(*n)++] = (struct incoming){r.order, ws->id, slot};
    }
    return 0;
}

/* Whether a segment that was read may have records that a step brings in. */
static bool has_incoming(const struct cbd_backend *b, const struct cbd_warm_segment *ws)
{
    return !gone(b, ws) && b->cache->segments[ws->id].order_min <= b->warm.above;
}

/* H1: newest first. */
static int insert_incoming(struct cbd_backend *b, struct incoming *in, size_t n)
{
    int error = 0;

    if (!CBD_CANARY(WARM_BY_SEGMENT))
        cbd_sort(in, n, sizeof(*in), order_falls);
    for (size_t i = 0; i < n && error == 0; i++) {
        struct cbd_record r;

        if (cbd_load_record(b->cache, in[i].segment, in[i].slot, &r) != 0)
            return CBD_E_CORRUPT;
        error = cbd_index_add_old(b, &r, in[i].segment);
        if (error == 0)
            cbd_count(&b->reclaim_stats.recovered_records, 1);
    }
    return error;
}

/* Every record with floor < order <= above of the segments that were read. */
static int bring_in(struct cbd_backend *b, uint64_t floor)
{
    struct cbd_env *env = b->cache->env;
    const struct cbd_warm *w = &b->warm;
    struct incoming *in;
    size_t slots = 0, n = 0;
    int error = 0;

    for (uint32_t i = 0; i < w->next; i++)
        if (has_incoming(b, &w->segments[i]))
            slots += w->segments[i].slots;
    if (slots == 0)
        return 0;
    in = env->ops->alloc(env, slots * sizeof(*in));
    if (in == NULL)
        return CBD_E_NOMEM;
    for (uint32_t i = 0; i < w->next && error == 0; i++)
        if (has_incoming(b, &w->segments[i]))
            error = find_incoming(b, &w->segments[i], floor, in, &n);
    if (error == 0)
        error = insert_incoming(b, in, n);
    env->ops->free(env, in, slots * sizeof(*in));
    return error;
}

/* What is cold is clean, and of orders up to `above`. */
static int give_up(struct cbd_backend *b)
{
    uint64_t below = b->warm.above + 1;

    end(b);
    return cbd_reclaim_below(b, below);
}

/* Reads one more segment and brings in every record that is then known to be the newest. */
int cbd_warm_step(struct cbd_backend *b)
{
    struct cbd_warm *w = &b->warm;
    uint64_t floor = 0;
    int error = 0;

    if (w->segments == NULL)
        return 0;
    if (w->next < w->count) {
        const struct cbd_warm_segment *ws = &w->segments[w->next];

        if (!gone(b, ws) && !read_segment(b, ws)) {
            error = give_up(b);
            return error != 0 ? error : 1;
        }
        w->next++;
        floor = w->next < w->count ? w->segments[w->next].order_max : 0;
    }
    error = bring_in(b, floor);
    if (error != 0)
        return error;
    w->above = floor;
    if (floor == 0)
        end(b);
    return 1;
}
