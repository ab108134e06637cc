/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the records of one segment as recovery and check see them.
 *
 * A CLOSED segment says how many records it has: one that is missing is damaged. In an OPEN one
 * the records end where GAP_SLOTS slots in a row hold none. Each record says below which slot all
 * were durable when it was stored, and the highest of these counts: one that is missing below is
 * damaged. From there on a record that is missing, or whose payload is, is an unfinished write; it
 * does not end anything. Where each write is fenced (durable on ack) that can be the last one only.
 *
 * The headers say more than the records when the newest records are gone: each says the same as
 * the record that it waits for. So a header behind the last payload can prove that slots without a
 * record are lost, not unfinished.
 *
 *   payload  | h0 | data | h1 | data | h2 | data | h3 | ...      h3 is there: slot 2 was durable
 *   records                                  ...  |    |    | 1 | 0 |
 *
 * A slot behind the last record may hold a part of one: words of it were lost. It is an unfinished
 * write as well, and not free: when the next record is torn there, its words could make the old one
 * whole again. A record without its first word cannot be made whole, since its checksum is in it; one
 * that has it shows the generation of the segment.
 */
#include <string.h>

#include "engine.h"

/*
 * More than the records of one page, so that a lost page does not look like the end, and more than
 * may be missing because they were never durable (Y2).
 */
#define GAP_SLOTS (2 * CBD_PAGE_BYTES / sizeof(struct cbd_m_record) + CBD_UNFENCED_MAX)

enum whole { WHOLE, TORN, FOREIGN, UNREADABLE };

/* Whether a record's payload is what it says. FOREIGN: the header there is of another write. */
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
        return FOREIGN;
    if (error == 0 && cbd_checksums(c))
        error = cbd_payload_check(c, id, r->payload_off, &head);
    if (error == 0)
        return WHOLE;
    return error == CBD_E_MEDIA ? UNREADABLE : TORN;
}

/* The first byte behind a record's payload where another header may stand. */
static uint32_t end_of(const struct cbd_record *r)
{
    return (uint32_t)(r->payload_off + r->len_bytes + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
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
 * Slots that headers prove to have been durable although no record is there, and those up to
 * `unread`, which nobody can read, and `begun`, which are not free. Headers stand in the sequence of
 * their slots; of two for one slot the first is of a payload that was given up for want of memory.
 * Those of lower slots than the last record are passed: a discard behind them has no payload.
 */
static void find_lost_tail(struct cbd_cache *c, uint32_t id, uint32_t end, uint32_t unread,
                           uint32_t begun, struct cbd_scan *scan)
{
    uint32_t slots_max = c->super.geo.segment_bytes / (uint32_t)sizeof(struct cbd_m_record);
    uint32_t limit = cbd_payload_limit(&c->super.geo, scan->records + 1);
    uint32_t slot = CBD_CANARY(LOWER_HEADER_ENDS_SCAN) ? scan->records : 0;
    struct cbd_loaded_header head;
    uint32_t payload_off;
    bool any = false;

    while (next_header(c, id, end, limit, &head, &payload_off) && head.h.slot >= slot &&
           head.h.slot < slots_max && head.h.len_bytes <= limit - payload_off) {
        slot = head.h.slot;
        if (slot >= scan->records && slot - head.h.behind > scan->durable)
            scan->durable = slot - head.h.behind;
        any = any || slot >= scan->records;
        end = (payload_off + head.h.len_bytes + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
    }
    if (unread > scan->records)
        scan->records = unread;
    if (scan->durable > scan->records)
        scan->records = scan->durable;
    if (begun > scan->records && !CBD_CANARY(TORN_RECORD_LEFT))
        scan->records = begun;
    scan->recordless = any && slot >= scan->records;
}

/*
 * Below which slot a valid record says that all were durable. One that is written back was so
 * itself: E moved behind what was durable, of this record and of all before it in the stream (Y4).
 */
static uint32_t proven_by(const struct cbd_cache *c, uint32_t id, uint32_t slot,
                          const struct cbd_record *r)
{
    uint64_t written = c->states[c->segments[id].entry.owner - 1].epoch_written;

    return (r->type == CBD_M_RECORD_WRITE || r->type == CBD_M_RECORD_ZERO) && r->epoch <= written
               ? slot + 1
               : r->durable;
}

/*
 * How far the records of an open segment go, and which of them are proven. *end: of the highest
 * payload that a record names. *unread: every slot from scan->records up to it cannot be read.
 * *begun: behind the last slot that holds a part of a record, where there can be one.
 */
static void find_end(struct cbd_cache *c, uint32_t id, struct cbd_scan *scan, uint32_t *end,
                     uint32_t *unread, uint32_t *begun)
{
    uint32_t slots_max = c->super.geo.segment_bytes / (uint32_t)sizeof(struct cbd_m_record);
    struct cbd_record_reader rd = {.cache = c, .segment = id};
    struct cbd_record r;

    for (uint32_t slot = 0; slot < slots_max; slot++) {
        int bad = cbd_load_next(&rd, slot, &r);

        if (bad == 0) {
            scan->records = slot + 1;
            *unread = slot + 1;
            if (proven_by(c, id, slot, &r) > scan->durable)
                scan->durable = proven_by(c, id, slot, &r);
            if (r.payload_off != 0 && end_of(&r) > *end)
                *end = end_of(&r);
            continue;
        }
        if (bad == CBD_E_MEDIA && slot == *unread)
            *unread = slot + 1;
        if (rd.begun && *end <= cbd_payload_limit(&c->super.geo, slot + 1))
            *begun = slot + 1;
        if (bad == CBD_E_CORRUPT && !rd.begun)
            slot += cbd_load_empty(&rd, slot + 1);
        if ((slot >= *unread + GAP_SLOTS && slot >= scan->durable) || CBD_CANARY(HOLE_ENDS_SCAN))
            return;
    }
}

/*
 * Whether the record of a slot that is not proven counts. A slot behind it that cannot be read may
 * have proven it: then it counts as damaged, and its reader gets an error. But not when a whole
 * header of another write is there: its own was never durable, and a reader would take the data of
 * that other write for it.
 */
static bool finished(struct cbd_cache *c, uint32_t id, const struct cbd_scan *scan, uint32_t slot,
                     const struct cbd_record *r)
{
    enum whole whole = WHOLE;

    if (!CBD_CANARY(LAST_PAYLOAD_NOT_VERIFIED) &&
        (!scan->unread_tail || !CBD_CANARY(FOREIGN_HEADER_COUNTS)))
        whole = payload_whole(c, id, slot, r);
    return whole != FOREIGN && (whole != TORN || scan->unread_tail);
}

bool cbd_scan_unfinished(struct cbd_cache *c, uint32_t id, const struct cbd_scan *scan,
                         uint32_t slot)
{
    struct cbd_record r;
    int bad = cbd_load_record(c, id, slot, &r);

    return bad != 0 ? bad != CBD_E_MEDIA : !finished(c, id, scan, slot, &r);
}

/* Visits every record that counts, and says of the other slots what they are. */
static int visit_all(struct cbd_cache *c, uint32_t id, struct cbd_scan *scan,
                     int (*visit)(void *arg, uint32_t slot, const struct cbd_record *record),
                     void *arg)
{
    struct cbd_record_reader rd = {.cache = c, .segment = id};
    int error = 0;

    for (uint32_t slot = 0; slot < scan->records && error == 0; slot++) {
        struct cbd_record r;
        int bad = cbd_load_next(&rd, slot, &r);

        if (bad != 0 && (slot < scan->durable || bad == CBD_E_MEDIA)) {
            if (scan->damaged++ == 0)
                scan->first_damaged = slot;
        } else if (bad != 0) {
            scan->unfinished++;
        } else if (slot >= scan->durable && !finished(c, id, scan, slot, &r)) {
            scan->unfinished++;
            scan->suspect = true;
        } else {
            if (r.payload_off != 0 && end_of(&r) > scan->payload_end &&
                (!CBD_CANARY(LAST_PAYLOAD_OVERWRITTEN) || slot + 1 < scan->records))
                scan->payload_end = end_of(&r);
            error = visit(arg, slot, &r);
        }
    }
    return error;
}

/*
 * Visits every record of the segment in order of slot, but for those whose write was unfinished.
 * What visit returns, if not 0, ends the scan and is returned.
 *
 * A slot that cannot be read is damaged, where a record may have been: below a valid one, and in
 * one run with the last valid one. Behind a slot that can be read and holds none there was none.
 */
int cbd_scan_segment(struct cbd_cache *c, uint32_t id, struct cbd_scan *scan,
                     int (*visit)(void *arg, uint32_t slot, const struct cbd_record *record),
                     void *arg)
{
    const struct cbd_segment_entry *e = &c->segments[id].entry;

    memset(scan, 0, sizeof(*scan));
    if (e->status == CBD_M_SEGMENT_CLOSED && !CBD_CANARY(CLOSED_COUNT_IGNORED)) {
        scan->records = scan->durable = e->records;
    } else {
        uint32_t end = 0, unread = 0, begun = 0;

        scan->durable = e->detached; /* B4 */
        find_end(c, id, scan, &end, &unread, &begun);
        scan->unread_tail = unread > scan->records;
        if (e->status != CBD_M_SEGMENT_CLOSED && !CBD_CANARY(LOST_TAIL_NOT_SEEN))
            find_lost_tail(c, id, end, unread, begun, scan);
    }
    return visit_all(c, id, scan, visit, arg);
}
