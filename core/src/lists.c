/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of segments along which epochs do not fall. */
#include "lists.h"

#include "cbd/canary.h"
#include "cbd/media_format.h"
#include "sort.h"

/* What is appended to an open one may be of any epoch. */
static uint64_t end_of(const struct cbd_span *s)
{
    return s->open ? UINT64_MAX : s->last;
}

static bool filled_before(const void *pa, const void *pb)
{
    const struct cbd_span *a = pa, *b = pb;

    if (a->first != b->first)
        return a->first < b->first;
    return end_of(a) != end_of(b) ? end_of(a) < end_of(b) : a->id < b->id;
}

/* What is in list x so far changes places with what is in list y. */
static void swap(struct cbd_span *spans, uint32_t count, uint64_t *ends, uint8_t x, uint8_t y)
{
    uint64_t end = ends[x];

    ends[x] = ends[y];
    ends[y] = end;
    for (uint32_t i = 0; i < count; i++)
        if (spans[i].stream == x)
            spans[i].stream = y;
        else if (spans[i].stream == y)
            spans[i].stream = x;
}

/*
 * A list that has ended stays so for all that follow, so it does not matter which one is taken: when
 * none has, more segments lie side by side than there are streams.
 */
uint32_t cbd_lists_make(struct cbd_span *spans, uint32_t count, uint32_t streams)
{
    uint64_t ends[CBD_STREAMS_MAX] = {0};

    cbd_sort(spans, count, sizeof(*spans), filled_before);
    for (uint32_t i = 0; i < count; i++) {
        struct cbd_span *s = &spans[i];
        uint8_t list = s->stream;

        for (uint8_t n = 0; n < streams && ends[list] > s->first && !CBD_CANARY(LISTS_BY_ENTRY);
             n++)
            list = n;
        if (ends[list] > s->first && !CBD_CANARY(LISTS_BY_ENTRY))
            return s->id;
        if (s->open && list != s->stream) {
            swap(spans, i, ends, list, s->stream);
            list = s->stream;
        }
        s->stream = list;
        ends[list] = end_of(s);
    }
    return CBD_LISTS_FIT;
}
