/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is dirty moves into a backend of a CBD cache: a write-back with the backend in place of the
 * disk, so K1 to K6 of pc_drain.c hold.
 *
 * M1  What the device holds as clean is compared with what the backend serves, not with the disk:
 *     what an interrupted run has moved is clean here, and the disk does not have it yet.
 * M2  Nothing is moved unless all of it can be: each piece fits the blocks of the backend.
 */
#include "cbd/cache.h"
#include "pc_identify.h"

#define PIECE_BYTES 65536u

struct import {
    struct cbd_pcache *pc;
    struct cbd_backend *backend;
    uint32_t block_bytes;
    bool unaligned;
    uint8_t buf[PIECE_BYTES];
};

static int take(void *arg, uint64_t addr_bytes, uint64_t media_off, uint64_t len_bytes)
{
    struct import *m = arg;
    struct cbd_pmem *pm = m->pc->pm;

    while (len_bytes > 0) {
        uint64_t n = PIECE_BYTES - addr_bytes % PIECE_BYTES;
        int error;

        n = n < len_bytes ? n : len_bytes;
        error = pm->ops->read(pm, media_off, m->buf, n);
        if (error == 0)
            error = cbd_write(m->backend, 0, addr_bytes, m->buf, n, 0);
        if (error != 0)
            return error;
        addr_bytes += n;
        media_off += n;
        len_bytes -= n;
    }
    return 0;
}

static int commit(void *arg)
{
    struct import *m = arg;

    return cbd_flush(m->backend, 0);
}

static int read_served(void *arg, uint64_t addr_bytes, uint64_t len_bytes, const uint8_t **bytes)
{
    struct import *m = arg;

    *bytes = m->buf;
    return cbd_read(m->backend, 0, addr_bytes, m->buf, len_bytes);
}

/* M1. */
static int identify(struct import *m, struct cbd_disk *disk, uint64_t *differs_at)
{
    struct pc_shown shown = {.size_bytes = disk->size_bytes,
                             .block_bytes = m->block_bytes,
                             .read = read_served,
                             .arg = m};
    struct cbd_pcache_view view;
    int error = cbd_pcache_view(m->pc, disk->size_bytes, &view);

    if (error == 0)
        error = pc_identify(m->pc, &view, &shown, differs_at);
    cbd_pcache_view_free(m->pc, &view);
    return error;
}

static void look_at(void *arg, uint64_t addr_bytes, uint64_t len_bytes, bool lost)
{
    struct import *m = arg;

    (void)lost;
    m->unaligned |= addr_bytes % m->block_bytes != 0 || len_bytes % m->block_bytes != 0;
}

/* M2. */
static int fits(struct import *m, struct cbd_disk *disk, struct cbd_pcache_drained *out)
{
    struct cbd_pcache_drain_options options = {
        .flags = CBD_PCACHE_DRAIN_DRY, .range = look_at, .arg = m};
    int error = cbd_pcache_drain(m->pc, disk, &options, out);

    return error == 0 && m->unaligned ? CBD_E_INVALID : error;
}

int cbd_pcache_import(struct cbd_pcache *pc, struct cbd_disk *disk, uint32_t block_bytes,
                      struct cbd_backend *backend, uint64_t *differs_at,
                      struct cbd_pcache_drained *out)
{
    struct cbd_pcache_drain_options options = {
        .flags = CBD_PCACHE_DRAIN_EMPTY, .take = take, .commit = commit};
    struct import *m = pc->env->ops->alloc(pc->env, sizeof(*m));
    int error;

    *differs_at = 0;
    *out = (struct cbd_pcache_drained){0};
    if (m == NULL)
        return CBD_E_NOMEM;
    m->pc = pc;
    m->backend = backend;
    m->block_bytes = block_bytes;
    m->unaligned = false;
    options.arg = m;
    error = fits(m, disk, out);
    if (error == 0)
        error = identify(m, disk, differs_at);
    if (error == 0)
        error = cbd_pcache_drain(pc, disk, &options, out);
    pc->env->ops->free(pc->env, m, sizeof(*m));
    return error;
}
