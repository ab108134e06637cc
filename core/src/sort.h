/* SPDX-License-Identifier: BSD-2-Clause */
/* Sorting in place, without memory of its own. */
#ifndef CBD_SORT_H
#define CBD_SORT_H

#include <stdbool.h>
#include <stddef.h>

#define CBD_SORT_ITEM_BYTES_MAX 64u

/* Heap sort: n items of item_bytes, so that before(later, earlier) never holds. Not stable. */
void cbd_sort(void *items, size_t n, size_t item_bytes,
              bool (*before)(const void *a, const void *b));

#endif
