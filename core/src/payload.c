/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks payload in pmem against the block checksums in its header. */
#include "crc.h"
#include "engine.h"

/*
 * Verifies the blocks that hold the bytes [from, from+len) of the payload at payload_off. A block
 * ends where the payload ends. CBD_E_CORRUPT: header or a block is not what was written.
 */
int cbd_payload_verify(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                       uint64_t from, uint64_t len)
{
    const uint8_t *payload = c->pm->base + cbd_segment_off(&c->super.geo, segment) + payload_off;
    const struct cbd_m_header *m = (const struct cbd_m_header *)(const void *)payload - 1;
    uint64_t lead, end;
    struct cbd_header h;

    if (!cbd_header_decode(m, c->segments[segment].header_seed, payload_off, &h))
        return CBD_E_CORRUPT;
    if (from + len > h.len_bytes)
        return CBD_E_CORRUPT;
    lead = h.addr_bytes % CBD_BLOCK_BYTES; /* the first block may start before the payload */
    end = lead + h.len_bytes;
    for (uint64_t block = (lead + from) / CBD_BLOCK_BYTES;
         block <= (lead + from + len - 1) / CBD_BLOCK_BYTES; block++) {
        uint64_t start = block == 0 ? lead : block * CBD_BLOCK_BYTES;
        uint64_t stop = cbd_min64((block + 1) * CBD_BLOCK_BYTES, end);

        if (cbd_crc32c(c->block_seed, payload + start - lead, stop - start) !=
            cbd_header_block_crc(m, (uint32_t)block))
            return CBD_E_CORRUPT;
    }
    return 0;
}

/* The segment that holds an extent, and where the payload that the extent is a part of begins. */
uint32_t cbd_extent_payload(const struct cbd_cache *c, const struct cbd_extent *e,
                            uint32_t *payload_off)
{
    const struct cbd_geometry *geo = &c->super.geo;
    uint64_t inside =
        e->loc * CBD_LINE_BYTES - (uint64_t)e->delta * CBD_SECTOR_BYTES - geo->data_off;

    *payload_off = (uint32_t)(inside % geo->segment_bytes);
    return (uint32_t)(inside / geo->segment_bytes);
}

/* Verifies the blocks that hold `len` bytes of an extent, from skip_bytes on. */
int cbd_extent_verify(const struct cbd_cache *c, const struct cbd_extent *e, uint64_t skip_bytes,
                      uint64_t len)
{
    uint32_t payload_off;
    uint32_t segment = cbd_extent_payload(c, e, &payload_off);

    return cbd_payload_verify(c, segment, payload_off,
                              (uint64_t)e->delta * CBD_SECTOR_BYTES + skip_bytes, len);
}
