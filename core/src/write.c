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
    uint32_t lbs = CBD_CANARY(BLOCK_ALWAYS_512) ? 512 : b->disk->logical_block_bytes;

    /* lbs is a power of two: attach compares it with the backend's entry. */
    if (lane >= CBD_LANES || ((off | len) & (lbs - 1)) != 0)
        return CBD_E_INVALID;
    if ((off > b->size_bytes || len > b->size_bytes - off) && !CBD_CANARY(END_NOT_CHECKED))
        return CBD_E_RANGE;
    cbd_count_request(&b->lanes[lane]);
    return 0;
}

static uint64_t piece_bytes(const struct cbd_backend *b, uint64_t off, uint64_t len)
{
    uint64_t unit = CBD_CANARY(PIECES_NOT_ALIGNED) ? 512 : b->cache->super.geo.atomic_bytes;
    uint64_t region_end = (off / CBD_REGION_BYTES + 1) * CBD_REGION_BYTES;
    uint64_t end = CBD_CANARY(REGION_CROSSED) ? off + len : cbd_min64(off + len, region_end);

    if (end - off <= b->piece_bytes_max)
        return end - off;
    return (off + b->piece_bytes_max) / unit * unit - off;
}

/* Inserts one record, waiting for a free segment as long as there is progress. */
static int insert_waiting(struct cbd_backend *b, unsigned lane, struct cbd_insert *in)
{
    struct cbd_env *env = b->cache->env;
    uint64_t len = in->len;

    for (;;) {
        int error = cbd_insert(b, lane, in);
        uint64_t before;

        if (error != CBD_E_AGAIN)
            return error;
        before = cbd_progress(b);
        in->len = len;
        if (CBD_CANARY(FULL_IS_AN_ERROR))
            return CBD_E_NOSPACE;
        error = env->ops->wait(env, cbd_has_space, b,
                               CBD_CANARY(SPACE_AWAITED_FOR_EVER)
                                   ? CBD_TIME_MAX_NS
                                   : atomic_load(&b->tuned.space_timeout_ns));
        if (error == CBD_E_TIMEDOUT && cbd_progress(b) != before)
            continue;
        if (error != 0)
            return error == CBD_E_TIMEDOUT ? CBD_E_NOSPACE : error;
    }
}

/* The same for a dirty record, which may have to wait for write-back first. */
static int insert_dirty(struct cbd_backend *b, unsigned lane, struct cbd_insert *in)
{
    uint64_t reserved;
    int error = cbd_admit(b, lane, in, &reserved);

    if (error == 0)
        error = insert_waiting(b, lane, in);
    cbd_admit_end(b, reserved);
    return error;
}

/* After an acknowledgement: FUA ends its epoch; so does an epoch that grew too large. */
static void end_epoch(struct cbd_backend *b, unsigned lane, uint64_t epoch, unsigned flags)
{
    if ((flags & CBD_WRITE_FUA) != 0) {
        cbd_count(&b->lanes[lane].stats.fua, 1);
        if (!CBD_CANARY(FUA_LEAVES_EPOCH_OPEN))
            (void)cbd_epoch_close(b, CBD_CANARY(FUA_CLOSES_EPOCH_BEFORE) ? epoch - 1 : epoch);
    }
    cbd_epoch_limit(b, lane, epoch);
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

        error = insert_dirty(b, lane, &in);
        if (error != 0)
            return error;
        done += in.len;
        epoch = in.epoch;
    }
    if ((flags & CBD_WRITE_FUA) != 0)
        error = cbd_sync(b);
    if (error != 0)
        return error;
    cbd_count(&b->lanes[lane].stats.writes, 1);
    cbd_count(&b->lanes[lane].stats.write_bytes, len);
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
    error = insert_dirty(b, lane, &in);
    if (error == 0 && (flags & CBD_WRITE_FUA) != 0)
        error = cbd_sync(b);
    if (error != 0)
        return error;
    cbd_count(&b->lanes[lane].stats.zeroes, 1);
    cbd_count(&b->lanes[lane].stats.zero_bytes, len);
    end_epoch(b, lane, in.epoch, flags);
    return 0;
}
