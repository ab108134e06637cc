/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dm-pcache keeps nothing that names its backing device. What is clean in the cache must be on the
 * disk just so; a disk where it is not is another one, or was changed behind the cache's back.
 */
#include "pc_identify.h"

#include <string.h>

#include "pc_io.h"

#define PLACES 64u

/* Whether the first blocks of an extent are the same. Nothing to compare: they are. */
static int compare(const struct cbd_pcache *pc, const struct cbd_pcache_extent *e,
                   const struct pc_shown *shown, bool *same)
{
    uint64_t block = shown->block_bytes;
    uint64_t end = e->addr_bytes + e->len_bytes;
    uint64_t first = (e->addr_bytes + block - 1) / block * block, len;
    uint8_t cached[PC_SHOWN_BYTES];
    const uint8_t *bytes;
    int error;

    *same = true;
    if (first >= end)
        return 0;
    len = (end - first) / block * block;
    len = len < PC_SHOWN_BYTES ? len : PC_SHOWN_BYTES;
    if (len == 0)
        return 0;
    if (pc->pm->ops->read(pc->pm, e->media_off + (first - e->addr_bytes), cached, len) != 0)
        return 0; /* not readable: says nothing about the disk */
    error = shown->read(shown->arg, first, len, &bytes);
    if (error == 0)
        *same = memcmp(bytes, cached, len) == 0;
    return error;
}

int pc_identify(const struct cbd_pcache *pc, const struct cbd_pcache_view *view,
                const struct pc_shown *shown, uint64_t *addr_bytes)
{
    uint64_t clean = 0, seen = 0, looked = 0;
    int error = 0;

    for (uint64_t i = 0; i < view->extent_count; i++) {
        const struct cbd_pcache_extent *e = &view->extents[i];

        *addr_bytes = e->addr_bytes;
        if (e->addr_bytes + e->len_bytes > shown->size_bytes)
            return CBD_E_RANGE;
        clean += !e->dirty;
    }
    for (uint64_t i = 0; error == 0 && i < view->extent_count && !pc->image; i++) {
        bool same = true;

        if (view->extents[i].dirty)
            continue;
        /* Evenly over all of them. */
        if (seen++ * PLACES / clean < looked)
            continue;
        looked++;
        *addr_bytes = view->extents[i].addr_bytes;
        error = compare(pc, &view->extents[i], shown, &same);
        if (error == 0 && !same)
            error = CBD_E_MISMATCH;
    }
    return error;
}

static int read_disk(void *arg, uint64_t addr_bytes, uint64_t len_bytes, const uint8_t **bytes)
{
    return pc_io_read(arg, addr_bytes, len_bytes, bytes);
}

int cbd_pcache_identify(const struct cbd_pcache *pc, const struct cbd_pcache_view *view,
                        struct cbd_disk *disk, uint64_t *addr_bytes)
{
    struct pc_io io;
    struct pc_shown shown = {.size_bytes = disk->size_bytes,
                             .block_bytes = disk->logical_block_bytes,
                             .read = read_disk,
                             .arg = &io};
    int error = pc_io_open(&io, pc, disk);

    if (error == 0)
        error = pc_identify(pc, view, &shown, addr_bytes);
    pc_io_close(&io);
    return error;
}
