/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the collected tree to requests: neighbours become one request, whichever records they came
 * from, as far as a buffer holds (CBD_WB_BUFFER_BYTES) or a discard may reach
 * (CBD_WB_ZERO_BYTES_MAX). From the start of a run each request is filled, so a run of n bytes
 * takes n / limit requests, rounded up: no division needs fewer.
 */
#include "engine.h"

/* What a discard or write-zeroes counts beside data, for rate and credit. */
#define ZERO_WEIGHT_BYTES 4096u

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

    if (error != 0 && !CBD_CANARY(WRITE_ERROR_IGNORED)) {
        atomic_store(&b->wb.error, error);
    } else if (wio->news) {
        atomic_fetch_add(&b->wb.advances, 1);
        if (!atomic_load(&b->wb.retrying))
            cbd_pressure_pay(b, wio->credit);
    }
    atomic_store(&wio->busy, false);
    atomic_fetch_sub(&b->wb.inflight, 1);
    completed(b);
}

static void flush_done(struct cbd_disk_io *io, int error)
{
    struct cbd_backend *b = io->owner;

    if (error != 0 && !CBD_CANARY(FLUSH_ERROR_IGNORED))
        atomic_store(&b->wb.error, error);
    atomic_store(&b->wb.flush_busy, false);
    completed(b);
}

/* A request that is not in flight and has its buffer; NULL: the queue is as deep as it may be. */
struct cbd_wb_io *cbd_wb_idle_io(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    uint32_t depth = atomic_load(&b->tuned.queue_depth);

    for (uint32_t i = 0; i < depth; i++) {
        struct cbd_wb_io *wio = &b->wb.io[i];

        if (atomic_load(&wio->busy))
            continue;
        if (wio->buf == NULL)
            wio->buf = env->ops->alloc(env, CBD_WB_BUFFER_BYTES);
        return wio->buf != NULL ? wio : NULL; /* without memory: as deep as it is */
    }
    return NULL;
}

static enum cbd_disk_op disk_op(const struct cbd_backend *b, const struct cbd_extent *e)
{
    if (e->kind == CBD_EXTENT_DATA)
        return CBD_DISK_WRITE;
    return e->kind == CBD_EXTENT_PUNCH && (b->disk->discard_zeroes || CBD_CANARY(PUNCH_ON_ANY_DISK))
               ? CBD_DISK_DISCARD
               : CBD_DISK_ZERO;
}

static uint64_t weight_of(const struct cbd_extent *e)
{
    return e->kind == CBD_EXTENT_DATA ? e->len * CBD_SECTOR_BYTES : ZERO_WEIGHT_BYTES;
}

/* Of everything that was collected. */
uint64_t cbd_wb_weight(const struct cbd_backend *b)
{
    struct cbd_extent e;
    uint64_t weight = 0;

    for (uint64_t pos = 0; cbd_tree_find(&b->wb.tree, pos, &e); pos = e.start + e.len)
        weight += weight_of(&e);
    return weight;
}

/* The extent at or after wb->pos, without what lies before it. */
static bool next_extent(const struct cbd_backend *b, struct cbd_extent *e)
{
    uint64_t skip;

    if (!cbd_tree_find(&b->wb.tree, b->wb.pos, e))
        return false;
    if (e->start >= b->wb.pos)
        return true;
    skip = b->wb.pos - e->start;
    e->start += skip;
    e->len -= skip;
    if (e->kind == CBD_EXTENT_DATA && !CBD_CANARY(REST_FROM_THE_START)) {
        e->loc += skip * (CBD_SECTOR_BYTES / CBD_LINE_BYTES);
        e->delta += (uint32_t)skip;
    }
    return true;
}

/*
 * The next *n bytes of an extent, checked, into the buffer. False: *n of them are good, and what
 * comes behind cannot be read and is passed over (W6).
 */
static bool copy_data(struct cbd_backend *b, uint8_t *buf, const struct cbd_extent *e, uint64_t *n)
{
    const struct cbd_cache *c = b->cache;
    uint64_t addr = e->start * CBD_SECTOR_BYTES;
    struct cbd_bad bad;
    int error = cbd_extent_read(c, e, 0, *n, buf, &bad); /* W6 */

    if (error == CBD_E_CORRUPT && CBD_CANARY(BAD_DATA_WRITTEN_BACK))
        error = c->pm->ops->read(c->pm, e->loc * CBD_LINE_BYTES, buf, *n);
    b->wb.pos = e->start + *n / CBD_SECTOR_BYTES;
    if (error == 0)
        return true;
    cbd_report(c->env, CBD_ERROR, error, "dirty data", "cannot be written back", b->id,
               e->loc * CBD_LINE_BYTES + bad.skip, addr + bad.skip, bad.len);
    b->wb.pos = e->start + (bad.skip + bad.len) / CBD_SECTOR_BYTES;
    b->wb.weight_done += bad.len;
    if (!CBD_CANARY(UNREADABLE_GIVEN_UP))
        b->wb.hold_error = error;
    cbd_wb_hold_add(b, addr + bad.skip, bad.len);
    *n = bad.skip;
    return false;
}

/* Takes extents while they are neighbours and of one kind; e is the first. */
static void gather(struct cbd_backend *b, struct cbd_wb_io *wio, struct cbd_extent e)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_disk_io *io = &wio->io;
    uint64_t limit = io->op == CBD_DISK_WRITE ? CBD_WB_BUFFER_BYTES : CBD_WB_ZERO_BYTES_MAX;
    bool good = true;

    do {
        uint64_t n = cbd_min64(e.len * CBD_SECTOR_BYTES, limit - io->len_bytes);

        if (io->op == CBD_DISK_WRITE) {
            good = copy_data(b, wio->buf + io->len_bytes, &e, &n);
            wb->weight_done += n;
        } else {
            wb->pos = e.start + n / CBD_SECTOR_BYTES;
            if (e.len * CBD_SECTOR_BYTES == n)
                wb->weight_done += ZERO_WEIGHT_BYTES;
        }
        io->len_bytes += n;
    } while (good && io->len_bytes < limit && next_extent(b, &e) &&
             (e.start == wb->pos || CBD_CANARY(GAP_WRITTEN_OVER)) && disk_op(b, &e) == io->op);
}

/* What of wb->space the part of the pass that was sent is worth. Exact at its end. */
static uint64_t credit_upto(const struct cbd_writeback *wb)
{
    unsigned shift = 0;

    while (wb->weight >> shift > UINT16_MAX)
        shift++;
    return wb->weight == 0 ? 0 : wb->space * (wb->weight_done >> shift) / (wb->weight >> shift);
}

/* Submits the request for what lies at or after wb->pos: something does. */
void cbd_wb_submit(struct cbd_backend *b, struct cbd_wb_io *wio)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_disk_io *io = &wio->io;
    uint64_t credit_before = credit_upto(wb);
    struct cbd_extent e;

    if (!next_extent(b, &e))
        return;
    *io = (struct cbd_disk_io){
        .op = disk_op(b, &e),
        .off_bytes = e.start * CBD_SECTOR_BYTES,
        .buf = e.kind == CBD_EXTENT_DATA ? wio->buf : NULL,
        .done = write_done,
        .owner = wio,
    };
    gather(b, wio, e);
    if (io->len_bytes == 0)
        return; /* nothing of it can be read */
    if (io->op == CBD_DISK_WRITE)
        cbd_count(&wb->stats.writeback_bytes, io->len_bytes);
    else
        cbd_count(&wb->stats.writeback_zero_bytes, io->len_bytes);
    cbd_count(&wb->stats.writeback_ios, 1);
    wio->credit = credit_upto(wb) - credit_before;
    wio->news = !atomic_load(&wb->retrying) || e.start >= wb->reached;
    cbd_wb_rate_spend(b, io->op == CBD_DISK_WRITE ? io->len_bytes : ZERO_WEIGHT_BYTES);
    atomic_store(&wio->busy, true);
    atomic_fetch_add(&wb->inflight, 1);
    wb->submitted++;
    b->disk->ops->submit(b->disk, io);
}

void cbd_wb_submit_flush(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;

    wb->flush = (struct cbd_disk_io){.op = CBD_DISK_FLUSH, .done = flush_done, .owner = b};
    cbd_count(&wb->stats.writeback_flushes, 1);
    atomic_store(&wb->flush_busy, true);
    wb->submitted++;
    b->disk->ops->submit(b->disk, &wb->flush);
}
