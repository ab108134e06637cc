/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Seam: byte-addressable persistent memory. Every durable byte of core/ goes through this table.
 *
 * Order and durability, as an implementation must provide them (x86 with ADR):
 *   store64   one aligned 8-byte store through the CPU cache. Stores to one 64-byte line become
 *             durable as a prefix in program order, at any time from the store on.
 *   copy, set with CBD_PMEM_NT: non-temporal. Durable after the next fence; until then any subset
 *             of the aligned 8-byte words may be durable. Without CBD_PMEM_NT: through the CPU
 *             cache; durable after flush of the lines and then a fence.
 *   flush     starts the write-back of the cached lines that [off, off+len) touches.
 *   fence     everything flushed or stored non-temporally before by this thread is durable when it
 *             returns 0. CBD_E_IO: durability is lost (a failed msync); the cache must stop.
 * Nothing wider than an aligned 8-byte word is atomic. One 64-byte line is never written both
 * ways (cached and non-temporal) without a fence between.
 *
 * Loads of core/ go through read(), which turns a media error into CBD_E_MEDIA: one call for each
 * object that is whole or not by a checksum of its own (record, header, checksum line, block of
 * data, table entry, superblock), never for two of them. read_array() is for the exception, and
 * want() tells what is read soon. `base` is for tools and tests: loads through it may fault. Offsets
 * are bytes from the start of the device.
 */
#ifndef CBD_PMEM_H
#define CBD_PMEM_H

#include <stddef.h>
#include <stdint.h>

#include "cbd/errors.h"
#include "cbd/steps.h"

#define CBD_LINE_BYTES 64u /* unit of flush and of ordering between stores */
#define CBD_WORD_BYTES 8u  /* unit of atomic persistence */

enum cbd_pmem_flags {
    CBD_PMEM_NT = 1 << 0, /* non-temporal */
};

struct cbd_pmem;

struct cbd_pmem_ops {
    void (*store64)(struct cbd_pmem *pm, uint64_t off, uint64_t value, enum cbd_step step);
    void (*copy)(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len_bytes,
                 unsigned flags, enum cbd_step step);
    void (*set)(struct cbd_pmem *pm, uint64_t off, uint8_t value, size_t len_bytes, unsigned flags,
                enum cbd_step step);
    void (*flush)(struct cbd_pmem *pm, uint64_t off, size_t len_bytes, enum cbd_step step);
    int (*fence)(struct cbd_pmem *pm, enum cbd_step step);
    int (*read)(struct cbd_pmem *pm, uint64_t off, void *dst, size_t len_bytes);
    /* `count` objects that follow each other, as so many calls of read() would. May be NULL. */
    int (*read_array)(struct cbd_pmem *pm, uint64_t off, void *dst, size_t object_bytes,
                      size_t count);
    /* A hint for what lies behind a page cache: it is read from the device meanwhile. May be NULL. */
    void (*want)(struct cbd_pmem *pm, uint64_t off, uint64_t len_bytes);
};

/* What an implementation embeds. Immutable after open; shared by all threads. */
struct cbd_pmem {
    const struct cbd_pmem_ops *ops;
    const uint8_t *base;        /* the mapping, at least 64-byte aligned */
    uint64_t size_bytes;        /* length of the mapping */
    uint32_t granularity_bytes; /* 8 (eADR), 64 (ADR) or 4096 (msync) */
};

#endif
