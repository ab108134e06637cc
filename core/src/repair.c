/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Repair: rounds of check, offers and stores, until a round stores nothing.
 *
 *   check --all passes--> offers --accepted--> stores, by kind --> check --> ... --> what is left
 *
 * A store may make possible what was not, or undo what a repair of the same round relied on. So
 * every round looks at every finding anew, and one run ends where the next has nothing to do. It
 * ends because each round stores something, and a finding is accepted REPEATS_MAX times at most
 * (repair_offer.c).
 *
 * M1  what the check read is made durable before the first store: when only the process died, what
 *     is readable may not be durable, and a repair that relies on it could lose both copies;
 * M2  a copy is stored only from the other one, and only when it is not the newest valid one; both
 *     are equal and durable before either gets a new content;
 * M3  an entry with a new content goes to copy A, is durable there, then to copy B, and is durable
 *     before the next store. Superblocks come first, then copies, backends, states, segments, and
 *     records last: each rests on those before it. A state waits for the segments of its backend;
 * M4  the horizon that forgets what is clean is durable in both copies before a record goes that
 *     may have hidden any of it;
 * M5  a record goes by one void record over its slot, durable before the next store, and of one
 *     segment the highest slot goes first. It was damaged, or the caller has given it up: a torn
 *     void is a damaged record in the same place, whose header says the same range;
 * M6  the caller has been told which bytes a store replaces, and has returned, before the store;
 * M7  before something dirty of a backend is given up, everything clean of it has gone, durably:
 *     older clean versions would show in its place while the disk may have newer ones.
 *
 * So a power cut leaves what was there, a part of the repairs, and at most one structure between
 * two contents: an entry of which one copy is whole, or a record that counts as damaged. The next
 * run finds this and goes on.
 */
#include <string.h>

#include "repair.h"

#define ROUNDS_MAX 1024u

/* The copy that does not count, from the one that does. */
static int mend_copy(struct cbd_repair *r, const struct cbd_check_finding *f)
{
    struct cbd_cache *c = &r->k->cache;
    union {
        struct cbd_m_backend config;
        struct cbd_m_backend_state state;
        struct cbd_m_segment segment;
    } m;
    struct cbd_backend_config b;
    bool differ;
    int error;

    if (f->segment != CBD_CHECK_NONE) {
        struct cbd_segment_entry e;

        error = cbd_twin_read_segment(c, f->segment, &e, &differ);
        if (error != 0)
            return error;
        cbd_segment_encode(&e, cbd_seed_place(c->seed, CBD_SEED_SEGMENT, f->segment, 0),
                           &m.segment);
        return cbd_mend_equal(r, cbd_place_segment(f->segment), &m, sizeof(m.segment));
    }
    if (f->off_bytes - (f->copy == 1 ? c->super.geo.table_b_off : c->super.geo.table_a_off) ==
        cbd_place_state(f->backend)) {
        struct cbd_backend_state s;

        error = cbd_twin_read_state(c, f->backend, &s, &differ);
        if (error != 0)
            return error;
        cbd_state_encode(&s, cbd_seed_place(c->seed, CBD_SEED_STATE, f->backend, 0), &m.state);
        return cbd_mend_equal(r, cbd_place_state(f->backend), &m, sizeof(m.state));
    }
    error = cbd_twin_read_backend(c, f->backend, &b, &differ);
    if (error != 0)
        return error;
    cbd_backend_encode(&b, cbd_seed_place(c->seed, CBD_SEED_BACKEND, f->backend, 0), &m.config);
    return cbd_mend_equal(r, cbd_place_backend(f->backend), &m, sizeof(m.config));
}

/* "name.7", cut to what fits. */
static void new_name(struct cbd_backend_config *config, uint32_t id)
{
    size_t len = cbd_text_len(config->name, CBD_BACKEND_NAME_BYTES);

    if (len > CBD_BACKEND_NAME_BYTES - 3)
        len = CBD_BACKEND_NAME_BYTES - 3;
    memset(config->name + len, 0, sizeof(config->name) - len);
    config->name[len++] = '.';
    if (id >= 10)
        config->name[len++] = (char)('0' + id / 10);
    config->name[len] = (char)('0' + id % 10);
}

/* Everything counts again, also what was forgotten: a fill among it may be older than the disk. M7 */
static int mend_state(struct cbd_repair *r, uint32_t id)
{
    struct cbd_backend_state *state = &r->k->cache.states[id];
    bool used = r->k->cache.configs[id].used == CBD_M_BACKEND_USED;
    bool lost = !r->k->state_valid[id];
    int error = 0;

    *state = (struct cbd_backend_state){.seq = lost ? 0 : state->seq};
    if (used) {
        state->flags = CBD_M_STATE_ATTACHED;
        error = cbd_mend_forget_clean(r, id);
    }
    if (error == 0)
        error = cbd_mend_state(r, id, lost);
    r->k->state_valid[id] = error == 0;
    return error;
}

static int mend_segment(struct cbd_repair *r, const struct cbd_mend *m)
{
    struct cbd_check *k = r->k;
    uint32_t id = m->finding.segment;
    bool finds = m->kind != CBD_MEND_SEGMENT_CLOSE;
    struct cbd_found_segment found;
    bool certain;
    int error = 0;

    if (finds && cbd_find_entry(r, id, &found, &certain) != NULL)
        return CBD_E_AGAIN;
    if (!finds)
        cbd_close_entry(r, id, &found);
    k->cache.segments[found.id].entry = found.entry;
    cbd_segment_seeds(&k->cache, found.id, &k->cache.segments[found.id]);
    if (found.entry.status == CBD_M_SEGMENT_CLOSED)
        error = cbd_void_unfinished(r, &found);
    k->entries[found.id].dirty_first = found.dirty_first;
    k->entries[found.id].dirty_last = found.dirty_last;
    if (finds) {
        k->entries[found.id].plan =
            found.entry.status == CBD_M_SEGMENT_CLOSED ? CBD_CHECK_PLAN_SCAN : CBD_CHECK_PLAN_SKIP;
        k->entries[found.id].durable = found.durable;
        k->entries_lost--;
        if (found.entry.owner != 0)
            k->out->backends[found.entry.owner - 1].segments++;
    }
    if (finds && found.dirty_first != 0)
        k->dirty_order_min[found.entry.owner - 1u] =
            cbd_min64(k->dirty_order_min[found.entry.owner - 1u], found.dirty_order_min);
    if (error == 0 && m->loses && found.entry.owner != 0) {
        r->forgotten[found.entry.owner - 1u] = false; /* there is more of it now */
        error = cbd_mend_forget_clean(r, found.entry.owner - 1u);
    }
    return error == 0 ? cbd_mend_entry(r, found.id, finds) : error;
}

static int mend_free(struct cbd_repair *r, uint32_t id)
{
    uint64_t generation = cbd_generation_above(r->k);
    struct cbd_segment_entry *e = &r->k->cache.segments[id].entry;

    *e = (struct cbd_segment_entry){
        .owner = e->owner,
        .status = CBD_M_SEGMENT_FREE,
        .generation = generation,
    };
    return cbd_mend_entry(r, id, false);
}

struct maxima {
    uint64_t order, epoch;
};

static int raise(void *arg, uint32_t slot, const struct cbd_record *record)
{
    struct maxima *m = arg;

    (void)slot;
    m->order = record->order > m->order ? record->order : m->order;
    if (record->type != CBD_M_RECORD_VOID && record->epoch > m->epoch)
        m->epoch = record->epoch;
    return 0;
}

static int mend_closed(struct cbd_repair *r, uint32_t id)
{
    struct cbd_segment_entry *e = &r->k->cache.segments[id].entry;
    struct maxima max = {0, 0};
    struct cbd_scan scan;

    if (cbd_scan_segment(&r->k->cache, id, &scan, raise, &max) != 0 || scan.damaged != 0)
        return CBD_E_AGAIN;
    if (e->order_max == max.order && e->epoch_max == max.epoch)
        return 0; /* both were wrong, and both are right */
    e->order_max = max.order;
    e->epoch_max = max.epoch;
    return cbd_mend_entry(r, id, false);
}

static int mend_header(struct cbd_repair *r, const struct cbd_check_finding *f)
{
    struct cbd_loaded_header head;
    struct cbd_record record;
    uint32_t len;

    if (cbd_load_record(&r->k->cache, f->segment, f->slot, &record) != 0 ||
        !cbd_header_again(r->k, f->segment, f->slot, &record, &head, &len))
        return CBD_E_AGAIN;
    return cbd_mend_header(
        r, cbd_segment_off(&r->k->cache.super.geo, f->segment) + record.payload_off - len,
        head.bytes, len);
}

/* M4 */
int cbd_mend_forget(struct cbd_repair *r, uint32_t backend, uint64_t order)
{
    struct cbd_backend_state *state = &r->k->cache.states[backend];

    if (state->horizon > order)
        return 0;
    state->horizon = order + 1;
    return cbd_mend_state(r, backend, false);
}

/* M4, M7, M5 */
static int mend_void(struct cbd_repair *r, const struct cbd_mend *m)
{
    const struct cbd_check_finding *f = &m->finding;
    int error = 0;

    if (m->forget && CBD_CANARY(REPAIR_HORIZON_LATE))
        error = cbd_mend_void(r, f->segment, f->slot, r->k->entries[f->segment].durable);
    if (m->forget && error == 0)
        error = cbd_mend_forget(r, f->backend, m->order);
    if (error == 0 && m->loses)
        error = cbd_mend_forget_clean(r, f->backend);
    return error == 0 ? cbd_mend_void(r, f->segment, f->slot, r->k->entries[f->segment].durable)
                      : error;
}

static int mend_one(struct cbd_repair *r, const struct cbd_mend *m)
{
    const struct cbd_check_finding *f = &m->finding;
    struct cbd_check *k = r->k;

    switch (m->kind) {
    case CBD_MEND_SUPER:
        return cbd_mend_super(r, f->copy);
    case CBD_MEND_COPY:
        return mend_copy(r, f);
    case CBD_MEND_BACKEND_FREE:
        k->cache.configs[f->backend] = (struct cbd_backend_config){.used = CBD_M_BACKEND_FREE};
        return cbd_mend_config(r, f->backend, true);
    case CBD_MEND_STATE:
        return mend_state(r, f->backend);
    case CBD_MEND_NAME:
        new_name(&k->cache.configs[f->backend], f->backend);
        return cbd_mend_config(r, f->backend, false);
    case CBD_MEND_SHARE:
        k->cache.configs[f->backend].segments = k->out->backends[f->backend].segments;
        return cbd_mend_config(r, f->backend, false);
    case CBD_MEND_ATTACHED:
        k->cache.states[f->backend].flags |= CBD_M_STATE_ATTACHED;
        return cbd_mend_state(r, f->backend, false);
    case CBD_MEND_SEGMENT_FIND:
    case CBD_MEND_SEGMENT_GUESS:
    case CBD_MEND_SEGMENT_CLOSE:
        return mend_segment(r, m);
    case CBD_MEND_SEGMENT_FREE:
        return mend_free(r, f->segment);
    case CBD_MEND_CLOSED:
        return mend_closed(r, f->segment);
    case CBD_MEND_HEADER:
        return mend_header(r, f);
    case CBD_MEND_FORGET:
        return cbd_mend_forget(r, f->backend, m->order);
    case CBD_MEND_VOID:
        return mend_void(r, m);
    default:
        return CBD_E_INVALID;
    }
}

/* M3 and M5: by kind; findings come by rising slot, so that backwards the highest goes first. */
static int mend_all(struct cbd_repair *r)
{
    int error = r->loud ? cbd_mend_settle(r) : 0; /* M1 */

    memset(r->forgotten, 0, sizeof(r->forgotten));

    for (int kind = CBD_MEND_NONE + 1; kind < CBD_MEND_KINDS; kind++)
        for (uint32_t i = r->count; i-- > 0 && r->loud && error == 0;) {
            const struct cbd_mend *m = &r->mends[i];

            if (m->kind != (enum cbd_mend_kind)kind)
                continue;
            error = mend_one(r, m);
            if (error == CBD_E_AGAIN || error == CBD_E_CORRUPT) {
                r->failed++;
                error = 0;
            } else if (error == 0) {
                r->out->fixed++;
                r->out->lost_bytes += m->dirty_bytes;
            }
        }
    return error;
}

/* The check has its own argument, the caller another. */
static int on_progress(void *arg, uint64_t done, uint64_t total)
{
    const struct cbd_repair *r = arg;

    return r->options->progress(r->arg, done, total);
}

static int one_round(struct cbd_repair *r, struct cbd_pmem *pm, struct cbd_env *env)
{
    struct cbd_check_options options = {
        .flags = r->options->flags,
        .disks = r->options->disks,
        .progress = r->options->progress != NULL ? on_progress : NULL,
    };
    int error;

    r->k = cbd_check_create(pm, env, &options, &r->out->summary);
    if (r->k == NULL)
        return CBD_E_NOMEM;
    r->count = 0;
    r->more = false;
    r->k->found = cbd_offer_collect;
    r->k->arg = r;
    r->out->rounds++;
    error = cbd_check_passes(r->k);
    if (error == 0 && (r->k->cache.super.ro_compat & ~CBD_RO_COMPAT_KNOWN) != 0)
        error = CBD_E_VERSION;
    if (error == 0 && (r->k->cache.super.incompat & CBD_INCOMPAT_METADATA_ONLY) != 0)
        error = CBD_E_NODATA;
    if (error == 0)
        error = cbd_offer_all(r);
    if (error == 0)
        error = mend_all(r);
    if (r->stored) {
        cbd_mend_set_free(&r->passed, env); /* each of these may be another case now */
        r->out->failed = 0;
    } else {
        r->out->failed += r->failed;
        if (error == 0)
            error = cbd_offer_impossible(r);
    }
    return error;
}

int cbd_repair_run(struct cbd_pmem *pm, struct cbd_env *env,
                   const struct cbd_repair_options *options, void *arg,
                   struct cbd_repair_result *out)
{
    struct cbd_repair r = {.options = options, .arg = arg, .out = out};
    int error = 0;

    memset(out, 0, sizeof(*out));
    do {
        error = one_round(&r, pm, env);
        if (r.k != NULL)
            cbd_check_destroy(r.k);
        r.k = NULL;
    } while (error == 0 && (r.stored || r.more) && !out->stopped && out->rounds < ROUNDS_MAX);
    if (r.mends != NULL)
        env->ops->free(env, r.mends, r.cap * sizeof(*r.mends));
    cbd_mend_set_free(&r.passed, env);
    cbd_mend_set_free(&r.told, env);
    return error;
}
