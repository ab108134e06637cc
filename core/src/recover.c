/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery: from the media to the state in memory. It also runs after a clean detach.
 *
 *   1  repair every entry of this backend whose copies differ           V1
 *   2  scan the records of every segment that is not free; after a clean detach of every open
 *      one, the others later                                            scan.c, warm.c
 *   3  a record at or above the horizon goes into the index, by order   V2
 *   4  in an open segment, what is not proven to be durable is made durable if it is whole, and
 *      voided if not: durable on ack the last record                    V3, V4
 *   5  epoch and era begin above everything seen
 *   6  the disk is compared with what the cache knows                   identity.c
 *   7  the state says "attached", in both copies                        V5
 *
 * V1  what the tables were found to say is made durable, then copies are made equal, before the
 *     engine writes to one of them (T1): after a crash of the process alone a copy may be readable
 *     and not yet durable;
 * V2  order decides, so the result does not depend on the order of the scan, nor on how many parts
 *     of it run at a time; nothing is stored before all parts have ended;
 * V3  whatever is left of an unfinished write is void before its slot is used or passed: of a record
 *     that was torn too, for the words of the next one there could make it whole (scan.c);
 *     a void record is durable before the stream goes on: the next record will say that every slot
 *     below it is durable, and that is then true. The void itself says no more than what was proven
 *     before: nothing of this recovery is durable when it is stored;
 * V4  after a crash of the process alone, what is readable may not be durable. Only records that no
 *     later one proves can be in that state (durable on ack: the last of a stream): flushed here,
 *     before anybody reads them;
 * V5  the crash that follows is seen as one;
 * V6  a record that counts and that nothing proves does not stay behind a void one: its segment is
 *     closed, and that proves it. Its header would be looked for behind the payload before it, and
 *     what an unfinished write left there is no way to it: if the record were damaged, nothing
 *     would say that it had been there (durability=flush only: durable on ack it is the last one).
 *
 * Every store of recovery says again what the media says already, or fills a slot that no
 * acknowledged write uses. So a crash anywhere in it loses nothing, and running it again ends in
 * the same state (P6).
 */
#include <string.h>

#include "engine.h"
#include "lists.h"

/* What the scan of a segment found, for the pass that follows. */
struct scanned {
    struct cbd_scan scan;
    uint64_t first, last; /* epochs of its dirty records; first 0: nothing dirty */
    bool falls;           /* one of them is below one before it */
    int error;
};

/* Segments are scanned in so many parts where the environment runs parts side by side. */
#define PARTS 16u

/* One part, and in the end the sum of all. */
struct recovery {
    struct cbd_backend *b;
    struct cbd_bulk *bulk; /* of all parts */
    unsigned part;
    struct scanned *scanned;   /* for each segment */
    uint32_t first_id, end_id; /* segments of this part */
    uint32_t id;               /* segment being scanned */
    struct cbd_span *dirty;
    uint32_t dirty_count;
    uint64_t epoch_max;
    uint64_t order_max;
    uint64_t first, last; /* of the segment being scanned; first 0: nothing dirty */
    bool falls;
    uint64_t live;                 /* its records at or above the horizon */
    bool resumed[CBD_STREAMS_MAX]; /* its open segment was scanned */
    uint64_t dirty_space;
    struct cbd_stats stats;
    bool warm;   /* after a clean detach: closed segments are read later */
    bool failed; /* a segment of this part has an error */
};

/* Whether the backend can have such a record at all; reported if not. */
bool cbd_record_fits(const struct cbd_backend *b, uint32_t segment, const struct cbd_record *r)
{
    if (r->addr_bytes + r->len_bytes > b->size_bytes) {
        cbd_report(b->cache->env, CBD_ERROR, CBD_E_CORRUPT, "record",
                   "lies beyond the end of the backend", segment, r->payload_off,
                   r->addr_bytes + r->len_bytes, b->size_bytes);
        return false;
    }
    if ((r->addr_bytes | r->len_bytes) % b->disk->logical_block_bytes != 0) {
        cbd_report(b->cache->env, CBD_ERROR, CBD_E_CORRUPT, "record",
                   "is not made of logical blocks", segment, r->payload_off,
                   r->addr_bytes | r->len_bytes, b->disk->logical_block_bytes);
        return false;
    }
    return true;
}

static int visit_record(void *arg, uint32_t slot, const struct cbd_record *r)
{
    struct recovery *rec = arg;
    struct cbd_backend *b = rec->b;
    struct cbd_segment *seg = &b->cache->segments[rec->id];
    bool dirty = (r->type == CBD_M_RECORD_WRITE || r->type == CBD_M_RECORD_ZERO) &&
                 r->epoch > b->state.epoch_written + CBD_CANARY(E_OFF_BY_ONE) &&
                 !cbd_record_carried(&b->state, r);

    if (r->type == CBD_M_RECORD_VOID)
        return 0;
    if (!cbd_record_fits(b, rec->id, r))
        return CBD_E_CORRUPT;
    if ((dirty || CBD_CANARY(FORGOTTEN_REFUSED)) && r->order < b->state.horizon) {
        cbd_report(b->cache->env, CBD_ERROR, CBD_E_CORRUPT, "record", "is dirty but forgotten",
                   rec->id, r->payload_off, r->order, b->state.horizon);
        return CBD_E_CORRUPT;
    }
    if (!CBD_CANARY(LOWEST_ORDER_LOST))
        seg->order_min = cbd_min64(seg->order_min, r->order);
    if (r->order > seg->order_max)
        seg->order_max = r->order;
    if (r->epoch > seg->epoch_max)
        seg->epoch_max = r->epoch;
    if (dirty) {
        if (rec->first == 0) {
            rec->first = r->epoch;
            seg->written = slot + CBD_CANARY(CURSOR_OFF_BY_ONE);
        }
        rec->falls = rec->falls || r->epoch < rec->last;
        rec->last = r->epoch > rec->last ? r->epoch : rec->last;
        rec->dirty_space += cbd_record_space(r->type, r->addr_bytes, r->len_bytes);
        if (r->type == CBD_M_RECORD_WRITE)
            rec->stats.recovered_dirty_bytes += r->len_bytes;
    }
    if (r->order < b->state.horizon ||
        (CBD_CANARY(CLEAN_NOT_RECOVERED) && !dirty && r->type == CBD_M_RECORD_WRITE) ||
        (CBD_CANARY(DISCARD_NOT_RECOVERED) && r->type == CBD_M_RECORD_ZERO))
        return 0;
    if (!dirty && (b->state.flags & CBD_M_STATE_DROPPING) != 0 && !CBD_CANARY(ACCEPT_SHOWS_CLEAN))
        return 0; /* A1 */
    if (r->order <= b->warm.above)
        return 0; /* H1 */
    rec->live++;
    rec->stats.recovered_records++;
    return cbd_bulk_add(rec->bulk, rec->part, r, rec->id);
}

/* V3 */
static void void_record(struct cbd_cache *c, uint32_t id, uint32_t slot, uint32_t durable)
{
    const struct cbd_segment *seg = &c->segments[id];
    struct cbd_record record = {.type = CBD_M_RECORD_VOID, .durable = durable};
    struct cbd_m_record m;

    cbd_record_encode(&record, seg->record_seed, seg->entry.generation, slot, &m);
    c->pm->ops->copy(c->pm, cbd_segment_off(&c->super.geo, id) + cbd_slot_off(&c->super.geo, slot),
                     &m, sizeof(m), CBD_PMEM_NT, CBD_STEP_RECOVER_VOID);
}

/* V4 */
static void flush_record(struct cbd_cache *c, uint32_t id, uint32_t slot)
{
    uint64_t base = cbd_segment_off(&c->super.geo, id);
    struct cbd_record r;

    c->pm->ops->flush(c->pm, base + cbd_slot_off(&c->super.geo, slot), sizeof(struct cbd_m_record),
                      CBD_STEP_RECOVER_FLUSH);
    if (cbd_load_record(c, id, slot, &r) != 0 || r.payload_off == 0)
        return; /* the scan has reported it */
    c->pm->ops->flush(c->pm,
                      base + r.payload_off - cbd_header_bytes(r.addr_bytes, (uint32_t)r.len_bytes),
                      cbd_header_bytes(r.addr_bytes, (uint32_t)r.len_bytes) + r.len_bytes,
                      CBD_STEP_RECOVER_FLUSH_PAYLOAD);
}

/* The open segment of a stream goes on where it was left. */
static int resume_segment(struct recovery *rec, const struct cbd_scan *scan)
{
    struct cbd_backend *b = rec->b;
    struct cbd_cache *c = b->cache;
    struct cbd_segment *seg = &c->segments[rec->id];
    struct cbd_stream *s;

    if (seg->entry.stream >= b->stream_count ||
        b->streams[seg->entry.stream].segment != CBD_NO_SEGMENT) {
        cbd_report(c->env, CBD_ERROR, CBD_E_CORRUPT, "segment entry",
                   "is the second open one of its stream", rec->id,
                   c->super.geo.table_a_off + cbd_place_segment(rec->id), seg->entry.stream,
                   b->stream_count);
        return CBD_E_CORRUPT;
    }
    s = &b->streams[seg->entry.stream];
    s->segment = rec->id;
    rec->resumed[seg->entry.stream] = true;
    if (scan->recordless && !scan->suspect) {
        rec->stats.recovered_suspects++;
        cbd_report(
            c->env, CBD_INFO, 0, "payload header", "unfinished write: it has no record", rec->id,
            cbd_segment_off(&c->super.geo, rec->id) + cbd_slot_off(&c->super.geo, scan->records),
            scan->records, scan->durable);
    }
    if (cbd_doubt_note(b, rec->id, scan) != 0)
        return CBD_E_NOMEM;
    for (uint32_t slot = scan->durable; scan->unfinished != 0 && slot < scan->records; slot++) {
        if (!cbd_scan_unfinished(c, rec->id, scan, slot))
            continue;
        rec->stats.recovered_suspects++;
        cbd_report(c->env, CBD_INFO, 0, "record", "unfinished write discarded", rec->id,
                   cbd_segment_off(&c->super.geo, rec->id) + cbd_slot_off(&c->super.geo, slot),
                   slot, scan->durable);
    }
    return 0;
}

/* What counting goes on above. */
static void note_segment(struct recovery *rec, const struct cbd_segment *seg)
{
    if (seg->epoch_max > rec->epoch_max)
        rec->epoch_max = seg->epoch_max;
    if (seg->order_max > rec->order_max)
        rec->order_max = seg->order_max;
}

/* Whether the record of a slot that nothing has proven is void, or becomes so now. */
static bool is_void(struct cbd_cache *c, uint32_t id, const struct cbd_scan *scan, uint32_t slot)
{
    struct cbd_record r;

    if (cbd_load_record(c, id, slot, &r) == 0 && r.type == CBD_M_RECORD_VOID)
        return true;
    return scan->unfinished != 0 && cbd_scan_unfinished(c, id, scan, slot);
}

/* V6: whether a record that counts stands behind a void one, with nothing that proves it. */
static bool has_hole(struct cbd_cache *c, uint32_t id, const struct cbd_scan *scan)
{
    bool hole = false;

    for (uint32_t slot = scan->durable; slot < scan->records; slot++) {
        if (is_void(c, id, scan, slot))
            hole = true;
        else if (hole)
            return !CBD_CANARY(HOLE_LEFT_OPEN);
    }
    return false;
}

/* V3 and V4 for the slots that nothing has proven. */
static void end_stream(struct recovery *rec, struct cbd_stream *s)
{
    struct cbd_cache *c = rec->b->cache;
    uint32_t id = s->segment;
    const struct cbd_scan *scan = &rec->scanned[id].scan;

    for (uint32_t slot = scan->durable; slot < scan->records; slot++) {
        if (scan->unfinished != 0 && cbd_scan_unfinished(c, id, scan, slot)) {
            if (!CBD_CANARY(UNFINISHED_NOT_VOIDED))
                void_record(c, id, slot, scan->durable);
        } else if (!CBD_CANARY(LAST_RECORD_NOT_FLUSHED)) {
            flush_record(c, id, slot);
        }
    }
    s->durable = scan->records; /* with the first fence of V5 */
    s->durable_end = scan->payload_end;
}

/*
 * Once it is known that the backend may be written. A segment with damage is closed: what is said of
 * its lost records now holds for every later recovery, whatever is appended. So is one with a hole
 * (V6). What was voided or flushed in it is durable before (Y3).
 */
static int end_streams(struct recovery *rec)
{
    struct cbd_backend *b = rec->b;
    int error = 0;

    for (uint32_t n = 0; n < b->stream_count && error == 0; n++) {
        struct cbd_stream *s = &b->streams[n];
        bool hole;

        if (!rec->resumed[n])
            continue;
        hole = has_hole(b->cache, s->segment, &rec->scanned[s->segment].scan); /* before V3 */
        end_stream(rec, s);
        if (!hole && !cbd_lost_in(b, s->segment))
            continue;
        if (!CBD_CANARY(CLOSE_NOT_FENCED))
            error = b->cache->pm->ops->fence(b->cache->pm, CBD_STEP_RECOVER_CLOSE_FENCE);
        if (error == 0)
            error = cbd_stream_close(b, s);
        s->segment = CBD_NO_SEGMENT;
    }
    return error;
}

static bool is_free(const struct cbd_backend *b, const struct cbd_segment *seg)
{
    return seg->entry.status == CBD_M_SEGMENT_FREE ||
           (seg->entry.status == CBD_M_SEGMENT_CLOSED && seg->entry.order_max < b->state.horizon);
}

/* Reads only, but for the index and what is in memory of this segment. */
static int scan_segment(struct recovery *rec, uint32_t id)
{
    struct cbd_backend *b = rec->b;
    struct cbd_cache *c = b->cache;
    struct cbd_segment *seg = &c->segments[id];
    bool closed = seg->entry.status == CBD_M_SEGMENT_CLOSED;
    struct scanned *s = &rec->scanned[id];
    int error;

    if (seg->entry.generation > CBD_GENERATION_START_MAX) {
        cbd_report(c->env, CBD_ERROR, CBD_E_CORRUPT, "segment entry",
                   "its generation is higher than any count", id,
                   c->super.geo.table_a_off + cbd_place_segment(id), seg->entry.generation,
                   CBD_GENERATION_START_MAX);
        return CBD_E_CORRUPT;
    }
    if (is_free(b, seg) || (rec->warm && closed))
        return 0;
    rec->id = id;
    rec->first = 0;
    rec->last = 0;
    rec->falls = false;
    rec->live = 0;
    seg->order_min = UINT64_MAX;
    /* An open one has no highest yet: what its entry may say is nobody's word. */
    seg->order_max = closed ? seg->entry.order_max : 0;
    seg->epoch_max = closed ? seg->entry.epoch_max : 0;
    seg->listed = false;
    error = cbd_scan_segment(c, id, &s->scan, visit_record, rec);
    s->first = rec->first;
    s->last = rec->last;
    s->falls = rec->falls;
    return error;
}

/* A part ends at its first error: the pass that follows stops there or earlier. */
static void scan_part(void *arg, unsigned n)
{
    struct recovery *rec = (struct recovery *)arg + n;
    struct cbd_cache *c = rec->b->cache;
    int error = 0;

    for (uint32_t id = rec->first_id; id < rec->end_id && error == 0; id++) {
        cbd_want_ahead(c, id, rec->first_id, rec->end_id);
        if (c->segments[id].entry.owner != rec->b->id + 1)
            continue;
        cbd_segment_seeds(c, id, &c->segments[id]);
        error = scan_segment(rec, id);
        rec->scanned[id].error = error;
        rec->failed = error != 0;
    }
}

/* About how many records a segment brings: an open one may hold one for each block. */
static uint64_t expected_records(const struct recovery *rec, uint32_t id)
{
    const struct cbd_cache *c = rec->b->cache;
    const struct cbd_segment *seg = &c->segments[id];

    if (seg->entry.owner != rec->b->id + 1 || is_free(rec->b, seg))
        return 0;
    if (seg->entry.status == CBD_M_SEGMENT_OPEN)
        return c->super.geo.segment_bytes / CBD_BLOCK_BYTES;
    return rec->warm ? 0 : seg->entry.records;
}

/*
 * So many records wait at a time to go into the index: half as many again as there are blocks of 4
 * KiB in the share. Only much smaller records are more, and older versions are few of the others.
 */
static uint64_t records_max(const struct recovery *rec)
{
    const struct cbd_cache *c = rec->b->cache;

    return (uint64_t)c->configs[rec->b->id].segments * c->super.geo.segment_bytes /
               CBD_BLOCK_BYTES * 3 / 2 +
           1;
}

/* The segments from `first` on whose records wait together. Returns behind the last of them. */
static uint32_t round_end(const struct recovery *rec, uint32_t first, uint64_t *records)
{
    uint32_t id = first;

    *records = 0;
    for (; id < rec->b->cache->super.geo.segment_count; id++) {
        uint64_t n = expected_records(rec, id);

        if (*records != 0 && *records + n > records_max(rec))
            break;
        *records += n;
    }
    return id;
}

/* The parts, side by side or in turn; what they counted goes into `sum`. False: one met an error. */
static bool scan_parts(struct recovery *sum, struct recovery *part, unsigned parts, uint32_t first,
                       uint32_t end)
{
    struct cbd_env *env = sum->b->cache->env;
    bool good = true;

    for (unsigned n = 0; n < parts; n++) {
        part[n] = (struct recovery){.b = sum->b,
                                    .bulk = sum->bulk,
                                    .part = n,
                                    .scanned = sum->scanned,
                                    .warm = sum->warm,
                                    .first_id = first + (uint64_t)(end - first) * n / parts,
                                    .end_id = first + (uint64_t)(end - first) * (n + 1) / parts};
    }
    if (parts > 1)
        env->ops->run(env, scan_part, part, parts);
    else
        scan_part(part, 0);
    for (unsigned n = 0; n < parts; n++) {
        sum->dirty_space += part[n].dirty_space;
        sum->stats.recovered_records += part[n].stats.recovered_records;
        sum->stats.recovered_dirty_bytes += part[n].stats.recovered_dirty_bytes;
        good = good && !part[n].failed;
    }
    return good;
}

/* Steps 2 and 3. What is wrong with a segment is kept for it, and ends this without an error. */
static int scan_all(struct recovery *sum)
{
    struct cbd_env *env = sum->b->cache->env;
    uint32_t count = sum->b->cache->super.geo.segment_count;
    unsigned parts = env->ops->run != NULL ? PARTS : 1;
    struct recovery *part = env->ops->alloc(env, parts * sizeof(*part));
    struct cbd_bulk bulk;
    bool good = true;
    int error = 0;

    if (part == NULL)
        return CBD_E_NOMEM;
    for (uint32_t first = 0, end; first < count && good && error == 0; first = end) {
        uint64_t records;

        end = round_end(sum, first, &records);
        error = cbd_bulk_begin(&bulk, sum->b, parts, records);
        if (error != 0)
            break;
        sum->bulk = &bulk;
        good = scan_parts(sum, part, parts, first, end);
        if (good)
            error = cbd_bulk_insert(&bulk); /* V2 */
        cbd_bulk_end(&bulk);
        sum->bulk = NULL;
    }
    env->ops->free(env, part, parts * sizeof(*part));
    return error;
}

/* What was scanned becomes the state of the segment and its stream. In turn, by number. */
static int recover_segment(struct recovery *rec, uint32_t id)
{
    struct cbd_backend *b = rec->b;
    struct cbd_cache *c = b->cache;
    struct cbd_segment *seg = &c->segments[id];
    const struct scanned *s = &rec->scanned[id];
    int error = 0;

    if (s->error != 0)
        return s->error;
    if (is_free(b, seg)) {
        cbd_segment_make_free(b, id);
        return 0;
    }
    if (rec->warm && seg->entry.status == CBD_M_SEGMENT_CLOSED) {
        cbd_warm_add_closed(b, id);
        note_segment(rec, seg);
        return 0;
    }
    if (s->scan.damaged != 0 && !CBD_CANARY(DAMAGE_PASSED))
        error = cbd_lost_note(b, id, &s->scan);
    if (error != 0)
        return error;
    rec->id = id;
    seg->records = s->scan.records;
    seg->payload_end = s->scan.payload_end;
    if (s->first == 0)
        seg->written = seg->records;
    else
        rec->dirty[rec->dirty_count++] = (struct cbd_span){
            .first = s->first,
            .last = s->last,
            .id = id,
            .stream = (uint8_t)(seg->entry.stream % b->stream_count),
            .open = seg->entry.status == CBD_M_SEGMENT_OPEN,
        };
    note_segment(rec, seg);
    if (rec->warm)
        cbd_warm_add_open(b, id);
    return seg->entry.status == CBD_M_SEGMENT_OPEN ? resume_segment(rec, &s->scan) : 0;
}

/* Repairs what belongs to this backend (1). */
static int repair_entries(struct cbd_backend *b)
{
    struct cbd_cache *c = b->cache;
    int error = cbd_tables_settle(c);

    if (error == 0) {
        cbd_repair_supers(c);
        error = cbd_repair_backend(c, b->id);
    }
    for (uint32_t id = 0; id < c->super.geo.segment_count && error == 0; id++)
        if (c->segments[id].entry.owner == b->id + 1)
            error = cbd_repair_segment(c, id);
    if (error != 0)
        return error;
    b->state = c->states[b->id];
    return cbd_twin_repair_end(c);
}

/*
 * Who has forged media may have made epochs that fall. Write-back would pass by what is behind a later
 * one, so nothing is written back then.
 */
static void judge_lists(struct recovery *rec)
{
    struct cbd_backend *b = rec->b;
    uint32_t unfit = CBD_LISTS_FIT;

    if (!CBD_CANARY(SEGMENTS_BY_NUMBER))
        unfit = cbd_lists_make(rec->dirty, rec->dirty_count, b->stream_count);
    for (uint32_t i = 0; i < rec->dirty_count; i++)
        if (rec->scanned[rec->dirty[i].id].falls)
            unfit = rec->dirty[i].id;
    if (unfit == CBD_LISTS_FIT)
        return;
    cbd_report(
        b->cache->env, CBD_ERROR, CBD_E_CORRUPT, "segment",
        "what of it has to reach the disk first cannot be told: epochs fall, and the backend "
        "is served for reading only",
        unfit, cbd_segment_off(&b->cache->super.geo, unfit), b->id, b->stream_count);
    atomic_store(&b->failed, CBD_E_READONLY);
}

/* The lists for write-back: closed segments in the order they were filled, the open one last. */
static void build_lists(struct recovery *rec)
{
    struct cbd_backend *b = rec->b;

    for (uint32_t i = 0; i < rec->dirty_count; i++) {
        const struct cbd_span *d = &rec->dirty[i];
        struct cbd_stream *s = &b->streams[d->stream];

        b->cache->segments[d->id].entry.stream = d->stream;
        atomic_store(&s->dirty_epoch, d->last);
        if (d->id != s->segment && !CBD_CANARY(CLOSED_NOT_LISTED))
            cbd_stream_list(b, s, d->id);
    }
    for (uint32_t n = 0; n < b->stream_count; n++)
        if (b->streams[n].segment != CBD_NO_SEGMENT)
            cbd_stream_list(b, &b->streams[n], b->streams[n].segment);
    atomic_store(&b->streams[0].dirty_bytes, rec->stats.recovered_dirty_bytes);
    atomic_store(&b->streams[0].dirty_space, rec->dirty_space);
    atomic_store(&b->space_closed, rec->dirty_space);
}

/* 5: above everything that was ever acknowledged and everything that is forgotten. */
static int begin_counting(struct recovery *rec)
{
    struct cbd_backend *b = rec->b;
    uint64_t order = rec->order_max > b->state.horizon ? rec->order_max : b->state.horizon;
    uint64_t epoch = rec->epoch_max > b->state.epoch_written && !CBD_CANARY(EPOCH_FALLS)
                         ? rec->epoch_max
                         : b->state.epoch_written;

    if (order > CBD_ORDER_START_MAX || epoch > CBD_EPOCH_START_MAX) {
        bool of_order = order > CBD_ORDER_START_MAX;

        cbd_report(b->cache->env, CBD_ERROR, CBD_E_CORRUPT, "backend",
                   of_order ? "an order is higher than any count"
                            : "an epoch is higher than any count",
                   b->id, UINT64_MAX, of_order ? order : epoch,
                   of_order ? CBD_ORDER_START_MAX : CBD_EPOCH_START_MAX);
        return CBD_E_CORRUPT;
    }
    atomic_store(&b->era, (order >> CBD_ORDER_COUNT_BITS) + !CBD_CANARY(ERA_NOT_RAISED));
    atomic_store(&b->epoch, epoch + 1);
    atomic_store(&b->horizon_next, b->state.horizon);
    return 0;
}

int cbd_recover(struct cbd_backend *b)
{
    struct cbd_cache *c = b->cache;
    uint32_t count = c->super.geo.segment_count;
    struct recovery rec = {.b = b};
    int error = repair_entries(b); /* V1 */

    if (error != 0)
        return error;
    rec.warm = cbd_warm_possible(b);
    if (rec.warm)
        error = cbd_warm_begin(b);
    if (error != 0)
        return error;
    rec.dirty = c->env->ops->alloc(c->env, count * sizeof(*rec.dirty));
    rec.scanned = c->env->ops->alloc(c->env, count * sizeof(*rec.scanned));
    error = rec.dirty == NULL || rec.scanned == NULL ? CBD_E_NOMEM : scan_all(&rec);
    for (uint32_t id = 0; id < count && error == 0; id++)
        if (c->segments[id].entry.owner == b->id + 1)
            error = recover_segment(&rec, id);
    if (error == 0)
        error = begin_counting(&rec);
    if (error == 0)
        error = cbd_lost_decide(b, atomic_load(&b->era) << CBD_ORDER_COUNT_BITS, rec.warm);
    if (error == 0)
        judge_lists(&rec);
    if (error == 0 && atomic_load(&b->failed) == 0)
        error = end_streams(&rec);
    if (error == 0) {
        build_lists(&rec);
        b->reclaim_stats.recovered_records = rec.stats.recovered_records;
        b->reclaim_stats.recovered_dirty_bytes = rec.stats.recovered_dirty_bytes;
        b->reclaim_stats.recovered_suspects = rec.stats.recovered_suspects;
        if (rec.warm && b->lost_count != 0)
            cbd_warm_destroy(b);
        else if (rec.warm)
            error = cbd_warm_ready(b);
    }
    if (rec.dirty != NULL)
        c->env->ops->free(c->env, rec.dirty, count * sizeof(*rec.dirty));
    if (rec.scanned != NULL)
        c->env->ops->free(c->env, rec.scanned, count * sizeof(*rec.scanned));
    if (error == 0 && (b->state.flags & CBD_M_STATE_DROPPING) == 0)
        error = cbd_identity_check(b); /* Q2 */
    /* What is cold may be older than what is lost, and all of it is clean: nothing stays (H2). */
    if (error == 0 && rec.warm && b->lost_count != 0)
        error = cbd_reclaim_below(b, atomic_load(&b->era) << CBD_ORDER_COUNT_BITS);
    if (error != 0 || atomic_load(&b->failed) != 0)
        return error; /* a degraded backend stays as it is on the media (L3) */
    b->state.flags |= CBD_M_STATE_ATTACHED;
    b->state.attaches++;
    if (CBD_CANARY(ATTACHED_NOT_STORED))
        b->state.flags &= ~CBD_M_STATE_ATTACHED;
    /* The first fence of this write is also that of V3 and V4. */
    return cbd_twin_write_state(c, b->id, &b->state, CBD_TWIN_RECOVER_STATE); /* V5 */
}
