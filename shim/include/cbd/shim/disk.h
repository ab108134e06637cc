/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk seam on a regular file or a block node, by pread() and pwrite(). */
#ifndef CBD_SHIM_DISK_H
#define CBD_SHIM_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/disk.h"
#include "cbd/shim/error.h"

enum cbd_shim_disk_flags {
    CBD_SHIM_DISK_READONLY = 1 << 0, /* shared lock; writes of any kind fail with CBD_E_IO */
};

#define CBD_SHIM_DISK_THREADS_MAX 256u

struct cbd_shim_disk_options {
    unsigned flags;
    /* Regular files: what to declare, a power of two of 512..4096; 0: 512. Nodes: must be 0. */
    uint32_t logical_block_bytes;
    /*
     * 0: submit() does the work and calls done() before it returns, except when submit() is called
     * from inside a done(): then the request is done after that done() has returned.
     * N: that many workers take requests from one queue; done() is called by a worker.
     */
    unsigned threads;
};

struct cbd_shim_disk_stats {
    uint64_t reads, writes, flushes, discards, zeroes; /* requests completed, failed ones too */
    uint64_t errors;                                   /* requests completed with an error */
};

/*
 * Opens `path` and takes it exclusively: flock() on files, O_EXCL on block nodes (a mounted node
 * is refused). options may be NULL: all zero. *disk is owned by the caller until
 * cbd_shim_disk_close(). submit() may be called by many threads.
 *
 * A file or node whose size is no multiple of its logical block is refused.
 *
 * I/O goes through the page cache, so volatile_cache is always declared. A failed flush or FUA
 * write may have cost pages of earlier writes, which the kernel then forgets; therefore every
 * flush and FUA request after it fails until the disk is opened again.
 * Files declare discard_zeroes (a hole is punched, or zeroes are written), nodes do not.
 *
 * Errors, explained in *err (which may be NULL): NOTFOUND, BUSY, RANGE (empty or odd size),
 * INVALID (not a file or block node; options), NOMEM, SYSTEM.
 */
int cbd_shim_disk_open(const char *path, const struct cbd_shim_disk_options *options,
                       struct cbd_disk **disk, struct cbd_shim_error *err) CBD_MUST_CHECK;

/*
 * Starts `threads` workers on a disk that was opened without: for a process that forks between
 * opening and serving, since threads do not outlive that. No request may be under way.
 * 0, CBD_E_INVALID (it has workers, or too many), CBD_E_NOMEM, CBD_E_SYSTEM.
 */
int cbd_shim_disk_start(struct cbd_disk *disk, unsigned threads) CBD_MUST_CHECK;

/*
 * Whether [off, off+len) begins with a hole that reads as zeroes, and how far that (or what is none)
 * goes: *run_bytes, 1..len. Only files have holes that are known; of nodes nothing is. From any
 * thread, beside requests.
 */
bool cbd_shim_disk_hole(struct cbd_disk *disk, uint64_t off_bytes, uint64_t len_bytes,
                        uint64_t *run_bytes);

/*
 * Waits for every request that was submitted, then closes. Does not flush. disk may be NULL.
 * Not from inside a done().
 */
void cbd_shim_disk_close(struct cbd_disk *disk);

void cbd_shim_disk_stats(const struct cbd_disk *disk, struct cbd_shim_disk_stats *stats);

#endif
