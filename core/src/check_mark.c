/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check: which orders two overlapping records may both have, found in little memory.
 *
 * Of each record a mark of 32 bits is kept, which follows from backend, region and order. A payload
 * is in one region, so records of one order that overlap have equal marks; one that covers several
 * regions has the mark 0, which is equal to any. Few records that do not overlap have equal marks.
 *
 * Marks are kept by pages of records, and a page says between which orders its records are. Orders
 * grow with time, so a page shares orders with few others:
 *
 *   orders -->   |-- page --|      :
 *                     |-- page --| :
 *                          |-- page -:--|
 *                 window           :   window
 *
 * Pages are gone through by their lowest order, window after window. With the pages that begin in a
 * window belong those from before that reach into it. So of two pages that share an order both are in
 * the window in which the second one begins. A window begins at least as many records as reach into
 * it: whatever the orders are, no more than twice all marks are looked at.
 */
#include <string.h>

#include "check_pass.h"

#define WINDOW_RECORDS 8192u
#define BITS_PER_MARK                                                                              \
    32u /* of one map; the two maps of a usual window fit the cache next to a core */

void cbd_check_mark(struct cbd_check_marks *m, uint32_t backend, uint32_t segment, uint32_t slot,
                    const struct cbd_record *r)
{
    struct cbd_check_page *p = m->page_count != 0 ? &m->pages[m->page_count - 1] : NULL;
    uint64_t region = r->addr_bytes / CBD_REGION_BYTES;
    uint64_t x = (r->order + (region << 8 | backend) * UINT64_C(0x9e3779b97f4a7c15)) *
                 UINT64_C(0xd6e8feb86659fd93);

    if (p == NULL || p->segment != segment || p->number != slot / CBD_PAGE_RECORDS) {
        p = &m->pages[m->page_count++];
        *p = (struct cbd_check_page){.order_min = r->order,
                                     .order_max = r->order,
                                     .first = m->count,
                                     .segment = segment,
                                     .number = slot / (uint32_t)CBD_PAGE_RECORDS};
    }
    if (r->order < p->order_min)
        p->order_min = r->order;
    if (r->order > p->order_max)
        p->order_max = r->order;
    p->kept |= UINT64_C(1) << slot % CBD_PAGE_RECORDS;
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93) >> 32;
    if (region != (r->addr_bytes + r->len_bytes - 1) / CBD_REGION_BYTES)
        x = 0;
    else if (x == 0)
        x = 1;
    m->marks[m->count++] = (uint32_t)x;
}

struct windows {
    struct cbd_check *k;
    struct cbd_check_order *begin; /* pages by their lowest order; .segment: which one */
    uint32_t *in;                  /* pages of this window: first those that reach into it */
    uint32_t in_count;
    uint64_t records; /* of these */
    uint64_t *once;   /* a bit for each mark that was seen, and behind it */
    uint64_t *twice;  /* one for those that were seen again; other marks share a bit, too */
    uint64_t bits, bits_room;
    struct cbd_check_order *alike; /* marks whose bit was seen again */
    uint64_t alike_room, alike_count;
};

static uint32_t kept(const struct cbd_check_page *p)
{
    return (uint32_t)__builtin_popcountll(p->kept);
}

static const struct cbd_check_page *page_in(const struct windows *w, uint32_t n)
{
    return &w->k->marks.pages[w->in[n]];
}

/* Maps for the records of this window, empty. */
static int clear_maps(struct windows *w)
{
    struct cbd_env *env = w->k->cache.env;

    for (w->bits = 1024; w->bits < w->records * BITS_PER_MARK;)
        w->bits *= 2;
    if (w->bits > w->bits_room) {
        if (w->once != NULL)
            env->ops->free(env, w->once, w->bits_room / 4);
        w->once = env->ops->alloc(env, w->bits / 4);
        w->bits_room = w->bits;
        if (w->once == NULL)
            return CBD_E_NOMEM;
    }
    w->twice = w->once + w->bits / 64;
    memset(w->once, 0, w->bits / 4);
    w->once[0] = 1; /* the mark 0 is there twice */
    return 0;
}

static bool has(const uint64_t *map, uint64_t bit)
{
    return (map[bit / 64] >> bit % 64 & 1) != 0;
}

/* Returns how many of them were seen again. */
static uint64_t fill_maps(struct windows *w)
{
    uint64_t again = 0, mask = w->bits - 1;

    for (uint32_t n = 0; n < w->in_count; n++) {
        const uint32_t *mark = &w->k->marks.marks[page_in(w, n)->first];
        uint32_t count = kept(page_in(w, n));

        for (uint32_t i = 0; i < count; i++) {
            uint64_t bit = mark[i] & mask, one = UINT64_C(1) << bit % 64;

            if ((w->once[bit / 64] & one) != 0) {
                w->twice[bit / 64] |= one;
                again++;
            }
            w->once[bit / 64] |= one;
        }
    }
    return again;
}

/* Of the marks that share a bit those that are equal, each once, and 0. */
static int find_alike(struct windows *w, uint64_t again)
{
    uint64_t n = 0, mask = w->bits - 1;
    int error = cbd_check_room(w->k, (void **)&w->alike, &w->alike_room, 0, 2 * again + 1,
                               sizeof(*w->alike));

    w->alike_count = 0;
    if (error != 0)
        return error;
    w->alike[n++].order = 0;
    for (uint32_t i = 0; i < w->in_count; i++) {
        const uint32_t *mark = &w->k->marks.marks[page_in(w, i)->first];
        uint32_t count = kept(page_in(w, i));

        for (uint32_t j = 0; j < count; j++)
            if (has(w->twice, mark[j] & mask))
                w->alike[n++].order = mark[j];
    }
    cbd_check_order_sort(w->alike, n);
    for (uint64_t i = 1; i < n; i++)
        if (w->alike[i].order == w->alike[i - 1].order &&
            (w->alike_count == 0 || w->alike[w->alike_count - 1].order != w->alike[i].order))
            w->alike[w->alike_count++] = w->alike[i];
    return 0;
}

static bool is_alike(const struct windows *w, uint32_t mark)
{
    uint64_t n = cbd_check_order_at(w->alike, w->alike_count, mark);

    return has(w->twice, mark & (w->bits - 1)) && n < w->alike_count && w->alike[n].order == mark;
}

/* The orders of those whose marks are alike. */
static int suspect(struct windows *w, const struct cbd_check_page *p)
{
    const uint32_t *mark = &w->k->marks.marks[p->first];
    int error = 0;

    for (uint64_t left = p->kept; left != 0 && error == 0; left &= left - 1, mark++) {
        uint32_t slot = p->number * (uint32_t)CBD_PAGE_RECORDS + (uint32_t)__builtin_ctzll(left);
        struct cbd_record r;

        if (is_alike(w, *mark) && cbd_load_record(&w->k->cache, p->segment, slot, &r) == 0)
            error = cbd_check_order_suspect(w->k, r.order);
    }
    return error;
}

static int look(struct windows *w)
{
    int error = clear_maps(w);
    uint64_t again;

    if (error != 0)
        return error;
    again = fill_maps(w);
    if (again != 0)
        error = find_alike(w, again);
    for (uint32_t n = 0; n < w->in_count && again != 0 && w->alike_count != 0 && error == 0; n++)
        error = suspect(w, page_in(w, n));
    return error;
}

/* Of the pages of the window before, those that reach `order` or more. */
static void leave_behind(struct windows *w, uint64_t order)
{
    uint32_t count = w->in_count;

    w->in_count = 0;
    w->records = 0;
    for (uint32_t n = 0; n < count; n++)
        if (page_in(w, n)->order_max >= order) {
            w->records += kept(page_in(w, n));
            w->in[w->in_count++] = w->in[n];
        }
}

static int look_at_all(struct windows *w)
{
    const struct cbd_check_marks *m = &w->k->marks;
    int error = 0;

    for (uint64_t i = 0; i < m->page_count; i++)
        w->begin[i] =
            (struct cbd_check_order){.order = m->pages[i].order_min, .segment = (uint32_t)i};
    cbd_check_order_sort(w->begin, m->page_count);
    for (uint64_t i = 0; i < m->page_count && error == 0;) {
        uint64_t until;

        leave_behind(w, w->begin[i].order);
        until = w->records + (w->records > WINDOW_RECORDS ? w->records : WINDOW_RECORDS);
        for (; i < m->page_count && w->records < until; i++) {
            w->in[w->in_count++] = w->begin[i].segment;
            w->records += kept(&m->pages[w->begin[i].segment]);
        }
        error = look(w);
    }
    return error;
}

/* Hands all orders over that two records which overlap may have, and few others. */
int cbd_check_marks_look(struct cbd_check *k)
{
    struct cbd_env *env = k->cache.env;
    uint64_t pages = k->marks.page_count;
    struct windows w = {.k = k};
    int error = CBD_E_NOMEM;

    if (pages == 0)
        return 0;
    w.begin = env->ops->alloc(env, pages * sizeof(*w.begin));
    w.in = env->ops->alloc(env, pages * sizeof(*w.in));
    if (w.begin != NULL && w.in != NULL)
        error = look_at_all(&w);
    if (w.begin != NULL)
        env->ops->free(env, w.begin, pages * sizeof(*w.begin));
    if (w.in != NULL)
        env->ops->free(env, w.in, pages * sizeof(*w.in));
    if (w.once != NULL)
        env->ops->free(env, w.once, w.bits_room / 4);
    if (w.alike != NULL)
        env->ops->free(env, w.alike, w.alike_room * sizeof(*w.alike));
    return error;
}
