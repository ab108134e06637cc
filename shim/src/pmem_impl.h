/* SPDX-License-Identifier: BSD-2-Clause */
/* One open pmem mapping, as pmem.c makes it and pmem_ops.c uses it. */
#ifndef CBD_SHIM_PMEM_IMPL_H
#define CBD_SHIM_PMEM_IMPL_H

#include <libpmem2.h>
#include <stdbool.h>

#include "bad_blocks.h"
#include "cbd/shim/pmem.h"
#include "page_sync.h"
#include "sigbus.h"

/* Immutable after open. */
struct shim_pmem {
    struct cbd_pmem pm; /* first: the seam's pointer is ours */
    uint8_t *base;
    int fd;
    enum cbd_shim_pmem_kind kind;
    bool readonly;
    bool guard;
    struct pmem2_map *map; /* NULL: mapped by mmap() */
    pmem2_memcpy_fn copy_nt;
    pmem2_memset_fn set_nt;
    pmem2_flush_fn flush_lines;
    pmem2_drain_fn drain;
    struct sigbus_range range; /* with guard: what stores have found gone */
    struct bad_blocks bad;
    struct page_sync sync; /* page granularity only; has its own lock */
};

/* One table for memory that needs cache lines flushed, or nothing; one for pages. */
extern const struct cbd_pmem_ops shim_pmem_line_ops;
extern const struct cbd_pmem_ops shim_pmem_page_ops;

#endif
