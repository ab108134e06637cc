/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of ranges of the backing device, kept in the order of addresses and without seams. */
#ifndef CBD_CTL_RANGES_H
#define CBD_CTL_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "cbd/errors.h"

struct ctl_range {
    uint64_t addr_bytes, len_bytes;
    const char *why; /* static; ranges with different ones stay apart */
};

/* All zero: empty. */
struct ctl_ranges {
    struct ctl_range *at;
    size_t count, cap;
};

/* 0 or CBD_E_NOMEM. */
int ctl_ranges_add(struct ctl_ranges *ranges, uint64_t addr_bytes, uint64_t len_bytes,
                   const char *why) CBD_MUST_CHECK;

/* Sorts, and joins those that touch or overlap. */
void ctl_ranges_join(struct ctl_ranges *ranges);

uint64_t ctl_ranges_bytes(const struct ctl_ranges *ranges);
void ctl_ranges_free(struct ctl_ranges *ranges);

#endif
