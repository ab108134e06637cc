/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check, last pass: of two records that overlap, one is newer. Orders grow within a tree of the
 * index, so equal orders are legal only where the ranges are disjoint. Fills are left out: they
 * bring an order that was sampled.
 *
 * The pass over records hands each over, and what is kept of it is its order and its place: 16 bytes.
 * When there are more than options.orders_max, they are only counted, and the segments are gone
 * through again, once for each part of the orders. Two records of one order are in one part.
 */
#include <string.h>

#include "check_pass.h"
#include "sort.h"

#define ORDERS_MAX (UINT64_C(1) << 26) /* 1 GiB */
#define FIRST_CAP 1024u
#define SIDE_BY_SIDE_MIN 256u

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

static void release(struct cbd_check *k)
{
    if (k->orders != NULL)
        k->cache.env->ops->free(k->cache.env, k->orders, k->order_cap * sizeof(*k->orders));
    k->orders = NULL;
    k->order_cap = 0;
    k->order_count = 0;
}

static int grow(struct cbd_check *k, uint64_t cap)
{
    struct cbd_env *env = k->cache.env;
    struct cbd_check_order *grown = env->ops->alloc(env, cap * sizeof(*grown));
    uint64_t count = k->order_count;

    if (grown == NULL)
        return CBD_E_NOMEM;
    if (count != 0)
        memcpy(grown, k->orders, count * sizeof(*grown));
    release(k);
    k->orders = grown;
    k->order_cap = cap;
    k->order_count = count;
    return 0;
}

/* So many records closed segments say they have, so that room for all is taken at once. */
static uint64_t expected(const struct cbd_check *k)
{
    uint64_t sum = FIRST_CAP;

    for (uint32_t id = 0; id < k->cache.super.geo.segment_count; id++)
        if (k->entries[id].plan == CBD_CHECK_PLAN_SCAN)
            sum += k->cache.segments[id].entry.records;
    return sum;
}

/* Room for `more`. */
static int reserve(struct cbd_check *k, uint64_t more)
{
    while (k->order_cap - k->order_count < more) {
        uint64_t cap = k->order_cap == 0 ? expected(k) : 2 * k->order_cap;
        /* A part may have a few more than its share. */
        int error =
            grow(k, k->order_cap < orders_max(k) && cap > orders_max(k) ? orders_max(k) : cap);

        if (error != 0)
            return error;
    }
    return 0;
}

static int keep(struct cbd_check *k, uint32_t segment, uint32_t slot, uint64_t order)
{
    int error = reserve(k, 1);

    if (error == 0)
        k->orders[k->order_count++] =
            (struct cbd_check_order){.order = order, .segment = segment, .slot = slot};
    return error;
}

int cbd_check_order_add(struct cbd_check *k, uint32_t segment, uint32_t slot,
                        const struct cbd_record *r)
{
    struct cbd_check_order order = {.order = r->order, .segment = segment, .slot = slot};

    if (!k->looks_ahead)
        return cbd_check_order_add_all(k, &order, 1);
    if (k->order_count == k->order_cap)
        return CBD_E_RANGE; /* more than the entry says */
    k->orders[k->order_count++] = order;
    return 0;
}

int cbd_check_order_add_all(struct cbd_check *k, const struct cbd_check_order *orders,
                            uint64_t count)
{
    int error;

    k->order_total += count;
    if (k->order_total > orders_max(k)) {
        release(k);
        return 0;
    }
    error = reserve(k, count);
    if (error != 0 || count == 0)
        return error;
    memcpy(k->orders + k->order_count, orders, count * sizeof(*orders));
    k->order_count += count;
    return 0;
}

void cbd_check_orders_free(struct cbd_check *k)
{
    release(k);
}

/* --- by order --- */

static void insertion_sort(struct cbd_check_order *o, uint64_t n)
{
    for (uint64_t i = 1; i < n; i++) {
        struct cbd_check_order t = o[i];
        uint64_t at = i;

        for (; at > 0 && o[at - 1].order > t.order; at--)
            o[at] = o[at - 1];
        o[at] = t;
    }
}

/* By eight bits of the order from `shift` on, in place. end[b]: behind the last one with b. */
static void partition(struct cbd_check_order *o, uint64_t n, unsigned shift, uint64_t end[256])
{
    uint64_t next[256] = {0}, at = 0;

    for (uint64_t i = 0; i < n; i++)
        next[o[i].order >> shift & 0xff]++;
    for (unsigned b = 0; b < 256; b++) {
        at += next[b];
        end[b] = at;
        next[b] = at - next[b];
    }
    for (unsigned b = 0; b < 256; b++) {
        while (next[b] < end[b]) {
            struct cbd_check_order t = o[next[b]];
            unsigned to = t.order >> shift & 0xff;

            while (to != b) {
                struct cbd_check_order out = o[next[to]];

                o[next[to]++] = t;
                t = out;
                to = t.order >> shift & 0xff;
            }
            o[next[b]++] = t;
        }
    }
}

/* They agree in all bits from shift + 8 on. The last eight bits may be some that are known already. */
static void radix_sort(struct cbd_check_order *o, uint64_t n, unsigned shift)
{
    uint64_t end[256];

    if (n <= 32) {
        insertion_sort(o, n);
        return;
    }
    partition(o, n, shift, end);
    for (unsigned b = 0; b < 256 && shift != 0; b++)
        radix_sort(o + (b == 0 ? 0 : end[b - 1]), end[b] - (b == 0 ? 0 : end[b - 1]),
                   shift > 8 ? shift - 8 : 0);
}

struct sorting {
    struct cbd_check_order *o;
    uint64_t end[256];
    unsigned shift;
};

static void sort_one(void *arg, unsigned b)
{
    const struct sorting *s = arg;
    uint64_t first = b == 0 ? 0 : s->end[b - 1];

    radix_sort(s->o + first, s->end[b] - first, s->shift > 8 ? s->shift - 8 : 0);
}

/* The highest eight bits that differ make parts of about the same size, which are sorted side by side. */
static void sort_orders(struct cbd_env *env, struct cbd_check_order *o, uint64_t n)
{
    struct sorting s = {.o = o};
    uint64_t differ = 0;

    for (uint64_t i = 1; i < n; i++)
        differ |= o[i].order ^ o[0].order;
    while (differ >> s.shift > 0xff)
        s.shift++;
    if (env->ops->run == NULL || n < SIDE_BY_SIDE_MIN || s.shift == 0) {
        radix_sort(o, n, s.shift);
        return;
    }
    partition(o, n, s.shift, s.end);
    env->ops->run(env, sort_one, &s, 256);
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

/* Those that are kept: all, or one part. */
static int judge(struct cbd_check *k)
{
    struct cbd_env *env = k->cache.env;
    struct twin_order *twins;
    uint64_t largest = 0;
    int stop = 0;

    sort_orders(env, k->orders, k->order_count);
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

static int collect(void *arg, uint32_t slot, const struct cbd_record *r)
{
    struct part *p = arg;
    uint32_t backend = p->k->cache.segments[p->segment].entry.owner - 1u;

    if (r->type == CBD_M_RECORD_VOID || r->type == CBD_M_RECORD_FILL ||
        !cbd_check_live(p->k, backend, r) || r->order % p->count != p->number)
        return 0;
    return keep(p->k, p->segment, slot, r->order);
}

static int collect_part(struct part *p)
{
    struct cbd_check *k = p->k;
    uint32_t total = k->out->segments_open + k->out->segments_closed;
    int stop = 0;

    k->order_count = 0;
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
