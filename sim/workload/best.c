/* SPDX-License-Identifier: BSD-2-Clause */
/* The fewest requests that write-back can make: one epoch after the other, painted backwards. */
#include "best.h"

#include <stdlib.h>

#include "sim_base.h"

#define SECTOR UINT64_C(512)
#define RECORD_BYTES 128u /* a record and its header */

struct op {
    uint64_t start, end; /* sectors */
    bool zero;
};

enum paint { PAINT_NONE, PAINT_DATA, PAINT_ZERO };

struct sim_best {
    struct sim_best_config config;
    struct sim_best_sums sums;
    struct op *ops; /* of the open epoch */
    size_t count, cap;
    uint64_t records, space;
    /* of one epoch: the edges of all ops, ascending, and what lies behind each of them */
    uint64_t *edge;
    size_t edge_cap;
    uint8_t *paint;
    size_t paint_cap;
    size_t *next; /* the first stretch from here on that has no paint yet */
    size_t next_cap;
};

struct sim_best *sim_best_create(const struct sim_best_config *config)
{
    struct sim_best *best = sim_zalloc(1, sizeof(*best));

    best->config = *config;
    return best;
}

void sim_best_destroy(struct sim_best *best)
{
    free(best->ops);
    free(best->edge);
    free(best->paint);
    free(best->next);
    free(best);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static size_t collect_edges(struct sim_best *best)
{
    size_t n = 0, kept = 0;

    best->edge = sim_grow(best->edge, &best->edge_cap, 2 * best->count, sizeof(*best->edge));
    for (size_t i = 0; i < best->count; i++) {
        best->edge[n++] = best->ops[i].start;
        best->edge[n++] = best->ops[i].end;
    }
    qsort(best->edge, n, sizeof(*best->edge), by_value);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || best->edge[kept - 1] != best->edge[i])
            best->edge[kept++] = best->edge[i];
    return kept;
}

static size_t find_edge(const struct sim_best *best, size_t n, uint64_t value)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (best->edge[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t unpainted(struct sim_best *best, size_t i)
{
    size_t root = i;

    while (best->next[root] != root)
        root = best->next[root];
    while (best->next[i] != root) {
        size_t up = best->next[i];

        best->next[i] = root;
        i = up;
    }
    return root;
}

/* The newest first: what has paint already was overwritten. */
static void paint(struct sim_best *best, size_t n)
{
    best->paint = sim_grow(best->paint, &best->paint_cap, n + 1, sizeof(*best->paint));
    best->next = sim_grow(best->next, &best->next_cap, n + 1, sizeof(*best->next));
    for (size_t i = 0; i <= n; i++) {
        best->paint[i] = PAINT_NONE;
        best->next[i] = i;
    }
    for (size_t k = best->count; k-- > 0;) {
        const struct op *op = &best->ops[k];
        size_t end = find_edge(best, n, op->end);

        for (size_t i = unpainted(best, find_edge(best, n, op->start)); i < end;
             i = unpainted(best, i)) {
            best->paint[i] = op->zero ? PAINT_ZERO : PAINT_DATA;
            best->next[i] = i + 1;
        }
    }
}

static void count_run(struct sim_best *best, uint8_t kind, uint64_t bytes)
{
    const struct sim_best_config *c = &best->config;
    struct sim_best_sums *s = &best->sums;

    if (kind == PAINT_DATA) {
        s->data_requests += (bytes + c->data_bytes_max - 1) / c->data_bytes_max;
        s->data_bytes += bytes;
    } else if (kind == PAINT_ZERO) {
        s->zero_requests += (bytes + c->zero_bytes_max - 1) / c->zero_bytes_max;
        s->zero_bytes += bytes;
    }
}

static void end_epoch(struct sim_best *best, bool forced)
{
    size_t n, i = 0;

    if (best->count == 0)
        return;
    n = collect_edges(best);
    paint(best, n);
    while (i + 1 < n) {
        size_t first = i;

        while (i + 1 < n && best->paint[i] == best->paint[first])
            i++;
        count_run(best, best->paint[first], (best->edge[i] - best->edge[first]) * SECTOR);
    }
    best->sums.epochs++;
    best->sums.forced += forced;
    best->count = 0;
    best->records = 0;
    best->space = 0;
}

void sim_best_write(struct sim_best *best, uint64_t start, uint64_t sectors, bool zero, bool fua)
{
    const struct sim_best_config *c = &best->config;
    uint64_t records = zero ? 1 : (sectors * SECTOR + c->piece_bytes_max - 1) / c->piece_bytes_max;

    if (sectors == 0)
        return;
    best->ops = sim_grow(best->ops, &best->cap, best->count + 1, sizeof(*best->ops));
    best->ops[best->count++] = (struct op){start, start + sectors, zero};
    best->records += records;
    best->space += records * RECORD_BYTES + (zero ? 0 : sectors * SECTOR);
    if (fua)
        end_epoch(best, false);
    else if ((c->epoch_bytes_max != 0 && best->space >= c->epoch_bytes_max) ||
             (c->epoch_records_max != 0 && best->records >= c->epoch_records_max))
        end_epoch(best, true);
}

void sim_best_flush(struct sim_best *best)
{
    end_epoch(best, false);
}

struct sim_best_sums sim_best_end(struct sim_best *best)
{
    end_epoch(best, true);
    return best->sums;
}
