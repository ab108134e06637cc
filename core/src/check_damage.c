/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check: what a missing record covered, as far as its payload header still says so.
 *
 * Payloads follow each other without a gap, so the header of the next one is at most 65 checksum
 * lines behind the end of the last:  | payload n | 0..65 lines | header n+1 | payload n+1 |
 */
#include "check_pass.h"

/* Looks for a valid header in the lines from payload_end on. *payload_off: of what it describes. */
static bool find_header(const struct cbd_check *k, uint32_t segment, uint32_t payload_end,
                        struct cbd_header *h, uint32_t *payload_off)
{
    struct cbd_pmem *pm = k->cache.pm;
    uint64_t base = cbd_segment_off(&k->cache.super.geo, segment);
    _Alignas(64) struct cbd_m_header line[CBD_CHECK_LINES_MAX + 1];

    for (uint32_t n = 0; n <= CBD_CHECK_LINES_MAX; n++) {
        uint32_t off = payload_end + n * CBD_LINE_BYTES;
        uint64_t addr;
        uint32_t len;

        if (off + CBD_LINE_BYTES > k->cache.super.geo.segment_bytes ||
            pm->ops->read(pm, base + off, &line[n], sizeof(line[n])) != 0)
            return false;
        addr = cbd_get64(line[n].addr_bytes);
        len = cbd_get32(line[n].len_bytes);
        /* A header that calls for more lines than were read here is none. */
        if (len == 0 || len > CBD_REGION_BYTES || addr > (UINT64_C(1) << 48) ||
            cbd_header_bytes(addr, len) != (n + 1) * CBD_LINE_BYTES)
            continue;
        *payload_off = off + CBD_LINE_BYTES;
        if (cbd_header_decode(&line[n], k->cache.segments[segment].header_seed, *payload_off, h))
            return true;
    }
    return false;
}

static uint32_t end_of(uint32_t payload_off, uint64_t len_bytes)
{
    return (uint32_t)(payload_off + len_bytes + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
}

static int report_damaged(struct cbd_check *k, uint32_t segment, uint32_t slot,
                          const struct cbd_header *h)
{
    uint32_t backend = k->cache.segments[segment].entry.owner - 1u;
    struct cbd_check_finding f = cbd_check_finding(CBD_PROBLEM_RECORD_DAMAGED);

    f.segment = segment;
    f.slot = slot;
    f.backend = backend;
    f.off_bytes = cbd_check_slot_off(k, segment, slot);
    f.dirty = h == NULL || h->type == CBD_M_RECORD_WRITE;
    f.range_known = h != NULL;
    if (h != NULL) {
        f.addr_bytes = h->addr_bytes;
        f.len_bytes = h->len_bytes;
    }
    return cbd_check_report(k, &f);
}

/* Names every slot below scan->records that holds no valid record. */
int cbd_check_damage(struct cbd_check *k, uint32_t segment, const struct cbd_scan *scan)
{
    const struct cbd_segment *seg = &k->cache.segments[segment];
    uint32_t payload_end = 0;
    int stop = 0;

    for (uint32_t slot = 0; slot < scan->records && stop == 0; slot++) {
        struct cbd_pmem *pm = k->cache.pm;
        struct cbd_m_record m;
        struct cbd_record r;
        struct cbd_header h;
        uint32_t payload_off;

        if (pm->ops->read(pm, cbd_check_slot_off(k, segment, slot), &m, sizeof(m)) == 0 &&
            cbd_record_decode(&m, seg->record_seed, seg->entry.generation, slot,
                              &k->cache.super.geo, &r)) {
            if (r.payload_off != 0)
                payload_end = end_of(r.payload_off, r.len_bytes);
        } else if (find_header(k, segment, payload_end, &h, &payload_off) && h.slot == slot) {
            stop = report_damaged(k, segment, slot, &h);
            payload_end = end_of(payload_off, h.len_bytes);
        } else {
            stop = report_damaged(k, segment, slot, NULL);
        }
    }
    return stop;
}

/* A payload that was stored and whose record was not. */
int cbd_check_unfinished(struct cbd_check *k, uint32_t segment, const struct cbd_scan *scan)
{
    struct cbd_check_finding f = cbd_check_finding(CBD_PROBLEM_UNFINISHED);
    uint32_t payload_off;
    struct cbd_header h;

    if (!find_header(k, segment, scan->payload_end, &h, &payload_off) || h.slot != scan->records)
        return 0;
    f.segment = segment;
    f.slot = scan->records;
    f.backend = k->cache.segments[segment].entry.owner - 1u;
    f.off_bytes =
        cbd_segment_off(&k->cache.super.geo, segment) + payload_off - sizeof(struct cbd_m_header);
    f.range_known = true;
    f.addr_bytes = h.addr_bytes;
    f.len_bytes = h.len_bytes;
    return cbd_check_report(k, &f);
}
