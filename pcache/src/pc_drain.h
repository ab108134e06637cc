/* SPDX-License-Identifier: BSD-2-Clause */
/* How mutable records are written: by write-back, and by repairs. */
#ifndef PC_DRAIN_H
#define PC_DRAIN_H

#include "cbd/pcache.h"

/* A tail at `off` (of its slot 0), durable when it returns 0. CBD_E_IO: a fence failed. */
int pc_tail_store(struct cbd_pcache *pc, uint64_t off, struct cbd_pcache_pos pos) CBD_MUST_CHECK;

/* The generation of a segment of the cache. */
int pc_gen_store(struct cbd_pcache *pc, uint32_t seg, uint64_t gen) CBD_MUST_CHECK;

#endif
