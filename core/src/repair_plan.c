/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can be done about a finding, and what that costs. Reads only.
 *
 * A record that is clean cannot just go: it may hide older ones that are cached, too, and these
 * would come back (L1 in lost.c). What is clean is forgotten by the horizon, which forgets
 * everything older as well; that is possible where nothing dirty is as old.
 */
#include "repair.h"

struct plan {
    struct cbd_repair *r;
    struct cbd_check *k;
    const struct cbd_check_finding *f;
    struct cbd_mend *mend;
    struct cbd_repair_offer *offer;
};

static void can(struct plan *p, enum cbd_mend_kind kind, const char *what)
{
    p->mend->kind = kind;
    p->offer->possible = true;
    p->offer->what = what;
}

static void cannot(struct plan *p, const char *why)
{
    p->mend->kind = CBD_MEND_NONE;
    p->offer->possible = false;
    p->offer->what = why;
}

/* [addr, addr+len) of the backend, cut to what it has. */
static void costs_range(struct plan *p, uint64_t addr, uint64_t len)
{
    uint64_t size = p->k->cache.configs[p->f->backend].size_bytes;

    if (addr >= size)
        return; /* there is no such data */
    p->offer->loses = true;
    p->offer->backend = p->f->backend;
    p->offer->range_known = true;
    p->offer->addr_bytes = addr;
    p->offer->len_bytes = cbd_min64(len, size - addr);
    p->offer->dirty_bytes = p->offer->len_bytes;
}

static void costs_anywhere(struct plan *p, uint32_t backend, uint64_t dirty_bytes)
{
    p->offer->loses = true;
    p->offer->backend = backend;
    p->offer->range_known = false;
    p->offer->addr_bytes = 0;
    p->offer->len_bytes = p->k->config_valid[backend] ? p->k->cache.configs[backend].size_bytes : 0;
    p->offer->dirty_bytes = dirty_bytes;
}

/* Everything clean of the backend whose order is at most `order`; then the slot, if there is one. */
static bool forget(struct plan *p, uint64_t order)
{
    uint64_t bound = cbd_min64(order, p->k->order_top[p->f->backend]);

    if (p->k->dirty_order_min[p->f->backend] <= bound || bound >= CBD_ORDER_START_MAX)
        return false;
    p->mend->order = bound;
    return true;
}

static bool backend_known(const struct plan *p)
{
    uint32_t id = p->f->backend;

    return id < CBD_BACKENDS && p->k->config_valid[id] && p->k->state_valid[id] &&
           p->k->cache.configs[id].used == CBD_M_BACKEND_USED;
}

static const char gives_up[] =
    "forget it, and everything clean: older dirty data or the backing device's comes in its place";
static const char first_backend[] = "none yet: the backend's entry or state comes first";
static const char first_segments[] = "none yet: segment entries come first";
static const char first_writeback[] =
    "none while anything dirty may be older: attach, write it back, then check again";

/*
 * Why nothing can be done about a record; NULL: something can. What is forgotten must be older than
 * anything dirty, so all that is dirty has to be known.
 */
static const char *not_yet(const struct plan *p)
{
    if (!backend_known(p))
        return first_backend;
    return p->k->entries_lost != 0 && !CBD_CANARY(REPAIR_FORGETS_UNKNOWN) ? first_segments : NULL;
}

static void forget_and_void(struct plan *p, uint64_t order)
{
    if (!forget(p, order)) {
        cannot(p, first_writeback);
        return;
    }
    p->mend->forget = true;
    can(p, CBD_MEND_VOID, "forget everything clean that is not newer; the backing device has it");
}

static void plan_damaged(struct plan *p)
{
    const struct cbd_check_finding *f = p->f;

    const char *why = not_yet(p);

    if (why != NULL) {
        cannot(p, why);
    } else if (f->slot + 1 < p->k->entries[f->segment].held) {
        cannot(p, "none while a damaged record behind it stays: that one proves that this one was");
    } else if (!f->dirty && f->record_type == CBD_M_RECORD_FILL) {
        can(p, CBD_MEND_VOID, "forget it: the backing device has the data");
    } else if (!f->dirty) {
        forget_and_void(p, f->order_max);
    } else {
        can(p, CBD_MEND_VOID, gives_up);
        if (f->range_known)
            costs_range(p, f->addr_bytes, f->len_bytes);
        else
            costs_anywhere(p, f->backend, 0);
    }
}

/* What would still say the range if a void over the record were torn by a power cut. */
static bool header_says(const struct plan *p, const struct cbd_record *r)
{
    struct cbd_loaded_header head;

    return r->type != CBD_M_RECORD_ZERO &&
           cbd_load_header(&p->k->cache, p->f->segment, r->payload_off, &head) == 0 &&
           head.h.slot == p->f->slot && head.h.addr_bytes == r->addr_bytes &&
           head.h.len_bytes == r->len_bytes && head.h.type == r->type;
}

static bool detached(const struct plan *p)
{
    return (p->k->cache.states[p->f->backend].flags & CBD_M_STATE_ATTACHED) == 0;
}

/* A valid record that nothing can be done about but to void it. */
static void plan_record(struct plan *p)
{
    const struct cbd_check_finding *f = p->f;
    const char *why = not_yet(p);
    struct cbd_record r;

    if (why != NULL || cbd_load_record(&p->k->cache, f->segment, f->slot, &r) != 0) {
        cannot(p, why != NULL ? why : first_backend);
        return;
    }
    if (!cbd_check_dirty(p->k, f->backend, &r) && detached(p) &&
        f->problem->code != CBD_PROBLEM_RECORD_COUNTER) {
        forget_and_void(p, r.order);
        return;
    }
    if (!cbd_check_dirty(p->k, f->backend, &r) && r.type != CBD_M_RECORD_FILL)
        p->mend->forget = forget(p, r.order);
    can(p, CBD_MEND_VOID, gives_up);
    if (!header_says(p, &r))
        costs_anywhere(p, f->backend, r.len_bytes); /* when the power fails just then */
    else if (r.type != CBD_M_RECORD_FILL)
        costs_range(p, r.addr_bytes, r.len_bytes);
}

/* Clean records that no attach refuses: it is enough that they do not count any more. */
static void plan_forget(struct plan *p, const struct cbd_record *r)
{
    if (forget(p, r->order))
        can(p, CBD_MEND_FORGET,
            "forget everything clean that is not newer; the backing device has it");
    else
        cannot(p, first_writeback);
}

static void plan_header(struct plan *p)
{
    const char *why = not_yet(p);
    struct cbd_loaded_header head;
    struct cbd_record r;
    uint32_t len;

    if (why != NULL || cbd_load_record(&p->k->cache, p->f->segment, p->f->slot, &r) != 0)
        cannot(p, why != NULL ? why : first_backend);
    else if (cbd_header_again(p->k, p->f->segment, p->f->slot, &r, &head, &len))
        can(p, CBD_MEND_HEADER, "write it again: record and data prove that it is the same");
    else if (!cbd_check_dirty(p->k, p->f->backend, &r))
        plan_forget(p, &r);
    else
        plan_record(p);
}

static void plan_lost_backend(struct plan *p)
{
    bool any = false;
    uint64_t dirty = cbd_owned_dirty_bytes(p->r, p->f->backend, &any);

    if (p->k->entries_lost != 0) {
        cannot(p, first_segments);
        return;
    }
    can(p, CBD_MEND_BACKEND_FREE,
        any ? "give the backend up, so that the others can be used"
            : "write an empty entry: no segment belongs to it");
    if (any)
        costs_anywhere(p, p->f->backend, dirty);
}

/* Also for a state whose numbers cannot be right. */
static void plan_state(struct plan *p)
{
    uint32_t id = p->f->backend;

    if (!p->k->config_valid[id]) {
        cannot(p, first_backend);
        return;
    }
    if (p->k->cache.configs[id].used != CBD_M_BACKEND_USED) {
        can(p, CBD_MEND_STATE, "write an empty state: there is no such backend");
        return;
    }
    /* A fill in a segment that is not found yet could not be forgotten. */
    if (p->k->out->backends[id].segments < p->k->cache.configs[id].segments &&
        p->k->entries_lost != 0 && !CBD_CANARY(REPAIR_STATE_FIRST)) {
        cannot(p, first_segments);
        return;
    }
    can(p, CBD_MEND_STATE, "take every record that is found for dirty, and forget every fill");
    costs_anywhere(p, id, 0);
}

static void plan_lost_segment(struct plan *p)
{
    struct cbd_found_segment found;
    bool certain;
    const char *why = cbd_find_entry(p->r, p->f->segment, &found, &certain);

    if (why != NULL) {
        cannot(p, why);
        return;
    }
    can(p, certain ? CBD_MEND_SEGMENT_FIND : CBD_MEND_SEGMENT_GUESS,
        found.entry.status == CBD_M_SEGMENT_FREE ? "take it for empty: nothing in it counts"
        : found.gaps ? "close it with the records that are found; it may have had more"
                     : "close it with the records that are found, under their generation");
    p->offer->backend = found.entry.owner != 0 ? found.entry.owner - 1u : CBD_CHECK_NONE;
    if (!certain)
        costs_anywhere(p, found.entry.owner - 1u, 0);
}

static void plan_close(struct plan *p)
{
    if (!backend_known(p))
        cannot(p, first_backend);
    else
        can(p, CBD_MEND_SEGMENT_CLOSE, "close it, with the records that it has");
}

static void plan_generation(struct plan *p)
{
    if (!cbd_segment_holds_nothing(p->k, p->f->segment))
        cannot(p, "none while it holds records that count: what wrote them is not known");
    else
        can(p, CBD_MEND_SEGMENT_FREE, "take it for empty, under a generation that was never used");
}

static void plan_share(struct plan *p)
{
    uint32_t owned = p->k->out->backends[p->f->backend].segments;

    if (owned < p->k->cache.configs[p->f->backend].streams)
        cannot(p, "none: it owns fewer segments than it has streams");
    else
        can(p, CBD_MEND_SHARE, "set the share to what is owned");
}

static void plan_closed(struct plan *p)
{
    if (p->k->entries[p->f->segment].damaged)
        cannot(p, "none yet: its damaged records come first");
    else
        can(p, CBD_MEND_CLOSED, "write what the records say");
}

static void plan_data(struct plan *p)
{
    const char *why = not_yet(p);
    struct cbd_record r;

    if (why != NULL || cbd_load_record(&p->k->cache, p->f->segment, p->f->slot, &r) != 0)
        cannot(p, why != NULL ? why : first_backend);
    else if (cbd_check_dirty(p->k, p->f->backend, &r))
        plan_record(p);
    else
        plan_forget(p, &r);
}

static void plan_detached_suspect(struct plan *p)
{
    const char *why = not_yet(p);

    if (why != NULL || p->f->slot == CBD_CHECK_NONE)
        cannot(p, why != NULL ? why : first_backend);
    else
        forget_and_void(p, CBD_ORDER_MAX);
}

static void plan(struct plan *p)
{
    switch ((enum cbd_problem_code)p->f->problem->code) {
    case CBD_PROBLEM_SUPER_COPY:
    case CBD_PROBLEM_SUPER_DIFFERS:
        can(p, CBD_MEND_SUPER, p->f->problem->repair);
        break;
    case CBD_PROBLEM_BACKEND_LOST:
        plan_lost_backend(p);
        break;
    case CBD_PROBLEM_STATE_LOST:
        plan_state(p);
        break;
    case CBD_PROBLEM_SEGMENT_LOST:
        plan_lost_segment(p);
        break;
    case CBD_PROBLEM_COPY_STALE:
    case CBD_PROBLEM_COPY_MEDIA:
        can(p, CBD_MEND_COPY, p->f->problem->repair);
        break;
    case CBD_PROBLEM_NAME_TWICE:
        can(p, CBD_MEND_NAME, p->f->problem->repair);
        break;
    case CBD_PROBLEM_SHARE:
        plan_share(p);
        break;
    case CBD_PROBLEM_STREAM:
    case CBD_PROBLEM_STREAM_TWICE:
        plan_close(p);
        break;
    case CBD_PROBLEM_GENERATION:
        plan_generation(p);
        break;
    case CBD_PROBLEM_COUNTER:
        if (p->f->segment != CBD_CHECK_NONE)
            plan_generation(p);
        else
            plan_state(p);
        break;
    case CBD_PROBLEM_RECORD_DAMAGED:
        plan_damaged(p);
        break;
    case CBD_PROBLEM_RECORD_BEYOND:
    case CBD_PROBLEM_RECORD_ALIGNMENT:
    case CBD_PROBLEM_RECORD_FORGOTTEN:
    case CBD_PROBLEM_RECORD_EPOCH:
    case CBD_PROBLEM_RECORD_COUNTER:
        plan_record(p);
        break;
    case CBD_PROBLEM_HEADER:
        plan_header(p);
        break;
    case CBD_PROBLEM_CLOSED_ORDER:
    case CBD_PROBLEM_CLOSED_EPOCH:
        plan_closed(p);
        break;
    case CBD_PROBLEM_SUSPECT_DETACHED:
        plan_detached_suspect(p);
        break;
    case CBD_PROBLEM_DIRTY_DETACHED:
        can(p, CBD_MEND_ATTACHED, p->f->problem->repair);
        break;
    case CBD_PROBLEM_DATA_DIRTY:
    case CBD_PROBLEM_DATA_CLEAN:
        plan_data(p);
        break;
    default:
        cannot(p, p->f->problem->repair);
        break;
    }
}

void cbd_mend_plan(struct cbd_repair *r, const struct cbd_check_finding *f, struct cbd_mend *mend,
                   struct cbd_repair_offer *offer)
{
    struct plan p = {r, r->k, f, mend, offer};

    *mend = (struct cbd_mend){.finding = *f};
    *offer = (struct cbd_repair_offer){.finding = f, .backend = f->backend};
    if (f->problem->severity == CBD_CHECK_INFO)
        cannot(&p, f->problem->repair);
    else
        plan(&p);
    mend->dirty_bytes = offer->possible ? offer->dirty_bytes : 0;
    mend->loses = offer->possible && offer->loses;
    if (offer->possible && offer->loses && !r->options->allow_data_loss) {
        offer->possible = false;
        mend->kind = CBD_MEND_NONE;
    }
    offer->preen = offer->possible && f->problem->preen && !offer->loses;
}
