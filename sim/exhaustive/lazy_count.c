/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts of states, in integers: what is printed is the same on every machine. */
#include "lazy_count.h"

#include <stdbool.h>
#include <stdio.h>

#define BITS 53

static struct sim_lazy_count normal(uint64_t m, int64_t e)
{
    if (m == 0)
        return (struct sim_lazy_count){0, 0};
    while (m >> BITS != 0) {
        m >>= 1;
        e++;
    }
    while (m >> (BITS - 1) == 0) {
        m <<= 1;
        e--;
    }
    return (struct sim_lazy_count){m, e};
}

struct sim_lazy_count sim_lazy_count_of(uint64_t n)
{
    return normal(n, 0);
}

/* The upper 64 bits of a product of two numbers of 53 bits, and how far it was moved. */
struct sim_lazy_count sim_lazy_count_mul(struct sim_lazy_count a, struct sim_lazy_count b)
{
    uint64_t al = a.mantissa & 0x7ffffff, ah = a.mantissa >> 27;
    uint64_t bl = b.mantissa & 0x7ffffff, bh = b.mantissa >> 27;
    uint64_t mid = al * bh + ah * bl + (al * bl >> 27);

    if (a.mantissa == 0 || b.mantissa == 0)
        return (struct sim_lazy_count){0, 0};
    return normal((ah * bh << 2) + (mid >> 25), a.exponent + b.exponent + 52);
}

struct sim_lazy_count sim_lazy_count_add(struct sim_lazy_count a, struct sim_lazy_count b)
{
    int64_t gap;

    if (a.mantissa == 0)
        return b;
    if (b.mantissa == 0)
        return a;
    if (a.exponent < b.exponent) {
        struct sim_lazy_count t = a;

        a = b;
        b = t;
    }
    gap = a.exponent - b.exponent;
    if (gap > BITS)
        return a;
    return normal(a.mantissa + (b.mantissa >> gap), a.exponent);
}

struct sim_lazy_count sim_lazy_count_sub(struct sim_lazy_count a, struct sim_lazy_count b)
{
    int64_t gap = a.exponent - b.exponent;

    if (b.mantissa == 0 || gap > BITS)
        return a;
    if (a.mantissa == 0 || gap < 0)
        return (struct sim_lazy_count){0, 0};
    if (a.mantissa <= b.mantissa >> gap)
        return (struct sim_lazy_count){0, 0};
    return normal(a.mantissa - (b.mantissa >> gap), a.exponent);
}

/* Two decimals of the binary logarithm of m / 2^52, by squaring. */
static unsigned log_hundredths(uint64_t mantissa)
{
    struct sim_lazy_count c = {mantissa, -52};
    uint64_t bits = 0;

    for (int i = 0; i < 20; i++) {
        c = sim_lazy_count_mul(c, c);
        bits <<= 1;
        if (c.exponent > -52) { /* 2 or more */
            bits |= 1;
            c.exponent--;
        }
    }
    return (unsigned)(bits * 100 >> 20);
}

const char *sim_lazy_count_text(struct sim_lazy_count c, char *buf, size_t buf_bytes)
{
    if (c.exponent <= 0) {
        uint64_t n = c.exponent > -64 ? c.mantissa >> -c.exponent : 0;

        snprintf(buf, buf_bytes, "%llu", (unsigned long long)n);
    } else {
        snprintf(buf, buf_bytes, "2^%lld.%02u", (long long)c.exponent + BITS - 1,
                 log_hundredths(c.mantissa));
    }
    return buf;
}
