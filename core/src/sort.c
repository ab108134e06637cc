/* SPDX-License-Identifier: BSD-2-Clause */
/* Heap sort: qsort() may allocate. */
#include "sort.h"

#include <stdint.h>
#include <string.h>

struct items {
    uint8_t *bytes;
    size_t item_bytes;
    bool (*before)(const void *a, const void *b);
};

static uint8_t *at(const struct items *s, size_t n)
{
    return s->bytes + n * s->item_bytes;
}

static void swap(const struct items *s, size_t a, size_t b)
{
    uint8_t t[CBD_SORT_ITEM_BYTES_MAX];

    memcpy(t, at(s, a), s->item_bytes);
    memcpy(at(s, a), at(s, b), s->item_bytes);
    memcpy(at(s, b), t, s->item_bytes);
}

static void sift(const struct items *s, size_t root, size_t n)
{
    for (;;) {
        size_t child = 2 * root + 1;

        if (child >= n)
            return;
        if (child + 1 < n && s->before(at(s, child), at(s, child + 1)))
            child++;
        if (!s->before(at(s, root), at(s, child)))
            return;
        swap(s, root, child);
        root = child;
    }
}

void cbd_sort(void *items, size_t n, size_t item_bytes,
              bool (*before)(const void *a, const void *b))
{
    struct items s = {items, item_bytes, before};

    for (size_t i = n / 2; i-- > 0;)
        sift(&s, i, n);
    for (size_t end = n; end > 1; end--) {
        swap(&s, 0, end - 1);
        sift(&s, 0, end - 1);
    }
}
