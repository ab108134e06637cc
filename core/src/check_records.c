/* SPDX-License-Identifier: BSD-2-Clause */
/* Check, third pass: every record of every live segment, by the same scan that recovery uses. */
#include "check_pass.h"

struct segment_walk {
    struct cbd_check *k;
    uint32_t id;
    uint32_t backend;
    uint32_t payload_end; /* of the records so far */
    uint64_t epoch;       /* of the last dirty type of record */
    uint64_t order_max;
    uint64_t epoch_max;
    uint64_t live_bytes;
    uint64_t dirty_bytes;
};

static struct cbd_check_finding at_record(const struct segment_walk *w, uint32_t slot,
                                          const struct cbd_record *r, enum cbd_problem_code code)
{
    struct cbd_check_finding f = cbd_check_finding(code);

    f.segment = w->id;
    f.slot = slot;
    f.backend = w->backend;
    f.off_bytes = cbd_check_slot_off(w->k, w->id, slot);
    f.range_known = true;
    f.addr_bytes = r->addr_bytes;
    f.len_bytes = r->len_bytes;
    f.dirty = cbd_check_dirty(w->k, w->backend, r);
    f.record_type = r->type;
    return f;
}

static int report(const struct segment_walk *w, uint32_t slot, const struct cbd_record *r,
                  enum cbd_problem_code code, uint64_t got, uint64_t limit)
{
    struct cbd_check_finding f = at_record(w, slot, r, code);

    f.got = got;
    f.limit = limit;
    return cbd_check_report(w->k, &f);
}

/* The address range against the backend. */
static int check_range(const struct segment_walk *w, uint32_t slot, const struct cbd_record *r)
{
    const struct cbd_backend_config *config = &w->k->cache.configs[w->backend];
    uint64_t block = config->logical_block_bytes, part = block - 1; /* a power of two */
    uint64_t end = r->addr_bytes + r->len_bytes;
    int stop = 0;

    if (end > config->size_bytes)
        stop = report(w, slot, r, CBD_PROBLEM_RECORD_BEYOND, end, config->size_bytes);
    if (stop == 0 && ((r->addr_bytes | r->len_bytes) & part) != 0)
        stop = report(w, slot, r, CBD_PROBLEM_RECORD_ALIGNMENT,
                      (r->addr_bytes & part) != 0 ? r->addr_bytes : r->len_bytes, block);
    return stop;
}

/* Epoch and order against the backend's state and the records before. */
static int check_age(struct segment_walk *w, uint32_t slot, const struct cbd_record *r, bool dirty)
{
    const struct cbd_backend_state *state = &w->k->cache.states[w->backend];
    int stop = 0;

    if (r->order > w->order_max)
        w->order_max = r->order;
    if (r->epoch > w->epoch_max)
        w->epoch_max = r->epoch;
    if (r->order > CBD_ORDER_START_MAX)
        stop = report(w, slot, r, CBD_PROBLEM_RECORD_COUNTER, r->order, CBD_ORDER_START_MAX);
    else if (r->epoch > CBD_EPOCH_START_MAX)
        stop = report(w, slot, r, CBD_PROBLEM_RECORD_COUNTER, r->epoch, CBD_EPOCH_START_MAX);
    if (stop == 0 && dirty && r->order < state->horizon)
        stop = report(w, slot, r, CBD_PROBLEM_RECORD_FORGOTTEN, r->order, state->horizon);
    if (r->type == CBD_M_RECORD_FILL)
        return stop;
    if (stop == 0 && dirty && r->epoch < w->epoch)
        stop = report(w, slot, r, CBD_PROBLEM_RECORD_EPOCH, r->epoch, w->epoch);
    if (r->epoch > w->epoch)
        w->epoch = r->epoch;
    return stop;
}

static int check_payload_place(struct segment_walk *w, uint32_t slot, const struct cbd_record *r)
{
    uint32_t end =
        (uint32_t)(r->payload_off + r->len_bytes + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
    uint32_t start = r->payload_off - cbd_header_bytes(r->addr_bytes, (uint32_t)r->len_bytes);
    int stop = 0;

    if (start < w->payload_end)
        stop = report(w, slot, r, CBD_PROBLEM_PAYLOAD_OVERLAP, start, w->payload_end);
    if (end > w->payload_end)
        w->payload_end = end;
    return stop;
}

static void count(struct segment_walk *w, const struct cbd_record *r, bool dirty)
{
    struct cbd_check_backend *out = &w->k->out->backends[w->backend];
    struct cbd_check_entry *entry = &w->k->entries[w->id];
    bool zero = r->type == CBD_M_RECORD_ZERO;

    out->records++;
    w->live_bytes += zero ? 0 : r->len_bytes;
    if (!dirty)
        return;
    out->dirty_records++;
    if (r->order < w->k->dirty_order_min[w->backend])
        w->k->dirty_order_min[w->backend] = r->order;
    if (entry->dirty_first == 0)
        entry->dirty_first = r->epoch;
    if (r->epoch > entry->dirty_last)
        entry->dirty_last = r->epoch;
    w->dirty_bytes += zero ? 0 : r->len_bytes;
    out->dirty_zero_bytes += zero ? r->len_bytes : 0;
}

static void show_record(const struct segment_walk *w, uint32_t slot, bool live, bool dirty)
{
    struct cbd_check_record view = {
        .segment = w->id,
        .slot = slot,
        .backend = w->backend,
        .off_bytes = cbd_check_slot_off(w->k, w->id, slot),
        .live = live,
        .dirty = dirty,
    };

    w->k->options.record(w->k->arg, &view);
}

static int check_record(void *arg, uint32_t slot, const struct cbd_record *r)
{
    struct segment_walk *w = arg;
    struct cbd_check *k = w->k;
    bool dirty = cbd_check_dirty(k, w->backend, r);
    bool payload = r->type == CBD_M_RECORD_WRITE || r->type == CBD_M_RECORD_FILL;
    bool live = cbd_check_live(k, w->backend, r);
    int stop;

    if (k->options.record != NULL)
        show_record(w, slot, live, dirty);
    if (r->type == CBD_M_RECORD_VOID)
        return 0;
    stop = check_range(w, slot, r);
    if (stop == 0)
        stop = check_age(w, slot, r, dirty);
    if (stop == 0 && payload)
        stop = check_payload_place(w, slot, r);
    if (stop != 0 || !live)
        return stop;
    count(w, r, dirty);
    if (payload && (k->options.flags & (CBD_CHECK_HEADERS | CBD_CHECK_DATA)) != 0)
        stop = cbd_check_header(k, w->id, slot, r, dirty);
    if (stop == 0 && r->type != CBD_M_RECORD_FILL && (k->options.flags & CBD_CHECK_ORDERS) != 0)
        stop = cbd_check_order_add(k, w->id, slot, r);
    return stop;
}

/* Records of an open segment that no later one proves, and whose payload is not what they say. */
static int check_suspects(struct segment_walk *w, const struct cbd_scan *scan)
{
    struct cbd_check_backend *out = &w->k->out->backends[w->backend];
    /* After a clean detach no write can be unfinished. */
    bool detached = w->k->state_valid[w->backend] && !out->unclean;
    int stop = 0;

    for (uint32_t slot = scan->durable; slot < scan->records && stop == 0; slot++) {
        struct cbd_check_finding f;
        struct cbd_record r;

        if (cbd_load_record(&w->k->cache, w->id, slot, &r) != 0 ||
            !cbd_scan_unfinished(&w->k->cache, w->id, scan, slot))
            continue;
        out->suspects++;
        f = at_record(w, slot, &r, detached ? CBD_PROBLEM_SUSPECT_DETACHED : CBD_PROBLEM_SUSPECT);
        if (r.order > w->k->order_top[w->backend])
            w->k->order_top[w->backend] = r.order;
        f.dirty = false; /* nobody was told that it is there */
        stop = cbd_check_report(w->k, &f);
    }
    return stop;
}

/* What the entry of a closed segment says about its records. */
static int check_closed(const struct segment_walk *w)
{
    const struct cbd_segment_entry *e = &w->k->cache.segments[w->id].entry;
    struct cbd_check_finding f;
    int stop = 0;

    if (e->order_max != w->order_max) {
        f = cbd_check_finding(CBD_PROBLEM_CLOSED_ORDER);
        f.segment = w->id;
        f.backend = w->backend;
        f.got = e->order_max;
        f.limit = w->order_max;
        stop = cbd_check_report(w->k, &f);
    }
    if (stop == 0 && e->epoch_max != w->epoch_max) {
        f = cbd_check_finding(CBD_PROBLEM_CLOSED_EPOCH);
        f.segment = w->id;
        f.backend = w->backend;
        f.got = e->epoch_max;
        f.limit = w->epoch_max;
        stop = cbd_check_report(w->k, &f);
    }
    return stop;
}

static int check_limit(const struct segment_walk *w, const struct cbd_scan *scan)
{
    uint32_t limit = cbd_payload_limit(&w->k->cache.super.geo, scan->records);
    struct cbd_check_finding f;

    if (w->payload_end <= limit)
        return 0;
    f = cbd_check_finding(CBD_PROBLEM_PAYLOAD_LIMIT);
    f.segment = w->id;
    f.backend = w->backend;
    f.off_bytes = cbd_segment_off(&w->k->cache.super.geo, w->id) + limit;
    f.got = w->payload_end;
    f.limit = limit;
    return cbd_check_report(w->k, &f);
}

/* What the entry says, and what the scan of its records has seen, if there was one. */
static void show_segment(struct cbd_check *k, uint32_t id, const struct segment_walk *w,
                         const struct cbd_scan *scan)
{
    const struct cbd_check_entry *entry = &k->entries[id];
    const struct cbd_segment_entry *e = &k->cache.segments[id].entry;
    const struct cbd_geometry *geo = &k->cache.super.geo;
    struct cbd_check_segment view = {
        .id = id,
        .problem = cbd_problem_find(entry->problem),
        .entry_off_bytes =
            (entry->copy == 1 ? geo->table_b_off : geo->table_a_off) + cbd_place_segment(id),
        .entry_valid = entry->plan != CBD_CHECK_PLAN_LOST,
        .backend = e->owner != 0 ? e->owner - 1u : CBD_CHECK_NONE,
        .status = e->status,
        .stream = e->stream,
        .generation = e->generation,
    };

    if (scan != NULL) {
        view.scanned = true;
        view.suspect = scan->suspect;
        view.records = scan->records;
        view.damaged = scan->damaged;
        view.live_bytes = w->live_bytes;
        view.dirty_bytes = w->dirty_bytes;
    }
    if (k->options.segment != NULL)
        k->options.segment(k->arg, &view);
}

/* All of one segment. Of what others may look at meanwhile it changes entries[id] only. */
int cbd_check_segment(struct cbd_check *k, uint32_t id)
{
    const struct cbd_segment_entry *e = &k->cache.segments[id].entry;
    struct segment_walk w = {.k = k, .id = id, .backend = e->owner - 1u};
    bool open = e->status == CBD_M_SEGMENT_OPEN;
    struct cbd_scan scan;
    int stop = cbd_scan_segment(&k->cache, id, &scan, check_record, &w);

    k->out->backends[w.backend].live_bytes += w.live_bytes;
    k->out->backends[w.backend].dirty_bytes += w.dirty_bytes;
    if (stop == 0)
        stop = check_limit(&w, &scan);
    if (stop == 0 && scan.suspect)
        stop = check_suspects(&w, &scan);
    if (stop == 0 && (scan.unfinished != 0 || scan.recordless) &&
        k->out->backends[w.backend].unclean)
        stop = cbd_check_unfinished(k, id, &scan);
    if (stop == 0 && scan.damaged != 0 && !CBD_CANARY(CHECK_PASSES_DAMAGE))
        stop = cbd_check_damage(k, id, &scan);
    else if (stop == 0 && !open)
        stop = check_closed(&w);
    k->out->records_damaged += scan.damaged;
    k->entries[id].damaged = scan.damaged != 0;
    k->entries[id].durable = scan.durable;
    if (w.order_max > k->order_top[w.backend])
        k->order_top[w.backend] = w.order_max;
    if (!open && e->order_max > k->order_top[w.backend])
        k->order_top[w.backend] = e->order_max;
    if (stop == 0)
        show_segment(k, id, &w, &scan);
    return stop;
}

/* Dirty data means that the last detach was not a clean one. */
static int check_detached(struct cbd_check *k, uint32_t id)
{
    const struct cbd_check_backend *out = &k->out->backends[id];
    struct cbd_check_finding f;

    if (!out->used || !k->state_valid[id] || out->unclean || out->dirty_records == 0)
        return 0;
    f = cbd_check_finding(CBD_PROBLEM_DIRTY_DETACHED);
    f.backend = id;
    f.got = out->dirty_records;
    f.dirty = true;
    return cbd_check_report(k, &f);
}

int cbd_check_records(struct cbd_check *k)
{
    uint32_t total = k->out->segments_open + k->out->segments_closed;
    uint32_t done = 0;
    int stop = 0;

    cbd_check_ahead_open(k);
    for (uint32_t id = 0; id < k->cache.super.geo.segment_count && stop == 0; id++) {
        if (k->ahead == NULL)
            cbd_want_ahead(&k->cache, id, 0, k->cache.super.geo.segment_count);
        if (k->entries[id].plan != CBD_CHECK_PLAN_SCAN ||
            (CBD_CANARY(CHECK_SKIPS_CLOSED) &&
             k->cache.segments[id].entry.status == CBD_M_SEGMENT_CLOSED)) {
            show_segment(k, id, NULL, NULL);
            continue;
        }
        if (k->options.progress != NULL)
            stop = k->options.progress(k->arg, done, total);
        if (stop == 0)
            stop = cbd_check_in_turn(k, id);
        done++;
    }
    cbd_check_ahead_close(k);
    for (uint32_t i = 0; i < CBD_BACKENDS && stop == 0; i++)
        stop = check_detached(k, i);
    for (uint32_t i = 0; i < CBD_BACKENDS && stop == 0; i++)
        stop = cbd_check_lists(k, i);
    return stop;
}
