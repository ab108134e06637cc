/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check, last pass: of two records that overlap, one is newer. Orders grow within a tree of the
 * index, so equal orders are legal only where the ranges are disjoint. Fills are left out: they
 * bring an order that was sampled.
 */
#include <string.h>

#include "check_pass.h"

#define FIRST_CAP 1024u

int cbd_check_order_add(struct cbd_check *k, uint32_t segment, uint32_t slot,
                        const struct cbd_record *r)
{
    struct cbd_env *env = k->cache.env;

    if (k->order_count == k->order_cap) {
        uint64_t cap = k->order_cap == 0 ? FIRST_CAP : 2 * k->order_cap;
        struct cbd_check_order *grown = env->ops->alloc(env, cap * sizeof(*grown));

        if (grown == NULL)
            return CBD_E_NOMEM;
        if (k->orders != NULL) {
            memcpy(grown, k->orders, k->order_count * sizeof(*grown));
            env->ops->free(env, k->orders, k->order_cap * sizeof(*grown));
        }
        k->orders = grown;
        k->order_cap = cap;
    }
    k->orders[k->order_count++] = (struct cbd_check_order){
        .order = r->order,
        .addr_bytes = r->addr_bytes,
        .len_bytes = r->len_bytes,
        .segment = segment,
        .slot_low = (uint16_t)slot,
        .slot_high = (uint8_t)(slot >> 16),
        .backend = (uint8_t)(k->cache.segments[segment].entry.owner - 1u),
    };
    return 0;
}

static bool before(const struct cbd_check_order *a, const struct cbd_check_order *b)
{
    if (a->backend != b->backend)
        return a->backend < b->backend;
    if (a->order != b->order)
        return a->order < b->order;
    if (a->addr_bytes != b->addr_bytes)
        return a->addr_bytes < b->addr_bytes;
    return a->segment < b->segment; /* the report must not depend on the sort */
}

static void sift(struct cbd_check_order *o, uint64_t root, uint64_t n)
{
    for (;;) {
        uint64_t child = 2 * root + 1;
        struct cbd_check_order t;

        if (child >= n)
            return;
        if (child + 1 < n && before(&o[child], &o[child + 1]))
            child++;
        if (!before(&o[root], &o[child]))
            return;
        t = o[root];
        o[root] = o[child];
        o[child] = t;
        root = child;
    }
}

static void sort(struct cbd_check_order *o, uint64_t n)
{
    for (uint64_t i = n / 2; i-- > 0;)
        sift(o, i, n);
    for (uint64_t end = n; end > 1; end--) {
        struct cbd_check_order t = o[0];

        o[0] = o[end - 1];
        o[end - 1] = t;
        sift(o, 0, end - 1);
    }
}

static int report_twice(struct cbd_check *k, const struct cbd_check_order *o)
{
    struct cbd_check_finding f = cbd_check_finding(CBD_PROBLEM_RECORD_ORDER_TWICE);

    f.segment = o->segment;
    f.slot = (uint32_t)o->slot_high << 16 | o->slot_low;
    f.backend = o->backend;
    f.off_bytes = cbd_check_slot_off(k, f.segment, f.slot);
    f.got = o->order;
    f.limit = o->order + 1;
    f.range_known = true;
    f.dirty = true;
    f.addr_bytes = o->addr_bytes;
    f.len_bytes = o->len_bytes;
    return cbd_check_report(k, &f);
}

int cbd_check_orders(struct cbd_check *k)
{
    uint64_t reach = 0; /* the highest end of the records of this order so far */

    sort(k->orders, k->order_count);
    for (uint64_t i = 0; i < k->order_count; i++) {
        const struct cbd_check_order *o = &k->orders[i];
        bool same = i > 0 && o[-1].backend == o->backend && o[-1].order == o->order;
        uint64_t end = o->addr_bytes + o->len_bytes;

        if (same && o->addr_bytes < reach) {
            int stop = report_twice(k, o);

            if (stop != 0)
                return stop;
        }
        reach = same && reach > end ? reach : end;
    }
    return 0;
}
