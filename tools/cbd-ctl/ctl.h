/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands of cbd-ctl share. Each command returns the exit code of the tool. */
#ifndef CBD_CTL_H
#define CBD_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/cache.h"
#include "cbd/check.h"
#include "tool_device.h"
#include "tool_json.h"

struct ctl {
    const char *path;
    const char *name; /* of the backend, or NULL */
    const char *backing;
    uint64_t cache_bytes;
    uint32_t streams;       /* 0: the default */
    uint32_t logical_block; /* 0: the default */
    bool discard_dirty, accept_backing, suspect, give_up, json;
    const char *output; /* of salvage and dm-pcache, or NULL */
    const char *cache;  /* of guard, or NULL: all that are known */
    const char *caches; /* of guard: the file that lists them, or NULL: CTL_CACHES */
    bool udev;
    /* of dm-pcache */
    bool dry_run, empty, past_damage, from_key_tail, allow_loss, log_end_given;
    uint32_t log_end_seg, log_end_off;
    const char *to; /* of import: the CBD cache, or NULL */
};

#define CTL_CACHES "/etc/cbd/caches"

int ctl_add(const struct ctl *ctl);
int ctl_remove(const struct ctl *ctl);
int ctl_list(const struct ctl *ctl);
int ctl_stat(const struct ctl *ctl);
int ctl_writeback(const struct ctl *ctl);
int ctl_salvage(const struct ctl *ctl);
int ctl_guard(const struct ctl *ctl); /* name: the disk, or NULL */

/* Opens device and cache; errors are printed. 0, or an exit code and nothing is open. */
int ctl_open(const struct ctl *ctl, bool readonly, struct cbd_tool_device *device,
             struct cbd_cache **cache) CBD_MUST_CHECK;
void ctl_close(struct cbd_tool_device *device, struct cbd_cache *cache);

/* The id of ctl->name; prints when there is none. 0 or an exit code. */
int ctl_lookup(const struct ctl *ctl, const struct cbd_cache *cache, uint32_t *id) CBD_MUST_CHECK;

/* `path` as the backing disk of a backend of this block size (0: any). 0 or an exit code. */
int ctl_open_disk(const char *path, uint32_t logical_block_bytes, bool readonly,
                  struct cbd_disk **disk) CBD_MUST_CHECK;

/* Prints the document, which it takes, or else what went to standard output. The exit code. */
int ctl_end_output(json_t *document) CBD_MUST_CHECK;

#endif
