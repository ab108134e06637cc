/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * durability=flush: writes store without flush and fence, and what makes them durable is here.
 *
 *   stream  | durable        | acknowledged, not durable | next
 *           +----------------+---------------------------+------
 *           0             durable                     records        <= durable + UNFENCED_MAX
 *
 *   FLUSH   for each stream, under its lock: flush (durable .. records); then one fence for all
 *
 * Y1  what a stream appends without fence is stored through the CPU cache, so that any thread can
 *     make it durable: the flush is made under the stream's lock, after the stores, and by the
 *     thread that fences. `durable` moves behind the fence, and each record carries it;
 * Y2  at most UNFENCED_MAX records of a stream are not durable. So the gap behind which a scan looks
 *     for no more records is longer than any that a crash can leave;
 * Y3  a segment is durable as a whole before it is closed;
 * Y4  write-back makes its epoch durable in pmem before it sends anything of it. Else a crash could
 *     leave an older, clean version in the cache and a newer one on the disk, and nothing would
 *     ever write the disk again;
 * Y5  the flush covers all that was acknowledged before it was asked for. Who comes while another
 *     works waits, and is done when a pass has ended that began after it came.
 */
#include "engine.h"

int cbd_sync_init(struct cbd_backend *b)
{
    if (b->options.durability == CBD_DURABLE_ON_ACK)
        return 0;
    if (b->options.durability != CBD_DURABLE_ON_FLUSH)
        return CBD_E_INVALID;
    if (!cbd_checksums(b->cache)) {
        cbd_report(b->cache->env, CBD_ERROR, CBD_E_INVALID, "durability=flush",
                   "needs data checksums: nothing else tells a payload that was lost", b->id,
                   UINT64_MAX, 0, 1);
        return CBD_E_INVALID;
    }
    b->unfenced = true;
    return 0;
}

/* The stream's lock is held. */
static void flush_tail(struct cbd_backend *b, const struct cbd_stream *s)
{
    struct cbd_cache *c = b->cache;
    const struct cbd_geometry *geo = &c->super.geo;
    const struct cbd_segment *seg = &c->segments[s->segment];
    uint64_t base = cbd_segment_off(geo, s->segment);

    if (seg->payload_end > s->durable_end)
        c->pm->ops->flush(c->pm, base + s->durable_end, seg->payload_end - s->durable_end,
                          CBD_STEP_SYNC_PAYLOAD);
    if (seg->records > s->durable)
        c->pm->ops->flush(c->pm, base + cbd_slot_off(geo, seg->records - 1),
                          (seg->records - s->durable) * sizeof(struct cbd_m_record),
                          CBD_STEP_SYNC_RECORDS);
}

static int fence(struct cbd_backend *b)
{
    int error = b->cache->pm->ops->fence(b->cache->pm, CBD_STEP_SYNC_FENCE);

    if (error != 0)
        atomic_store(&b->failed, error);
    return error;
}

/* The same for one stream, whose lock is held. */
int cbd_sync_stream(struct cbd_backend *b, struct cbd_stream *s)
{
    const struct cbd_segment *seg = &b->cache->segments[s->segment];
    int error;

    if (!b->unfenced || (seg->records == s->durable && seg->payload_end == s->durable_end))
        return 0;
    flush_tail(b, s);
    error = fence(b);
    if (error != 0)
        return error;
    s->durable = seg->records;
    s->durable_end = seg->payload_end;
    return 0;
}

/* What a pass has flushed of a stream. */
struct tail {
    uint32_t segment;
    uint32_t records;
    uint32_t payload_end;
    uint64_t generation;
};

/* The stream has not gone on to another segment since, nor come back to this one. */
static bool same(const struct cbd_backend *b, const struct cbd_stream *s, const struct tail *t)
{
    return t->segment != CBD_NO_SEGMENT && s->segment == t->segment &&
           b->cache->segments[t->segment].entry.generation == t->generation;
}

static int pass(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    struct tail tail[CBD_STREAMS_MAX];
    bool any = false;
    int error;

    for (uint32_t i = 0; i < b->stream_count; i++) {
        struct cbd_stream *s = &b->streams[i];

        cbd_lock_take(env, &s->lock);
        tail[i] = (struct tail){.segment = s->segment};
        if (s->segment != CBD_NO_SEGMENT) {
            const struct cbd_segment *seg = &b->cache->segments[s->segment];

            tail[i].records = seg->records;
            tail[i].payload_end = seg->payload_end;
            tail[i].generation = seg->entry.generation;
            any = any || seg->records != s->durable || seg->payload_end != s->durable_end;
            flush_tail(b, s);
        }
        cbd_lock_drop(&s->lock);
    }
    if (!any)
        return 0;
    error = fence(b);
    for (uint32_t i = 0; i < b->stream_count && error == 0; i++) {
        struct cbd_stream *s = &b->streams[i];

        cbd_lock_take(env, &s->lock);
        if (same(b, s, &tail[i]) && s->durable < tail[i].records)
            s->durable = tail[i].records;
        if (same(b, s, &tail[i]) && s->durable_end < tail[i].payload_end)
            s->durable_end = tail[i].payload_end;
        cbd_lock_drop(&s->lock);
    }
    return error;
}

/* Everything that was acknowledged before this call is durable when it returns 0 (Y5). */
int cbd_sync(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    uint64_t came;
    int error = atomic_load(&b->failed);

    if (!b->unfenced || error != 0)
        return error;
    came = atomic_load(&b->passes_begun);
    cbd_lock_take(env, &b->sync_lock);
    if (b->passes_ended <= came) {
        uint64_t n = atomic_fetch_add(&b->passes_begun, 1) + 1;

        error = pass(b);
        if (error == 0)
            b->passes_ended = n;
    }
    cbd_lock_drop(&b->sync_lock);
    return error;
}
