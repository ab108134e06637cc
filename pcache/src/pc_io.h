/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies from pmem to a disk, some requests at a time. */
#ifndef PC_IO_H
#define PC_IO_H

#include "cbd/pcache.h"

#define PC_IO_SLOTS 8u
#define PC_IO_BYTES 131072u

struct pc_io;

struct pc_io_slot {
    struct cbd_disk_io io;
    struct pc_io *owner;
    bool busy;
};

struct pc_io {
    struct cbd_pmem *pm;
    struct cbd_env *env;
    struct cbd_disk *disk;
    uint8_t *buffers;
    struct pc_io_slot slots[PC_IO_SLOTS];
    _Atomic uint32_t in_flight;
    _Atomic int error; /* the first of a request since pc_io_settle() */
};

int pc_io_open(struct pc_io *io, const struct cbd_pcache *pc, struct cbd_disk *disk) CBD_MUST_CHECK;
void pc_io_close(struct pc_io *io);

/*
 * Starts to write len_bytes from media_off of the pmem to addr of the disk. What is not aligned to
 * the disk's logical block is merged into the blocks that are there. CBD_E_MEDIA: it could not all
 * be read; CBD_E_IO.
 */
int pc_io_write(struct pc_io *io, uint64_t addr, uint64_t media_off,
                uint64_t len_bytes) CBD_MUST_CHECK;

/* Waits for everything, returns the first error. */
int pc_io_settle(struct pc_io *io) CBD_MUST_CHECK;
int pc_io_flush(struct pc_io *io) CBD_MUST_CHECK;

/* Reads whole logical blocks into slot 0's buffer, len_bytes <= PC_IO_BYTES; nothing is in flight. */
int pc_io_read(struct pc_io *io, uint64_t addr, uint64_t len_bytes,
               const uint8_t **bytes) CBD_MUST_CHECK;

#endif
