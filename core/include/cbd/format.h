/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a new cache device, and the arithmetic of its layout.
 */
#ifndef CBD_FORMAT_H
#define CBD_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/env.h"
#include "cbd/media_format.h"
#include "cbd/pmem.h"

/* Where everything lies. All offsets and sizes in bytes. */
struct cbd_geometry {
    uint64_t device_bytes;
    uint32_t segment_bytes; /* power of two */
    uint32_t segment_count;
    uint32_t atomic_bytes;  /* P2 holds for aligned pieces of this size: 64 KiB, less on tiny segments */
    uint64_t table_a_off;
    uint64_t table_b_off;
    uint64_t table_bytes;
    uint64_t data_off;
    uint64_t super2_off;
};

/* What the superblock says, decoded and validated. */
struct cbd_super {
    uint8_t uuid[16];
    uint64_t salt;
    uint32_t disk_version;
    uint64_t compat;
    uint64_t ro_compat;
    uint64_t incompat;
    struct cbd_geometry geo;
    uint64_t generation_floor;
    uint64_t created_s;
    char label[CBD_LABEL_BYTES + 1];
};

struct cbd_format_options {
    uint8_t uuid[16];
    char label[CBD_LABEL_BYTES + 1];
    uint32_t segment_bytes; /* 0: chosen by the size of the device */
    bool no_data_checksum;
    uint64_t created_s;
    uint64_t salt; /* random, or a function of uuid and created_s for reproducible devices */
};

/*
 * Lays out a device. segment_bytes 0: 16 MiB, or 1 MiB below 1 GiB.
 * CBD_E_INVALID: segment size is no power of two in 64 KiB..64 MiB.
 * CBD_E_NOSPACE: fewer than CBD_SEGMENTS_MIN segments; cbd_geometry_minimum() tells the least size.
 */
int cbd_geometry_plan(struct cbd_geometry *geo, uint64_t device_bytes, uint32_t segment_bytes)
    CBD_MUST_CHECK;

#define CBD_SEGMENTS_MIN 4u

/* What serving a whole device takes of DRAM, at most: one backend has all of it. */
struct cbd_memory_need {
    uint64_t blocks;      /* blocks of 4 KiB that fit, each written by itself at a random place */
    uint64_t index_bytes; /* for so many extents, as random writes fill the nodes of the trees */
    uint64_t fixed_bytes; /* everything else: tables, counters of reads, buffers */
};

void cbd_geometry_memory(const struct cbd_geometry *geo, struct cbd_memory_need *need);

/* The least device for this segment size (0 as above). */
uint64_t cbd_geometry_minimum(uint32_t segment_bytes);

/*
 * Writes an empty cache. Old superblocks go first and new ones come last, so that a crash leaves
 * either the old cache untouched, no cache, or the new one. Generations start above any that a
 * readable old superblock leads to. *geo is what was made. Nothing else may use the device.
 * CBD_E_INVALID, CBD_E_NOSPACE (as above), CBD_E_IO (a fence failed).
 */
int cbd_format(struct cbd_pmem *pm, struct cbd_env *env, const struct cbd_format_options *options,
               struct cbd_geometry *geo) CBD_MUST_CHECK;

/*
 * Reads the superblock: the first valid of three copies. bad_copies: bit n is set when copy n is
 * unreadable, damaged or of another format than the first valid one.
 * CBD_E_NOTCBD: no copy has the magic. CBD_E_CORRUPT: magic but no valid copy. CBD_E_VERSION.
 */
int cbd_super_read(struct cbd_pmem *pm, struct cbd_env *env, struct cbd_super *super,
                   uint32_t *bad_copies) CBD_MUST_CHECK;

#endif
