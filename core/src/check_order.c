/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check, last pass: of two records that overlap, one is newer. Orders grow within a tree of the
 * index, so equal orders are legal only where the ranges are disjoint. Fills are left out: they
 * bring an order that was sampled.
 *
 *   marks of all records  -->  orders that may be there twice  -->  their records, which are judged
 *      (check_mark.c)
 *
 * The pass over records hands each over, and a mark of it is kept. When there are more than
 * options.orders_max, they are only counted, and the segments are gone through again, once for each
 * part of the orders. Two records of one order are in one part.
 */
#include <string.h>

#include "check_pass.h"
#include "sort.h"

#define ORDERS_MAX (UINT64_C(1) << 27) /* 0.6 GiB */
#define PART_ORDERS_BITS 12u /* so many orders in a row are in one part: pages share them */
#define FIRST_CAP 1024u

/* A record whose order another one has too. */
struct twin_order {
    uint64_t addr_bytes;
    uint64_t len_bytes;
    uint32_t segment;
    uint32_t slot;
    uint32_t backend;
};

static uint64_t orders_max(const struct cbd_check *k)
{
    return k->options.orders_max != 0 ? k->options.orders_max : ORDERS_MAX;
}

static void release(struct cbd_check *k, void *items, uint64_t cap, size_t item_bytes)
{
    if (items != NULL)
        k->cache.env->ops->free(k->cache.env, items, cap * item_bytes);
}

static void release_marks(struct cbd_check *k)
{
    release(k, k->marks.marks, k->marks.cap, sizeof(*k->marks.marks));
    release(k, k->marks.pages, k->marks.page_cap, sizeof(*k->marks.pages));
    memset(&k->marks, 0, sizeof(k->marks));
}

int cbd_check_room(struct cbd_check *k, void **items, uint64_t *cap, uint64_t count, uint64_t want,
                   size_t item_bytes)
{
    struct cbd_env *env = k->cache.env;
    uint64_t room = *cap == 0 ? FIRST_CAP : *cap;
    void *grown;

    if (want <= *cap)
        return 0;
    while (room < want)
        room *= 2;
    grown = env->ops->alloc(env, room * item_bytes);
    if (grown == NULL)
        return CBD_E_NOMEM;
    if (count != 0)
        memcpy(grown, *items, count * item_bytes);
    release(k, *items, *cap, item_bytes);
    *items = grown;
    *cap = room;
    return 0;
}

/* So many records closed segments say they have, so that room for all is taken at once. */
static uint64_t expected(const struct cbd_check *k)
{
    uint64_t sum = FIRST_CAP;

    for (uint32_t id = 0; id < k->cache.super.geo.segment_count; id++)
        if (k->entries[id].plan == CBD_CHECK_PLAN_SCAN)
            sum += k->cache.segments[id].entry.records;
    return sum < orders_max(k) ? sum : orders_max(k);
}

/* Room for so many more, and the first time for all that are expected. */
static int reserve(struct cbd_check *k, uint64_t marks, uint64_t pages)
{
    struct cbd_check_marks *m = &k->marks;
    uint64_t all = m->cap == 0 ? expected(k) : 0;
    uint64_t all_pages = all / CBD_PAGE_RECORDS + k->out->segments_closed;
    int error = 0;

    if (m->count + marks > m->cap)
        error =
            cbd_check_room(k, (void **)&m->marks, &m->cap, m->count,
                           m->cap == 0 && all > marks ? all : m->count + marks, sizeof(*m->marks));
    if (error == 0 && m->page_count + pages > m->page_cap)
        error = cbd_check_room(k, (void **)&m->pages, &m->page_cap, m->page_count,
                               m->page_cap == 0 && all_pages > pages ? all_pages
                                                                     : m->page_count + pages,
                               sizeof(*m->pages));
    return error;
}

int cbd_check_order_add(struct cbd_check *k, uint32_t segment, uint32_t slot,
                        const struct cbd_record *r)
{
    struct cbd_check_marks *m = &k->marks;

    if (!k->looks_ahead && ++k->order_total > orders_max(k)) {
        release_marks(k);
        return 0;
    }
    if (m->count == m->cap || m->page_count == m->page_cap) {
        int error = k->looks_ahead ? CBD_E_RANGE /* more than the entry says */ : reserve(k, 1, 1);

        if (error != 0)
            return error;
    }
    cbd_check_mark(m, k->cache.segments[segment].entry.owner - 1u, segment, slot, r);
    return 0;
}

/* Those of whole segments. */
int cbd_check_order_add_all(struct cbd_check *k, const struct cbd_check_marks *from)
{
    struct cbd_check_marks *m = &k->marks;
    int error;

    k->order_total += from->count;
    if (k->order_total > orders_max(k)) {
        release_marks(k);
        return 0;
    }
    error = reserve(k, from->count, from->page_count);
    if (error != 0 || from->count == 0)
        return error;
    memcpy(m->marks + m->count, from->marks, from->count * sizeof(*m->marks));
    for (uint64_t i = 0; i < from->page_count; i++) {
        m->pages[m->page_count] = from->pages[i];
        m->pages[m->page_count++].first += m->count;
    }
    m->count += from->count;
    return 0;
}

void cbd_check_orders_free(struct cbd_check *k)
{
    release_marks(k);
    release(k, k->suspects, k->suspect_cap, sizeof(*k->suspects));
    release(k, k->orders, k->order_cap, sizeof(*k->orders));
}

/* --- orders that may be there twice --- */

static void sort_suspects(struct cbd_check *k)
{
    uint64_t count = 0;

    cbd_check_order_sort(k->suspects, k->suspect_count);
    for (uint64_t i = 0; i < k->suspect_count; i++)
        if (count == 0 || k->suspects[count - 1].order != k->suspects[i].order)
            k->suspects[count++] = k->suspects[i];
    k->suspect_count = count;
}

int cbd_check_order_suspect(struct cbd_check *k, uint64_t order)
{
    int error = 0;

    if (k->suspect_count == k->suspect_cap) {
        sort_suspects(k);
        if (k->suspect_count >= k->suspect_cap / 2)
            error = cbd_check_room(k, (void **)&k->suspects, &k->suspect_cap, k->suspect_count,
                                   k->suspect_cap + 1, sizeof(*k->suspects));
    }
    if (error == 0)
        k->suspects[k->suspect_count++] = (struct cbd_check_order){.order = order};
    return error;
}

/* The records of one page that have such an order. */
static int gather(struct cbd_check *k, const struct cbd_check_page *p)
{
    int error = 0;

    for (uint64_t left = p->kept; left != 0 && error == 0; left &= left - 1) {
        uint32_t slot = p->number * (uint32_t)CBD_PAGE_RECORDS + (uint32_t)__builtin_ctzll(left);
        struct cbd_record r;
        uint64_t n;

        if (cbd_load_record(&k->cache, p->segment, slot, &r) != 0)
            continue; /* it could be read a moment ago: the memory fails */
        n = cbd_check_order_at(k->suspects, k->suspect_count, r.order);
        if (n == k->suspect_count || k->suspects[n].order != r.order)
            continue;
        error = cbd_check_room(k, (void **)&k->orders, &k->order_cap, k->order_count,
                               k->order_count + 1, sizeof(*k->orders));
        if (error == 0)
            k->orders[k->order_count++] =
                (struct cbd_check_order){.order = r.order, .segment = p->segment, .slot = slot};
    }
    return error;
}

/* All records that have such an order. */
static int gather_all(struct cbd_check *k)
{
    int error = 0;

    k->order_count = 0;
    for (uint64_t i = 0; i < k->marks.page_count && error == 0; i++) {
        const struct cbd_check_page *p = &k->marks.pages[i];
        uint64_t n = cbd_check_order_at(k->suspects, k->suspect_count, p->order_min);

        if (n < k->suspect_count && k->suspects[n].order <= p->order_max)
            error = gather(k, p);
    }
    return error;
}

/* --- of one order --- */

/* The report must not depend on how it was sorted before. */
static bool before(const void *x, const void *y)
{
    const struct twin_order *a = x, *b = y;

    if (a->backend != b->backend)
        return a->backend < b->backend;
    if (a->addr_bytes != b->addr_bytes)
        return a->addr_bytes < b->addr_bytes;
    if (a->segment != b->segment)
        return a->segment < b->segment;
    return a->slot < b->slot;
}

static int report_twice(struct cbd_check *k, const struct twin_order *t, uint64_t order)
{
    struct cbd_check_finding f = cbd_check_finding(CBD_PROBLEM_RECORD_ORDER_TWICE);

    f.segment = t->segment;
    f.slot = t->slot;
    f.backend = t->backend;
    f.off_bytes = cbd_check_slot_off(k, t->segment, t->slot);
    f.got = order;
    f.limit = order + 1;
    f.range_known = true;
    f.dirty = true;
    f.addr_bytes = t->addr_bytes;
    f.len_bytes = t->len_bytes;
    return cbd_check_report(k, &f);
}

/* n records of one order; `twins` has room for them. */
static int judge_group(struct cbd_check *k, const struct cbd_check_order *o, uint64_t n,
                       struct twin_order *twins)
{
    uint64_t reach = 0, count = 0; /* the highest end so far */
    int stop = 0;

    for (uint64_t i = 0; i < n; i++) {
        struct cbd_record r;

        if (cbd_load_record(&k->cache, o[i].segment, o[i].slot, &r) != 0)
            continue; /* it could be read a moment ago: the memory fails */
        twins[count++] = (struct twin_order){
            .addr_bytes = r.addr_bytes,
            .len_bytes = r.len_bytes,
            .segment = o[i].segment,
            .slot = o[i].slot,
            .backend = k->cache.segments[o[i].segment].entry.owner - 1u,
        };
    }
    cbd_sort(twins, count, sizeof(*twins), before);
    for (uint64_t i = 0; i < count && stop == 0; i++) {
        bool same = i > 0 && twins[i - 1].backend == twins[i].backend;
        uint64_t end = twins[i].addr_bytes + twins[i].len_bytes;

        if (same && twins[i].addr_bytes < reach)
            stop = report_twice(k, &twins[i], o->order);
        reach = same && reach > end ? reach : end;
    }
    return stop;
}

static uint64_t group_at(const struct cbd_check *k, uint64_t i)
{
    uint64_t n = 1;

    while (i + n < k->order_count && k->orders[i + n].order == k->orders[i].order)
        n++;
    return n;
}

/* Those whose marks are kept: all, or one part. */
static int judge(struct cbd_check *k)
{
    struct cbd_env *env = k->cache.env;
    struct twin_order *twins;
    uint64_t largest = 0;
    int stop;

    k->suspect_count = 0;
    stop = cbd_check_marks_look(k);
    if (stop != 0 || k->suspect_count == 0)
        return stop;
    sort_suspects(k);
    stop = gather_all(k);
    if (stop != 0)
        return stop;
    cbd_check_order_sort(k->orders, k->order_count);
    for (uint64_t i = 0, n; i < k->order_count; i += n) {
        n = group_at(k, i);
        largest = n > largest ? n : largest;
    }
    if (largest < 2)
        return 0;
    twins = env->ops->alloc(env, largest * sizeof(*twins));
    if (twins == NULL)
        return CBD_E_NOMEM;
    for (uint64_t i = 0, n; i < k->order_count && stop == 0; i += n) {
        n = group_at(k, i);
        if (n > 1)
            stop = judge_group(k, &k->orders[i], n, twins);
    }
    env->ops->free(env, twins, largest * sizeof(*twins));
    return stop;
}

/* --- in parts --- */

struct part {
    struct cbd_check *k;
    uint32_t segment;
    uint64_t number, count;
};

static uint64_t part_of(const struct part *p, uint64_t order)
{
    return (order >> PART_ORDERS_BITS) * UINT64_C(0x9e3779b97f4a7c15) % p->count;
}

static int collect(void *arg, uint32_t slot, const struct cbd_record *r)
{
    struct part *p = arg;
    uint32_t backend = p->k->cache.segments[p->segment].entry.owner - 1u;
    int error;

    if (r->type == CBD_M_RECORD_VOID || r->type == CBD_M_RECORD_FILL ||
        !cbd_check_live(p->k, backend, r) || part_of(p, r->order) != p->number)
        return 0;
    error = reserve(p->k, 1, 1);
    if (error == 0)
        cbd_check_mark(&p->k->marks, backend, p->segment, slot, r);
    return error;
}

static int collect_part(struct part *p)
{
    struct cbd_check *k = p->k;
    uint32_t total = k->out->segments_open + k->out->segments_closed;
    int stop = 0;

    k->marks.count = k->marks.page_count = 0;
    for (uint32_t id = 0; id < k->cache.super.geo.segment_count && stop == 0; id++) {
        struct cbd_scan scan;

        if (k->entries[id].plan != CBD_CHECK_PLAN_SCAN)
            continue;
        p->segment = id;
        if (k->options.progress != NULL)
            stop = k->options.progress(k->arg, total, total);
        if (stop == 0)
            stop = cbd_scan_segment(&k->cache, id, &scan, collect, p);
    }
    return stop;
}

int cbd_check_orders(struct cbd_check *k)
{
    /* One more than the least: parts are not equal. */
    struct part p = {.k = k, .count = k->order_total / orders_max(k) + 1};
    int stop = 0;

    if (k->order_total <= orders_max(k))
        return judge(k);
    for (; p.number < p.count && stop == 0; p.number++) {
        stop = collect_part(&p);
        if (stop == 0)
            stop = judge(k);
    }
    return stop;
}
