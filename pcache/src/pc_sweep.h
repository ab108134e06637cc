/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges that overlap in every way, of which the one of the highest order counts. */
#ifndef PC_SWEEP_H
#define PC_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

struct pc_range {
    uint64_t first; /* bytes */
    uint64_t order; /* the higher one hides the lower one; all differ */
    uint64_t place; /* of its first byte, for the caller */
    uint32_t len;
    uint32_t tag; /* the caller's */
};

/* All ranges that cover a piece, and perhaps some that ended before it; the first is on top. */
struct pc_cover {
    const struct pc_range *ranges;
    const uint32_t *items; /* numbers of ranges */
    uint64_t count;
};

/*
 * Sorts `ranges` by their first byte and calls emit() for the pieces that are not hidden, by
 * address: `skip` bytes into range `r`, `len` bytes. `heap` has room for n numbers. What emit()
 * returns, if not 0, ends it and is returned. n < 2^32.
 */
int pc_sweep(struct pc_range *ranges, uint64_t n, uint32_t *heap,
             int (*emit)(void *arg, const struct pc_range *r, uint64_t skip, uint64_t len,
                         const struct pc_cover *cover),
             void *arg);

#endif
