/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asks for lines of persistent memory that will be read soon. Nothing is loaded: to ask for memory
 * never faults, also where it is poisoned or gone, so the guard of the seam's read() is not needed.
 */
#ifndef CBD_AHEAD_H
#define CBD_AHEAD_H

#include "cbd/pmem.h"

static inline void cbd_pmem_ahead(const struct cbd_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    uintptr_t at = (uintptr_t)pm->base + off;

    for (uint64_t n = 0; n < len_bytes; n += CBD_LINE_BYTES)
        __builtin_prefetch((const void *)(at + n));
}

#endif
