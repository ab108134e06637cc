/* SPDX-License-Identifier: BSD-2-Clause */
/* Adds up what lanes, write-back, reclaim and scrub have counted. */
#include <string.h>

#include "engine.h"

static void add_lane(struct cbd_stats *sum, const struct cbd_stats *lane)
{
    sum->reads += cbd_counted(&lane->reads);
    sum->writes += cbd_counted(&lane->writes);
    sum->zeroes += cbd_counted(&lane->zeroes);
    sum->flushes += cbd_counted(&lane->flushes);
    sum->fua += cbd_counted(&lane->fua);
    sum->read_bytes += cbd_counted(&lane->read_bytes);
    sum->hit_bytes += cbd_counted(&lane->hit_bytes);
    sum->miss_bytes += cbd_counted(&lane->miss_bytes);
    sum->write_bytes += cbd_counted(&lane->write_bytes);
    sum->zero_bytes += cbd_counted(&lane->zero_bytes);
    sum->fill_bytes += cbd_counted(&lane->fill_bytes);
    sum->records += cbd_counted(&lane->records);
    sum->writes_paced += cbd_counted(&lane->writes_paced);
}

void cbd_backend_stats(const struct cbd_backend *b, struct cbd_stats *stats)
{
    const struct cbd_stats *wb = &b->wb.stats;
    const struct cbd_stats *reclaim = &b->reclaim_stats;
    const struct cbd_stats *scrub = &b->scrub.stats;

    memset(stats, 0, sizeof(*stats));
    for (uint32_t i = 0; i < CBD_LANES_ALL; i++)
        add_lane(stats, &b->lanes[i].stats);
    stats->writeback_bytes = cbd_counted(&wb->writeback_bytes);
    stats->writeback_ios = cbd_counted(&wb->writeback_ios);
    stats->writeback_zero_bytes = cbd_counted(&wb->writeback_zero_bytes);
    stats->writeback_flushes = cbd_counted(&wb->writeback_flushes);
    stats->writeback_epochs = cbd_counted(&wb->writeback_epochs);
    stats->writeback_errors = cbd_counted(&wb->writeback_errors);
    stats->segments_opened = cbd_counted(&reclaim->segments_opened);
    stats->segments_reclaimed = cbd_counted(&reclaim->segments_reclaimed);
    stats->reclaims = cbd_counted(&reclaim->reclaims);
    stats->kept_bytes = cbd_counted(&reclaim->kept_bytes);
    stats->recovered_records = cbd_counted(&reclaim->recovered_records);
    stats->recovered_dirty_bytes = cbd_counted(&reclaim->recovered_dirty_bytes);
    stats->recovered_suspects = cbd_counted(&reclaim->recovered_suspects);
    stats->carried_bytes = cbd_counted(&wb->carried_bytes);
    stats->writeback_held_bytes = cbd_counted(&wb->writeback_held_bytes);
    stats->writeback_forgone_bytes = cbd_counted(&wb->writeback_forgone_bytes);
    stats->epochs_forced = atomic_load(&b->epochs_forced);
    stats->degraded = atomic_load(&b->failed) == CBD_E_READONLY;
    for (uint32_t i = 0; i < b->lost_count; i++) {
        stats->lost_records += !b->lost[i].clean;
        stats->lost_bytes += b->lost[i].clean ? 0 : b->lost[i].len;
    }
    stats->scrub_bytes = cbd_counted(&scrub->scrub_bytes);
    stats->scrub_healed_bytes = cbd_counted(&scrub->scrub_healed_bytes);
    stats->scrub_left_bytes = cbd_counted(&scrub->scrub_left_bytes);
    stats->scrub_damaged_bytes = cbd_counted(&scrub->scrub_damaged_bytes);
    stats->scrub_passes = cbd_counted(&scrub->scrub_passes);
    stats->scrub_position_bytes = cbd_counted(&scrub->scrub_position_bytes);
    stats->dirty_bytes = cbd_dirty_bytes(b);
    stats->dirty_space_bytes = cbd_dirty_space(b);
    stats->segments_free = atomic_load(&b->free_count);
    stats->segments = b->cache->configs[b->id].segments;
    stats->epoch = atomic_load(&b->epoch);
    stats->epoch_written = cbd_counted(&b->state.epoch_written);
    for (uint32_t i = 0; i < 1u << b->tree_bits; i++) {
        stats->index_extents += cbd_counted(&b->trees[i].tree.extents);
        stats->index_bytes += cbd_counted(&b->trees[i].pool.bytes) + sizeof(b->trees[i]);
    }
}
