/* SPDX-License-Identifier: BSD-2-Clause */
/* Check, second pass: both copies of every table entry, and what entries say about each other. */
#include <string.h>

#include "check_pass.h"

/* Of one copy: whether its bytes could be read, whether they decode, and how new they are. */
struct copy_state {
    bool read;
    bool valid;
    uint64_t seq;
};

struct twin_view {
    const char *what;
    enum cbd_problem_code lost;
    uint64_t place;
    uint32_t backend; /* or CBD_CHECK_NONE */
    uint32_t segment;
    struct copy_state copy[2];
    bool equal; /* byte for byte */
};

static int report_copy(struct cbd_check *k, const struct twin_view *t, uint32_t copy,
                       enum cbd_problem_code code)
{
    const struct cbd_geometry *geo = &k->cache.super.geo;
    struct cbd_check_finding f = cbd_check_finding(code);

    f.what = t->what;
    f.copy = copy;
    f.backend = t->backend;
    f.segment = t->segment;
    f.off_bytes = (copy == 1 ? geo->table_b_off : geo->table_a_off) + t->place;
    if (t->copy[0].valid && t->copy[1].valid) {
        f.got = t->copy[copy].seq;
        f.limit = t->copy[1 - copy].seq;
    }
    return cbd_check_report(k, &f);
}

/* Says what is wrong with the two copies. *pick: the one to believe, -1 none. */
static int judge(struct cbd_check *k, const struct twin_view *t, int *pick)
{
    const struct copy_state *c = t->copy;
    uint32_t old;

    *pick = -1;
    if (!c[0].valid && !c[1].valid) {
        struct cbd_check_finding f = cbd_check_finding(t->lost);

        f.backend = t->backend;
        f.segment = t->segment;
        f.off_bytes = k->cache.super.geo.table_a_off + t->place;
        f.dirty = true;
        return cbd_check_report(k, &f);
    }
    if (!c[0].valid || !c[1].valid) {
        uint32_t bad = c[0].valid ? 1 : 0;

        *pick = c[0].valid ? 0 : 1;
        return report_copy(k, t, bad, c[bad].read ? CBD_PROBLEM_COPY_TORN : CBD_PROBLEM_COPY_MEDIA);
    }
    *pick = c[1].seq > c[0].seq ? 1 : 0;
    if (t->equal)
        return 0;
    /* Copies are made equal before each write (T1), and A is written first (T2). */
    old = *pick == 0 ? 1 : 0;
    if (old == 1 && c[0].seq - c[1].seq == 1)
        return report_copy(k, t, old, CBD_PROBLEM_COPY_OLDER);
    return report_copy(k, t, old, CBD_PROBLEM_COPY_STALE);
}

static void read_copies(struct cbd_check *k, struct twin_view *t, void *a, void *b,
                        uint32_t len_bytes)
{
    struct cbd_pmem *pm = k->cache.pm;
    const struct cbd_geometry *geo = &k->cache.super.geo;

    t->copy[0].read = pm->ops->read(pm, geo->table_a_off + t->place, a, len_bytes) == 0;
    t->copy[1].read =
        pm->ops->read(pm,
                      (CBD_CANARY(CHECK_FIRST_COPY_ONLY) ? geo->table_a_off : geo->table_b_off) +
                          t->place,
                      b, len_bytes) == 0;
    t->equal = t->copy[0].read && t->copy[1].read && memcmp(a, b, len_bytes) == 0;
}

static int check_config(struct cbd_check *k, uint32_t id)
{
    struct twin_view t = {
        .what = "backend entry",
        .lost = CBD_PROBLEM_BACKEND_LOST,
        .place = cbd_place_backend(id),
        .backend = id,
        .segment = CBD_CHECK_NONE,
    };
    uint32_t seed = cbd_seed_place(k->cache.seed, CBD_SEED_BACKEND, id, 0);
    struct cbd_m_backend m[2];
    struct cbd_backend_config d[2];
    int pick, stop;

    read_copies(k, &t, &m[0], &m[1], sizeof(m[0]));
    for (int i = 0; i < 2; i++) {
        t.copy[i].valid = t.copy[i].read && cbd_backend_decode(&m[i], seed, &d[i]);
        t.copy[i].seq = t.copy[i].valid ? d[i].seq : 0;
    }
    stop = judge(k, &t, &pick);
    k->config_valid[id] = pick >= 0;
    if (pick >= 0)
        k->cache.configs[id] = d[pick];
    return stop;
}

static int check_state(struct cbd_check *k, uint32_t id)
{
    struct twin_view t = {
        .what = "backend state",
        .lost = CBD_PROBLEM_STATE_LOST,
        .place = cbd_place_state(id),
        .backend = id,
        .segment = CBD_CHECK_NONE,
    };
    uint32_t seed = cbd_seed_place(k->cache.seed, CBD_SEED_STATE, id, 0);
    struct cbd_m_backend_state m[2];
    struct cbd_backend_state d[2];
    int pick, stop;

    read_copies(k, &t, &m[0], &m[1], sizeof(m[0]));
    for (int i = 0; i < 2; i++) {
        t.copy[i].valid = t.copy[i].read && cbd_state_decode(&m[i], seed, &d[i]);
        t.copy[i].seq = t.copy[i].valid ? d[i].seq : 0;
    }
    stop = judge(k, &t, &pick);
    k->state_valid[id] = pick >= 0;
    if (pick >= 0)
        k->cache.states[id] = d[pick];
    return stop;
}

static int check_entry(struct cbd_check *k, uint32_t id)
{
    struct twin_view t = {
        .what = "segment entry",
        .lost = CBD_PROBLEM_SEGMENT_LOST,
        .place = cbd_place_segment(id),
        .backend = CBD_CHECK_NONE,
        .segment = id,
    };
    const struct cbd_geometry *geo = &k->cache.super.geo;
    uint32_t seed = cbd_seed_place(k->cache.seed, CBD_SEED_SEGMENT, id, 0);
    struct cbd_m_segment m[2];
    struct cbd_segment_entry d[2];
    int pick, stop;

    read_copies(k, &t, &m[0], &m[1], sizeof(m[0]));
    for (int i = 0; i < 2; i++) {
        t.copy[i].valid = t.copy[i].read && cbd_segment_decode(&m[i], seed, geo, &d[i]);
        t.copy[i].seq = t.copy[i].valid ? d[i].seq : 0;
    }
    stop = judge(k, &t, &pick);
    if (pick < 0) {
        k->entries[id].plan = CBD_CHECK_PLAN_LOST;
        k->entries_lost++;
        return stop;
    }
    k->entries[id].copy = (uint8_t)pick;
    k->cache.segments[id].entry = d[pick];
    cbd_segment_seeds(&k->cache, id, &k->cache.segments[id]);
    return stop;
}

/* Epoch and horizon of a backend. */
static int check_counters(struct cbd_check *k, uint32_t id)
{
    const struct cbd_backend_state *state = &k->cache.states[id];
    bool of_epoch = state->epoch_written > CBD_EPOCH_START_MAX;
    struct cbd_check_finding f = cbd_check_finding(CBD_PROBLEM_COUNTER);

    if (!k->state_valid[id] || (!of_epoch && state->horizon <= CBD_ORDER_START_MAX))
        return 0;
    f.what = "backend state";
    f.backend = id;
    f.off_bytes = k->cache.super.geo.table_a_off + cbd_place_state(id);
    f.got = of_epoch ? state->epoch_written : state->horizon;
    f.limit = of_epoch ? CBD_EPOCH_START_MAX : CBD_ORDER_START_MAX;
    return cbd_check_report(k, &f);
}

static int check_backend(struct cbd_check *k, uint32_t id)
{
    struct cbd_check_backend *out = &k->out->backends[id];
    const struct cbd_backend_config *config = &k->cache.configs[id];
    struct cbd_check_finding f;
    int stop;

    if (!k->config_valid[id] || config->used != CBD_M_BACKEND_USED)
        return 0;
    out->used = true;
    memcpy(out->name, config->name, sizeof(out->name));
    memcpy(out->path, config->path, sizeof(out->path));
    out->logical_block_bytes = config->logical_block_bytes;
    stop = check_counters(k, id);
    if (stop != 0)
        return stop;
    if (k->state_valid[id] && (k->cache.states[id].flags & CBD_M_STATE_ATTACHED) != 0) {
        out->unclean = true;
        f = cbd_check_finding(CBD_PROBLEM_UNCLEAN);
        f.backend = id;
        stop = cbd_check_report(k, &f);
        if (stop != 0)
            return stop;
    }
    if (k->state_valid[id] && (k->cache.states[id].flags & CBD_M_STATE_DROPPING) != 0) {
        f = cbd_check_finding(CBD_PROBLEM_DROPPING);
        f.backend = id;
        stop = cbd_check_report(k, &f);
        if (stop != 0)
            return stop;
    }
    for (uint32_t other = 0; other < id; other++) {
        if (!k->out->backends[other].used ||
            memcmp(k->out->backends[other].name, config->name, sizeof(config->name)) != 0)
            continue;
        f = cbd_check_finding(CBD_PROBLEM_NAME_TWICE);
        f.backend = id;
        f.got = id;
        f.limit = other;
        return cbd_check_report(k, &f);
    }
    return 0;
}

static int report_entry(struct cbd_check *k, uint32_t id, enum cbd_problem_code code, uint64_t got,
                        uint64_t limit)
{
    const struct cbd_segment_entry *e = &k->cache.segments[id].entry;
    struct cbd_check_finding f = cbd_check_finding(code);

    f.segment = id;
    f.backend = e->owner != 0 ? e->owner - 1u : CBD_CHECK_NONE;
    f.off_bytes = k->cache.super.geo.table_a_off + cbd_place_segment(id);
    f.got = got;
    f.limit = limit;
    return cbd_check_report(k, &f);
}

/* An owned segment that is in use: its stream, and whether its records are scanned. */
static int plan_segment(struct cbd_check *k, uint32_t id, uint32_t owner)
{
    const struct cbd_segment_entry *e = &k->cache.segments[id].entry;
    uint32_t streams = k->cache.configs[owner].streams;
    uint32_t *open = &k->open[owner][e->stream];
    int stop = 0;

    if (e->status == CBD_M_SEGMENT_FREE ||
        (e->status == CBD_M_SEGMENT_CLOSED && k->state_valid[owner] &&
         e->order_max < k->cache.states[owner].horizon)) {
        k->out->segments_free++;
        return 0;
    }
    k->entries[id].plan = CBD_CHECK_PLAN_SCAN;
    if (e->stream >= streams)
        stop = report_entry(k, id, CBD_PROBLEM_STREAM, e->stream, streams - 1);
    if (e->status == CBD_M_SEGMENT_CLOSED) {
        k->out->segments_closed++;
        return stop;
    }
    k->out->segments_open++;
    if (stop == 0 && *open != 0)
        stop = report_entry(k, id, CBD_PROBLEM_STREAM_TWICE, id, *open - 1);
    *open = id + 1;
    return stop;
}

static int check_segment(struct cbd_check *k, uint32_t id)
{
    const struct cbd_segment_entry *e = &k->cache.segments[id].entry;
    uint64_t floor = k->cache.super.generation_floor;
    int stop = 0;

    if (k->entries[id].plan == CBD_CHECK_PLAN_LOST)
        return 0;
    if (e->generation < floor)
        stop = report_entry(k, id, CBD_PROBLEM_GENERATION, e->generation, floor);
    else if (e->generation > CBD_GENERATION_START_MAX)
        stop = report_entry(k, id, CBD_PROBLEM_COUNTER, e->generation, CBD_GENERATION_START_MAX);
    if (stop != 0)
        return stop;
    if (e->owner == 0) {
        k->out->segments_unowned++;
        return 0;
    }
    if (!k->config_valid[e->owner - 1])
        return 0;
    if (!k->out->backends[e->owner - 1].used) {
        k->out->segments_unowned++;
        return report_entry(k, id, CBD_PROBLEM_OWNER_FREE, 0, 0);
    }
    k->out->backends[e->owner - 1].segments++;
    return plan_segment(k, id, e->owner - 1u);
}

static int check_share(struct cbd_check *k, uint32_t id)
{
    struct cbd_check_finding f;

    if (!k->out->backends[id].used || k->entries_lost != 0 ||
        k->out->backends[id].segments == k->cache.configs[id].segments)
        return 0;
    f = cbd_check_finding(CBD_PROBLEM_SHARE);
    f.backend = id;
    f.off_bytes = k->cache.super.geo.table_a_off + cbd_place_backend(id);
    f.got = k->cache.configs[id].segments;
    f.limit = k->out->backends[id].segments;
    return cbd_check_report(k, &f);
}

int cbd_check_tables(struct cbd_check *k)
{
    uint32_t count = k->cache.super.geo.segment_count;
    int stop = 0;

    for (uint32_t i = 0; i < CBD_BACKENDS && stop == 0; i++)
        stop = check_config(k, i);
    for (uint32_t i = 0; i < CBD_BACKENDS && stop == 0; i++)
        stop = check_state(k, i);
    for (uint32_t i = 0; i < count && stop == 0; i++)
        stop = check_entry(k, i);
    for (uint32_t i = 0; i < CBD_BACKENDS && stop == 0; i++)
        stop = check_backend(k, i);
    for (uint32_t i = 0; i < count && stop == 0; i++)
        stop = check_segment(k, i);
    for (uint32_t i = 0; i < CBD_BACKENDS && stop == 0; i++)
        stop = check_share(k, i);
    return stop;
}
