/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write-back: one epoch at a time, oldest first, to the backing device.
 *
 *           nothing dirty                    all submitted and completed
 *            +------+   start_epoch           |
 *   step --> | IDLE | ------------> WRITE ----+----> FLUSH -------> COMMIT --> IDLE
 *            +------+                 | a write failed  | the flush failed
 *                ^--------------------+-----------------+   E stays, all of it is written again
 *
 * W1  an epoch is written only when it is closed and every writer of it has published (E2);
 * W2  of each sector the newest version within the epoch is written: not an older one, and not one
 *     of a later epoch. So until the flush the disk holds the state at the end of the epoch before
 *     plus some writes of this epoch (P4);
 * W3  E moves to the epoch only after the disk has confirmed a flush that was submitted after all
 *     its writes had completed; an error counts as not written;
 * W4  nothing of a later epoch is submitted before E has moved, in both copies of the state;
 * W5  only what E covers is clean: space is reused on no other evidence (reclaim.c);
 * W6  data whose checksum is wrong is never written to the disk: the epoch stays dirty.
 */
#include <string.h>

#include "engine.h"

/* From the count on, whoever detaches may free the backend: nothing of it is touched any more. */
static void completed(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    atomic_fetch_add(&b->wb.completions, 1);
    env->ops->wake(env);
}

static void write_done(struct cbd_disk_io *io, int error)
{
    struct cbd_wb_io *wio = io->owner;
    struct cbd_backend *b = wio->backend;

    if (error != 0)
        atomic_store(&b->wb.error, error);
    else if (!atomic_load(&b->wb.retrying))
        atomic_fetch_add(&b->wb.advances, 1);
    atomic_store(&wio->busy, false);
    atomic_fetch_sub(&b->wb.inflight, 1);
    completed(b);
}

static void flush_done(struct cbd_disk_io *io, int error)
{
    struct cbd_backend *b = io->owner;

    if (error != 0)
        atomic_store(&b->wb.error, error);
    atomic_store(&b->wb.flush_busy, false);
    completed(b);
}

static bool all_completed(void *arg)
{
    struct cbd_backend *b = arg;

    return atomic_load(&b->wb.completions) == b->wb.submitted;
}

int cbd_writeback_init(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_env *env = b->cache->env;

    cbd_tree_pool_init(&wb->pool, env);
    cbd_tree_init(&wb->tree);
    for (uint32_t i = 0; i < CBD_WB_DEPTH; i++) {
        wb->io[i].backend = b;
        wb->io[i].buf = env->ops->alloc(env, CBD_WB_BUFFER_BYTES);
        if (wb->io[i].buf == NULL)
            return CBD_E_NOMEM;
    }
    return 0;
}

void cbd_writeback_destroy(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    /* The disk owns the buffers until it has answered. */
    while (!all_completed(b))
        (void)env->ops->wait(env, all_completed, b, UINT64_MAX);
    for (uint32_t i = 0; i < CBD_WB_DEPTH; i++)
        if (b->wb.io[i].buf != NULL)
            env->ops->free(env, b->wb.io[i].buf, CBD_WB_BUFFER_BYTES);
    cbd_tree_pool_destroy(&b->wb.pool);
}

static bool dirty_type(const struct cbd_record *r)
{
    return r->type == CBD_M_RECORD_WRITE || r->type == CBD_M_RECORD_ZERO;
}

static int read_record(struct cbd_backend *b, uint32_t segment, uint32_t slot,
                       struct cbd_record *record)
{
    struct cbd_cache *c = b->cache;
    int error = cbd_load_record(c, segment, slot, record);

    if (error != 0)
        cbd_report(c->env, CBD_ERROR, error, "record", "damaged since it was stored", segment,
                   cbd_segment_off(&c->super.geo, segment) + cbd_slot_off(&c->super.geo, slot),
                   slot, c->segments[segment].records);
    return error;
}

/*
 * Walks the records of a stream from its write-back cursor while their epoch is at most `limit`;
 * epochs never fall along a stream. The cursor stops at the first dirty record beyond. The
 * stream's lock is held. next_epoch: of that record, untouched when there is none.
 */
static int walk_stream(struct cbd_backend *b, uint32_t n, uint64_t limit, bool collect,
                       uint64_t *next_epoch)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_stream *s = &b->streams[n];
    uint32_t id = s->wb_head;
    uint32_t slot = id != CBD_NO_SEGMENT ? b->cache->segments[id].written : 0;

    while (id != CBD_NO_SEGMENT) {
        const struct cbd_segment *seg = &b->cache->segments[id];
        struct cbd_record r;
        int error;

        if (slot == seg->records) {
            if (id == s->wb_tail)
                break;
            id = seg->next;
            slot = b->cache->segments[id].written;
            continue;
        }
        error = read_record(b, id, slot, &r);
        if (error != 0)
            return error;
        if (dirty_type(&r)) {
            if (r.epoch > limit) {
                *next_epoch = cbd_min64(*next_epoch, r.epoch);
                break;
            }
            if (collect) {
                struct cbd_extent e = {
                    .start = r.addr_bytes / CBD_SECTOR_BYTES,
                    .len = r.len_bytes / CBD_SECTOR_BYTES,
                    .order = r.order,
                };

                if (r.type == CBD_M_RECORD_ZERO) {
                    e.kind =
                        (r.flags & CBD_M_RECORD_PUNCH) != 0 ? CBD_EXTENT_PUNCH : CBD_EXTENT_ZERO;
                } else {
                    e.loc = (cbd_segment_off(&b->cache->super.geo, id) + r.payload_off) /
                            CBD_LINE_BYTES;
                    wb->bytes += r.len_bytes;
                }
                error = cbd_tree_insert(&wb->pool, &wb->tree, &e); /* W2 */
                if (error != 0)
                    return error;
            }
        }
        slot++;
    }
    wb->cursor_segment[n] = id;
    wb->cursor_slot[n] = slot;
    return 0;
}

/*
 * Moves the write-back cursor of every stream to where walk_stream stopped. A segment that was
 * passed leaves the list; only then may it be reclaimed.
 */
static void advance_cursors(struct cbd_backend *b)
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

static int walk_all(struct cbd_backend *b, uint64_t limit, bool collect, uint64_t *next_epoch)
{
    *next_epoch = UINT64_MAX;
    for (uint32_t n = 0; n < b->stream_count; n++) {
        int error;

        cbd_lock_take(b->cache->env, &b->streams[n].lock);
        error = walk_stream(b, n, limit, collect, next_epoch);
        cbd_lock_drop(&b->streams[n].lock);
        if (error != 0)
            return error;
    }
    return 0;
}

static bool wanted(const struct cbd_backend *b)
{
    uint64_t capacity =
        (uint64_t)b->cache->configs[b->id].segments * b->cache->super.geo.segment_bytes;

    return atomic_load(&b->drain) || atomic_load(&b->urgent) ||
           cbd_dirty_bytes(b) >= capacity / 100 * b->options.dirty_start_percent;
}

/*
 * The open epoch is closed, at the price of a flush that the application did not ask for, only
 * when its space is needed or everything shall go out.
 */
static bool must_close(const struct cbd_backend *b)
{
    return atomic_load(&b->drain) || atomic_load(&b->urgent);
}

/* Finds the oldest dirty epoch, closes it if need be and collects what it holds. */
static int start_epoch(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    uint64_t oldest, beyond;
    int error;

    if (!wanted(b))
        return 0;
    error = walk_all(b, b->state.epoch_written, false, &oldest);
    if (error != 0)
        return error;
    advance_cursors(b);
    if (oldest == UINT64_MAX) {
        /* Nothing is dirty, but segments were passed: reclaim may go on. */
        if (!atomic_exchange(&b->urgent, false))
            return 0;
        b->cache->env->ops->wake(b->cache->env);
        return 1;
    }
    if (oldest == atomic_load(&b->epoch) && !must_close(b))
        return 0;
    cbd_epoch_close(b, oldest); /* W1 */
    cbd_epoch_barrier(b);
    cbd_tree_clear(&wb->pool, &wb->tree);
    wb->bytes = 0;
    error = walk_all(b, oldest, true, &beyond);
    if (error != 0)
        return error;
    wb->epoch = oldest;
    wb->pos = 0;
    atomic_store(&wb->error, 0);
    wb->phase = CBD_WB_WRITE;
    return 1;
}

static struct cbd_wb_io *idle_io(struct cbd_writeback *wb)
{
    for (uint32_t i = 0; i < CBD_WB_DEPTH; i++)
        if (!atomic_load(&wb->io[i].busy))
            return &wb->io[i];
    return NULL;
}

/* Appends extents to a buffer while they are adjacent; returns the bytes gathered. */
static int gather(struct cbd_backend *b, struct cbd_wb_io *wio, struct cbd_extent e, uint64_t *len)
{
    const struct cbd_cache *c = b->cache;
    uint64_t filled = 0;

    for (;;) {
        uint64_t n = cbd_min64(e.len * CBD_SECTOR_BYTES, CBD_WB_BUFFER_BYTES - filled);
        struct cbd_bad bad;
        int error;

        error = cbd_extent_read(c, &e, 0, n, wio->buf + filled, &bad); /* W6 */
        if (error != 0) {
            cbd_report(c->env, CBD_ERROR, error, "dirty data", "cannot be written back", b->id,
                       e.loc * CBD_LINE_BYTES + bad.skip, e.start * CBD_SECTOR_BYTES + bad.skip,
                       bad.len);
            return error;
        }
        filled += n;
        b->wb.pos = e.start + n / CBD_SECTOR_BYTES;
        if (filled == CBD_WB_BUFFER_BYTES)
            break;
        if (!cbd_tree_find(&b->wb.tree, b->wb.pos, &e) || e.start != b->wb.pos ||
            e.kind != CBD_EXTENT_DATA)
            break;
    }
    *len = filled;
    return 0;
}

/* Submits one request for the extent at or after pos. */
static int submit_next(struct cbd_backend *b, struct cbd_wb_io *wio, struct cbd_extent e)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_disk_io *io = &wio->io;

    if (e.start < wb->pos) {
        uint64_t skip = wb->pos - e.start;

        e.start = wb->pos;
        e.len -= skip;
        if (e.kind == CBD_EXTENT_DATA) {
            e.loc += skip * (CBD_SECTOR_BYTES / CBD_LINE_BYTES);
            e.delta += (uint32_t)skip;
        }
    }
    *io = (struct cbd_disk_io){
        .off_bytes = e.start * CBD_SECTOR_BYTES,
        .done = write_done,
        .owner = wio,
    };
    if (e.kind != CBD_EXTENT_DATA) {
        io->op = e.kind == CBD_EXTENT_PUNCH && b->disk->discard_zeroes ? CBD_DISK_DISCARD
                                                                       : CBD_DISK_ZERO;
        io->len_bytes = e.len * CBD_SECTOR_BYTES;
        wb->pos = e.start + e.len;
        wb->stats.writeback_zero_bytes += io->len_bytes;
    } else {
        int error = gather(b, wio, e, &io->len_bytes);

        if (error != 0)
            return error;
        io->op = CBD_DISK_WRITE;
        io->buf = wio->buf;
        wb->stats.writeback_bytes += io->len_bytes;
    }
    wb->stats.writeback_ios++;
    atomic_store(&wio->busy, true);
    atomic_fetch_add(&wb->inflight, 1);
    wb->submitted++;
    b->disk->ops->submit(b->disk, io);
    return 0;
}

static int give_up(struct cbd_backend *b, int error)
{
    b->wb.stats.writeback_errors++;
    atomic_store(&b->wb.retrying, true);
    b->wb.phase = CBD_WB_IDLE; /* W3: E stays, the cursors stay */
    return error;
}

static int write_step(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_wb_io *wio = idle_io(wb);
    struct cbd_extent e;
    int error = atomic_load(&wb->error);

    if (error == 0 && wio != NULL && cbd_tree_find(&wb->tree, wb->pos, &e)) {
        error = submit_next(b, wio, e);
        if (error != 0)
            atomic_store(&wb->error, error);
        return 1;
    }
    if (atomic_load(&wb->inflight) != 0)
        return 0;
    if (error != 0)
        return give_up(b, error);
    if (cbd_tree_find(&wb->tree, wb->pos, &e))
        return 1;
    wb->phase = CBD_WB_FLUSH;
    if (!b->disk->volatile_cache)
        return 1;
    wb->flush = (struct cbd_disk_io){.op = CBD_DISK_FLUSH, .done = flush_done, .owner = b};
    wb->stats.writeback_flushes++;
    atomic_store(&wb->flush_busy, true);
    wb->submitted++;
    b->disk->ops->submit(b->disk, &wb->flush); /* W3 */
    return 1;
}

static int flush_step(struct cbd_backend *b)
{
    int error = atomic_load(&b->wb.error);

    if (atomic_load(&b->wb.flush_busy))
        return 0;
    if (error != 0)
        return give_up(b, error);
    b->wb.phase = CBD_WB_COMMIT;
    return 1;
}

static int commit_step(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    int error;

    cbd_lock_take(b->cache->env, &b->table_lock);
    b->state.epoch_written = wb->epoch;
    error = cbd_twin_write_state(b->cache, b->id, &b->state, CBD_TWIN_EPOCH); /* W4 */
    cbd_lock_drop(&b->table_lock);
    if (error != 0) {
        atomic_store(&b->failed, error);
        return error;
    }
    advance_cursors(b);
    cbd_tree_clear(&wb->pool, &wb->tree);
    atomic_fetch_add(&wb->retired_bytes, wb->bytes);
    wb->stats.writeback_epochs++;
    atomic_store(&wb->retrying, false);
    atomic_fetch_add(&wb->advances, 1);
    wb->phase = CBD_WB_IDLE;
    atomic_store(&b->urgent, false);
    b->cache->env->ops->wake(b->cache->env);
    return 1;
}

int cbd_writeback_step(struct cbd_backend *b)
{
    int failed = atomic_load(&b->failed);

    if (failed != 0)
        return failed;
    switch (b->wb.phase) {
    case CBD_WB_WRITE:
        return write_step(b);
    case CBD_WB_FLUSH:
        return flush_step(b);
    case CBD_WB_COMMIT:
        return commit_step(b);
    case CBD_WB_IDLE:
    default:
        return start_epoch(b);
    }
}
