/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dm-pcache keeps nothing that names its backing device. What is clean in the cache must be on the
 * disk just so; a disk where it is not is another one, or was changed behind the cache's back.
 */
#include <string.h>

#include "pc_io.h"

#define PLACES 64u
#define COMPARE_BYTES 4096u

/* Whether the first blocks of an extent are the same. Nothing to compare: they are. */
static int compare(struct pc_io *io, const struct cbd_pcache_extent *e, bool *same)
{
    uint64_t block = io->disk->logical_block_bytes;
    uint64_t end = e->addr_bytes + e->len_bytes;
    uint64_t first = (e->addr_bytes + block - 1) / block * block, len;
    const uint8_t *bytes;
    uint8_t cached[COMPARE_BYTES];
    int error;

    *same = true;
    if (first >= end)
        return 0;
    len = (end - first) / block * block;
    len = len < COMPARE_BYTES ? len : COMPARE_BYTES;
    if (len == 0)
        return 0;
    if (io->pm->ops->read(io->pm, e->media_off + (first - e->addr_bytes), cached, len) != 0)
        return 0; /* not readable: says nothing about the disk */
    error = pc_io_read(io, first, len, &bytes);
    if (error == 0)
        *same = memcmp(bytes, cached, len) == 0;
    return error;
}

int cbd_pcache_identify(const struct cbd_pcache *pc, const struct cbd_pcache_view *view,
                        struct cbd_disk *disk, uint64_t *addr_bytes)
{
    uint64_t clean = 0, seen = 0, looked = 0;
    struct pc_io io;
    int error = 0;

    for (uint64_t i = 0; i < view->extent_count; i++) {
        const struct cbd_pcache_extent *e = &view->extents[i];

        *addr_bytes = e->addr_bytes;
        if (e->addr_bytes + e->len_bytes > disk->size_bytes)
            return CBD_E_RANGE;
        clean += !e->dirty;
    }
    error = pc_io_open(&io, pc, disk);
    for (uint64_t i = 0; error == 0 && i < view->extent_count && !pc->image; i++) {
        bool same = true;

        if (view->extents[i].dirty)
            continue;
        /* Evenly over all of them. */
        if (seen++ * PLACES / clean < looked)
            continue;
        looked++;
        *addr_bytes = view->extents[i].addr_bytes;
        error = compare(&io, &view->extents[i], &same);
        if (error == 0 && !same)
            error = CBD_E_MISMATCH;
    }
    pc_io_close(&io);
    return error;
}
