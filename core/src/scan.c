/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the records of one segment as recovery and check see them.
 *
 * A CLOSED segment says how many records it has: one that is missing is damaged. In an OPEN one
 * the records end where GAP_SLOTS slots in a row hold none. A valid record says that all slots
 * below it were durable: one that is missing there is damaged, not unfinished. The last record may
 * be unfinished although it is whole: without a fence before it, its payload may be missing.
 *
 * The headers say more than the records when the newest records are gone: the header for slot n
 * was stored only after slot n-1 was durable. So a header behind the last payload that names a
 * slot beyond the first free one proves that the slots before it are lost, not unfinished.
 *
 *   payload  | h0 | data | h1 | data | h2 | data | h3 | ...      h3 is there: slot 2 was durable
 *   records                                  ...  |    |    | 1 | 0 |
 */
#include <string.h>

#include "engine.h"

/* More than the records of one page, so that a lost page does not look like the end. */
#define GAP_SLOTS (2 * CBD_PAGE_BYTES / sizeof(struct cbd_m_record))

static bool read_slot(struct cbd_cache *c, uint32_t id, uint32_t slot, struct cbd_record *record)
{
    const struct cbd_segment *seg = &c->segments[id];
    const struct cbd_geometry *geo = &c->super.geo;
    struct cbd_m_record m;

    if (c->pm->ops->read(c->pm, cbd_segment_off(geo, id) + cbd_slot_off(geo, slot), &m,
                         sizeof(m)) != 0)
        return false;
    return cbd_record_decode(&m, seg->record_seed, seg->entry.generation, slot, geo, record);
}

/* Whether a record's payload is what it says. */
static bool payload_whole(struct cbd_cache *c, uint32_t id, uint32_t slot,
                          const struct cbd_record *r)
{
    const struct cbd_m_header *m;
    struct cbd_header h;

    if (r->type != CBD_M_RECORD_WRITE && r->type != CBD_M_RECORD_FILL)
        return true;
    m = (const struct cbd_m_header *)(const void *)(c->pm->base +
                                                    cbd_segment_off(&c->super.geo, id) +
                                                    r->payload_off) -
        1;
    if (!cbd_header_decode(m, c->segments[id].header_seed, r->payload_off, &h))
        return false;
    if (h.crc != r->header_crc || h.slot != slot || h.addr_bytes != r->addr_bytes ||
        h.len_bytes != r->len_bytes || h.type != r->type)
        return false;
    if (!cbd_checksums(c))
        return true;
    return cbd_payload_verify(c, id, r->payload_off, 0, r->len_bytes) == 0;
}

static void note(struct cbd_scan *scan, const struct cbd_record *r)
{
    uint32_t end =
        (uint32_t)(r->payload_off + r->len_bytes + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);

    if (r->payload_off != 0 && end > scan->payload_end)
        scan->payload_end = end;
    if (r->durable > scan->durable)
        scan->durable = r->durable;
}

static void damaged(struct cbd_scan *scan, uint32_t slot)
{
    if (scan->damaged++ == 0)
        scan->first_damaged = slot;
}

/* The header of a payload that begins behind `end`: its checksum lines, if any, stand before it. */
static bool next_header(struct cbd_cache *c, uint32_t id, uint32_t end, uint32_t limit,
                        struct cbd_header *h, uint32_t *payload_off)
{
    const uint32_t line = CBD_LINE_BYTES;
    uint32_t lines_max = 1 + CBD_REGION_BYTES / CBD_BLOCK_BYTES / CBD_CRC_LINE_CRCS;

    for (uint32_t n = 1; n <= lines_max + 1 && end + n * line <= limit; n++) {
        const struct cbd_m_header *m =
            (const struct cbd_m_header *)(const void *)(c->pm->base +
                                                        cbd_segment_off(&c->super.geo, id) + end +
                                                        (n - 1) * line);

        *payload_off = end + n * line;
        if (cbd_header_decode(m, c->segments[id].header_seed, *payload_off, h) &&
            cbd_header_bytes(h->addr_bytes, h->len_bytes) == n * line)
            return true;
    }
    return false;
}

/* Slots that headers prove to have been durable although no record is there. */
static void find_lost_tail(struct cbd_cache *c, uint32_t id, struct cbd_scan *scan)
{
    uint32_t slots_max = c->super.geo.segment_bytes / (uint32_t)sizeof(struct cbd_m_record);
    uint32_t limit = cbd_payload_limit(&c->super.geo, scan->records + 1);
    uint32_t end = scan->payload_end;
    uint32_t next = scan->records;
    uint32_t proven = next; /* every slot below was durable */
    uint32_t payload_off;
    struct cbd_header h;

    while (next_header(c, id, end, limit, &h, &payload_off) && h.slot >= next &&
           h.slot < slots_max && h.len_bytes <= limit - payload_off) {
        proven = h.slot;
        next = h.slot + 1;
        end = (payload_off + h.len_bytes + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
    }
    for (uint32_t slot = scan->records; slot < proven; slot++)
        damaged(scan, slot);
    scan->records = proven;
}

/*
 * Visits every record of the segment in order of slot. scan->suspect: the last one is unfinished
 * and was not visited. What visit returns, if not 0, ends the scan and is returned.
 */
int cbd_scan_segment(struct cbd_cache *c, uint32_t id, struct cbd_scan *scan,
                     int (*visit)(void *arg, uint32_t slot, const struct cbd_record *record),
                     void *arg)
{
    const struct cbd_segment *seg = &c->segments[id];
    bool closed = seg->entry.status == CBD_M_SEGMENT_CLOSED;
    uint32_t limit = closed ? seg->entry.records
                            : c->super.geo.segment_bytes / (uint32_t)sizeof(struct cbd_m_record);
    struct cbd_record last = {0}, r;
    bool have_last = false;
    int error = 0;

    memset(scan, 0, sizeof(*scan));
    for (uint32_t slot = 0; slot < limit && error == 0; slot++) {
        if (!read_slot(c, id, slot, &r)) {
            if (!closed && slot - scan->records >= GAP_SLOTS)
                break;
            continue;
        }
        for (uint32_t gone = scan->records; gone < slot; gone++)
            damaged(scan, gone); /* every valid record says: all below me were durable */
        if (have_last) {
            note(scan, &last);
            error = visit(arg, scan->records - 1, &last);
        }
        last = r;
        have_last = true;
        scan->records = slot + 1;
    }
    if (error == 0 && have_last) {
        scan->durable = last.durable;
        scan->suspect = !closed && !payload_whole(c, id, scan->records - 1, &last);
        if (!scan->suspect) {
            note(scan, &last);
            error = visit(arg, scan->records - 1, &last);
        }
    }
    if (error == 0 && !closed)
        find_lost_tail(c, id, scan);
    for (uint32_t gone = scan->records; closed && gone < limit; gone++)
        damaged(scan, gone);
    if (closed)
        scan->records = limit;
    return error;
}
