/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metadata images: superblocks, tables, records and payload headers of a cache at the places where
 * they are on the device, and no data. What to send to somebody who is to look at a problem.
 *
 * Every superblock of an image has CBD_INCOMPAT_METADATA_ONLY: check and dump read it, and nobody
 * serves its holes as data. docs/format.md, Metadata images.
 */
#ifndef CBD_IMAGE_H
#define CBD_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/env.h"
#include "cbd/pmem.h"

struct cbd_image_options {
    /*
     * Replaces label, names, UUIDs, paths, salt and the checksums of data by others that `key`
     * decides, the same for the same; checksums of metadata are made again. Bytes that no checksum
     * covers, or that fail theirs, become 0xff: nobody can tell what they are.
     */
    bool anonymize;
    uint64_t key[2];
    /*
     * Takes the bytes of the image, at most 4096 at a time. Places come in any order and may come
     * twice with the same bytes; the superblocks come last. Not 0: ends the run.
     */
    int (*write)(void *arg, uint64_t off_bytes, const void *bytes, uint32_t len_bytes);
    void *arg;
};

struct cbd_image_summary {
    uint64_t device_bytes; /* how long the image has to be: of the cache, not of the device now */
    uint64_t segments;     /* whose records are in the image */
    uint64_t records;      /* valid ones */
    uint64_t damaged;      /* structures that fail their checksum, where one has to be */
    uint64_t unreadable;   /* structures that cannot be read: holes in the image */
};

/*
 * Stores nothing. An image of an image is the same image. 0, what write() returned, CBD_E_NOMEM, or
 * what cbd_super_read() says when there is no usable superblock: without one nothing can be found.
 */
int cbd_image_run(struct cbd_pmem *pm, struct cbd_env *env, const struct cbd_image_options *options,
                  struct cbd_image_summary *out) CBD_MUST_CHECK;

#endif
