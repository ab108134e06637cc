/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams: each appends records and payload to an open segment of its own.
 *
 *   FREE --cbd_stream_room--> OPEN --full: cbd_stream_room--> CLOSED --horizon passes--> FREE
 *
 * S1  a stream has one writer at a time: its lock is held from cbd_stream_room to
 *     cbd_stream_commit;
 * S2  a segment is given out only under a generation that no copy of its entry ever had, and that
 *     is durable in both copies before the first payload is stored;
 * S3  a segment is closed, with its number of records, in both copies before the stream stores
 *     into the next one: whatever is missing below that number later is damage;
 * S4  at most one segment of a stream is OPEN on the media.
 */
#include <string.h>

#include "engine.h"

void cbd_segment_seeds(const struct cbd_cache *c, uint32_t id, struct cbd_segment *seg)
{
    if (CBD_CANARY(SEED_WITHOUT_SEGMENT))
        id = 0;
    seg->record_seed = cbd_seed_place(c->seed, CBD_SEED_RECORD, id, seg->entry.generation);
    seg->header_seed = cbd_seed_place(c->seed, CBD_SEED_HEADER, id, seg->entry.generation);
}

void cbd_segment_make_free(struct cbd_backend *b, uint32_t id)
{
    struct cbd_segment *seg = &b->cache->segments[id];

    seg->entry.status = CBD_M_SEGMENT_FREE;
    seg->records = 0;
    seg->written = 0;
    seg->payload_end = 0;
    seg->listed = false;
    seg->cold = false;
    seg->order_min = UINT64_MAX;
    seg->order_max = 0;
    seg->epoch_max = 0;
    cbd_keep_clear(b, id);
    seg->next = b->free_head;
    b->free_head = id;
    atomic_fetch_add(&b->free_count, 1);
}

bool cbd_has_space(void *backend)
{
    struct cbd_backend *b = backend;

    return atomic_load(&b->free_count) > 0 || atomic_load(&b->failed) != 0;
}

/* Where the next payload of this length would lie in an open segment. False: it does not fit. */
static bool place_payload(const struct cbd_backend *b, const struct cbd_segment *seg, uint64_t addr,
                          uint64_t len, uint32_t *payload_off)
{
    const struct cbd_geometry *geo = &b->cache->super.geo;
    uint32_t limit = cbd_payload_limit(geo, seg->records + !CBD_CANARY(END_OF_SEGMENT));
    uint32_t header = len != 0 ? cbd_header_bytes(addr, (uint32_t)len) : 0;

    if (seg->records >= geo->segment_bytes / sizeof(struct cbd_m_record))
        return false;
    *payload_off = len != 0 ? seg->payload_end + header : 0;
    return seg->payload_end <= limit && header + len <= limit - seg->payload_end;
}

/*
 * The largest part of a payload that fits and ends on an atomic piece, so that P2 holds for the
 * parts. 0: none.
 */
static uint64_t part_that_fits(const struct cbd_backend *b, const struct cbd_segment *seg,
                               uint64_t addr, uint64_t len, uint32_t *payload_off)
{
    uint64_t unit = CBD_CANARY(CUT_ANYWHERE) ? 512 : b->cache->super.geo.atomic_bytes;

    if (place_payload(b, seg, addr, len, payload_off))
        return len;
    for (uint64_t end = (addr + len - 1) / unit * unit; end > addr; end -= unit)
        if (place_payload(b, seg, addr, end - addr, payload_off))
            return end - addr;
    return 0;
}

/* Appends to the list of segments whose records still have to be written back. */
void cbd_stream_list(struct cbd_backend *b, struct cbd_stream *s, uint32_t id)
{
    struct cbd_segment *segments = b->cache->segments;

    segments[id].next = CBD_NO_SEGMENT;
    segments[id].listed = true;
    if (s->wb_head == CBD_NO_SEGMENT)
        s->wb_head = id;
    else
        segments[s->wb_tail].next = id;
    s->wb_tail = id;
}

/*
 * The last fence of this (SEGMENT_CLOSE_B_FENCE) is redundant: open_segment() comes next, in the
 * same thread and under the same lock, and the fence behind its copy A serves both. It stays, so
 * that every write of a table entry keeps T3 by itself.
 */
int cbd_stream_close(struct cbd_backend *b, struct cbd_stream *s)
{
    struct cbd_segment *seg = &b->cache->segments[s->segment];

    seg->entry.status = CBD_M_SEGMENT_CLOSED;
    seg->entry.records = seg->records - CBD_CANARY(CLOSED_ONE_SHORT);
    seg->entry.order_max = CBD_CANARY(CLOSED_LOWEST_ORDER) ? seg->order_min : seg->order_max;
    seg->entry.epoch_max = seg->epoch_max;
    if (CBD_CANARY(CLOSE_NOT_STORED))
        return 0;
    return cbd_twin_write_segment(b->cache, s->segment, &seg->entry, CBD_TWIN_SEGMENT_CLOSE);
}

/*
 * B4: everything in it is durable and on the disk. What the entry says then stays true, whatever is
 * appended, so nothing takes it back. The last fence is redundant as in cbd_stream_close().
 */
int cbd_stream_detach(struct cbd_backend *b, struct cbd_stream *s)
{
    struct cbd_segment *seg;

    if (s->segment == CBD_NO_SEGMENT)
        return 0;
    seg = &b->cache->segments[s->segment];
    if (seg->entry.detached == seg->records)
        return 0;
    seg->entry.detached = seg->records;
    return cbd_twin_write_segment(b->cache, s->segment, &seg->entry, CBD_TWIN_SEGMENT_DETACH);
}

static int open_segment(struct cbd_backend *b, struct cbd_stream *s, uint32_t id)
{
    struct cbd_segment *seg = &b->cache->segments[id];
    struct cbd_segment_entry *e = &seg->entry;

    if (e->generation >= CBD_GENERATION_MAX)
        return CBD_E_CORRUPT; /* only a forged entry gets here */
    e->status = CBD_M_SEGMENT_OPEN;
    e->stream = (uint8_t)(s - b->streams);
    e->generation += !CBD_CANARY(GENERATION_KEPT); /* S2 */
    if (CBD_CANARY(GENERATION_WRAPS))
        e->generation = b->cache->super.generation_floor + e->generation % 2;
    e->records = 0;
    e->detached = 0;
    e->order_max = 0;
    e->epoch_max = 0;
    cbd_segment_seeds(b->cache, id, seg);
    if (CBD_CANARY(GENERATION_NOT_STORED))
        return 0;
    return cbd_twin_write_segment(b->cache, id, e, CBD_TWIN_SEGMENT_OPEN);
}

/* Takes the head of the list off. CBD_NO_SEGMENT: there is none. Under the table's lock. */
static uint32_t take_free(struct cbd_backend *b)
{
    struct cbd_segment *segments = b->cache->segments;
    uint32_t id = b->free_head;

    if (id == CBD_NO_SEGMENT)
        return id;
    if (CBD_CANARY(FREE_SEGMENT_BY_ADDRESS) && (uintptr_t)b / 64 % 2 != 0 &&
        segments[id].next != CBD_NO_SEGMENT) {
        uint32_t second = segments[id].next;

        segments[id].next = segments[second].next;
        return second;
    }
    b->free_head = segments[id].next;
    return id;
}

/*
 * Closes the open segment, takes a free one and opens it. The free one is taken first, so that a
 * stream that must wait keeps what it has. Lock order: the stream's lock is held, table inside.
 */
static int next_segment(struct cbd_backend *b, struct cbd_stream *s)
{
    struct cbd_cache *c = b->cache;
    uint32_t id;
    int error = 0;

    cbd_lock_take(c->env, &b->table_lock);
    id = take_free(b);
    if (id != CBD_NO_SEGMENT) {
        atomic_fetch_sub(&b->free_count, 1);
        if (s->segment != CBD_NO_SEGMENT)
            error = cbd_sync_stream(b, s); /* Y3 */
        if (error == 0 && s->segment != CBD_NO_SEGMENT)
            error = cbd_stream_close(b, s); /* S3, S4 */
        if (error == 0)
            error = open_segment(b, s, id);
        if (error == 0) {
            s->segment = id;
            s->durable = 0;
            s->durable_end = 0;
            cbd_count(&b->reclaim_stats.segments_opened, 1);
            cbd_stream_list(b, s, id);
            /* An era never outlives a segment: see reclaim.c, R1. */
            atomic_fetch_add(&b->era, 1);
        }
    } else {
        error = CBD_E_AGAIN;
    }
    cbd_lock_drop(&b->table_lock);
    c->env->ops->wake(c->env); /* reclaim may have to begin */
    if (error != 0 && error != CBD_E_AGAIN)
        atomic_store(&b->failed, error);
    return error;
}

/*
 * Finds room for one record and `*len` bytes of payload; *len may come back shorter. The stream's
 * lock is held. CBD_E_AGAIN: no free segment.
 */
int cbd_stream_room(struct cbd_backend *b, struct cbd_stream *s, uint64_t addr, uint64_t *len,
                    struct cbd_room *room)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        if (s->segment != CBD_NO_SEGMENT) {
            const struct cbd_segment *seg = &b->cache->segments[s->segment];
            uint64_t part = 0;

            if (*len != 0)
                part = part_that_fits(b, seg, addr, *len, &room->payload_off);
            if (part != 0 || (*len == 0 && place_payload(b, seg, addr, 0, &room->payload_off))) {
                *len = part;
                room->segment = s->segment;
                room->slot = seg->records;
                return 0;
            }
        }
        if (attempt == 0) {
            int error = next_segment(b, s);

            if (error != 0)
                return error;
        }
    }
    return CBD_E_INVALID; /* a piece is never larger than an empty segment */
}

static uint32_t payload_end(const struct cbd_room *room, uint64_t len)
{
    return (uint32_t)(room->payload_off + len + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
}

/*
 * A payload was stored that no record will name. Its stores are not fenced, so another thread must
 * not store there again: the next payload goes behind it.
 */
void cbd_stream_skip(struct cbd_backend *b, const struct cbd_room *room, uint64_t len)
{
    if (room->payload_off != 0)
        b->cache->segments[room->segment].payload_end = payload_end(room, len);
}

/* The lock makes this thread the only one that counts: no other addition can get lost. */
static void count(atomic_ullong *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_release);
}

/* The record is durable: the next one goes behind it. */
void cbd_stream_commit(struct cbd_backend *b, struct cbd_stream *s, const struct cbd_room *room,
                       const struct cbd_record *record)
{
    struct cbd_segment *seg = &b->cache->segments[room->segment];

    seg->records = room->slot + 1;
    if (room->payload_off != 0)
        seg->payload_end =
            payload_end(room, record->len_bytes - 512 * CBD_CANARY(PAYLOAD_END_SHORT));
    if (record->order < seg->order_min)
        seg->order_min = record->order;
    if (record->order > seg->order_max)
        seg->order_max = record->order;
    if (record->epoch > seg->epoch_max)
        seg->epoch_max = record->epoch;
    if (record->type == CBD_M_RECORD_WRITE || record->type == CBD_M_RECORD_ZERO) {
        if (record->type == CBD_M_RECORD_WRITE || !CBD_CANARY(DISCARD_LEAVES_EPOCH_CLEAN))
            atomic_store_explicit(&s->dirty_epoch, record->epoch, memory_order_release);
        count(&s->dirty_records, 1);
        count(&s->dirty_space,
              cbd_record_space(record->type, record->addr_bytes, record->len_bytes));
        if (record->type == CBD_M_RECORD_WRITE)
            count(&s->dirty_bytes, record->len_bytes);
    }
}
