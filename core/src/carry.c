/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty records of the open epoch that stand in the way of reclaim are stored again, in the same
 * epoch. Else the epoch would have to end for them, which costs a flush of the disk that the
 * application did not ask for, and splits what could have been merged.
 *
 *   order  ---- about to be forgotten ----|D'---------------------------|next
 *            [fill] [a: epoch 7] [fill]                   [a: epoch 7]
 *                        |                                     ^
 *                        +------------- as a write ------------+
 *
 * Reclaim asks for it and names D'. The step of write-back does it, because the cursors are its
 * own: what the cursor of a stream has passed needs no write-back any more, and then reclaim may
 * forget it (R2) and its segment leaves the list of its stream.
 *
 * X1  only the open epoch is carried, and only while nothing older is dirty. The cursors pass what
 *     was carried only if the epoch is open still: until then nothing but records of the same epoch
 *     can have hidden any of it, and the disk never needs what they hid (W2);
 * X2  a copy goes in as a write, under the lock of its tree, if the index shows the original in all
 *     of its range at the moment at which it takes its order and epoch. So it hides nothing that
 *     is newer, and every later write has a higher order and no lower epoch (E1);
 * X3  the era above D' has begun before (R1), so that D' does not forget a copy. Originals and copies
 *     are durable before the cursors move, with durability=flush as well;
 * X4  what D' forgets of the carried epoch is named by the state that says D': a record below the
 *     horizon that is dirty and of another epoch is damage;
 * X5  in the long run no more is carried than half of what becomes free, and no copy waits for
 *     room. What cannot be carried ends the epoch, as if nobody had tried.
 */
#include "engine.h"

#define SLOTS_PER_LOCK 256u  /* as in wb_collect.c */
#define ZERO_REGIONS_MAX 64u /* a longer discard is not carried */

/* One attempt. */
struct carry {
    struct cbd_backend *b;
    uint64_t epoch;
    uint64_t below;
    uint32_t todo[CBD_STREAMS_MAX]; /* dirty records of each stream, from its cursor on */
    uint64_t cost;
    uint32_t stream;                /* that had room for the last copy */
    uint64_t space, bytes, records; /* of the originals that the cursors pass */
};

/* A place in the list of a stream. */
struct place {
    uint32_t id;
    uint32_t slot;
};

static bool is_dirty(const struct cbd_record *r)
{
    return r->type == CBD_M_RECORD_WRITE || r->type == CBD_M_RECORD_ZERO;
}

/* The place of the next record, the stream's lock is held. False: there is none. */
static bool settle(const struct cbd_backend *b, const struct cbd_stream *s, struct place *at)
{
    const struct cbd_segment *segments = b->cache->segments;

    while (at->id != CBD_NO_SEGMENT && at->slot == segments[at->id].records) {
        if (at->id == s->wb_tail)
            return false;
        at->id = segments[at->id].next;
        at->slot = segments[at->id].written;
    }
    return at->id != CBD_NO_SEGMENT;
}

static struct place first_place(const struct cbd_backend *b, const struct cbd_stream *s)
{
    struct place at = {.id = s->wb_head};

    if (at.id != CBD_NO_SEGMENT)
        at.slot = b->cache->segments[at.id].written;
    return at;
}

/*
 * A part of what measure() does, for one hold of the stream's lock. 1: there is more. An error:
 * there is something that cannot be carried.
 */
static int measure_part(struct carry *c, struct cbd_stream *s, struct place *at, uint32_t *seen,
                        uint64_t *space)
{
    struct cbd_backend *b = c->b;

    for (uint32_t n = 0; n < SLOTS_PER_LOCK; n++) {
        struct cbd_record r;

        if (!settle(b, s, at) || b->cache->segments[at->id].order_min >= c->below)
            return 0;
        if (cbd_load_record(b->cache, at->id, at->slot, &r) != 0)
            return CBD_E_CORRUPT; /* write-back knows what to do about it */
        at->slot++;
        if (!is_dirty(&r))
            continue;
        if (r.epoch != c->epoch && !CBD_CANARY(CARRIED_BEYOND_EPOCH))
            return CBD_E_AGAIN; /* X1: it has been closed */
        *space += cbd_record_space(r.type, r.addr_bytes, r.len_bytes);
        (*seen)++;
        if (r.order < c->below) {
            c->todo[s - b->streams] = *seen;
            c->cost += *space;
            *space = 0;
        }
    }
    return 1;
}

/* How many records each cursor has to pass until nothing below D' is left behind it. */
static int measure(struct carry *c)
{
    struct cbd_backend *b = c->b;
    int error = 0;

    for (uint32_t i = 0; i < b->stream_count && error == 0; i++) {
        struct cbd_stream *s = &b->streams[i];
        struct place at = {.id = CBD_NO_SEGMENT};
        uint64_t space = 0;
        uint32_t seen = 0;
        bool begun = false;

        do {
            cbd_lock_take(b->cache->env, &s->lock);
            if (!begun)
                at = first_place(b, s);
            begun = true;
            error = measure_part(c, s, &at, &seen, &space);
            cbd_lock_drop(&s->lock);
        } while (error > 0);
    }
    return error;
}

/* A part of a record that the index shows. */
struct part {
    struct cbd_extent extent;
    uint64_t addr;
    uint64_t skip; /* bytes of the extent before it */
    uint64_t len;
};

/* The first part in [addr, addr+len), a range of one region. False: there is none. */
static bool next_part(struct cbd_backend *b, const struct cbd_record *r, uint64_t addr,
                      uint64_t len, struct part *part)
{
    struct cbd_index_tree *t = cbd_index_tree_of(b, addr);
    uint64_t base = cbd_index_local(b, addr);
    uint64_t pos = base, end = base + len / CBD_SECTOR_BYTES;
    struct cbd_extent *e = &part->extent;
    bool found = false;

    cbd_lock_take(b->cache->env, &t->lock);
    while (!found && pos < end && cbd_tree_find(&t->tree, pos, e) && e->start < end) {
        uint64_t stop = cbd_min64(end, e->start + e->len);

        pos = e->start > pos ? e->start : pos;
        found = e->order == r->order;
        part->addr = addr + (pos - base) * CBD_SECTOR_BYTES;
        part->skip = (pos - e->start) * CBD_SECTOR_BYTES;
        part->len = (stop - pos) * CBD_SECTOR_BYTES;
        pos = stop;
    }
    cbd_lock_drop(&t->lock);
    return found;
}

/* Puts a copy into whichever stream has room. CBD_E_AGAIN: none has. */
static int insert_copy(struct carry *c, struct cbd_insert *in)
{
    struct cbd_backend *b = c->b;
    uint64_t len = in->len;
    int error = CBD_E_AGAIN;

    for (uint32_t i = 0; i < b->stream_count && error == CBD_E_AGAIN; i++) {
        in->len = len;
        error = cbd_insert(b, CBD_LANE_CARRY + c->stream, in);
        if (error == CBD_E_AGAIN)
            c->stream = (c->stream + 1) % b->stream_count;
    }
    return error;
}

/* What of a record the index shows in [addr, addr+len), a range of one region. */
static int carry_range(struct carry *c, const struct cbd_record *r, uint64_t addr, uint64_t len)
{
    struct cbd_backend *b = c->b;
    uint64_t end = addr + len;
    struct part part;
    int error = 0;

    while (error == 0 && addr < end && next_part(b, r, addr, end - addr, &part)) {
        struct cbd_insert in = {
            .type = r->type,
            .flags = r->flags,
            .addr = part.addr,
            .len = part.len,
            .src = b->wb.io[0].buf,
            .original = CBD_CANARY(CARRIED_OVER_NEWER) ? 0 : r->order,
        };

        if (r->type == CBD_M_RECORD_WRITE) {
            in.len = cbd_min64(in.len, cbd_min64(CBD_WB_BUFFER_BYTES, b->piece_bytes_max));
            error = cbd_extent_read(b->cache, &part.extent, part.skip, in.len, b->wb.io[0].buf,
                                    NULL); /* W6 */
        }
        if (error == 0)
            error = insert_copy(c, &in);
        addr = in.addr;
        if (error == CBD_E_MISMATCH) {
            error = 0; /* X2: a write came in between. Look again */
            continue;
        }
        if (error != 0)
            return error;
        addr += in.len;
        cbd_count(&b->wb.stats.carried_bytes, r->type == CBD_M_RECORD_WRITE ? in.len : 0);
    }
    return error;
}

static int carry_record(struct carry *c, const struct cbd_record *r)
{
    uint64_t end = r->addr_bytes + r->len_bytes;
    int error = 0;

    if (CBD_CANARY(CARRIED_BY_NAME_ONLY))
        return 0;
    if (r->len_bytes > ZERO_REGIONS_MAX * CBD_REGION_BYTES)
        return CBD_E_NOSPACE;
    for (uint64_t addr = r->addr_bytes; addr < end && error == 0;) {
        uint64_t n = cbd_min64(end, (addr / CBD_REGION_BYTES + 1) * CBD_REGION_BYTES) - addr;

        error = carry_range(c, r, addr, n);
        addr += n;
    }
    return error;
}

/* Carries what the stream has to do, and notes where its cursor may go. */
static int carry_stream(struct carry *c, uint32_t n)
{
    struct cbd_backend *b = c->b;
    struct cbd_stream *s = &b->streams[n];
    struct place at;
    int error = 0;

    cbd_lock_take(b->cache->env, &s->lock);
    at = first_place(b, s);
    cbd_lock_drop(&s->lock);
    for (;;) {
        struct cbd_record r;
        bool any;

        cbd_lock_take(b->cache->env, &s->lock);
        any = settle(b, s, &at);
        if (any)
            error = cbd_load_record(b->cache, at.id, at.slot, &r);
        cbd_lock_drop(&s->lock);
        if (!any || error != 0)
            break;
        if (is_dirty(&r)) {
            if (c->todo[n] == 0)
                break;
            error = carry_record(c, &r);
            if (error != 0)
                break;
            c->todo[n]--;
            c->records++;
            c->space += cbd_record_space(r.type, r.addr_bytes, r.len_bytes);
            c->bytes += r.type == CBD_M_RECORD_WRITE ? r.len_bytes : 0;
        }
        at.slot++;
    }
    b->wb.cursor_segment[n] = at.id;
    b->wb.cursor_slot[n] = at.slot;
    return error;
}

/* X5: what reclaim has made free since the last time gives room for half as much. */
static uint64_t credit(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    uint64_t freed = cbd_counted(&b->reclaim_stats.segments_reclaimed);
    uint64_t half = b->cache->super.geo.segment_bytes / 2;
    uint64_t most = b->cache->configs[b->id].segments * half / 4;

    wb->carry_credit = cbd_min64(wb->carry_credit + (freed - wb->carry_freed) * half, most);
    wb->carry_freed = freed;
    return wb->carry_credit;
}

void cbd_carry_init(struct cbd_backend *b)
{
    b->wb.carry_credit = UINT64_MAX / 2; /* credit() takes it down to an eighth of the share */
}

/*
 * Carries what is dirty below D' in the open epoch, which is the oldest dirty one. 1: done, reclaim
 * can go on. 0: it cannot be done, and the epoch has to end. Owned by the write-back step.
 */
int cbd_carry(struct cbd_backend *b, uint64_t epoch, uint64_t below)
{
    struct carry c = {.b = b, .epoch = epoch, .below = below};
    struct cbd_writeback *wb = &b->wb;
    bool open;
    int error;

    if (atomic_load(&b->tuned.max_dirty_bytes) != 0)
        return 0; /* originals and copies count side by side for a moment */
    error = measure(&c);
    if (error != 0 || c.cost > credit(b))
        return 0;
    if (c.cost == 0 && wb->carry_none == below)
        return 0; /* reclaim had this answer before */
    wb->carry_none = c.cost == 0 ? below : 0;
    error = cbd_sync(b); /* X3 */
    for (uint32_t n = 0; n < b->stream_count; n++)
        wb->cursor_segment[n] = CBD_NO_SEGMENT;
    for (uint32_t n = 0; n < b->stream_count && error == 0; n++)
        error = carry_stream(&c, n);
    wb->carry_credit -= cbd_min64(c.space, wb->carry_credit);
    if (atomic_load(&b->failed) != 0)
        return atomic_load(&b->failed);
    if (cbd_sync(b) != 0) /* X3 */
        return atomic_load(&b->failed);
    open = atomic_load(&b->epoch) == epoch || CBD_CANARY(CARRIED_BEYOND_EPOCH); /* X1 */
    if (!open)
        return 0;
    /* Whatever was carried is, even when the rest was not. */
    atomic_fetch_add(&b->carried_records, c.records);
    atomic_fetch_add(&b->carried_space, c.space);
    atomic_fetch_add(&wb->retired_space, c.space);
    atomic_fetch_add(&wb->retired_bytes, c.bytes);
    cbd_wb_advance_cursors(b);
    return error == 0;
}
