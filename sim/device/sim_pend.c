/* SPDX-License-Identifier: BSD-2-Clause */
/* The pending set: storage, look-up and removal. sim_pend_crash.c has the outcomes. */
#include "sim_pend.h"

#include <string.h>

#include "sim_base.h"

#define TABLE_MIN 64u

void sim_pend_init(struct sim_pend *p, unsigned cell_shift)
{
    memset(p, 0, sizeof *p);
    p->cell_shift = cell_shift;
    p->store_free = p->group_free = SIM_PEND_NIL;
    p->group_first = p->group_last = SIM_PEND_NIL;
    p->table_size = TABLE_MIN;
    p->table = sim_zalloc(p->table_size, sizeof p->table[0]);
}

void sim_pend_free(struct sim_pend *p)
{
    free(p->stores);
    free(p->groups);
    free(p->table);
    for (unsigned t = 0; t < SIM_PEND_THREADS; t++)
        free(p->ready[t].items);
    memset(p, 0, sizeof *p);
}

/* Slots are handed out from the start again, so that long runs stay in few cache lines. */
static void reset_slots(struct sim_pend *p)
{
    p->store_top = p->group_top = 0;
    p->store_free = p->group_free = SIM_PEND_NIL;
    p->group_first = p->group_last = SIM_PEND_NIL;
    p->group_count = p->store_count = 0;
}

void sim_pend_clear(struct sim_pend *p)
{
    for (uint32_t g = p->group_first; g != SIM_PEND_NIL; g = p->groups[g].next)
        p->table[p->groups[g].slot] = 0;
    reset_slots(p);
    for (unsigned t = 0; t < SIM_PEND_THREADS; t++)
        p->ready[t].count = 0;
}

void sim_pend_copy(struct sim_pend *dst, const struct sim_pend *src)
{
    sim_pend_clear(dst);
    dst->stores = sim_grow(dst->stores, &dst->store_cap, src->store_top, sizeof src->stores[0]);
    if (src->store_top > 0)
        memcpy(dst->stores, src->stores, src->store_top * sizeof src->stores[0]);
    dst->groups = sim_grow(dst->groups, &dst->group_cap, src->group_top, sizeof src->groups[0]);
    if (src->group_top > 0)
        memcpy(dst->groups, src->groups, src->group_top * sizeof src->groups[0]);
    if (dst->table_size != src->table_size) {
        free(dst->table);
        dst->table_size = src->table_size;
        dst->table = sim_zalloc(dst->table_size, sizeof dst->table[0]);
    }
    for (uint32_t g = src->group_first; g != SIM_PEND_NIL; g = src->groups[g].next)
        dst->table[src->groups[g].slot] = g + 1;
    for (unsigned t = 0; t < SIM_PEND_THREADS; t++) {
        const struct sim_pend_queue *from = &src->ready[t];
        struct sim_pend_queue *to = &dst->ready[t];
        to->items = sim_grow(to->items, &to->cap, from->count, sizeof from->items[0]);
        if (from->count > 0)
            memcpy(to->items, from->items, from->count * sizeof from->items[0]);
        to->count = from->count;
    }
    dst->cell_shift = src->cell_shift;
    dst->store_top = src->store_top;
    dst->store_free = src->store_free;
    dst->store_count = src->store_count;
    dst->group_top = src->group_top;
    dst->group_free = src->group_free;
    dst->group_first = src->group_first;
    dst->group_last = src->group_last;
    dst->group_count = src->group_count;
}

static size_t home_slot(const struct sim_pend *p, uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 32) & (p->table_size - 1);
}

static void table_insert(struct sim_pend *p, uint32_t g)
{
    size_t at = home_slot(p, p->groups[g].key);
    while (p->table[at] != 0)
        at = (at + 1) & (p->table_size - 1);
    p->table[at] = g + 1;
    p->groups[g].slot = (uint32_t)at;
}

static void table_grow(struct sim_pend *p)
{
    SIM_REQUIRE(p->table_size <= UINT32_MAX / 4);
    free(p->table);
    p->table_size *= 2;
    p->table = sim_zalloc(p->table_size, sizeof p->table[0]);
    for (uint32_t g = p->group_first; g != SIM_PEND_NIL; g = p->groups[g].next)
        table_insert(p, g);
}

/* Closes the gap, so that no look-up stops early and no tombstones pile up. */
static void table_remove(struct sim_pend *p, size_t gap)
{
    size_t wrap = p->table_size - 1;
    for (size_t at = (gap + 1) & wrap; p->table[at] != 0; at = (at + 1) & wrap) {
        uint32_t g = p->table[at] - 1;
        size_t home = home_slot(p, p->groups[g].key);
        /* It may move only if the gap lies between its home and its place. */
        if (((at - home) & wrap) < ((at - gap) & wrap))
            continue;
        p->table[gap] = g + 1;
        p->groups[g].slot = (uint32_t)gap;
        gap = at;
    }
    p->table[gap] = 0;
}

uint32_t sim_pend_find(const struct sim_pend *p, uint64_t cell)
{
    if (p->group_count == 0)
        return SIM_PEND_NIL;
    uint64_t key = cell >> p->cell_shift;
    for (size_t at = home_slot(p, key); p->table[at] != 0; at = (at + 1) & (p->table_size - 1)) {
        uint32_t g = p->table[at] - 1;
        if (p->groups[g].key == key)
            return g;
    }
    return SIM_PEND_NIL;
}

static uint32_t group_new(struct sim_pend *p, uint64_t key)
{
    uint32_t g = p->group_free;
    if (g != SIM_PEND_NIL) {
        p->group_free = p->groups[g].next;
    } else {
        SIM_REQUIRE(p->group_top < SIM_PEND_NIL - 1);
        p->groups = sim_grow(p->groups, &p->group_cap, p->group_top + 1, sizeof p->groups[0]);
        g = (uint32_t)p->group_top++;
    }
    if ((p->group_count + 1) * 2 > p->table_size)
        table_grow(p);
    p->groups[g] = (struct sim_pend_group){
        .key = key,
        .first = SIM_PEND_NIL,
        .last = SIM_PEND_NIL,
        .prev = p->group_last,
        .next = SIM_PEND_NIL,
    };
    table_insert(p, g);
    if (p->group_last == SIM_PEND_NIL)
        p->group_first = g;
    else
        p->groups[p->group_last].next = g;
    p->group_last = g;
    p->group_count++;
    return g;
}

static void group_remove(struct sim_pend *p, uint32_t g)
{
    struct sim_pend_group *group = &p->groups[g];
    if (group->prev == SIM_PEND_NIL)
        p->group_first = group->next;
    else
        p->groups[group->prev].next = group->next;
    if (group->next == SIM_PEND_NIL)
        p->group_last = group->prev;
    else
        p->groups[group->next].prev = group->prev;
    table_remove(p, group->slot);
    group->next = p->group_free;
    p->group_free = g;
    p->group_count--;
    if (p->group_count == 0)
        reset_slots(p);
}

uint32_t sim_pend_add(struct sim_pend *p, const struct sim_pend_new *store)
{
    SIM_REQUIRE(store->op != 0 && store->mask != 0);
    uint32_t g = sim_pend_find(p, store->cell);
    if (g == SIM_PEND_NIL)
        g = group_new(p, store->cell >> p->cell_shift);
    uint32_t s = p->store_free;
    if (s != SIM_PEND_NIL) {
        p->store_free = p->stores[s].next;
    } else {
        SIM_REQUIRE(p->store_top < SIM_PEND_NIL - 1);
        p->stores = sim_grow(p->stores, &p->store_cap, p->store_top + 1, sizeof p->stores[0]);
        s = (uint32_t)p->store_top++;
    }
    struct sim_pend_store *e = &p->stores[s];
    struct sim_pend_group *group = &p->groups[g];
    memcpy(e->old, store->old, sizeof e->old);
    e->cell = store->cell;
    e->op = store->op;
    e->flushers = 0;
    e->fence_seq = store->fence_seq;
    e->group = g;
    e->prev = group->last;
    e->next = SIM_PEND_NIL;
    e->step = store->step;
    e->mask = store->mask;
    e->flags = store->flags;
    e->thread = store->thread;
    if (group->last == SIM_PEND_NIL)
        group->first = s;
    else
        p->stores[group->last].next = s;
    group->last = s;
    p->store_count++;
    return s;
}

void sim_pend_queue_ready(struct sim_pend *p, uint8_t thread, uint64_t a, uint64_t b)
{
    struct sim_pend_queue *q = &p->ready[thread];
    q->items = sim_grow(q->items, &q->cap, q->count + 1, sizeof q->items[0]);
    q->items[q->count++] = (struct sim_pend_ready){a, b};
}

static void store_remove(struct sim_pend *p, uint32_t s)
{
    struct sim_pend_store *e = &p->stores[s];
    struct sim_pend_group *group = &p->groups[e->group];
    if (e->prev == SIM_PEND_NIL)
        group->first = e->next;
    else
        p->stores[e->prev].next = e->next;
    if (e->next == SIM_PEND_NIL)
        group->last = e->prev;
    else
        p->stores[e->next].prev = e->prev;
    e->op = 0;
    e->next = p->store_free;
    p->store_free = s;
    p->store_count--;
    if (group->first == SIM_PEND_NIL)
        group_remove(p, e->group);
}

/* Forgets words of one cell in store s and all older ones of its group. */
static void forget_words(struct sim_pend *p, uint32_t s, uint64_t cell, uint8_t mask)
{
    while (s != SIM_PEND_NIL) {
        struct sim_pend_store *e = &p->stores[s];
        uint32_t prev = e->prev;
        if (e->cell == cell) {
            e->mask &= (uint8_t)~mask;
            if (e->mask == 0)
                store_remove(p, s);
        }
        s = prev;
    }
}

void sim_pend_settle(struct sim_pend *p, uint32_t slot)
{
    forget_words(p, slot, p->stores[slot].cell, p->stores[slot].mask);
}

void sim_pend_settle_words(struct sim_pend *p, uint64_t cell, uint8_t mask)
{
    uint32_t g = sim_pend_find(p, cell);
    if (g != SIM_PEND_NIL)
        forget_words(p, p->groups[g].last, cell, mask);
}

void sim_pend_settle_group(struct sim_pend *p, uint32_t group)
{
    uint32_t s = p->groups[group].first;
    while (s != SIM_PEND_NIL) {
        uint32_t next = p->stores[s].next;
        store_remove(p, s);
        s = next;
    }
}
