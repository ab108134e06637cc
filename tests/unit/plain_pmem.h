/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plain memory behind the seam of pmem, for programs in which nothing is ever lost: flush and fence do
 * nothing. The memory is the caller's. Beyond its end a read gives CBD_E_RANGE. Calls from several
 * threads are as safe as memcpy() is.
 */
#ifndef PLAIN_PMEM_H
#define PLAIN_PMEM_H

#include <string.h>

#include "cbd/errors.h"
#include "cbd/pmem.h"

static inline uint8_t *plain_at(const struct cbd_pmem *pm, uint64_t off)
{
    return (uint8_t *)(uintptr_t)pm->base + off;
}

static void plain_store64(struct cbd_pmem *pm, uint64_t off, uint64_t value, enum cbd_step step)
{
    (void)step;
    memcpy(plain_at(pm, off), &value, sizeof(value));
}

static void plain_copy(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len_bytes,
                       unsigned flags, enum cbd_step step)
{
    (void)flags;
    (void)step;
    memcpy(plain_at(pm, off), src, len_bytes);
}

static void plain_set(struct cbd_pmem *pm, uint64_t off, uint8_t value, size_t len_bytes,
                      unsigned flags, enum cbd_step step)
{
    (void)flags;
    (void)step;
    memset(plain_at(pm, off), value, len_bytes);
}

static void plain_flush(struct cbd_pmem *pm, uint64_t off, size_t len_bytes, enum cbd_step step)
{
    (void)pm;
    (void)off;
    (void)len_bytes;
    (void)step;
}

static int plain_fence(struct cbd_pmem *pm, enum cbd_step step)
{
    (void)pm;
    (void)step;
    return 0;
}

static int plain_read(struct cbd_pmem *pm, uint64_t off, void *dst, size_t len_bytes)
{
    if (off > pm->size_bytes || len_bytes > pm->size_bytes - off)
        return CBD_E_RANGE;
    memcpy(dst, plain_at(pm, off), len_bytes);
    return 0;
}

static inline struct cbd_pmem plain_pmem(void *base, uint64_t size_bytes)
{
    static const struct cbd_pmem_ops ops = {
        .store64 = plain_store64,
        .copy = plain_copy,
        .set = plain_set,
        .flush = plain_flush,
        .fence = plain_fence,
        .read = plain_read,
    };

    return (struct cbd_pmem){
        .ops = &ops, .base = base, .size_bytes = size_bytes, .granularity_bytes = 64};
}

#endif
