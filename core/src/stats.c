/* SPDX-License-Identifier: BSD-2-Clause */
/* Adds up what lanes, write-back, reclaim and scrub have counted. */
#include <string.h>

#include "engine.h"

static void add_lane(struct cbd_stats *sum, const struct cbd_stats *lane)
{
    sum->reads += lane->reads;
    sum->writes += lane->writes;
    sum->zeroes += lane->zeroes;
    sum->flushes += lane->flushes;
    sum->fua += lane->fua;
    sum->read_bytes += lane->read_bytes;
    sum->hit_bytes += lane->hit_bytes;
    sum->miss_bytes += lane->miss_bytes;
    sum->write_bytes += lane->write_bytes;
    sum->zero_bytes += lane->zero_bytes;
    sum->fill_bytes += lane->fill_bytes;
    sum->records += lane->records;
    sum->writes_paced += lane->writes_paced;
}

void cbd_backend_stats(const struct cbd_backend *b, struct cbd_stats *stats)
{
    const struct cbd_stats *wb = &b->wb.stats;
    const struct cbd_stats *reclaim = &b->reclaim_stats;
    const struct cbd_stats *scrub = &b->scrub.stats;

    memset(stats, 0, sizeof(*stats));
    for (uint32_t i = 0; i < CBD_LANES_ALL; i++)
        add_lane(stats, &b->lanes[i].stats);
    stats->writeback_bytes = wb->writeback_bytes;
    stats->writeback_ios = wb->writeback_ios;
    stats->writeback_zero_bytes = wb->writeback_zero_bytes;
    stats->writeback_flushes = wb->writeback_flushes;
    stats->writeback_epochs = wb->writeback_epochs;
    stats->writeback_errors = wb->writeback_errors;
    stats->segments_opened = reclaim->segments_opened;
    stats->segments_reclaimed = reclaim->segments_reclaimed;
    stats->reclaims = reclaim->reclaims;
    stats->kept_bytes = reclaim->kept_bytes;
    stats->recovered_records = reclaim->recovered_records;
    stats->recovered_dirty_bytes = reclaim->recovered_dirty_bytes;
    stats->recovered_suspects = reclaim->recovered_suspects;
    stats->writeback_held_bytes = wb->writeback_held_bytes;
    stats->writeback_forgone_bytes = wb->writeback_forgone_bytes;
    stats->epochs_forced = atomic_load(&b->epochs_forced);
    stats->degraded = atomic_load(&b->failed) == CBD_E_READONLY;
    for (uint32_t i = 0; i < b->lost_count; i++) {
        stats->lost_records += !b->lost[i].clean;
        stats->lost_bytes += b->lost[i].clean ? 0 : b->lost[i].len;
    }
    stats->scrub_bytes = scrub->scrub_bytes;
    stats->scrub_healed_bytes = scrub->scrub_healed_bytes;
    stats->scrub_left_bytes = scrub->scrub_left_bytes;
    stats->scrub_damaged_bytes = scrub->scrub_damaged_bytes;
    stats->scrub_passes = scrub->scrub_passes;
    stats->scrub_position_bytes = scrub->scrub_position_bytes;
    stats->dirty_bytes = cbd_dirty_bytes(b);
    stats->dirty_space_bytes = cbd_dirty_space(b);
    stats->segments_free = atomic_load(&b->free_count);
    stats->segments = b->cache->configs[b->id].segments;
    stats->epoch = atomic_load(&b->epoch);
    stats->epoch_written = b->state.epoch_written;
    for (uint32_t i = 0; i < 1u << b->tree_bits; i++) {
        stats->index_extents += b->trees[i].tree.extents;
        stats->index_bytes += b->trees[i].pool.bytes + sizeof(b->trees[i]);
    }
}
