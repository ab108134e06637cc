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

/* Closes `epoch` unless it is closed already. */
void cbd_epoch_close(struct cbd_backend *b, uint64_t epoch)
{
    unsigned long long expected = epoch;

    if (atomic_load(&b->epoch) != epoch)
        return;
    atomic_fetch_add(&b->era, 1); /* E1 */
    atomic_compare_exchange_strong(&b->epoch, &expected, epoch + 1);
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

uint64_t cbd_dirty_bytes(const struct cbd_backend *b)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < b->stream_count; i++)
        bytes += atomic_load(&b->streams[i].dirty_bytes);
    return bytes - atomic_load(&b->wb.retired_bytes);
}

int cbd_flush(struct cbd_backend *b, unsigned lane)
{
    uint64_t epoch = atomic_load(&b->epoch);
    int failed = atomic_load(&b->failed);

    if (lane >= CBD_LANES)
        return CBD_E_INVALID;
    if (failed != 0)
        return failed;
    b->lanes[lane].stats.flushes++;
    if (cbd_epoch_dirty(b, epoch))
        cbd_epoch_close(b, epoch);
    return 0;
}
