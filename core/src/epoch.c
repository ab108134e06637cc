/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Epochs: what is acknowledged before a FLUSH is submitted is in an epoch that it closes; what is
 * submitted after its return is in a later one.
 *
 * E1  era before epoch when both move on; a writer loads the epoch first and the era second. So a
 *     record of a later epoch never carries an era of an earlier one, and everything below the era
 *     at which an epoch began belongs to an older epoch;
 * E2  a writer loads the epoch while it holds its stream's lock and has published when it drops
 *     it. So taking each lock once after a close leaves no writer of a closed epoch.
 */
#include "engine.h"

/* Since `before`: less than nothing while a carry is counted beside a close. */
static uint64_t since(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static uint64_t dirty_records_ever(const struct cbd_backend *b)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < b->stream_count; i++)
        n += atomic_load(&b->streams[i].dirty_records);
    return n - atomic_load(&b->carried_records);
}

static uint64_t dirty_space_ever(const struct cbd_backend *b)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < b->stream_count; i++)
        n += atomic_load(&b->streams[i].dirty_space);
    return n - atomic_load(&b->carried_space);
}

/* Closes `epoch` unless it is closed already; true: it was closed here. */
bool cbd_epoch_close(struct cbd_backend *b, uint64_t epoch)
{
    unsigned long long expected = epoch;

    if (atomic_load(&b->epoch) != epoch)
        return false;
    atomic_fetch_add(&b->era, 1); /* E1 */
    if (!atomic_compare_exchange_strong(&b->epoch, &expected, epoch + 1))
        return false;
    atomic_store(&b->records_closed, dirty_records_ever(b));
    atomic_store(&b->space_closed, dirty_space_ever(b));
    cbd_writeback_nudge(b);
    return true;
}

/* The same, for reasons that are not the application's: costs a flush of the disk. */
void cbd_epoch_force(struct cbd_backend *b, uint64_t epoch)
{
    if (cbd_epoch_close(b, epoch))
        atomic_fetch_add(&b->epochs_forced, 1);
}

/*
 * After a write of `epoch`: closes it when it has grown too large. The sums are over all streams,
 * so they are looked at only now and then: every 64th time, and when this stream has taken a 64th
 * of its part of what an epoch may take.
 */
void cbd_epoch_limit(struct cbd_backend *b, unsigned lane, uint64_t epoch)
{
    struct cbd_stream *s = &b->streams[lane % b->stream_count];
    const struct cbd_stats *stats = &b->lanes[lane].stats;
    uint64_t space = atomic_load_explicit(&s->dirty_space, memory_order_relaxed);
    uint64_t max;

    if ((stats->writes + stats->zeroes) % 64 != 0 &&
        space < atomic_load_explicit(&s->check_at, memory_order_relaxed))
        return;
    max = atomic_load(&b->tuned.epoch_bytes_max);
    atomic_store(&s->check_at, space + max / 64 / b->stream_count);
    if (since(dirty_space_ever(b), atomic_load(&b->space_closed)) >= max ||
        since(dirty_records_ever(b), atomic_load(&b->records_closed)) >=
            atomic_load(&b->tuned.epoch_records_max))
        cbd_epoch_force(b, epoch);
    cbd_pressure_update(b);
    if (cbd_dirty_space(b) >= atomic_load(&b->tuned.start_space))
        cbd_writeback_nudge(b);
}

/* E2 */
void cbd_epoch_barrier(struct cbd_backend *b)
{
    for (uint32_t i = 0; i < b->stream_count; i++) {
        cbd_lock_take(b->cache->env, &b->streams[i].lock);
        cbd_lock_drop(&b->streams[i].lock);
    }
}

/* Whether a dirty record of this epoch was acknowledged. */
bool cbd_epoch_dirty(struct cbd_backend *b, uint64_t epoch)
{
    for (uint32_t i = 0; i < b->stream_count; i++)
        if (atomic_load(&b->streams[i].dirty_epoch) >= epoch)
            return true;
    return false;
}

int cbd_flush(struct cbd_backend *b, unsigned lane)
{
    uint64_t epoch = atomic_load(&b->epoch);
    int failed = atomic_load(&b->failed);

    if (lane >= CBD_LANES)
        return CBD_E_INVALID;
    if (failed == CBD_E_READONLY)
        return 0; /* nothing was acknowledged */
    if (failed != 0)
        return failed;
    cbd_count(&b->lanes[lane].stats.flushes, 1);
    cbd_count_request(&b->lanes[lane]);
    failed = cbd_sync(b);
    if (failed == 0 && cbd_epoch_dirty(b, epoch) && !CBD_CANARY(FLUSH_IGNORED))
        (void)cbd_epoch_close(b, epoch);
    return failed;
}
