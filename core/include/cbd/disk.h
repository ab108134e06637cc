/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Seam: the slow block device behind the cache. Asynchronous: submit() takes ownership of the
 * request until its done() was called, exactly once, from any thread or from inside submit().
 * Requests may complete in any order. A device with a volatile cache may lose or reorder every
 * completed write until a flush that was submitted after its completion has completed.
 */
#ifndef CBD_DISK_H
#define CBD_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/errors.h"

enum cbd_disk_op {
    CBD_DISK_READ,
    CBD_DISK_WRITE,
    CBD_DISK_FLUSH,   /* off, len and buf are 0 */
    CBD_DISK_DISCARD, /* reads as zeroes afterwards iff the device declares discard_zeroes */
    CBD_DISK_ZERO,    /* write zeroes */
};

struct cbd_disk_io {
    /* set by the submitter */
    enum cbd_disk_op op;
    bool fua;           /* WRITE, ZERO: durable when done() reports 0 */
    uint64_t off_bytes; /* multiples of the logical block */
    uint64_t len_bytes;
    void *buf; /* READ, WRITE: len_bytes, owned by the submitter, not touched until done() */
    void (*done)(struct cbd_disk_io *io, int error); /* 0, CBD_E_IO or CBD_E_RANGE */
    void *owner;
    /* free for the implementation between submit() and done() */
    struct cbd_disk_io *next;
    uint64_t cookie;
};

struct cbd_disk;

struct cbd_disk_ops {
    void (*submit)(struct cbd_disk *disk, struct cbd_disk_io *io);
};

/* What an implementation embeds; the declared characteristics. Immutable while attached. */
struct cbd_disk {
    const struct cbd_disk_ops *ops;
    uint64_t size_bytes;
    uint32_t logical_block_bytes; /* power of two, 512..4096 */
    bool volatile_cache;          /* flush is needed for durability */
    bool discard_zeroes;          /* a discarded range reads as zeroes */
};

#endif
