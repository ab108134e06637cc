/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a pass of write-back holds: the records of the oldest dirty epoch, or of several, as one
 * tree by address. Each stream has a list of segments and in it a cursor, before which everything
 * is on the disk; collecting goes on from there and moves the cursor only when E has moved.
 */
#include "engine.h"

#define SLOTS_PER_LOCK 256u /* how many a writer of the stream may have to wait for */

/* What is of epoch E or before is clean, wherever on the media it stands. */
static bool is_dirty(const struct cbd_backend_state *state, const struct cbd_record *r)
{
    return (r->type == CBD_M_RECORD_WRITE ||
            (r->type == CBD_M_RECORD_ZERO && !CBD_CANARY(DISCARD_NOT_WRITTEN_BACK))) &&
           r->epoch > state->epoch_written && !cbd_record_carried(state, r);
}

static int read_record(struct cbd_backend *b, uint32_t segment, uint32_t slot,
                       struct cbd_record *record)
{
    struct cbd_cache *c = b->cache;
    int error = cbd_load_record(c, segment, slot, record);

    if (error != 0 && cbd_lost_at(b, segment, slot)) {
        record->type = CBD_M_RECORD_VOID; /* known to be gone, and clean (L1) */
        return 0;
    }
    if (error != 0)
        cbd_report(c->env, CBD_ERROR, error, "record", "damaged since it was stored", segment,
                   cbd_segment_off(&c->super.geo, segment) + cbd_slot_off(&c->super.geo, slot),
                   slot, c->segments[segment].records);
    return error;
}

/* W2: the newest version within what is collected. */
static int collect(struct cbd_backend *b, uint32_t segment, const struct cbd_record *r)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_extent e = {
        .start = r->addr_bytes / CBD_SECTOR_BYTES,
        .len = r->len_bytes / CBD_SECTOR_BYTES,
        .order = CBD_CANARY(OLDEST_VERSION_WRITTEN) ? CBD_ORDER_MAX - r->order : r->order,
    };

    if (r->type == CBD_M_RECORD_ZERO) {
        e.kind = (r->flags & CBD_M_RECORD_PUNCH) != 0 ? CBD_EXTENT_PUNCH : CBD_EXTENT_ZERO;
    } else {
        e.loc = (cbd_segment_off(&b->cache->super.geo, segment) + r->payload_off) / CBD_LINE_BYTES;
        wb->bytes += r->len_bytes;
    }
    wb->space += cbd_record_space(r->type, r->addr_bytes, r->len_bytes);
    return cbd_tree_insert(&wb->pool, &wb->tree, &e);
}

struct walk {
    uint64_t limit; /* records of a higher epoch end the walk of a stream */
    bool collect;
    uint64_t beyond; /* the lowest epoch that ended one; UINT64_MAX: none did */
    struct cbd_backend_state state;
};

/*
 * Walks the records of a stream from where its cursor stands, while their epoch is at most the
 * limit; epochs never fall along a stream. The stream's lock is held. 1: there is more, come again.
 */
static int walk_stream(struct cbd_backend *b, uint32_t n, struct walk *w)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_stream *s = &b->streams[n];
    uint32_t id = wb->cursor_segment[n];
    uint32_t slot = wb->cursor_slot[n];
    uint32_t seen = 0;
    int error = 0;

    if (id == CBD_NO_SEGMENT) { /* the list was empty when it was looked at */
        id = s->wb_head;
        slot = id != CBD_NO_SEGMENT ? b->cache->segments[id].written : 0;
    }
    while (id != CBD_NO_SEGMENT && error == 0) {
        const struct cbd_segment *seg = &b->cache->segments[id];
        struct cbd_record r;

        if (slot == seg->records) {
            if (id == s->wb_tail)
                break;
            id = seg->next;
            slot = b->cache->segments[id].written;
            continue;
        }
        if (seen++ == SLOTS_PER_LOCK) {
            error = 1;
            break;
        }
        error = read_record(b, id, slot, &r);
        if (error != 0)
            break;
        if (is_dirty(&w->state, &r)) {
            if (r.epoch > w->limit) {
                w->beyond = cbd_min64(w->beyond, r.epoch);
                break;
            }
            if (w->collect)
                error = collect(b, id, &r);
        }
        slot++;
    }
    wb->cursor_segment[n] = id;
    wb->cursor_slot[n] = slot;
    return error;
}

static int walk_all(struct cbd_backend *b, struct walk *w)
{
    w->beyond = UINT64_MAX;
    cbd_lock_take(b->cache->env, &b->table_lock);
    w->state = b->state;
    cbd_lock_drop(&b->table_lock);
    for (uint32_t n = 0; n < b->stream_count; n++) {
        int error;

        do {
            cbd_lock_take(b->cache->env, &b->streams[n].lock);
            error = walk_stream(b, n, w);
            cbd_lock_drop(&b->streams[n].lock);
        } while (error > 0);
        if (error != 0)
            return error;
    }
    return 0;
}

static void reset_cursors(struct cbd_backend *b)
{
    for (uint32_t n = 0; n < b->stream_count; n++)
        b->wb.cursor_segment[n] = CBD_NO_SEGMENT;
}

/*
 * Moves the cursors for good to where the walk has stopped. A segment that was passed leaves the
 * list; only then may it be reclaimed.
 */
void cbd_wb_advance_cursors(struct cbd_backend *b)
{
    for (uint32_t n = 0; n < b->stream_count; n++) {
        struct cbd_stream *s = &b->streams[n];
        struct cbd_segment *seg = NULL;

        if (b->wb.cursor_segment[n] == CBD_NO_SEGMENT)
            continue; /* the list was empty when it was walked */
        cbd_lock_take(b->cache->env, &s->lock);
        while (s->wb_head != b->wb.cursor_segment[n]) {
            seg = &b->cache->segments[s->wb_head];
            seg->written = seg->records;
            seg->listed = false;
            s->wb_head = seg->next;
        }
        seg = &b->cache->segments[s->wb_head];
        seg->written = b->wb.cursor_slot[n];
        /* Only recovery leaves a stream whose last segment is closed already. */
        if (s->wb_head == s->wb_tail && s->segment != s->wb_tail && seg->written == seg->records) {
            seg->listed = false;
            s->wb_head = CBD_NO_SEGMENT;
            s->wb_tail = CBD_NO_SEGMENT;
        }
        cbd_lock_drop(&s->lock);
    }
}

/* The oldest epoch that is not written back, UINT64_MAX: there is none. */
int cbd_wb_oldest(struct cbd_backend *b, uint64_t *oldest)
{
    struct walk w = {.limit = b->state.epoch_written};
    int error;

    reset_cursors(b);
    error = walk_all(b, &w);
    if (error != 0)
        return error;
    cbd_wb_advance_cursors(b);
    *oldest = w.beyond;
    return 0;
}

/*
 * Collects epoch `first` and then those up to `last`, one by one, as long as there are not more
 * records than one epoch may have: memory has the same bound. wb->epoch is the last one taken in.
 */
int cbd_wb_collect(struct cbd_backend *b, uint64_t first, uint64_t last)
{
    struct cbd_writeback *wb = &b->wb;
    struct walk w = {.limit = CBD_CANARY(LATER_EPOCHS_WRITTEN) ? UINT64_MAX : first,
                     .collect = true};

    cbd_tree_clear(&wb->pool, &wb->tree);
    wb->bytes = 0;
    wb->space = 0;
    reset_cursors(b);
    for (;;) {
        int error = walk_all(b, &w);

        if (error != 0)
            return error;
        wb->epoch = CBD_CANARY(LATER_EPOCHS_WRITTEN) ? first : w.limit;
        if (w.beyond > last || wb->tree.extents >= atomic_load(&b->tuned.epoch_records_max))
            return 0;
        w.limit = w.beyond;
    }
}
