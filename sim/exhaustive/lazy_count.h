/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts of states that are too many for 64 bits: mantissa * 2^exponent, exact as long as 53 bits
 * hold them, rounded alike on every machine beyond that.
 */
#ifndef SIM_LAZY_COUNT_H
#define SIM_LAZY_COUNT_H

#include <stddef.h>
#include <stdint.h>

/* All zero is 0. Otherwise 2^52 <= mantissa < 2^53. */
struct sim_lazy_count {
    uint64_t mantissa;
    int64_t exponent;
};

struct sim_lazy_count sim_lazy_count_of(uint64_t n);
struct sim_lazy_count sim_lazy_count_mul(struct sim_lazy_count a, struct sim_lazy_count b);
struct sim_lazy_count sim_lazy_count_add(struct sim_lazy_count a, struct sim_lazy_count b);

/* a - b for a >= b; 0 when b is larger. */
struct sim_lazy_count sim_lazy_count_sub(struct sim_lazy_count a, struct sim_lazy_count b);

/* Decimal below 2^53, else "2^x" with two digits behind the point. Returns buf. */
const char *sim_lazy_count_text(struct sim_lazy_count c, char *buf, size_t buf_bytes);

#endif
