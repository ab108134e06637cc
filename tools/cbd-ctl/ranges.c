/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of ranges. */
#include "ranges.h"

#include <stdlib.h>
#include <string.h>

int ctl_ranges_add(struct ctl_ranges *ranges, uint64_t addr_bytes, uint64_t len_bytes,
                   const char *why)
{
    struct ctl_range *last = ranges->count != 0 ? &ranges->at[ranges->count - 1] : NULL;

    if (last != NULL && last->why == why && last->addr_bytes + last->len_bytes == addr_bytes) {
        last->len_bytes += len_bytes;
        return 0;
    }
    if (ranges->count == ranges->cap) {
        size_t cap = ranges->cap != 0 ? 2 * ranges->cap : 64;
        struct ctl_range *more = realloc(ranges->at, cap * sizeof(*more));

        if (more == NULL)
            return CBD_E_NOMEM;
        ranges->at = more;
        ranges->cap = cap;
    }
    ranges->at[ranges->count++] = (struct ctl_range){addr_bytes, len_bytes, why};
    return 0;
}

static int by_address(const void *pa, const void *pb)
{
    const struct ctl_range *a = pa, *b = pb;

    if (a->addr_bytes != b->addr_bytes)
        return a->addr_bytes < b->addr_bytes ? -1 : 1;
    return a->len_bytes < b->len_bytes ? -1 : a->len_bytes > b->len_bytes;
}

void ctl_ranges_join(struct ctl_ranges *ranges)
{
    size_t n = 0;

    if (ranges->count == 0)
        return;
    qsort(ranges->at, ranges->count, sizeof(ranges->at[0]), by_address);
    for (size_t i = 1; i < ranges->count; i++) {
        struct ctl_range *to = &ranges->at[n];
        const struct ctl_range *from = &ranges->at[i];
        uint64_t end = to->addr_bytes + to->len_bytes;

        if (from->why == to->why && from->addr_bytes <= end) {
            if (from->addr_bytes + from->len_bytes > end)
                to->len_bytes = from->addr_bytes + from->len_bytes - to->addr_bytes;
        } else {
            ranges->at[++n] = *from;
        }
    }
    ranges->count = n + 1;
}

uint64_t ctl_ranges_bytes(const struct ctl_ranges *ranges)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < ranges->count; i++)
        sum += ranges->at[i].len_bytes;
    return sum;
}

void ctl_ranges_free(struct ctl_ranges *ranges)
{
    free(ranges->at);
    memset(ranges, 0, sizeof(*ranges));
}
