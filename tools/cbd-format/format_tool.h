/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of cbd-format share. */
#ifndef CBD_FORMAT_TOOL_H
#define CBD_FORMAT_TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/format.h"
#include "tool_device.h"

struct arguments {
    const char *path;
    uint64_t create_bytes;        /* 0: the device exists */
    uint32_t segment_bytes;       /* 0: chosen by size */
    const char *label;            /* or NULL */
    const char *uuid;             /* or NULL: random */
    const char *from_image;       /* or NULL */
    struct cbd_tool_device image; /* open when from_image is set */
    struct cbd_super super;       /* of the image */
    bool no_data_checksum, dry_run, force, discard_dirty, json;
    bool reproducible;     /* uuid and time are given */
    bool pcache, data_crc; /* for dm-pcache */
};

/*
 * found.c: looks at what is on the device and decides whether it may be overwritten. 0, or the
 * exit code after the reason was printed.
 */
int format_may_overwrite(const struct arguments *a,
                         const struct cbd_tool_device *device) CBD_MUST_CHECK;

/* probe.c: names a signature in `text`; false: there is none that this one knows. */
bool format_own_probe(struct cbd_pmem *pm, char *text, size_t len_bytes);

/*
 * from_image.c. Opens a->from_image as a->image; what its superblock says, also of one that is open.
 * Then, on a device whose every byte is zero, all of it. 0, or the exit code after the message.
 */
int format_image_open(struct arguments *a, struct cbd_super *super) CBD_MUST_CHECK;
int format_image_super(const struct arguments *a, struct cbd_super *super) CBD_MUST_CHECK;
int format_image_write(const struct arguments *a, const struct cbd_tool_device *device,
                       const struct cbd_super *super) CBD_MUST_CHECK;

/*
 * prepare.c: makes sure that every byte that format stores has its space on the file system, and
 * with `wipe` that every byte of the device is zero. 0, or the exit code after the message.
 */
int format_prepare(const struct arguments *a, const struct cbd_tool_device *device,
                   const struct cbd_geometry *geo, bool wipe) CBD_MUST_CHECK;

/* pcache.c: an empty device for dm-pcache. The exit code of the tool. */
int format_pcache(const struct arguments *a);

/* Whether a device of dm-pcache may be overwritten. 0, or the exit code after the reason. */
int format_check_pcache(const struct arguments *a,
                        const struct cbd_tool_device *device) CBD_MUST_CHECK;

/* show.c: the plan or the result. 0, or the exit code: standard output is gone. */
int format_show(const struct arguments *a, const struct cbd_format_options *options,
                const struct cbd_geometry *geo, const char *advice) CBD_MUST_CHECK;

#endif
