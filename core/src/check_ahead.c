/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check: the records of several segments side by side, where the environment can do that.
 *
 *   ahead   | 7 | 8 | 9 ! | 10 |     side by side, each with counts of its own
 *   turn      7   8   9     10       one after the other: counts are added, and 9 is done again
 *
 * A segment that is looked at ahead tells nobody. Its first finding, error or note, ends it, and it
 * is done again in its turn as if it had not been looked at. Of the others only counts are left, and
 * sums and sets do not depend on which came first. So callbacks, findings and summary are those of
 * one processor, in its order.
 *
 * Only closed segments are looked at ahead: their entries say how many records they have, so that
 * what is kept of a round is bounded. The others are few.
 */
#include <string.h>

#include "check_pass.h"

/* Of one round: what a caller waits for between two calls of progress(). */
#define ROUND_SEGMENTS 1024u
#define ROUND_RECORDS (UINT64_C(1) << 20)
#define ROUND_PAGES (ROUND_RECORDS / CBD_PAGE_RECORDS + 2 * ROUND_SEGMENTS)
#define ROUND_DATA_BYTES (UINT64_C(512) << 20)
/* Many for each processor, so that none waits long for the last one. */
#define LANES 64u

struct counts {
    uint64_t records, live_bytes, dirty_records, dirty_bytes, dirty_zero_bytes, suspects;
    uint64_t damaged, data_bytes;
    uint64_t dirty_order_min, order_top;
};

struct item {
    uint32_t id;
    bool good;                    /* no finding: the counts hold */
    struct cbd_check_marks marks; /* its part of those of the round */
    struct counts counts;
};

/* One after the other, by one processor at a time. */
struct lane {
    struct cbd_check k;
    struct cbd_check_summary out;
};

struct cbd_check_ahead {
    struct cbd_check *k;
    uint32_t *marks;              /* ROUND_RECORDS, or NULL */
    struct cbd_check_page *pages; /* ROUND_PAGES, or NULL */
    uint32_t count, at;           /* items of this round, and those whose turn has come */
    struct item item[ROUND_SEGMENTS];
    struct lane lane[LANES];
};

static int end_at_finding(void *arg, const struct cbd_check_finding *finding)
{
    (void)arg;
    (void)finding;
    return 1;
}

static bool eligible(const struct cbd_check *k, uint32_t id)
{
    return k->entries[id].plan == CBD_CHECK_PLAN_SCAN &&
           k->cache.segments[id].entry.status == CBD_M_SEGMENT_CLOSED &&
           k->cache.segments[id].entry.records <= ROUND_RECORDS;
}

static void release(struct cbd_check_ahead *a)
{
    struct cbd_env *env = a->k->cache.env;

    if (a->marks != NULL)
        env->ops->free(env, a->marks, ROUND_RECORDS * sizeof(*a->marks));
    if (a->pages != NULL)
        env->ops->free(env, a->pages, ROUND_PAGES * sizeof(*a->pages));
    a->k->ahead = NULL;
    env->ops->free(env, a, sizeof(*a));
}

void cbd_check_ahead_open(struct cbd_check *k)
{
    struct cbd_env *env = k->cache.env;
    bool orders = (k->options.flags & CBD_CHECK_ORDERS) != 0;
    struct cbd_check_ahead *a;

    /* What a dump shows comes record by record. */
    if (env->ops->run == NULL || k->options.record != NULL || k->options.segment != NULL ||
        k->out->segments_closed < 2)
        return;
    a = env->ops->alloc(env, sizeof(*a));
    if (a == NULL)
        return;
    memset(a, 0, sizeof(*a));
    a->k = k;
    k->ahead = a;
    if (orders) {
        a->marks = env->ops->alloc(env, ROUND_RECORDS * sizeof(*a->marks));
        a->pages = env->ops->alloc(env, ROUND_PAGES * sizeof(*a->pages));
    }
    if (orders && (a->marks == NULL || a->pages == NULL)) {
        release(a);
        return;
    }
    for (unsigned n = 0; n < LANES; n++) {
        struct lane *lane = &a->lane[n];

        lane->k = *k;
        lane->k.ahead = NULL;
        lane->k.looks_ahead = true;
        lane->k.out = &lane->out;
        lane->k.found = end_at_finding;
        lane->out = *k->out;
    }
}

void cbd_check_ahead_close(struct cbd_check *k)
{
    if (k->ahead != NULL)
        release(k->ahead);
}

static void look_at(struct lane *lane, struct item *item)
{
    struct cbd_check *k = &lane->k;
    uint32_t backend = k->cache.segments[item->id].entry.owner - 1u;
    struct cbd_check_backend *b = &lane->out.backends[backend];

    b->records = b->live_bytes = b->suspects = 0;
    b->dirty_records = b->dirty_bytes = b->dirty_zero_bytes = 0;
    lane->out.records_damaged = lane->out.data_bytes = 0;
    k->dirty_order_min[backend] = UINT64_MAX;
    k->order_top[backend] = 0;
    k->marks = item->marks;
    item->good = cbd_check_segment(k, item->id) == 0;
    item->marks = k->marks;
    item->counts = (struct counts){
        .records = b->records,
        .live_bytes = b->live_bytes,
        .dirty_records = b->dirty_records,
        .dirty_bytes = b->dirty_bytes,
        .dirty_zero_bytes = b->dirty_zero_bytes,
        .suspects = b->suspects,
        .damaged = lane->out.records_damaged,
        .data_bytes = lane->out.data_bytes,
        .dirty_order_min = k->dirty_order_min[backend],
        .order_top = k->order_top[backend],
    };
}

static void look(void *arg, unsigned n)
{
    struct cbd_check_ahead *a = arg;

    for (uint32_t i = n; i < a->count; i += LANES)
        look_at(&a->lane[n], &a->item[i]);
}

/* The next round, of segments from `id` on. */
static void begin_round(struct cbd_check_ahead *a, uint32_t id)
{
    struct cbd_check *k = a->k;
    struct cbd_env *env = k->cache.env;
    const struct cbd_geometry *geo = &k->cache.super.geo;
    bool data = (k->options.flags & CBD_CHECK_DATA) != 0;
    uint64_t records = 0, pages = 0;

    a->count = a->at = 0;
    for (; id < geo->segment_count && a->count < ROUND_SEGMENTS; id++) {
        struct cbd_check_marks m;
        uint32_t count;

        if (!eligible(k, id))
            continue;
        count = k->cache.segments[id].entry.records;
        if (records + count > ROUND_RECORDS ||
            (data && (uint64_t)a->count * geo->segment_bytes >= ROUND_DATA_BYTES))
            break;
        /* A page may begin as long as one is left. */
        m = (struct cbd_check_marks){.cap = count, .page_cap = count / CBD_PAGE_RECORDS + 2};
        if (a->marks != NULL) {
            m.marks = a->marks + records;
            m.pages = a->pages + pages;
        }
        cbd_want_records(&k->cache, id);
        a->item[a->count++] = (struct item){.id = id, .marks = m};
        records += count;
        pages += m.page_cap;
    }
    env->ops->run(env, look, a, a->count < LANES ? a->count : LANES);
}

static int add(struct cbd_check *k, const struct item *item)
{
    uint32_t backend = k->cache.segments[item->id].entry.owner - 1u;
    struct cbd_check_backend *b = &k->out->backends[backend];
    const struct counts *n = &item->counts;

    b->records += n->records;
    b->live_bytes += n->live_bytes;
    b->dirty_records += n->dirty_records;
    b->dirty_bytes += n->dirty_bytes;
    b->dirty_zero_bytes += n->dirty_zero_bytes;
    b->suspects += n->suspects;
    k->out->records_damaged += n->damaged;
    k->out->data_bytes += n->data_bytes;
    if (n->dirty_order_min < k->dirty_order_min[backend])
        k->dirty_order_min[backend] = n->dirty_order_min;
    if (n->order_top > k->order_top[backend])
        k->order_top[backend] = n->order_top;
    return item->marks.marks != NULL ? cbd_check_order_add_all(k, &item->marks) : 0;
}

int cbd_check_in_turn(struct cbd_check *k, uint32_t id)
{
    struct cbd_check_ahead *a = k->ahead;

    if (a == NULL || !eligible(k, id))
        return cbd_check_segment(k, id);
    if (a->at == a->count)
        begin_round(a, id);
    if (a->item[a->at].good)
        return add(k, &a->item[a->at++]);
    a->at++;
    k->entries[id].dirty_first = k->entries[id].dirty_last = 0;
    return cbd_check_segment(k, id);
}
