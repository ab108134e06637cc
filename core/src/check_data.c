/* SPDX-License-Identifier: BSD-2-Clause */
/* Check: the payload header of a record, and the checksums of its data. */
#include <string.h>

#include "check_pass.h"
#include "crc.h"

/* Whether the header is the one that the record means. */
static bool agrees(const struct cbd_header *h, uint32_t slot, const struct cbd_record *r)
{
    return h->addr_bytes == r->addr_bytes && h->len_bytes == r->len_bytes &&
           h->crc == r->header_crc && h->slot == slot && h->type == r->type &&
           (r->type == CBD_M_RECORD_FILL || h->epoch_floor <= r->epoch);
}

static int report_block(struct cbd_check *k, uint32_t segment, uint32_t slot,
                        const struct cbd_record *r, bool dirty, uint64_t from, uint64_t len)
{
    struct cbd_check_finding f =
        cbd_check_finding(dirty ? CBD_PROBLEM_DATA_DIRTY : CBD_PROBLEM_DATA_CLEAN);

    f.segment = segment;
    f.slot = slot;
    f.backend = k->cache.segments[segment].entry.owner - 1u;
    f.off_bytes = cbd_segment_off(&k->cache.super.geo, segment) + r->payload_off + from;
    f.range_known = true;
    f.dirty = dirty;
    f.addr_bytes = r->addr_bytes + from;
    f.len_bytes = len;
    return cbd_check_report(k, &f);
}

static int check_blocks(struct cbd_check *k, const struct cbd_loaded_header *p, uint32_t segment,
                        uint32_t slot, const struct cbd_record *r, bool dirty)
{
    struct cbd_pmem *pm = k->cache.pm;
    uint32_t seed = k->cache.block_seed;
    uint64_t base = cbd_segment_off(&k->cache.super.geo, segment) + r->payload_off;
    _Alignas(64) uint8_t data[CBD_BLOCK_BYTES];
    uint64_t done = 0;

    for (uint32_t block = 0; done < r->len_bytes; block++) {
        uint64_t lead = (r->addr_bytes + done) % CBD_BLOCK_BYTES;
        uint64_t n = cbd_min64(CBD_BLOCK_BYTES - lead, r->len_bytes - done);
        bool good = pm->ops->read(pm, base + done, data, n) == 0 &&
                    cbd_crc32c(seed, data, n) == cbd_header_block_crc(p->m, block);

        if (!good && !(CBD_CANARY(CHECK_FIRST_BLOCK_ONLY) && block > 0)) {
            int stop = report_block(k, segment, slot, r, dirty, done, n);

            if (stop != 0)
                return stop;
        }
        done += n;
    }
    k->out->data_bytes += r->len_bytes;
    return 0;
}

int cbd_check_header(struct cbd_check *k, uint32_t segment, uint32_t slot,
                     const struct cbd_record *r, bool dirty)
{
    struct cbd_loaded_header p;
    struct cbd_check_finding f;

    if (r->len_bytes > CBD_REGION_BYTES)
        return 0; /* was reported: such a record crosses a region */
    if (cbd_header_left_out(&k->cache, segment, r->payload_off))
        return 0;
    if (cbd_load_header(&k->cache, segment, r->payload_off, &p) == 0 && agrees(&p.h, slot, r)) {
        if ((k->options.flags & CBD_CHECK_DATA) == 0 || !cbd_checksums(&k->cache))
            return 0;
        return check_blocks(k, &p, segment, slot, r, dirty && !CBD_CANARY(CHECK_DIRTY_IS_CLEAN));
    }
    if (CBD_CANARY(CHECK_TRUSTS_HEADERS))
        return 0;
    f = cbd_check_finding(CBD_PROBLEM_HEADER);
    f.segment = segment;
    f.slot = slot;
    f.backend = k->cache.segments[segment].entry.owner - 1u;
    f.off_bytes = cbd_segment_off(&k->cache.super.geo, segment) + r->payload_off -
                  sizeof(struct cbd_m_header);
    f.range_known = true;
    f.dirty = dirty;
    f.addr_bytes = r->addr_bytes;
    f.len_bytes = r->len_bytes;
    return cbd_check_report(k, &f);
}
