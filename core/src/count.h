/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters with one writer at a time, which cbd_backend_stats() reads meanwhile. */
#ifndef CBD_COUNT_H
#define CBD_COUNT_H

#include <stdint.h>

static inline void cbd_count_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline void cbd_count(uint64_t *counter, uint64_t n)
{
    cbd_count_set(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n);
}

static inline uint64_t cbd_counted(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
