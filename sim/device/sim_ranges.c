/* SPDX-License-Identifier: BSD-2-Clause */
/* A small set of disjoint ranges. Linear: the sets hold a handful of injected faults. */
#include "sim_ranges.h"

#include <string.h>

#include "sim_base.h"

static void insert_at(struct sim_ranges *set, size_t at, uint64_t first, uint64_t end)
{
    set->items = sim_grow(set->items, &set->cap, set->count + 1, sizeof set->items[0]);
    memmove(&set->items[at + 1], &set->items[at], (set->count - at) * sizeof set->items[0]);
    set->items[at] = (struct sim_range){first, end};
    set->count++;
}

void sim_ranges_remove(struct sim_ranges *set, uint64_t first, uint64_t end)
{
    if (first >= end)
        return;
    for (size_t i = 0; i < set->count;) {
        struct sim_range *r = &set->items[i];
        if (r->end <= first || r->first >= end) {
            i++;
        } else if (r->first < first && r->end > end) {
            uint64_t tail = r->end;
            r->end = first;
            insert_at(set, i + 1, end, tail);
            return;
        } else if (r->first < first) {
            r->end = first;
            i++;
        } else if (r->end > end) {
            r->first = end;
            i++;
        } else {
            set->count--;
            memmove(r, r + 1, (set->count - i) * sizeof *r);
        }
    }
}

void sim_ranges_add(struct sim_ranges *set, uint64_t first, uint64_t end)
{
    if (first >= end)
        return;
    sim_ranges_remove(set, first, end);
    size_t at = 0;
    while (at < set->count && set->items[at].first < first)
        at++;
    insert_at(set, at, first, end);
}

bool sim_ranges_hit(const struct sim_ranges *set, uint64_t first, uint64_t end)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].first < end && set->items[i].end > first)
            return true;
    }
    return false;
}

void sim_ranges_copy(struct sim_ranges *dst, const struct sim_ranges *src)
{
    dst->items = sim_grow(dst->items, &dst->cap, src->count, sizeof dst->items[0]);
    if (src->count > 0)
        memcpy(dst->items, src->items, src->count * sizeof dst->items[0]);
    dst->count = src->count;
}

void sim_ranges_free(struct sim_ranges *set)
{
    free(set->items);
    memset(set, 0, sizeof *set);
}
