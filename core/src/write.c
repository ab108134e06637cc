/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes, zeroes and FUA: cuts requests into pieces, waits for space, closes epochs.
 *
 * A piece never crosses a 4 MiB region, is at most a quarter of a segment, and ends on a multiple
 * of atomic_bytes unless the request ends there: one record each, so P2 holds.
 */
#include "engine.h"

int cbd_check_request(const struct cbd_backend *b, unsigned lane, uint64_t off, uint64_t len)
{
    uint32_t lbs = b->disk->logical_block_bytes;

    if (lane >= CBD_LANES || off % lbs != 0 || len % lbs != 0)
        return CBD_E_INVALID;
    if (off > b->size_bytes || len > b->size_bytes - off)
        return CBD_E_RANGE;
    return 0;
}

static uint64_t piece_bytes(const struct cbd_backend *b, uint64_t off, uint64_t len)
{
    uint64_t unit = b->cache->super.geo.atomic_bytes;
    uint64_t region_end = (off / CBD_REGION_BYTES + 1) * CBD_REGION_BYTES;
    uint64_t end = cbd_min64(off + len, region_end);

    if (end - off <= b->piece_bytes_max)
        return end - off;
    return (off + b->piece_bytes_max) / unit * unit - off;
}

/* Counts whatever brings space nearer: write-back that gets on, and reclaims. */
static uint64_t progress(const struct cbd_backend *b)
{
    return atomic_load(&b->wb.advances) + atomic_load(&b->grace);
}

/* Inserts one record, waiting for a free segment as long as there is progress. */
static int insert_waiting(struct cbd_backend *b, unsigned lane, struct cbd_insert *in)
{
    struct cbd_env *env = b->cache->env;
    uint64_t len = in->len;

    for (;;) {
        uint64_t before = progress(b);
        int error = cbd_insert(b, lane, in);

        if (error != CBD_E_AGAIN)
            return error;
        in->len = len;
        error = env->ops->wait(env, cbd_has_space, b, b->options.space_timeout_ns);
        if (error == CBD_E_TIMEDOUT && progress(b) != before)
            continue;
        if (error != 0)
            return error == CBD_E_TIMEDOUT ? CBD_E_NOSPACE : error;
    }
}

static uint64_t dirty_records_ever(const struct cbd_backend *b)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < b->stream_count; i++)
        n += atomic_load(&b->streams[i].dirty_records);
    return n;
}

/* After an acknowledgement: FUA ends its epoch; so does an epoch that grew too long to sort. */
static void end_epoch(struct cbd_backend *b, unsigned lane, uint64_t epoch, unsigned flags)
{
    struct cbd_stats *stats = &b->lanes[lane].stats;

    if ((flags & CBD_WRITE_FUA) != 0) {
        stats->fua++;
        cbd_epoch_close(b, epoch);
    } else if ((stats->writes + stats->zeroes) % 64 == 0 &&
               dirty_records_ever(b) - atomic_load(&b->records_closed) >=
                   b->options.epoch_records_max) {
        atomic_store(&b->records_closed, dirty_records_ever(b));
        cbd_epoch_close(b, epoch);
    }
}

int cbd_write(struct cbd_backend *b, unsigned lane, uint64_t off, const void *buf, uint64_t len,
              unsigned flags)
{
    uint64_t epoch = 0;
    uint64_t done = 0;
    int error = cbd_check_request(b, lane, off, len);

    if (error != 0)
        return error;
    while (done < len) {
        struct cbd_insert in = {
            .type = CBD_M_RECORD_WRITE,
            .addr = off + done,
            .len = piece_bytes(b, off + done, len - done),
            .src = (const uint8_t *)buf + done,
        };

        error = insert_waiting(b, lane, &in);
        if (error != 0)
            return error;
        done += in.len;
        epoch = in.epoch;
    }
    b->lanes[lane].stats.writes++;
    b->lanes[lane].stats.write_bytes += len;
    if (len != 0)
        end_epoch(b, lane, epoch, flags);
    return 0;
}

int cbd_zero(struct cbd_backend *b, unsigned lane, uint64_t off, uint64_t len, unsigned flags)
{
    struct cbd_insert in = {
        .type = CBD_M_RECORD_ZERO,
        .flags = (flags & CBD_WRITE_PUNCH) != 0 ? CBD_M_RECORD_PUNCH : 0,
        .addr = off,
        .len = len,
    };
    int error = cbd_check_request(b, lane, off, len);

    if (error != 0 || len == 0)
        return error;
    error = insert_waiting(b, lane, &in);
    if (error != 0)
        return error;
    b->lanes[lane].stats.zeroes++;
    b->lanes[lane].stats.zero_bytes += len;
    end_epoch(b, lane, in.epoch, flags);
    return 0;
}
