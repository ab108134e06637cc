/* SPDX-License-Identifier: BSD-2-Clause */
/* The oracle's history: event table and sparse tree of who touched which sector. */
#include "oracle_hist.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LEAF_BITS 3u
#define NODE_BITS 5u
#define LIVE_LIMIT_MIN 4u
#define DEEP_SECTORS_MAX 2048u /* events up to 1 MiB go down to the leaves */

static unsigned child_shift(unsigned level)
{
    return level == 0 ? 0 : LEAF_BITS + NODE_BITS * (level - 1);
}

static unsigned child_count(unsigned level)
{
    return level == 0 ? 1u << LEAF_BITS : 1u << NODE_BITS;
}

static uint64_t child_sectors(unsigned level)
{
    return UINT64_C(1) << child_shift(level);
}

static uint64_t node_sectors(unsigned level)
{
    return child_sectors(level) * child_count(level);
}

/* Mask of children from..to-1. */
static uint32_t mask_range(unsigned from, unsigned to)
{
    return (uint32_t)((UINT64_C(1) << to) - (UINT64_C(1) << from));
}

void *hist_grow(struct hist *h, void *array, size_t n, size_t *cap, size_t element_bytes)
{
    if (n < *cap)
        return array;
    size_t want = *cap == 0 ? 16 : *cap * 2;
    void *grown = want > SIZE_MAX / element_bytes ? NULL : realloc(array, want * element_bytes);
    if (grown == NULL) {
        h->no_memory = true;
        return NULL;
    }
    *cap = want;
    return grown;
}

static uint32_t node_new(struct hist *h, unsigned level)
{
    struct hist_node *nodes = hist_grow(h, h->nodes, h->nodes_n, &h->nodes_cap, sizeof(*nodes));
    if (nodes == NULL)
        return 0;
    h->nodes = nodes;
    uint32_t kids_at = 0;
    if (level > 0) {
        void *kids = hist_grow(h, h->kids, h->kids_n, &h->kids_cap, sizeof(*h->kids));
        if (kids == NULL)
            return 0;
        h->kids = kids;
        memset(h->kids[h->kids_n], 0, sizeof(h->kids[0]));
        kids_at = (uint32_t)h->kids_n++;
    }
    assert(h->nodes_n < UINT32_MAX);
    h->nodes[h->nodes_n] = (struct hist_node){.live_limit = LIVE_LIMIT_MIN, .kids = kids_at};
    return (uint32_t)h->nodes_n++;
}

bool hist_init(struct hist *h)
{
    h->top = 0;
    while (node_sectors(h->top) < h->size_sectors)
        h->top++;
    assert(h->top < HIST_LEVELS_MAX);
    node_new(h, h->top);
    struct hist_event initial = {
        .sectors = h->size_sectors, .kind = HIST_INITIAL, .state = HIST_DONE};
    hist_add(h, &initial);
    return !h->no_memory;
}

void hist_free(struct hist *h)
{
    for (size_t i = 0; i < h->nodes_n; i++) {
        free(h->nodes[i].hist.at);
        free(h->nodes[i].live.at);
    }
    free(h->nodes);
    free(h->kids);
    free(h->events);
    free(h->reads);
}

void *hist_copy(struct hist *to, const void *from, size_t n, size_t element_bytes)
{
    if (n == 0)
        return NULL;
    void *copy = malloc(n * element_bytes);
    if (copy == NULL)
        to->no_memory = true;
    else
        memcpy(copy, from, n * element_bytes);
    return copy;
}

static void copy_list(struct hist *to, struct hist_list *list, const struct hist_list *from)
{
    list->at = hist_copy(to, from->at, from->n, sizeof(*from->at));
    list->n = list->at == NULL ? 0 : from->n;
    list->cap = list->n;
}

bool hist_clone(struct hist *to, const struct hist *from)
{
    *to = *from;
    to->events_cap = from->events_n;
    to->nodes_cap = from->nodes_n;
    to->kids_cap = from->kids_n;
    to->reads_cap = from->reads_n;
    to->events = hist_copy(to, from->events, from->events_n, sizeof(*from->events));
    to->nodes = hist_copy(to, from->nodes, from->nodes_n, sizeof(*from->nodes));
    to->kids = hist_copy(to, from->kids, from->kids_n, sizeof(*from->kids));
    to->reads = hist_copy(to, from->reads, from->reads_n, sizeof(*from->reads));
    if (to->nodes == NULL)
        to->nodes_n = 0;
    for (size_t i = 0; i < to->nodes_n; i++) {
        copy_list(to, &to->nodes[i].hist, &from->nodes[i].hist);
        copy_list(to, &to->nodes[i].live, &from->nodes[i].live);
    }
    return !to->no_memory;
}

uint32_t hist_add(struct hist *h, const struct hist_event *ev)
{
    struct hist_event *events =
        hist_grow(h, h->events, h->events_n, &h->events_cap, sizeof(*events));
    if (events == NULL)
        return 0;
    h->events = events;
    assert(h->events_n < HIST_VALUE_ZERO);
    events[h->events_n] = *ev;
    if (!hist_is_pin(ev))
        events[h->events_n].value = (uint32_t)h->events_n;
    return (uint32_t)h->events_n++;
}

static void list_append(struct hist *h, struct hist_list *list, uint32_t event, uint32_t mask)
{
    if (list->n == list->cap) {
        uint32_t want = list->cap == 0 ? 2 : list->cap * 2;
        struct hist_entry *at = realloc(list->at, want * sizeof(*at));
        if (at == NULL) {
            h->no_memory = true;
            return;
        }
        list->at = at;
        list->cap = want;
    }
    list->at[list->n++] = (struct hist_entry){.event = event, .mask = mask};
}

/* When the last trace of this entry ends: a pin stands for the request that it names, too. */
static uint64_t entry_end(const struct hist *h, const struct hist_event *ev)
{
    if (!hist_is_pin(ev) || ev->value == HIST_VALUE_ZERO)
        return ev->end;
    uint64_t named = h->events[ev->value].end;
    return named > ev->end ? named : ev->end;
}

/*
 * Does d hide e for good, from reads in flight, from later reads, and after any crash?  If d is
 * hidden by a third entry later, that one began after d ended and hides e as well.
 */
static bool hides(const struct hist *h, const struct hist_event *d, const struct hist_event *e,
                  uint64_t oldest_read)
{
    if (d->end >= oldest_read || d->submit <= entry_end(h, e))
        return false;
    if (!hist_is_pin(d))
        return hist_is_durable(h, d);
    if (d->state == HIST_VOID || (d->kind == HIST_READ && !h->durable_on_ack))
        return false;
    return d->value != e->value && !(hist_is_zero(h, d->value) && hist_is_zero(h, e->value));
}

static void compact(struct hist *h, struct hist_node *node)
{
    uint64_t oldest_read = h->now + 1;
    for (size_t i = 0; i < h->reads_n; i++) {
        if (h->reads[i] < oldest_read)
            oldest_read = h->reads[i];
    }
    struct hist_list *live = &node->live;
    for (uint32_t i = 0; i < live->n; i++) {
        const struct hist_event *e = &h->events[live->at[i].event];
        uint32_t hidden = e->state == HIST_VOID ? UINT32_MAX : 0;
        for (uint32_t k = 0; k < live->n && (live->at[i].mask & ~hidden) != 0; k++) {
            if (hides(h, &h->events[live->at[k].event], e, oldest_read))
                hidden |= live->at[k].mask;
        }
        live->at[i].mask &= ~hidden;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < live->n; i++) {
        if (live->at[i].mask != 0)
            live->at[kept++] = live->at[i];
    }
    live->n = kept;
    node->live_limit = kept * 2 < LIVE_LIMIT_MIN ? LIVE_LIMIT_MIN : kept * 2;
}

static void node_append(struct hist *h, uint32_t node_at, uint32_t event, uint32_t mask)
{
    struct hist_node *node = &h->nodes[node_at];
    if (node->live.n >= node->live_limit)
        compact(h, node);
    if (h->events[event].kind != HIST_READ)
        list_append(h, &node->hist, event, mask);
    list_append(h, &node->live, event, mask);
    node->edges |= mask ^ (mask >> 1);
}

/* [start, end) lies inside the node at `base`. */
static void insert_node(struct hist *h, uint32_t node_at, unsigned level, uint64_t base,
                        uint64_t start, uint64_t end, uint32_t event)
{
    uint64_t step = child_sectors(level);
    bool deep = level > 0 && h->events[event].sectors <= DEEP_SECTORS_MAX;
    uint32_t mask = 0;
    for (unsigned i = (unsigned)((start - base) / step); i < child_count(level); i++) {
        uint64_t child = base + i * step;
        if (child >= end)
            break;
        uint64_t from = start > child ? start : child;
        uint64_t to = end < child + step ? end : child + step;
        if (to - from == step && !deep) {
            mask |= UINT32_C(1) << i;
            continue;
        }
        uint32_t kid = h->kids[h->nodes[node_at].kids][i];
        if (kid == 0) {
            kid = node_new(h, level - 1);
            if (kid == 0)
                return;
            h->kids[h->nodes[node_at].kids][i] = kid;
        }
        insert_node(h, kid, level - 1, child, from, to, event);
    }
    if (mask != 0)
        node_append(h, node_at, event, mask);
}

void hist_insert(struct hist *h, uint32_t event)
{
    const struct hist_event *ev = &h->events[event];
    insert_node(h, 0, h->top, 0, ev->start, ev->start + ev->sectors, event);
}

struct walk {
    const struct hist *h;
    hist_walk_fn *fn;
    void *ctx;
    struct hist_path path;
};

static int walk_node(struct walk *w, uint32_t node_at, unsigned level, uint64_t base,
                     uint64_t start, uint64_t end)
{
    const struct hist_node *node = &w->h->nodes[node_at];
    const uint32_t *kids = level > 0 ? w->h->kids[node->kids] : NULL;
    uint64_t step = child_sectors(level);
    unsigned i = (unsigned)((start - base) / step);
    unsigned stop = (unsigned)((end - 1 - base) / step) + 1;
    w->path.node[level] = node_at;
    while (i < stop) {
        unsigned next = i + 1;
        uint64_t from = base + i * step;
        from = start > from ? start : from;
        int rc;
        w->path.bit[level] = mask_range(i, i + 1);
        if (kids != NULL && kids[i] != 0) {
            uint64_t to = base + next * step;
            rc = walk_node(w, kids[i], level - 1, base + i * step, from, end < to ? end : to);
        } else {
            while (next < stop && (kids == NULL || kids[next] == 0) &&
                   (node->edges >> (next - 1) & 1) == 0)
                next++;
            uint64_t to = base + next * step;
            w->path.low = level;
            rc = w->fn(w->ctx, &w->path, from, (end < to ? end : to) - from);
        }
        if (rc != 0)
            return rc;
        i = next;
    }
    return 0;
}

int hist_walk(const struct hist *h, uint64_t start, uint64_t sectors, hist_walk_fn *fn, void *ctx)
{
    assert(start <= h->size_sectors && sectors <= h->size_sectors - start);
    if (sectors == 0)
        return 0;
    struct walk w = {.h = h, .fn = fn, .ctx = ctx, .path = {.top = h->top}};
    return walk_node(&w, 0, h->top, 0, start, start + sectors);
}

bool hist_lookup(const struct hist *h, uint64_t version, uint64_t start, uint64_t sectors,
                 uint32_t *event)
{
    if (version >= h->events_n)
        return false;
    const struct hist_event *ev = &h->events[version];
    *event = (uint32_t)version;
    return (ev->kind == HIST_INITIAL || ev->kind == HIST_WRITE) && start >= ev->start &&
           sectors <= ev->sectors && start - ev->start <= ev->sectors - sectors;
}
