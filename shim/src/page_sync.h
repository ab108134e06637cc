/* SPDX-License-Identifier: BSD-2-Clause */
/* Durability of page-granular mappings: one msync() shared by everybody who waits for it. */
#ifndef CBD_SHIM_PAGE_SYNC_H
#define CBD_SHIM_PAGE_SYNC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cbd/errors.h"

struct page_sync {
    /* immutable after open */
    uint8_t *base;
    uint64_t size_bytes;
    uint64_t page_bytes;
    /* protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t from_bytes, to_bytes; /* span to sync in generation `open`; from == to: nothing */
    uint64_t open;                 /* the generation that marks go into, from 1 */
    uint64_t done;                 /* generations up to this one are durable */
    bool busy;                     /* somebody is in msync() for generation open - 1 */
    bool failed;                   /* for ever */
};

int page_sync_open(struct page_sync *sync, uint8_t *base, uint64_t size_bytes) CBD_MUST_CHECK;
void page_sync_close(struct page_sync *sync);

/* [off, off+len) was stored to and must be durable after the next fence. Call after the stores. */
void page_sync_mark(struct page_sync *sync, uint64_t off_bytes, uint64_t len_bytes);

/* Returns when everything marked before is durable: 0, or CBD_E_IO now and ever after. */
int page_sync_fence(struct page_sync *sync) CBD_MUST_CHECK;

#endif
