/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record of what a real process did to its pmem and its disks, in one total order, with the
 * requests that it served: enough to cut the power at any place of it and to judge what is left.
 *
 * The file: one struct cbd_record_head, then blocks of a struct cbd_record_block and `bytes` of
 * events. An event is a struct cbd_record_event and `data_bytes` of data, padded to 8. Everything is
 * little-endian. A file that ends inside a block, or has a block with a wrong checksum, ends before
 * that block.
 *
 *   | head | block: events ... | block: events ... | block: eve      <- cut off: the block is not read
 *
 * First comes what the devices held: a DISK for each disk, PMEM_IMAGE and DISK_IMAGE for all that is
 * not zeroes, then BEGIN. Then what happened, each with its place in the order (the number of events
 * since BEGIN) by its place in the file. The order is one that could have been: an event that comes
 * from another one comes behind it.
 *
 *   STORE64 COPY SET FLUSH     before it is done: it may be durable from its place on
 *   FENCE                      after it has returned: it had its effect at its place, or before
 *   DISK_SUBMIT, DISK_DONE     before the disk gets it; after the disk has answered
 *   REQUEST, ANSWER            before the engine gets it; after the engine has answered
 *
 * So whatever the devices could hold after a power cut between two events of the real run, they can
 * hold after a cut at that place of the record.
 */
#ifndef CBD_SHIM_RECORD_H
#define CBD_SHIM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbd/disk.h"
#include "cbd/pmem.h"
#include "cbd/shim/error.h"

#define CBD_RECORD_VERSION 2u
#define CBD_RECORD_DISKS 32u
#define CBD_RECORD_SECTOR_BYTES 512u
#define CBD_RECORD_DATA_MAX (64u << 20) /* of one event; also what a SET covers */

enum cbd_record_kind {
    CBD_RECORD_DISK = 1,   /* disk; off: size; len: logical block; flags: disk_flags; data: name */
    CBD_RECORD_PMEM_IMAGE, /* off; data */
    CBD_RECORD_DISK_IMAGE, /* disk, off; data */
    CBD_RECORD_BEGIN,
    CBD_RECORD_STORE64,     /* off, arg: the value; step */
    CBD_RECORD_COPY,        /* off, len; flags: pmem_flags; step; data */
    CBD_RECORD_SET,         /* off, len, arg: the byte; flags: pmem_flags; step */
    CBD_RECORD_FLUSH,       /* off, len; step */
    CBD_RECORD_FENCE,       /* error; step */
    CBD_RECORD_DISK_SUBMIT, /* disk, off, len, arg: number; flags: request_flags; data of a write */
    CBD_RECORD_DISK_DONE,   /* disk, arg: number; error */
    CBD_RECORD_REQUEST,     /* disk, off, len, arg: number; flags; data: hashes of a write */
    CBD_RECORD_ANSWER,      /* disk, arg: number; error; data: hashes of what was read */
    CBD_RECORD_FULL,        /* the bound was reached: nothing is recorded behind it */
    CBD_RECORD_END,         /* the process ended by itself */
    CBD_RECORD_KINDS,
};

enum cbd_record_request {
    CBD_RECORD_READ,
    CBD_RECORD_WRITE,
    CBD_RECORD_ZERO,
    CBD_RECORD_DISCARD,
    CBD_RECORD_SYNC,
    CBD_RECORD_REQUESTS,
};
#define CBD_RECORD_FUA (1u << 8) /* beside an enum cbd_record_request in flags */

enum cbd_record_disk_flags {
    CBD_RECORD_VOLATILE = 1 << 0,
    CBD_RECORD_DISCARD_ZEROES = 1 << 1,
    CBD_RECORD_ON_FLUSH = 1 << 2,   /* durability=flush: an answer to a write is no promise */
    CBD_RECORD_DISK_ALONE = 1 << 3, /* the disk alone is promised to be consistent */
    CBD_RECORD_DISK_FLAGS_ALL = 0xf,
};

struct cbd_record_head {
    uint8_t magic[16]; /* CBD_RECORD_MAGIC */
    uint32_t version;
    uint32_t zero;
    uint64_t pmem_bytes;
    uint64_t hash; /* cbd_record_hash() of what is before it */
};
#define CBD_RECORD_MAGIC "CBD record\r\n\x1a\n\0"

struct cbd_record_block {
    uint64_t hash;  /* of the rest of this and the events */
    uint64_t first; /* events before this block, from the start of the file */
    uint32_t bytes;
    uint32_t events;
};

struct cbd_record_event {
    uint64_t time_ns; /* CLOCK_MONOTONIC; rises with the order */
    uint64_t off;
    uint64_t len;
    uint64_t arg;
    uint32_t thread;
    uint32_t flags;
    int32_t error;
    uint32_t data_bytes;
    uint16_t step;
    uint8_t kind;
    uint8_t disk;
    uint32_t zero;
};

/* 64 bits of any bytes. Zeroes have no special value. Not against somebody who means it. */
uint64_t cbd_record_hash(const void *data, size_t bytes);

/* ---- writing ---- */

struct cbd_recorder;

/*
 * Makes the new file `path` (0600) and writes what `pm` holds. limit_bytes bounds the file.
 * EXISTS, NOMEM, SYSTEM, RANGE (limit_bytes is too small for what the devices hold).
 */
int cbd_recorder_open(const char *path, uint64_t limit_bytes, struct cbd_pmem *pm,
                      struct cbd_recorder **recorder, struct cbd_shim_error *err) CBD_MUST_CHECK;

/* The pmem that records and passes on. Valid until cbd_recorder_close(). */
struct cbd_pmem *cbd_recorder_pmem(struct cbd_recorder *recorder);

/*
 * A disk that records and passes on to `disk`, one of cbd_shim_disk_open() that no request is under
 * way on; what it holds is written to the file. flags: enum cbd_record_disk_flags, of which the
 * first two are filled in here. Valid until cbd_recorder_close(); *number names it in requests.
 */
int cbd_recorder_add_disk(struct cbd_recorder *recorder, const char *name, unsigned flags,
                          struct cbd_disk *disk, struct cbd_disk **recorded, unsigned *number,
                          struct cbd_shim_error *err) CBD_MUST_CHECK;

/* All disks are added: from here on the order is recorded. */
int cbd_recorder_begin(struct cbd_recorder *recorder, struct cbd_shim_error *err) CBD_MUST_CHECK;

/* From any thread. The number of the request; buf: what is written, or NULL. */
uint64_t cbd_recorder_request(struct cbd_recorder *recorder, unsigned disk,
                              enum cbd_record_request what, bool fua, uint64_t off, uint64_t len,
                              const void *buf);
/* buf: what was read, or NULL. */
void cbd_recorder_answer(struct cbd_recorder *recorder, unsigned disk, uint64_t request, int error,
                         const void *buf, uint64_t len);

/* Why nothing is recorded any more, or NULL. Static string. */
const char *cbd_recorder_stopped(const struct cbd_recorder *recorder);

/* The devices are not used any more. recorder may be NULL. */
void cbd_recorder_close(struct cbd_recorder *recorder);

/* ---- reading ---- */

struct cbd_record_reader;

/* NOTFOUND, NOTCBD (no record), VERSION, NOMEM, SYSTEM. */
int cbd_record_reader_open(const char *path, struct cbd_record_reader **reader,
                           struct cbd_shim_error *err) CBD_MUST_CHECK;
/* The same of bytes in memory, which must outlive the reader. */
int cbd_record_reader_open_memory(const void *bytes, uint64_t len,
                                  struct cbd_record_reader **reader,
                                  struct cbd_shim_error *err) CBD_MUST_CHECK;
void cbd_record_reader_close(struct cbd_record_reader *reader);

uint64_t cbd_record_reader_pmem_bytes(const struct cbd_record_reader *reader);

/*
 * The next event and its data, which is aligned to 8 and valid until close. Kind, disk number (below
 * CBD_RECORD_DISKS), step and request are in range, and data_bytes is what the kind has; offsets are
 * not compared with devices. False: the end, see cbd_record_reader_end().
 */
bool cbd_record_reader_next(struct cbd_record_reader *reader, struct cbd_record_event *event,
                            const void **data);
void cbd_record_reader_rewind(struct cbd_record_reader *reader);

/* After the end: NULL when it is whole, or what is wrong at which byte. */
const char *cbd_record_reader_end(const struct cbd_record_reader *reader, uint64_t *at_bytes);

#endif
