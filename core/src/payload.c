/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Payload out of pmem, verified against the block checksums in its header on the copy that the
 * caller gets. A block is copied by one call of read(): a whole one straight into the caller's
 * buffer, a part of one by way of a buffer on the side, since its checksum covers the rest too.
 */
#include <string.h>

#include "crc.h"
#include "engine.h"

/* A block of a payload, all in bytes from the start of the payload. */
struct block {
    uint32_t n;
    uint64_t start, stop;
    uint64_t from, to; /* the part of it that is wanted */
};

/*
 * Block n of a payload that holds `addr` and ends at `end`, as far as it is in [from, to). The first
 * block may start before the payload, and the last one ends where the payload does.
 */
static struct block block_at(uint64_t addr, uint64_t end, uint64_t from, uint64_t to)
{
    uint64_t lead = addr % CBD_BLOCK_BYTES;
    uint64_t n = (lead + from) / CBD_BLOCK_BYTES;
    uint64_t edge = (n + 1) * CBD_BLOCK_BYTES - lead;

    return (struct block){
        .n = (uint32_t)n,
        .start = n == 0 ? 0 : n * CBD_BLOCK_BYTES - lead,
        .stop = cbd_min64(edge, end),
        .from = from,
        .to = cbd_min64(edge, to),
    };
}

/* `head` NULL: no checksums. off: of the payload. */
static int load_block(const struct cbd_cache *c, uint64_t off, const struct block *k,
                      const struct cbd_loaded_header *head, uint8_t *dst)
{
    struct cbd_pmem *pm = c->pm;
    bool whole = k->from == k->start && k->to == k->stop;
    _Alignas(64) uint8_t side[CBD_BLOCK_BYTES];
    uint8_t *to = whole ? dst : side;
    uint64_t len = k->stop - k->start;
    int error;

    if (head == NULL)
        return pm->ops->read(pm, off + k->from, dst, k->to - k->from);
    error = pm->ops->read(pm, off + k->start, to, len);
    if (error != 0)
        return error;
    if (cbd_crc32c(c->block_seed, to, len) != cbd_header_block_crc(head->m, k->n))
        return CBD_E_CORRUPT;
    if (!whole)
        memcpy(dst, side + (k->from - k->start), k->to - k->from);
    return 0;
}

/*
 * Copies the bytes [from, from+len) of the payload at payload_off, which holds `addr` on the
 * backing device. CBD_E_CORRUPT: the header or a block is not what was written; CBD_E_MEDIA: it
 * cannot be read. `bad` (may be NULL): which part of what was asked for is not there because of it;
 * what stands before that part is good.
 */
int cbd_payload_read(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                     uint64_t addr, uint64_t from, uint64_t len, uint8_t *dst, struct cbd_bad *bad)
{
    uint64_t off = cbd_segment_off(&c->super.geo, segment) + payload_off;
    const struct cbd_loaded_header *head = NULL;
    struct cbd_loaded_header loaded;
    uint64_t end = from + len;
    int error = 0;

    if (bad != NULL)
        *bad = (struct cbd_bad){0, len};
    if (cbd_checksums(c)) {
        error = cbd_load_header(c, segment, payload_off, &loaded);
        if (error != 0)
            return error;
        if (from + len > loaded.h.len_bytes || (loaded.h.addr_bytes - addr) % CBD_BLOCK_BYTES != 0)
            return CBD_E_CORRUPT;
        end = loaded.h.len_bytes;
        head = &loaded;
    }
    for (uint64_t at = from; at < from + len && error == 0;) {
        struct block k = block_at(addr, end, at, from + len);

        error = load_block(c, off, &k, head, dst + (at - from));
        if (error != 0 && bad != NULL)
            *bad = (struct cbd_bad){at - from, k.to - at};
        at = k.to;
    }
    return error;
}

/* Verifies all blocks of the payload that `head` stands before. Errors as above. */
int cbd_payload_check(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                      const struct cbd_loaded_header *head)
{
    uint64_t off = cbd_segment_off(&c->super.geo, segment) + payload_off;
    _Alignas(64) uint8_t side[CBD_BLOCK_BYTES];
    uint64_t end = head->h.len_bytes;
    int error = 0;

    for (uint64_t at = 0; at < end && error == 0;) {
        struct block k = block_at(head->h.addr_bytes, end, at, end);

        if (CBD_CANARY(LAST_BLOCK_NOT_VERIFIED) && (head->h.addr_bytes + k.stop) % CBD_BLOCK_BYTES)
            break;
        error = load_block(c, off, &k, head, side);
        at = k.to;
    }
    return error;
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

/*
 * Copies `len` bytes of an extent, from skip_bytes on. `start` is a sector of the backing device,
 * or one with the same place in its region, like that of an index tree. Errors and `bad` as above.
 */
int cbd_extent_read(const struct cbd_cache *c, const struct cbd_extent *e, uint64_t skip_bytes,
                    uint64_t len, uint8_t *dst, struct cbd_bad *bad)
{
    uint32_t payload_off;
    uint32_t segment = cbd_extent_payload(c, e, &payload_off);
    uint64_t inside = (uint64_t)e->delta * CBD_SECTOR_BYTES;

    /* Regions are multiples of blocks: any tree's sectors are cut into blocks alike. */
    return cbd_payload_read(c, segment, payload_off, e->start * CBD_SECTOR_BYTES - inside,
                            inside + skip_bytes, len, dst, bad);
}
