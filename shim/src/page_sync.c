/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Durability of page-granular mappings.
 *
 * Marks widen one span, not a list of ranges: msync() writes only the dirty pages of what it is
 * given, and each call costs a flush of the device, so one call for a wide span is the cheapest.
 *
 * Generations: a mark goes into generation `open`. One thread at a time takes the span, opens the
 * next generation and calls msync(). A fence waits for the newest generation that can hold a mark
 * made before it.
 *   I1  a store is marked after it was done, so an msync() that takes the mark sees the store;
 *   I2  generations below `open` are done, except open - 1 while `busy`;
 *   I3  nothing is marked in `open` iff the span is empty.
 */
#include "page_sync.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim_common.h"

int page_sync_open(struct page_sync *sync, uint8_t *base, uint64_t size_bytes)
{
    long page_bytes = sysconf(_SC_PAGESIZE);

    *sync = (struct page_sync){
        .base = base,
        .size_bytes = size_bytes,
        .page_bytes = page_bytes > 0 ? (uint64_t)page_bytes : 4096,
        .open = 1,
    };
    if (pthread_mutex_init(&sync->lock, NULL) != 0)
        return CBD_E_NOMEM;
    if (pthread_cond_init(&sync->changed, NULL) != 0) {
        pthread_mutex_destroy(&sync->lock);
        return CBD_E_NOMEM;
    }
    return 0;
}

void page_sync_close(struct page_sync *sync)
{
    pthread_cond_destroy(&sync->changed);
    pthread_mutex_destroy(&sync->lock);
}

void page_sync_mark(struct page_sync *sync, uint64_t off_bytes, uint64_t len_bytes)
{
    uint64_t from, to;

    if (len_bytes == 0)
        return;
    from = off_bytes & ~(sync->page_bytes - 1);
    to = (off_bytes + len_bytes + sync->page_bytes - 1) & ~(sync->page_bytes - 1);
    pthread_mutex_lock(&sync->lock);
    if (sync->from_bytes == sync->to_bytes) {
        sync->from_bytes = from;
        sync->to_bytes = to;
    } else {
        if (from < sync->from_bytes)
            sync->from_bytes = from;
        if (to > sync->to_bytes)
            sync->to_bytes = to;
    }
    pthread_mutex_unlock(&sync->lock);
}

/* Takes the open generation and makes it durable. Called and returns with the lock held. */
static void sync_open_generation(struct page_sync *sync)
{
    uint64_t from = sync->from_bytes, len = sync->to_bytes - sync->from_bytes;
    int rc;

    sync->from_bytes = sync->to_bytes = 0;
    sync->open++;
    sync->busy = true;
    pthread_mutex_unlock(&sync->lock);
    do {
        rc = msync(sync->base + from, len, MS_SYNC);
    } while (rc != 0 && errno == EINTR);
    pthread_mutex_lock(&sync->lock);
    sync->busy = false;
    sync->done = sync->open - 1; /* I2: nobody else opened one meanwhile */
    if (rc != 0)
        sync->failed = true;
    pthread_cond_broadcast(&sync->changed);
}

int page_sync_fence(struct page_sync *sync)
{
    uint64_t wanted;
    bool failed;

    pthread_mutex_lock(&sync->lock);
    wanted = sync->from_bytes == sync->to_bytes ? sync->open - 1 : sync->open; /* I3 */
    while (!sync->failed && sync->done < wanted) {
        if (sync->busy)
            pthread_cond_wait(&sync->changed, &sync->lock);
        else
            sync_open_generation(sync);
    }
    failed = sync->failed;
    pthread_mutex_unlock(&sync->lock);
    return failed ? CBD_E_IO : 0;
}
