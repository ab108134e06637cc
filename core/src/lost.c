/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What damaged records cost. Recovery asks for each slot that was durable and holds no record:
 *
 *   was it clean for certain? -- yes -> the disk has it: what it may have hidden is not cached any
 *        | no                           more, and nothing is lost                         L1
 *   does its payload header still say what it covered?
 *        | no                  | yes
 *   unknown                    the range is lost: an error to its reader                  L2
 *        '-------- both: the backend is served for reading only --------'                 L3
 *
 * L1  a record is clean when it was a fill, when the backend was detached cleanly since (B4), or when
 *     no epoch that it can have had is above E. Clean records that may be older than it come out of the
 *     index, each with all that it hides: below a clean record everything is clean (E1);
 * L2  the range goes into the index under the highest order that the record can have had. So what
 *     is certainly newer is served, and nothing that may be older is;
 * L3  nothing is stored, written back or reclaimed: what a salvage would read stays as it is, and
 *     the next attach comes to the same result.
 *
 * Bounds come from the records around it: along a stream epochs never fall, and of two writes that
 * meet in a tree the later one has the higher order (I3).
 */
#include <string.h>

#include "engine.h"

#define LOST_MIN 16u

/* The records of one segment in turn, with what is known so far. */
struct walk {
    struct cbd_backend *b;
    uint32_t id;
    uint32_t payload_end;
    uint64_t epoch; /* of the last write or zero */
    uint32_t first; /* of its lost records in b->lost */
};

static int grow(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    uint32_t cap = b->lost_cap != 0 ? 2 * b->lost_cap : LOST_MIN;
    struct cbd_lost *more = env->ops->alloc(env, cap * sizeof(*more));

    if (more == NULL)
        return CBD_E_NOMEM;
    if (b->lost_count != 0)
        memcpy(more, b->lost, b->lost_count * sizeof(*more));
    if (b->lost != NULL)
        env->ops->free(env, b->lost, b->lost_cap * sizeof(*b->lost));
    b->lost = more;
    b->lost_cap = cap;
    return 0;
}

void cbd_lost_destroy(struct cbd_backend *b)
{
    if (b->lost != NULL)
        b->cache->env->ops->free(b->cache->env, b->lost, b->lost_cap * sizeof(*b->lost));
    b->lost = NULL;
    b->lost_count = 0;
    b->lost_cap = 0;
}

bool cbd_lost_in(const struct cbd_backend *b, uint32_t segment)
{
    for (uint32_t i = 0; i < b->lost_count; i++)
        if (b->lost[i].segment == segment)
            return true;
    return false;
}

bool cbd_lost_at(const struct cbd_backend *b, uint32_t segment, uint32_t slot)
{
    for (uint32_t i = 0; i < b->lost_count; i++)
        if (b->lost[i].segment == segment && b->lost[i].slot == slot)
            return true;
    return false;
}

static int note_lost(struct walk *w, uint32_t slot, bool closed)
{
    struct cbd_backend *b = w->b;
    const struct cbd_geometry *geo = &b->cache->super.geo;
    const struct cbd_segment_entry *e = &b->cache->segments[w->id].entry;
    struct cbd_lost lost = {
        .segment = w->id,
        .slot = slot,
        .off_bytes = cbd_segment_off(geo, w->id) + cbd_slot_off(geo, slot),
        .order_max = closed ? e->order_max : CBD_ORDER_MAX,
        .epoch_max = closed ? e->epoch_max : CBD_EPOCH_MAX,
    };
    struct cbd_header h;
    uint32_t payload_off;

    if (cbd_find_header(b->cache, w->id, slot, &w->payload_end, &h, &payload_off) &&
        h.addr_bytes + h.len_bytes <= b->size_bytes) {
        lost.known = true;
        lost.fill = h.type == CBD_M_RECORD_FILL;
        lost.addr = h.addr_bytes;
        lost.len = h.len_bytes;
    }
    if (b->lost_count == b->lost_cap && grow(b) != 0)
        return CBD_E_NOMEM;
    b->lost[b->lost_count++] = lost;
    return 0;
}

static bool share_a_tree(struct cbd_backend *b, const struct cbd_lost *l,
                         const struct cbd_record *r)
{
    struct cbd_index_part part;
    uint32_t n = (uint32_t)(cbd_index_tree_of(b, l->addr) - b->trees);

    return l->known && cbd_index_part(b, n, r->addr_bytes, r->len_bytes, &part);
}

/* What a valid record says about the lost ones below it in its segment. */
static void bound(struct walk *w, const struct cbd_record *r)
{
    struct cbd_backend *b = w->b;

    if (r->type != CBD_M_RECORD_WRITE && r->type != CBD_M_RECORD_ZERO)
        return;
    for (uint32_t i = w->first; i < b->lost_count; i++) {
        struct cbd_lost *l = &b->lost[i];

        l->epoch_max = cbd_min64(l->epoch_max, r->epoch);
        if (share_a_tree(b, l, r) && r->order > 0)
            l->order_max = cbd_min64(l->order_max, r->order - 1);
    }
}

/* Notes the lost records of a segment that was scanned. */
int cbd_lost_note(struct cbd_backend *b, uint32_t id, const struct cbd_scan *scan)
{
    struct walk w = {.b = b, .id = id, .first = b->lost_count};
    bool closed = b->cache->segments[id].entry.status == CBD_M_SEGMENT_CLOSED;
    int error = 0;

    for (uint32_t slot = 0; slot < scan->records && error == 0; slot++) {
        struct cbd_record r;
        int bad = cbd_load_record(b->cache, id, slot, &r);

        if (bad != 0) {
            struct cbd_header h;
            uint32_t payload_off;

            if (slot < scan->durable || bad == CBD_E_MEDIA)
                error = note_lost(&w, slot, closed);
            else /* unfinished; others may stand behind it */
                (void)cbd_find_header(b->cache, id, slot, &w.payload_end, &h, &payload_off);
            continue;
        }
        cbd_pass_payload(b->cache, id, slot, &r, &w.payload_end);
        bound(&w, &r);
    }
    return error;
}

static bool overlap(const struct cbd_lost *l, const struct cbd_record *r, uint64_t *addr,
                    uint64_t *len)
{
    uint64_t end = r->addr_bytes + r->len_bytes;

    *addr = r->addr_bytes;
    if (l->known) {
        *addr = l->addr > *addr ? l->addr : *addr;
        end = cbd_min64(end, l->addr + l->len);
    }
    *len = end > *addr ? end - *addr : 0;
    return *len != 0;
}

/* L1 for the records of one segment. Only recovery calls this: no lock is needed. */
static int uncover_segment(struct cbd_backend *b, uint32_t id)
{
    const struct cbd_segment *seg = &b->cache->segments[id];
    int error = 0;

    for (uint32_t slot = 0; slot < seg->records && error == 0; slot++) {
        struct cbd_record r;

        if (cbd_load_record(b->cache, id, slot, &r) != 0 || r.type == CBD_M_RECORD_VOID ||
            (r.type != CBD_M_RECORD_FILL && r.epoch > b->state.epoch_written))
            continue;
        for (uint32_t i = 0; i < b->lost_count && error == 0; i++) {
            const struct cbd_lost *l = &b->lost[i];
            uint64_t addr, len;

            if (l->clean && !l->fill && r.order <= l->order_max && overlap(l, &r, &addr, &len))
                error = cbd_index_forget_range(b, addr, len, r.order + 1);
        }
    }
    return error;
}

static int uncover(struct cbd_backend *b)
{
    int error = 0;

    for (uint32_t id = 0; id < b->cache->super.geo.segment_count && error == 0; id++) {
        const struct cbd_segment_entry *e = &b->cache->segments[id].entry;

        if (e->owner == b->id + 1 && e->status != CBD_M_SEGMENT_FREE)
            error = uncover_segment(b, id);
    }
    return error;
}

static void report(struct cbd_backend *b, const struct cbd_lost *l)
{
    const char *sentence = l->clean ? "was durable and is damaged; the disk has what it covered"
                           : l->known
                               ? "was durable and is damaged: what it covered is lost"
                               : "was durable and is damaged, and nothing says what it covered";

    cbd_report(b->cache->env, l->clean ? CBD_WARNING : CBD_ERROR, CBD_E_CORRUPT, "record", sentence,
               l->segment, l->off_bytes, l->addr, l->len);
}

/*
 * Once all segments were scanned and `order_end` is above every order in them: decides for each
 * lost record. `detached`: cleanly, so all of it is on the disk. CBD_E_READONLY in b->failed when any of them was not clean.
 */
int cbd_lost_decide(struct cbd_backend *b, uint64_t order_end, bool detached)
{
    bool hiding = false;
    int error = 0;

    for (uint32_t i = 0; i < b->lost_count && error == 0; i++) {
        struct cbd_lost *l = &b->lost[i];
        struct cbd_segment *seg = &b->cache->segments[l->segment];

        l->order_max = cbd_min64(l->order_max, order_end - 1);
        if (seg->entry.status == CBD_M_SEGMENT_OPEN && seg->order_max < order_end - 1)
            seg->order_max = order_end - 1; /* what its entry will say when it is closed */
        l->clean = detached || l->fill || l->slot < seg->entry.detached ||
                   l->epoch_max <= b->state.epoch_written;
        report(b, l);
        hiding = hiding || (l->clean && !l->fill);
        if (l->clean)
            continue;
        if (l->known)
            error = CBD_CANARY(LOST_RANGE_SERVED)
                        ? 0
                        : cbd_index_insert_lost(b, l->addr, l->len, l->order_max); /* L2 */
        if (!CBD_CANARY(LOST_AND_GOES_ON) && (l->known || !CBD_CANARY(LOST_UNKNOWN_PASSED)))
            atomic_store(&b->failed, CBD_E_READONLY); /* L3 */
    }
    if (error == 0 && hiding && !CBD_CANARY(LOST_NOT_UNCOVERED))
        error = uncover(b);
    if (error == 0 && atomic_load(&b->failed) == CBD_E_READONLY)
        cbd_report(b->cache->env, CBD_ERROR, CBD_E_READONLY, "backend",
                   "is served for reading only: dirty data of it is lost", b->id, UINT64_MAX, 0, 0);
    return error;
}

uint32_t cbd_backend_lost(const struct cbd_backend *b,
                          void (*visit)(void *arg, const struct cbd_lost_view *lost), void *arg)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->lost_count; i++) {
        const struct cbd_lost *l = &b->lost[i];
        struct cbd_lost_view view = {
            .range_known = l->known,
            .addr_bytes = l->addr,
            .len_bytes = l->len,
            .segment = l->segment,
            .slot = l->slot,
            .off_bytes = l->off_bytes,
        };

        if (l->clean)
            continue;
        n++;
        if (visit != NULL)
            visit(arg, &view);
    }
    return n;
}
