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

enum whole { WHOLE, TORN, UNREADABLE };

/* Whether a record's payload is what it says. */
static enum whole payload_whole(struct cbd_cache *c, uint32_t id, uint32_t slot,
                                const struct cbd_record *r)
{
    struct cbd_loaded_header head;
    int error;

    if ((r->type != CBD_M_RECORD_WRITE && r->type != CBD_M_RECORD_FILL) ||
        cbd_header_left_out(c, id, r->payload_off))
        return WHOLE;
    error = cbd_load_header(c, id, r->payload_off, &head);
    if (error == 0 && !CBD_CANARY(HEADER_NOT_TIED) &&
        (head.h.crc != r->header_crc || head.h.slot != slot || head.h.addr_bytes != r->addr_bytes ||
         head.h.len_bytes != r->len_bytes || head.h.type != r->type))
        error = CBD_E_CORRUPT;
    if (error == 0 && cbd_checksums(c))
        error = cbd_payload_check(c, id, r->payload_off, &head);
    if (error == 0)
        return WHOLE;
    return error == CBD_E_MEDIA ? UNREADABLE : TORN;
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

/*
 * The header of a payload that begins behind `end`: its checksum lines, if any, stand before it.
 * A line that cannot be read hides at most that header: what the records say still stands.
 */
static bool next_header(struct cbd_cache *c, uint32_t id, uint32_t end, uint32_t limit,
                        struct cbd_loaded_header *head, uint32_t *payload_off)
{
    const uint32_t line = CBD_LINE_BYTES;

    for (uint32_t n = 1; n <= CBD_LINES_MAX + 1 && end + n * line <= limit; n++) {
        *payload_off = end + n * line;
        if (cbd_load_header(c, id, *payload_off, head) == 0 &&
            cbd_header_bytes(head->h.addr_bytes, head->h.len_bytes) == n * line)
            return true;
    }
    return false;
}

/*
 * Slots that headers prove to have been durable although no record is there, and those below
 * `unread`, which nobody can read.
 */
static void find_lost_tail(struct cbd_cache *c, uint32_t id, uint32_t unread, struct cbd_scan *scan)
{
    uint32_t slots_max = c->super.geo.segment_bytes / (uint32_t)sizeof(struct cbd_m_record);
    uint32_t limit = cbd_payload_limit(&c->super.geo, scan->records + 1);
    uint32_t end = scan->payload_end;
    uint32_t next = scan->records;
    uint32_t proven = unread > next ? unread : next; /* every slot below was durable, or may be */
    struct cbd_loaded_header head;
    uint32_t payload_off;

    while (next_header(c, id, end, limit, &head, &payload_off) && head.h.slot >= next &&
           head.h.slot < slots_max && head.h.len_bytes <= limit - payload_off) {
        proven = head.h.slot > proven ? head.h.slot : proven;
        next = head.h.slot + 1;
        end = (payload_off + head.h.len_bytes + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
    }
    for (uint32_t slot = scan->records; slot < proven; slot++)
        damaged(scan, slot);
    scan->recordless = next == proven + 1;
    scan->records = proven;
}

/*
 * Visits every record of the segment in order of slot. scan->suspect: the last one is unfinished
 * and was not visited. What visit returns, if not 0, ends the scan and is returned.
 *
 * A slot that cannot be read is damaged, where a record may have been: below a valid one, and in
 * one run with the last valid one. Behind a slot that can be read and holds none there was none.
 */
int cbd_scan_segment(struct cbd_cache *c, uint32_t id, struct cbd_scan *scan,
                     int (*visit)(void *arg, uint32_t slot, const struct cbd_record *record),
                     void *arg)
{
    const struct cbd_segment *seg = &c->segments[id];
    struct cbd_record_reader rd = {.cache = c, .segment = id};
    bool closed = seg->entry.status == CBD_M_SEGMENT_CLOSED;
    uint32_t limit = closed ? seg->entry.records
                            : c->super.geo.segment_bytes / (uint32_t)sizeof(struct cbd_m_record);
    struct cbd_record last = {0}, r;
    uint32_t unread = 0; /* every slot from scan->records up to it cannot be read */
    bool have_last = false;
    int error = 0;

    memset(scan, 0, sizeof(*scan));
    for (uint32_t slot = 0; slot < limit && error == 0; slot++) {
        int bad = cbd_load_next(&rd, slot, &r);

        if (bad == CBD_E_MEDIA && slot == unread && !CBD_CANARY(POISON_IS_EMPTY))
            unread = slot + 1;
        if (bad != 0) {
            if ((!closed && slot >= unread + GAP_SLOTS) || CBD_CANARY(HOLE_ENDS_SCAN))
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
        unread = slot + 1;
    }
    if (error == 0 && have_last) {
        scan->durable = last.durable;
        scan->suspect = !closed && unread == scan->records &&
                        !CBD_CANARY(LAST_PAYLOAD_NOT_VERIFIED) &&
                        payload_whole(c, id, scan->records - 1, &last) == TORN;
        if (!scan->suspect) {
            if (!CBD_CANARY(LAST_PAYLOAD_OVERWRITTEN))
                note(scan, &last);
            error = visit(arg, scan->records - 1, &last);
        }
    }
    if (error == 0 && !closed && !CBD_CANARY(LOST_TAIL_NOT_SEEN)) {
        uint32_t valid = scan->records;

        find_lost_tail(c, id, unread, scan);
        if (scan->suspect && scan->records > valid) { /* records behind it: it was finished */
            scan->suspect = false;
            note(scan, &last);
            error = visit(arg, valid - 1, &last);
        }
    }
    if (closed && CBD_CANARY(CLOSED_COUNT_IGNORED))
        limit = scan->records;
    for (uint32_t gone = scan->records; closed && gone < limit; gone++)
        damaged(scan, gone);
    if (closed)
        scan->records = limit;
    return error;
}
