/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An undo file: what a repair replaced, to be put back.
 *
 *   | head: 64 bytes | entry: 64 bytes | block: 4096 bytes | entry | block | ...
 *
 * All integers are little-endian, all checksums CRC-32C as usual (initial value and result
 * inverted). A block is a 4 KiB page of the device as it was when the repair first touched it; it
 * is in the file, durable, before the repair stores there.
 *
 *   head    0  16  magic "CBDUNDO" 0x0d 0x0a 0x1a 0x0a, zeroes
 *          16   4  version: 1
 *          20   4  CRC-32C of the head with zeroes here
 *          24   8  size of the device
 *          32  16  UUID of the cache
 *          48   8  salt of the cache
 *          56   8  zero
 *   entry   0   4  CRC-32C of the entry with zeroes here, then of the block
 *           4   4  number: 0, 1, 2, ...
 *           8   8  offset of the block, a multiple of 4096
 *          16   4  CRC-32C of the block
 *          20   4  lines that could not be read (1: any) and are zero in the block
 *          24  40  zero
 *
 * An entry that was not finished ends the file: the repair had not stored there.
 */
#ifndef CBD_CHECK_UNDO_H
#define CBD_CHECK_UNDO_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/env.h"
#include "cbd/format.h"
#include "cbd/pmem.h"

struct undo {
    const char *path;
    struct cbd_pmem *pm;
    int fd;    /* -1: closed */
    bool made; /* by undo_create() */
    uint64_t *pages;
    uint32_t count, cap;
};

/* Makes a new file; the path must not exist. 0, or an exit code; the error was printed. */
int undo_create(struct undo *u, const char *path, struct cbd_pmem *pm,
                const struct cbd_super *super);

/* The same in an empty file that is open for writing; its name is only for messages. */
int undo_begin(struct undo *u, int fd, const char *path, struct cbd_pmem *pm,
               const struct cbd_super *super);

/* These bytes are about to be replaced. 0 or an error of errors.h; it was printed. */
int undo_save(struct undo *u, uint64_t off_bytes, uint64_t len_bytes);

/* A file that was made here and holds no block is taken away: nothing was stored on the device. */
void undo_close(struct undo *u);

/* Puts back what the file holds, last block first. An exit code; what happened was printed. */
int undo_apply(const char *path, const char *device_path, struct cbd_pmem *pm, struct cbd_env *env,
               bool quiet);

#endif
