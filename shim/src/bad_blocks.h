/* SPDX-License-Identifier: BSD-2-Clause */
/* The ranges of a mapping that the system knows to be unreadable. Fixed once it is shared. */
#ifndef CBD_SHIM_BAD_BLOCKS_H
#define CBD_SHIM_BAD_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pmem2_source;
struct bad_range;

/* All zero: none. */
struct bad_blocks {
    struct bad_range *ranges;
    size_t count, cap;
    uint64_t bytes;
};

/* What lies below size_bytes is added. 0 or CBD_E_NOMEM. */
int bad_blocks_add(struct bad_blocks *b, uint64_t off, uint64_t len_bytes, uint64_t size_bytes);

/* Adds what libpmem2 lists; nothing where the system keeps no list. 0 or CBD_E_NOMEM. */
int bad_blocks_list(struct bad_blocks *b, const struct pmem2_source *source, uint64_t size_bytes);

/* Whether any of these bytes, which are inside the mapping, is in a range. */
bool bad_blocks_hit(const struct bad_blocks *b, uint64_t off, uint64_t len_bytes);

void bad_blocks_free(struct bad_blocks *b);

#endif
