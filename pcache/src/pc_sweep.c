/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass over ranges sorted by address, with a heap of those that have begun: the top is the
 * newest. What has ended leaves the heap when it comes to the top. O(n log n).
 */
#include "pc_sweep.h"

#include <stddef.h>

#include "sort.h"

static bool before(const void *a, const void *b)
{
    const struct pc_range *x = a, *y = b;

    return x->first != y->first ? x->first < y->first : x->order < y->order;
}

static void push(const struct pc_range *ranges, uint32_t *heap, uint64_t n, uint32_t item)
{
    while (n > 0) {
        uint64_t parent = (n - 1) / 2;

        if (ranges[heap[parent]].order >= ranges[item].order)
            break;
        heap[n] = heap[parent];
        n = parent;
    }
    heap[n] = item;
}

/* Takes the top out of a heap of n. */
static void pop(const struct pc_range *ranges, uint32_t *heap, uint64_t n)
{
    uint32_t item = heap[n - 1];
    uint64_t at = 0;

    for (;;) {
        uint64_t child = 2 * at + 1;

        if (child >= n - 1)
            break;
        if (child + 1 < n - 1 && ranges[heap[child + 1]].order > ranges[heap[child]].order)
            child++;
        if (ranges[heap[child]].order <= ranges[item].order)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

int pc_sweep(struct pc_range *ranges, uint64_t n, uint32_t *heap,
             int (*emit)(void *arg, const struct pc_range *r, uint64_t skip, uint64_t len,
                         const struct pc_cover *cover),
             void *arg)
{
    uint64_t pos = 0, next_range = 0, open = 0;

    cbd_sort(ranges, n, sizeof(*ranges), before);
    while (next_range < n || open > 0) {
        const struct pc_range *top;
        struct pc_cover cover;
        uint64_t end;
        int error;

        while (open > 0 && ranges[heap[0]].first + ranges[heap[0]].len <= pos)
            pop(ranges, heap, open--);
        if (open == 0 && next_range == n)
            break;
        if (open == 0 && ranges[next_range].first > pos)
            pos = ranges[next_range].first;
        while (next_range < n && ranges[next_range].first <= pos)
            push(ranges, heap, open++, (uint32_t)next_range++);
        top = &ranges[heap[0]];
        end = top->first + top->len;
        if (end <= pos)
            continue;
        if (next_range < n && ranges[next_range].first < end)
            end = ranges[next_range].first;
        cover = (struct pc_cover){ranges, heap, open};
        error = emit(arg, top, pos - top->first, end - pos, &cover);
        if (error != 0)
            return error;
        pos = end;
    }
    return 0;
}
