/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check: what a missing record covered, as far as its payload header still says so.
 *
 * Payloads follow each other without a gap, so the header of the next one is at most 65 checksum
 * lines behind the end of the last:  | payload n | 0..65 lines | header n+1 | payload n+1 |
 */
#include "check_pass.h"

/* What the records behind a slot say about one that is lost. Asked for rising slots. */
struct bound {
    uint32_t slot;  /* the first write or zero that is not below the one asked for */
    uint64_t epoch; /* its epoch: along a stream epochs never fall */
};

static uint64_t epoch_bound(const struct cbd_check *k, uint32_t segment, uint32_t slot,
                            uint32_t slots, struct bound *bound)
{
    const struct cbd_segment_entry *e = &k->cache.segments[segment].entry;
    struct cbd_record r;

    if (bound->slot > slot)
        return bound->epoch;
    for (bound->slot = slot + 1; bound->slot < slots; bound->slot++)
        if (cbd_load_record(&k->cache, segment, bound->slot, &r) == 0 &&
            (r.type == CBD_M_RECORD_WRITE || r.type == CBD_M_RECORD_ZERO)) {
            bound->epoch = r.epoch;
            return r.epoch;
        }
    bound->epoch = e->status == CBD_M_SEGMENT_CLOSED ? e->epoch_max : CBD_EPOCH_MAX;
    return bound->epoch;
}

/* Dirty unless it was clean for certain: see L1 in lost.c. */
static bool maybe_dirty(const struct cbd_check *k, uint32_t backend, const struct cbd_header *h,
                        uint64_t epoch_max)
{
    const struct cbd_backend_state *state = &k->cache.states[backend];

    if (h != NULL && h->type == CBD_M_RECORD_FILL)
        return false;
    if (!k->state_valid[backend])
        return true;
    return (state->flags & CBD_M_STATE_ATTACHED) != 0 && epoch_max > state->epoch_written;
}

static int report_damaged(struct cbd_check *k, uint32_t segment, uint32_t slot,
                          const struct cbd_header *h, uint64_t epoch_max)
{
    const struct cbd_segment_entry *e = &k->cache.segments[segment].entry;
    uint32_t backend = e->owner - 1u;
    struct cbd_check_finding f = cbd_check_finding(CBD_PROBLEM_RECORD_DAMAGED);

    f.segment = segment;
    f.slot = slot;
    f.backend = backend;
    f.off_bytes = cbd_check_slot_off(k, segment, slot);
    f.dirty = maybe_dirty(k, backend, h, epoch_max);
    f.order_max = e->status == CBD_M_SEGMENT_CLOSED ? e->order_max : CBD_ORDER_MAX;
    f.range_known = h != NULL;
    if (h != NULL) {
        f.record_type = h->type;
        f.addr_bytes = h->addr_bytes;
        f.len_bytes = CBD_CANARY(CHECK_NAMES_TOO_LITTLE) ? CBD_SECTOR_BYTES : h->len_bytes;
    }
    return cbd_check_report(k, &f);
}

/* Names every slot that held a record for certain, or cannot be read, and holds no valid one. */
int cbd_check_damage(struct cbd_check *k, uint32_t segment, const struct cbd_scan *scan)
{
    struct bound bound = {0};
    uint32_t payload_end = 0;
    int stop = 0;

    for (uint32_t slot = 0; slot < scan->records && stop == 0; slot++) {
        struct cbd_record r;
        struct cbd_header h;
        int bad = cbd_load_record(&k->cache, segment, slot, &r);
        uint32_t payload_off;
        bool range;

        if (bad == 0) {
            cbd_pass_payload(&k->cache, segment, slot, &r, &payload_end);
            continue;
        }
        range = cbd_find_header(&k->cache, segment, slot, &payload_end, &h, &payload_off);
        if (slot < scan->durable || bad == CBD_E_MEDIA) /* else it is unfinished */
            stop = report_damaged(k, segment, slot, range ? &h : NULL,
                                  epoch_bound(k, segment, slot, scan->records, &bound));
    }
    return stop;
}

static int report_unfinished(struct cbd_check *k, uint32_t segment, uint32_t payload_off,
                             const struct cbd_header *h)
{
    struct cbd_check_finding f = cbd_check_finding(CBD_PROBLEM_UNFINISHED);

    f.segment = segment;
    f.slot = h->slot;
    f.backend = k->cache.segments[segment].entry.owner - 1u;
    f.off_bytes =
        cbd_segment_off(&k->cache.super.geo, segment) + payload_off - sizeof(struct cbd_m_header);
    f.range_known = true;
    f.addr_bytes = h->addr_bytes;
    f.len_bytes = h->len_bytes;
    return cbd_check_report(k, &f);
}

/* Names each payload that was stored and whose record was not, up to the one behind the last slot. */
int cbd_check_unfinished(struct cbd_check *k, uint32_t segment, const struct cbd_scan *scan)
{
    /* Where slots are missing, payloads are found only from one header to the next. */
    bool holes = scan->unfinished != 0 || scan->damaged != 0;
    uint32_t slot = holes ? 0 : scan->records;
    uint32_t payload_end = holes ? 0 : scan->payload_end;
    int stop = 0;

    for (; slot <= scan->records && stop == 0; slot++) {
        struct cbd_record r;
        struct cbd_header h;
        uint32_t payload_off;
        int bad =
            slot < scan->records ? cbd_load_record(&k->cache, segment, slot, &r) : CBD_E_CORRUPT;

        if (bad == 0)
            cbd_pass_payload(&k->cache, segment, slot, &r, &payload_end);
        if (bad == 0 || !cbd_find_header(&k->cache, segment, slot, &payload_end, &h, &payload_off))
            continue;
        if (slot >= scan->durable && bad != CBD_E_MEDIA)
            stop = report_unfinished(k, segment, payload_off, &h);
    }
    return stop;
}
