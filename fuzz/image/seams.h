/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seams as a fuzzer wants them: memory whose exact end AddressSanitizer knows, an allocator
 * that counts, a disk of any size without content, and faults on demand. Small and fast; for
 * crashes and reordering there is the simulator. One thread.
 */
#ifndef FUZZ_IMAGE_SEAMS_H
#define FUZZ_IMAGE_SEAMS_H

#include "cbd/cache.h"
#include "cbd/disk.h"
#include "cbd/env.h"
#include "cbd/pmem.h"

#define FUZZ_POISON_MAX 16u
#define FUZZ_KEPT_MAX 64u

/* Ends the process: for what must never happen, whatever the media hold. */
#define FUZZ_REQUIRE(cond) ((cond) ? (void)0 : fuzz_fatal(__FILE__, __LINE__, #cond))
_Noreturn void fuzz_fatal(const char *file, int line, const char *what);

/* Counts down at each operation; the one that finds 1 fails. 0: none fails. */
struct fuzz_fault {
    uint64_t left;
};

struct fuzz_pmem {
    struct cbd_pmem pm; /* what core/ gets; first */
    uint8_t *buf;
    const uint8_t *base;  /* what a reset restores, or NULL */
    uint64_t buf_bytes;   /* pm.size_bytes is less on a truncated device */
    uint8_t *dirty_pages; /* one byte a page */
    struct {
        uint64_t first, end;
    } poison[FUZZ_POISON_MAX];
    uint32_t poison_count;
    struct fuzz_fault fence_fault;
    uint64_t stores; /* since the reset */
};

/* Takes `base` (len_bytes, must stay); the memory begins as a copy of it. */
void fuzz_pmem_init(struct fuzz_pmem *pm, const uint8_t *base, uint64_t len_bytes);
void fuzz_pmem_destroy(struct fuzz_pmem *pm);

/* As after init; costs what was changed. */
void fuzz_pmem_reset(struct fuzz_pmem *pm);

/* Changes the medium behind everybody's back. Cut to the device as it was at init. */
void fuzz_pmem_poke(struct fuzz_pmem *pm, uint64_t off, const void *src, uint64_t len_bytes);
void fuzz_pmem_poison(struct fuzz_pmem *pm, uint64_t off, uint64_t len_bytes);

/* The device ends here; touching anything behind is an error that AddressSanitizer reports. */
void fuzz_pmem_truncate(struct fuzz_pmem *pm, uint64_t size_bytes);

/* Reads give a function of the address; writes are checked and forgotten. */
struct fuzz_disk {
    struct cbd_disk disk; /* what core/ gets; first */
    struct cbd_disk_io *queue;
    bool newest_first;
    struct fuzz_fault fault;
};

void fuzz_disk_init(struct fuzz_disk *disk, uint64_t size_bytes, uint32_t logical_block_bytes);

/* Completes one request; false: there is none. */
bool fuzz_disk_complete(struct fuzz_disk *disk);

/* Requests wait for disks; in between, steps of write-back and reclaim run. */
struct fuzz_env {
    struct cbd_env env; /* what core/ gets; first */
    uint64_t now_ns;
    uint64_t blocks, bytes; /* allocated and not freed */
    uint64_t errors;        /* reports of severity ERROR */
    struct fuzz_fault alloc_fault;
    uint64_t waits; /* turns of all waits: bounded */
    struct fuzz_disk *disks;
    struct cbd_backend **backends; /* NULL: not attached */
    uint32_t count;
    bool background;
    /* Private: freed blocks that cost too much to get anew each time. */
    struct {
        void *p;
        size_t len_bytes;
        bool used;
    } kept[FUZZ_KEPT_MAX];
};

/* `disks` and `backends` have `count` members, some unused. The first call gets a zeroed env. */
void fuzz_env_reset(struct fuzz_env *env, struct fuzz_disk *disks, struct cbd_backend **backends,
                    uint32_t count);

/* Completes every request of every disk. */
void fuzz_env_settle(struct fuzz_env *env);

#endif
