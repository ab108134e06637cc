/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries of segments, from what the segments hold.
 *
 * The generation of a segment is in the seed of all its checksums, and half of it in each record.
 * The highest under which something validates is that of its last life, or of the one before when
 * nothing was stored since: then the horizon forgets all of it.
 *
 * The owner is nowhere in a segment: it is the one backend whose share is short. The stream is not,
 * either: any will do for a closed one (lists.h).
 *
 * Nor is it said whether the segment was open, and how many records it had. So what looks like an
 * unfinished write may as well be a record that was lost. And of one that is lost for certain nothing
 * says how new it was: the highest epoch and order of a closed segment are those of what is left.
 */
#include "repair.h"

#define LOST_MAX 4096u                        /* entries that are looked for in one round */
#define GENERATIONS_MAX 4096u                 /* that are tried when no record says which */
#define GENERATIONS_APART (UINT64_C(1) << 20) /* lives by which no segment is ahead of all others */

struct tally {
    const struct cbd_check *k;
    uint32_t backend;
    uint32_t valid;
    uint64_t order_max, epoch_max;
    uint64_t dirty_first, dirty_last; /* epochs */
    uint64_t dirty_order_min;
    uint64_t dirty_bytes;
    bool gaps; /* a slot without a record, or a payload behind the last: one may be lost */
};

static int tally_record(void *arg, uint32_t slot, const struct cbd_record *r)
{
    struct tally *t = arg;

    (void)slot;
    t->valid++;
    if (r->order > t->order_max)
        t->order_max = r->order;
    if (r->epoch > t->epoch_max)
        t->epoch_max = r->epoch;
    if ((r->type != CBD_M_RECORD_WRITE && r->type != CBD_M_RECORD_ZERO) ||
        (t->k->state_valid[t->backend] && !cbd_check_dirty(t->k, t->backend, r)))
        return 0;
    if (t->dirty_first == 0)
        t->dirty_first = r->epoch;
    t->dirty_order_min = cbd_min64(t->dirty_order_min, r->order);
    if (r->epoch > t->dirty_last)
        t->dirty_last = r->epoch;
    t->dirty_bytes += r->len_bytes;
    return 0;
}

/* Whether a payload is there for the slot behind the last record. */
static bool payload_behind(struct cbd_check *k, uint32_t id, uint32_t records)
{
    uint32_t payload_end = 0, payload_off;
    struct cbd_header h;

    for (uint32_t slot = 0; slot < records; slot++) {
        struct cbd_record r;

        if (cbd_load_record(&k->cache, id, slot, &r) == 0)
            cbd_pass_payload(&k->cache, id, slot, &r, &payload_end);
        else
            (void)cbd_find_header(&k->cache, id, slot, &payload_end, &h, &payload_off);
    }
    return cbd_find_header(&k->cache, id, records, &payload_end, &h, &payload_off);
}

/*
 * As an open one: what of it is unfinished does not count. The number of its slots up to the last
 * that does. *durable: slots below are proven.
 */
static uint32_t tally_open(struct cbd_check *k, uint32_t id, uint32_t backend, struct tally *t,
                           uint32_t *durable)
{
    struct cbd_segment *seg = &k->cache.segments[id];
    const struct cbd_segment_entry saved = seg->entry;
    struct cbd_scan scan;

    *t = (struct tally){.k = k, .backend = backend, .dirty_order_min = UINT64_MAX};
    seg->entry.owner = (uint16_t)(backend + 1);
    seg->entry.status = CBD_M_SEGMENT_OPEN;
    if (cbd_scan_segment(&k->cache, id, &scan, tally_record, t) != 0)
        scan.records = 0; /* never: the visitor does not fail */
    t->gaps = scan.damaged != 0 || scan.unfinished != 0 || scan.recordless ||
              payload_behind(k, id, scan.records);
    while (scan.records > scan.durable &&
           cbd_scan_unfinished(&k->cache, id, &scan, scan.records - 1))
        scan.records--;
    seg->entry = saved;
    *durable = scan.durable;
    return scan.records;
}

uint64_t cbd_generation_above(const struct cbd_check *k)
{
    uint64_t top = k->cache.super.generation_floor;

    for (uint32_t id = 0; id < k->cache.super.geo.segment_count; id++) {
        uint64_t g = k->cache.segments[id].entry.generation;

        if (g > top && g <= CBD_GENERATION_START_MAX)
            top = g;
    }
    return top + GENERATIONS_APART;
}

static void set_generation(struct cbd_check *k, uint32_t id, uint64_t generation)
{
    k->cache.segments[id].entry.generation = generation;
    cbd_segment_seeds(&k->cache, id, &k->cache.segments[id]);
}

/* The highest generation under which a record validates; 0: none. */
static uint64_t record_generation(struct cbd_check *k, uint32_t id, uint64_t top)
{
    const struct cbd_geometry *geo = &k->cache.super.geo;
    uint64_t floor = k->cache.super.generation_floor;
    uint64_t high[2] = {floor >> 32, top >> 32};
    uint64_t best = 0;

    for (uint32_t slot = 0; slot < geo->segment_bytes / sizeof(struct cbd_m_record); slot++) {
        struct cbd_m_record m;
        struct cbd_record r;

        if (k->cache.pm->ops->read(k->cache.pm, cbd_check_slot_off(k, id, slot), &m, sizeof(m)) !=
            0)
            continue;
        for (int i = 0; i < 2 && (i == 0 || high[1] != high[0]); i++) {
            uint64_t g = high[i] << 32 | cbd_get32(m.generation_low);

            if (g <= best || g <= floor || g > top)
                continue;
            if (cbd_record_decode(&m, cbd_seed_place(k->cache.seed, CBD_SEED_RECORD, id, g), g,
                                  slot, geo, &r))
                best = g;
        }
    }
    return best;
}

/* Whether 64 bytes could be the header of the first payload, n lines into the segment. */
static bool may_be_header(const struct cbd_m_header *m, uint32_t n)
{
    uint64_t addr = cbd_get64(m->addr_bytes);
    uint32_t len = cbd_get32(m->len_bytes);

    return cbd_get32(m->slot) == 0 && len != 0 && len <= CBD_REGION_BYTES &&
           addr <= (UINT64_C(1) << 48) && cbd_header_bytes(addr, len) == n * CBD_LINE_BYTES;
}

/* The same by the first payload header, which does not say any of it. */
static uint64_t header_generation(struct cbd_check *k, uint32_t id, uint64_t top)
{
    uint64_t floor = k->cache.super.generation_floor;
    uint64_t last = top - floor > GENERATIONS_MAX ? floor + GENERATIONS_MAX : top;

    for (uint32_t n = 1; n <= CBD_LINES_MAX + 1; n++) {
        struct cbd_loaded_header head;
        struct cbd_m_header m;

        if (k->cache.pm->ops->read(
                k->cache.pm, cbd_segment_off(&k->cache.super.geo, id) + (n - 1) * CBD_LINE_BYTES,
                &m, sizeof(m)) != 0 ||
            !may_be_header(&m, n))
            continue;
        for (uint64_t g = last; g > floor; g--) {
            set_generation(k, id, g);
            if (cbd_load_header(&k->cache, id, n * CBD_LINE_BYTES, &head) == 0)
                return g;
        }
    }
    return 0;
}

/* What a closed entry says of the records under the generation that is set. */
static void close_with(struct cbd_check *k, uint32_t id, uint32_t backend,
                       struct cbd_found_segment *out)
{
    struct tally t;
    uint32_t records = tally_open(k, id, backend, &t, &out->durable);

    out->id = id;
    out->gaps = t.gaps && !CBD_CANARY(REPAIR_FINDS_TOO_LITTLE);
    out->dirty_order_min = t.dirty_order_min;
    out->dirty_first = t.dirty_first;
    out->dirty_last = t.dirty_last;
    out->entry = k->cache.segments[id].entry;
    out->entry.owner = (uint16_t)(backend + 1);
    out->entry.stream %= k->cache.configs[backend].streams;
    out->entry.status = records != 0 ? CBD_M_SEGMENT_CLOSED : CBD_M_SEGMENT_FREE;
    out->entry.records = records;
    out->entry.order_max = t.order_max;
    out->entry.epoch_max = t.epoch_max;
}

/* The one backend that lacks as many segments as are lost; CBD_BACKENDS: none does. */
static const char *find_owner(const struct cbd_check *k, uint32_t *owner)
{
    uint32_t total = 0, short_ones = 0;

    *owner = CBD_BACKENDS;
    for (uint32_t i = 0; i < CBD_BACKENDS; i++) {
        uint32_t owned = k->out->backends[i].segments;

        if (!k->config_valid[i])
            return "none yet: entries of backends come first";
        if (!k->out->backends[i].used || k->cache.configs[i].segments <= owned)
            continue;
        total += k->cache.configs[i].segments - owned;
        short_ones++;
        *owner = i;
    }
    if (short_ones > 1 || (short_ones == 1 && total != k->entries_lost))
        return "none: which backend it belongs to cannot be told";
    return NULL;
}

/* No segment can hold records of a backend that is gone: none ever went. */
static bool none_was_removed(const struct cbd_check *k)
{
    for (uint32_t i = 0; i < CBD_BACKENDS; i++)
        if (k->cache.configs[i].seq > (k->cache.configs[i].used == CBD_M_BACKEND_USED ? 2u : 1u))
            return false;
    return true;
}

const char *cbd_find_entry(struct cbd_repair *r, uint32_t id, struct cbd_found_segment *out,
                           bool *certain)
{
    struct cbd_check *k = r->k;
    uint64_t top = cbd_generation_above(k);
    uint64_t g = 0;
    uint32_t owner;
    const char *why = find_owner(k, &owner);

    *certain = true;
    if (why == NULL && k->entries_lost > LOST_MAX)
        why = "none: too many are lost";
    if (why != NULL)
        return why;
    *out = (struct cbd_found_segment){.id = id};
    if (owner < CBD_BACKENDS)
        g = record_generation(k, id, top);
    if (owner < CBD_BACKENDS && g == 0)
        g = header_generation(k, id, top);
    set_generation(k, id, g);
    if (g != 0) {
        close_with(k, id, owner, out);
        *certain = none_was_removed(k) && !out->gaps;
    }
    if (g == 0 || out->entry.status == CBD_M_SEGMENT_FREE) {
        out->entry = (struct cbd_segment_entry){
            .owner = owner < CBD_BACKENDS ? (uint16_t)(owner + 1) : 0,
            .status = CBD_M_SEGMENT_FREE,
            .generation = top,
        };
        *certain = !out->gaps;
    }
    k->cache.segments[id].entry = (struct cbd_segment_entry){0};
    return NULL;
}

/* The open segment of two that has the lower orders, or the one of a stream that does not exist. */
void cbd_close_entry(struct cbd_repair *r, uint32_t id, struct cbd_found_segment *out)
{
    struct cbd_check *k = r->k;
    const struct cbd_segment_entry *e = &k->cache.segments[id].entry;
    uint32_t backend = e->owner - 1u;
    uint32_t other = id;
    struct tally mine, theirs;
    uint32_t durable;

    if (e->status == CBD_M_SEGMENT_CLOSED) {
        *out = (struct cbd_found_segment){
            .id = id,
            .entry = *e,
            .dirty_first = k->entries[id].dirty_first,
            .dirty_last = k->entries[id].dirty_last,
            .durable = e->records,
        };
        out->entry.stream %= k->cache.configs[backend].streams;
        return;
    }
    (void)tally_open(k, id, backend, &mine, &durable);
    for (uint32_t i = 0; i < k->cache.super.geo.segment_count && other == id; i++)
        if (i != id && k->cache.segments[i].entry.owner == e->owner &&
            k->cache.segments[i].entry.status == CBD_M_SEGMENT_OPEN &&
            k->cache.segments[i].entry.stream == e->stream)
            other = i;
    if (other != id && e->stream < k->cache.configs[backend].streams) {
        (void)tally_open(k, other, backend, &theirs, &durable);
        if (theirs.order_max < mine.order_max)
            id = other;
    }
    close_with(k, id, backend, out);
}

/* A closed segment has no slot without a record: what is unfinished in it is void before. */
int cbd_void_unfinished(struct cbd_repair *r, const struct cbd_found_segment *found)
{
    struct cbd_scan scan = {.records = found->entry.records, .durable = found->durable};
    int error = 0;

    for (uint32_t slot = found->durable; slot < found->entry.records && error == 0; slot++)
        if (cbd_scan_unfinished(&r->k->cache, found->id, &scan, slot))
            error = cbd_mend_void(r, found->id, slot, found->durable);
    return error;
}

bool cbd_segment_holds_nothing(const struct cbd_check *k, uint32_t id)
{
    return k->entries[id].plan == CBD_CHECK_PLAN_SKIP;
}

/* Of a backend whose entry is lost. *any: it owns a segment. */
uint64_t cbd_owned_dirty_bytes(struct cbd_repair *r, uint32_t backend, bool *any)
{
    struct cbd_check *k = r->k;
    uint64_t sum = 0;

    *any = false;
    for (uint32_t id = 0; id < k->cache.super.geo.segment_count; id++) {
        const struct cbd_segment_entry *e = &k->cache.segments[id].entry;
        struct tally t;
        uint32_t durable;

        if (k->entries[id].plan == CBD_CHECK_PLAN_LOST || e->owner != backend + 1)
            continue;
        *any = true;
        if (e->status == CBD_M_SEGMENT_FREE)
            continue;
        (void)tally_open(k, id, backend, &t, &durable);
        sum += t.dirty_bytes;
    }
    return sum;
}
