/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fuzz input as a small program that changes a base image. Nine bytes a patch,
 *
 *   kind  place  index  copy  slot:16  off:16  len
 *
 * little-endian, then `len` bytes of data, or fewer at the end of the input. Every value means
 * something: what is too large is taken modulo what there is.
 */
#ifndef FUZZ_IMAGE_PATCH_H
#define FUZZ_IMAGE_PATCH_H

#include "bases.h"

enum fuzz_patch_kind {
    FUZZ_PATCH_RAW,      /* the data at `off` in the place */
    FUZZ_PATCH_SEALED,   /* the same, and the checksum of the structure is made again */
    FUZZ_PATCH_POISON,   /* max(len, 1) lines of 64 bytes from `off` in the place are unreadable */
    FUZZ_PATCH_TRUNCATE, /* the device has slot * 64 KiB + off bytes */
    FUZZ_PATCH_MOVE,     /* the data names another place (place index copy slot:16): it goes there,
                            with a new checksum if len is odd */
    FUZZ_PATCH_SWAP,     /* the two copies of a table entry; elsewhere: of both tables */
    FUZZ_PATCH_FAULT,    /* operation `slot` of a kind fails: see enum fuzz_fault_kind */
    FUZZ_PATCH_OPTIONS,  /* index: bits of enum fuzz_option, slot: trees */
    FUZZ_PATCH_COUNT,
};

enum fuzz_patch_place {
    FUZZ_PLACE_SUPER,   /* copy: 0..2, 3 all of them */
    FUZZ_PLACE_BACKEND, /* index: backend; copy: 0 table A, 1 table B, 2 or 3 both */
    FUZZ_PLACE_STATE,
    FUZZ_PLACE_SEGMENT, /* index: segment */
    FUZZ_PLACE_RECORD,  /* index: segment, slot */
    FUZZ_PLACE_HEADER,  /* checksum lines and header of that record's payload */
    FUZZ_PLACE_PAYLOAD, /* of that record */
    FUZZ_PLACE_ANY,     /* from slot * 64 KiB to the end of the device */
    FUZZ_PLACE_COUNT,
};

enum fuzz_fault_kind {
    FUZZ_FAULT_ALLOC,
    FUZZ_FAULT_DISK,
    FUZZ_FAULT_FENCE,
    FUZZ_FAULT_COUNT,
};

enum fuzz_option {
    FUZZ_OPTION_NO_FILL = 1 << 0,
    FUZZ_OPTION_NEWEST_FIRST = 1 << 1,  /* the disk completes the newest request first */
    FUZZ_OPTION_WRITE_THROUGH = 1 << 2, /* the disk has no volatile cache */
    FUZZ_OPTION_KEEPS = 1 << 3,         /* a discard does not zero */
    FUZZ_OPTION_EAGER = 1 << 4,         /* write-back starts at once */
    FUZZ_OPTION_COMPARES = 1 << 5,      /* attach compares the disk with the cache */
};

/* What a program asks for besides the bytes. */
struct fuzz_plan {
    uint64_t fault[FUZZ_FAULT_COUNT]; /* counts from 1; 0: none */
    unsigned options;
    uint32_t trees;
};

/* Runs the program on base->pmem. */
void fuzz_patch_run(struct fuzz_base *base, const uint8_t *program, size_t len_bytes,
                    struct fuzz_plan *plan);

#endif
