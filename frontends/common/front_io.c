/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests: take a lane, call the engine, turn its error into an errno.
 *
 * Every thread and every connection uses the same backend, and the engine's FLUSH closes the epoch
 * of the whole backend, not of a lane: what was acknowledged to anybody before a FLUSH was submitted
 * is covered by it (E1, E2 of core/src/epoch.c). So a front-end may say that a flush on one
 * connection is good for all.
 */
#include <errno.h>

#include "cbd/shim/disk.h"
#include "front_impl.h"

/* docs/frontends.md has the same table, and what of it an NBD client sees; a test compares. */
int front_errno(int cbd_error)
{
    switch (cbd_error) {
    case 0:
        return 0;
    case CBD_E_INVALID:
    case CBD_E_RANGE:
        return EINVAL;
    case CBD_E_NOMEM:
        return ENOMEM;
    case CBD_E_NOSPACE:
        return ENOSPC;
    case CBD_E_READONLY:
        return EROFS;
    case CBD_E_BUSY:
        return EBUSY;
    case CBD_E_EXISTS:
        return EEXIST;
    case CBD_E_NOTFOUND:
        return ENOENT;
    default: /* IO, MEDIA, CORRUPT, and what no request returns */
        return EIO;
    }
}

const char *front_errno_text(int sys_errno)
{
    switch (sys_errno) {
    case EINVAL:
        return "not made of logical blocks, or beyond the end";
    case ENOMEM:
        return "no memory";
    case ENOSPC:
        return "no room, and write-back makes none";
    case EROFS:
        return "served for reading only";
    case ESHUTDOWN:
        return "the server is ending";
    default:
        return "input/output error";
    }
}

static bool closing(const struct front_export *e)
{
    return atomic_load_explicit(&e->front->closing, memory_order_relaxed);
}

/* 0 when nothing is recorded. */
static uint64_t submitted(struct front_export *e, enum cbd_record_request what, bool fua,
                          uint64_t off, uint64_t len, const void *buf)
{
    struct cbd_recorder *r = e->front->recorder;

    return r != NULL ? cbd_recorder_request(r, e->recorded, what, fua, off, len, buf) : 0;
}

/* Gives the lane back; the errno for the client. */
static int answered(struct front_export *e, unsigned lane, uint64_t request, int error,
                    const void *read, uint64_t len)
{
    struct cbd_recorder *r = e->front->recorder;

    if (r != NULL)
        cbd_recorder_answer(r, e->recorded, request, error, read, len);
    front_lanes_drop(&e->lanes, lane);
    return front_errno(error);
}

int front_read(struct front_export *e, void *buf, uint64_t len, uint64_t off)
{
    uint64_t request;
    unsigned lane;
    int error;

    if (closing(e))
        return ESHUTDOWN;
    lane = front_lanes_take(&e->lanes);
    request = submitted(e, CBD_RECORD_READ, false, off, len, NULL);
    error = cbd_read(e->backend, lane, off, buf, len);
    return answered(e, lane, request, error, buf, len);
}

int front_write(struct front_export *e, const void *buf, uint64_t len, uint64_t off, bool fua)
{
    uint64_t request;
    unsigned lane;
    int error;

    if (closing(e))
        return ESHUTDOWN;
    lane = front_lanes_take(&e->lanes);
    request = submitted(e, CBD_RECORD_WRITE, fua, off, len, buf);
    error = cbd_write(e->backend, lane, off, buf, len, fua ? CBD_WRITE_FUA : 0);
    return answered(e, lane, request, error, NULL, 0);
}

int front_zero(struct front_export *e, uint64_t len, uint64_t off, bool punch, bool fua)
{
    unsigned flags = (punch ? CBD_WRITE_PUNCH : 0u) | (fua ? CBD_WRITE_FUA : 0u);
    uint64_t request;
    unsigned lane;
    int error;

    if (closing(e))
        return ESHUTDOWN;
    lane = front_lanes_take(&e->lanes);
    request = submitted(e, punch ? CBD_RECORD_DISCARD : CBD_RECORD_ZERO, fua, off, len, NULL);
    error = cbd_zero(e->backend, lane, off, len, flags);
    return answered(e, lane, request, error, NULL, 0);
}

int front_flush(struct front_export *e)
{
    uint64_t request;
    unsigned lane;
    int error;

    if (closing(e))
        return ESHUTDOWN;
    lane = front_lanes_take(&e->lanes);
    request = submitted(e, CBD_RECORD_SYNC, false, 0, 0, NULL);
    error = cbd_flush(e->backend, lane);
    return answered(e, lane, request, error, NULL, 0);
}

int front_map(struct front_export *e, uint64_t len, uint64_t off, uint64_t *run_bytes,
              enum front_extent_kind *kind)
{
    uint32_t block = e->info.logical_block_bytes;
    struct cbd_map_view view;
    unsigned lane;
    int error;

    if (closing(e))
        return ESHUTDOWN;
    lane = front_lanes_take(&e->lanes);
    error = cbd_map(e->backend, lane, off, len, &view);
    front_lanes_drop(&e->lanes, lane);
    if (error != 0)
        return front_errno(error);
    *run_bytes = view.len_bytes;
    *kind = view.kind == CBD_MAP_ZERO ? FRONT_ZERO : FRONT_DATA;
    /* The disk is asked behind the index: what is not cached is there, or something newer. */
    if (view.kind != CBD_MAP_DISK)
        return 0;
    if (cbd_shim_disk_hole(e->file, off, view.len_bytes, run_bytes))
        *kind = FRONT_HOLE;
    if (*run_bytes % block != 0 && *run_bytes < block) {
        *kind = FRONT_DATA; /* the block is a hole in part */
        *run_bytes = block;
    } else {
        *run_bytes -= *run_bytes % block;
    }
    return 0;
}
