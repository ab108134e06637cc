/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A payload header from its record and its data. The record holds the header's checksum, which
 * covers the checksums of all blocks: when a header that is made from the data has that checksum,
 * it is the one that was there, and the data is what was written.
 */
#include <string.h>

#include "crc.h"
#include "repair.h"

/* The one field that neither record nor data has: at most so much below the record's epoch. */
#define EPOCHS 64u

static bool block_crcs(struct cbd_check *k, uint32_t segment, const struct cbd_record *r,
                       uint32_t *crc)
{
    struct cbd_pmem *pm = k->cache.pm;
    uint64_t base = cbd_segment_off(&k->cache.super.geo, segment) + r->payload_off;
    _Alignas(64) uint8_t data[CBD_BLOCK_BYTES];
    uint64_t done = 0;

    for (uint32_t block = 0; done < r->len_bytes; block++) {
        uint64_t n = cbd_min64(CBD_BLOCK_BYTES - (r->addr_bytes + done) % CBD_BLOCK_BYTES,
                               r->len_bytes - done);

        if (pm->ops->read(pm, base + done, data, n) != 0)
            return false;
        crc[block] = cbd_crc32c(k->cache.block_seed, data, n);
        done += n;
    }
    return true;
}

bool cbd_header_again(struct cbd_check *k, uint32_t segment, uint32_t slot,
                      const struct cbd_record *record, struct cbd_loaded_header *out,
                      uint32_t *len_bytes)
{
    uint32_t crc[CBD_HEADER_CRCS + CBD_LINES_MAX * CBD_CRC_LINE_CRCS];
    struct cbd_header h = {
        .slot = slot,
        .addr_bytes = record->addr_bytes,
        .len_bytes = (uint32_t)record->len_bytes,
        .type = record->type,
        .behind = slot - record->durable,
        .epoch_floor = record->type == CBD_M_RECORD_FILL ? 0 : record->epoch,
    };
    bool checksums = cbd_checksums_used(&k->cache);

    if (record->type != CBD_M_RECORD_WRITE && record->type != CBD_M_RECORD_FILL)
        return false;
    if (record->len_bytes > CBD_REGION_BYTES ||
        cbd_block_count(record->addr_bytes, (uint32_t)record->len_bytes) >
            sizeof(crc) / sizeof(crc[0]))
        return false;
    if (checksums && !block_crcs(k, segment, record, crc))
        return false;
    *len_bytes = cbd_header_bytes(record->addr_bytes, (uint32_t)record->len_bytes);
    for (uint32_t n = 0; n < EPOCHS; n++) {
        if (cbd_header_encode(&h, checksums ? crc : NULL, k->cache.segments[segment].header_seed,
                              record->payload_off, out->bytes) == record->header_crc)
            return true;
        if (h.epoch_floor == 0)
            return false;
        h.epoch_floor--;
    }
    return false;
}
