/* SPDX-License-Identifier: BSD-2-Clause */
/* Check: sorting by order, in place, in a time that does not depend on how the orders lie. */
#include "check_pass.h"

static void insertion_sort(struct cbd_check_order *o, uint64_t n)
{
    for (uint64_t i = 1; i < n; i++) {
        struct cbd_check_order t = o[i];
        uint64_t at = i;

        for (; at > 0 && o[at - 1].order > t.order; at--)
            o[at] = o[at - 1];
        o[at] = t;
    }
}

/* By eight bits of the order from `shift` on, in place. end[b]: behind the last one with b. */
static void partition(struct cbd_check_order *o, uint64_t n, unsigned shift, uint64_t end[256])
{
    uint64_t next[256] = {0}, at = 0;

    for (uint64_t i = 0; i < n; i++)
        next[o[i].order >> shift & 0xff]++;
    for (unsigned b = 0; b < 256; b++) {
        at += next[b];
        end[b] = at;
        next[b] = at - next[b];
    }
    for (unsigned b = 0; b < 256; b++) {
        while (next[b] < end[b]) {
            struct cbd_check_order t = o[next[b]];
            unsigned to = t.order >> shift & 0xff;

            while (to != b) {
                struct cbd_check_order out = o[next[to]];

                o[next[to]++] = t;
                t = out;
                to = t.order >> shift & 0xff;
            }
            o[next[b]++] = t;
        }
    }
}

/* They agree in all bits from shift + 8 on. The last eight bits may be some that are known already. */
static void radix_sort(struct cbd_check_order *o, uint64_t n, unsigned shift)
{
    uint64_t end[256];

    if (n <= 32) {
        insertion_sort(o, n);
        return;
    }
    partition(o, n, shift, end);
    for (unsigned b = 0; b < 256 && shift != 0; b++)
        radix_sort(o + (b == 0 ? 0 : end[b - 1]), end[b] - (b == 0 ? 0 : end[b - 1]),
                   shift > 8 ? shift - 8 : 0);
}

void cbd_check_order_sort(struct cbd_check_order *o, uint64_t n)
{
    uint64_t differ = 0;
    unsigned shift = 0;

    for (uint64_t i = 1; i < n; i++)
        differ |= o[i].order ^ o[0].order;
    while (differ >> shift > 0xff)
        shift++;
    radix_sort(o, n, shift);
}
