/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of a check share. */
#ifndef PC_CHECK_H
#define PC_CHECK_H

#include "cbd/pcache.h"
#include "pc_sweep.h"

struct pc_check {
    struct cbd_pcache pc;
    const struct cbd_pcache_check_options *options;
    struct cbd_pcache_sink *sink;
    struct cbd_pcache_summary *out;
    struct cbd_pcache_walk walk; /* at the end of the log */

    /* Live keys that can be used. */
    struct pc_range *ranges;
    struct cbd_pcache_pos *places; /* by order: the key set that a key is in */
    uint32_t *heap;
    uint64_t range_count, range_cap, key_count, alloc_bytes;
    uint64_t old_order; /* of the first key of an earlier life; UINT64_MAX: none */
    struct pc_range old_key;
};

enum pc_check_tag {
    PC_TAG_DIRTY = 1, /* not written back */
    PC_TAG_CLEAN = 2, /* came from the backing device */
};

#define PC_TAG_BITS 2u /* above them: the segment, below 2^20 */

/* A finding about a key, with its place and its range. `dirty`: it is not on the disk yet. */
struct cbd_check_finding pc_key_finding(const struct pc_check *c, uint32_t code,
                                        const struct cbd_pcache_kset *kset, uint32_t index,
                                        bool dirty);

/* pc_check_keys.c: one key; afterwards, all of them against each other. */
void pc_check_key(struct pc_check *c, const struct cbd_pcache_kset *kset, uint32_t index,
                  bool behind);
void pc_check_space(struct pc_check *c);

#endif
