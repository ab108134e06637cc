/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-ctl backend add, backend remove, and what all commands need to open things. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cbd/shim/disk.h"
#include "ctl.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_size.h"
#include "tool_uuid.h"

int ctl_open(const struct ctl *ctl, bool readonly, struct cbd_tool_device *device,
             struct cbd_cache **cache)
{
    int code = cbd_tool_device_open(device, ctl->path, readonly ? CBD_SHIM_PMEM_READONLY : 0, 0);
    int error;

    if (code != 0)
        return code;
    error = cbd_cache_open(device->pm, device->env, readonly ? CBD_OPEN_READONLY : 0, cache);
    if (error == 0)
        return 0;
    cbd_tool_error_code(ctl->path, "cannot be opened", error);
    if (error == CBD_E_CORRUPT)
        cbd_tool_error(ctl->path, "cbd-check -f says what is damaged, and what a repair costs");
    cbd_tool_device_close(device);
    return CBD_EXIT_OPERATIONAL;
}

void ctl_close(struct cbd_tool_device *device, struct cbd_cache *cache)
{
    cbd_cache_close(cache);
    cbd_tool_device_close(device);
}

int ctl_lookup(const struct ctl *ctl, const struct cbd_cache *cache, uint32_t *id)
{
    if (cbd_backend_lookup(cache, ctl->name, id) == 0)
        return 0;
    cbd_tool_error(ctl->path, "backend '%s': there is none of this name", ctl->name);
    return CBD_EXIT_OPERATIONAL;
}

int ctl_open_disk(const char *path, uint32_t logical_block_bytes, bool readonly,
                  struct cbd_disk **disk)
{
    struct cbd_shim_disk_options options = {
        .flags = readonly ? CBD_SHIM_DISK_READONLY : 0,
        .logical_block_bytes = logical_block_bytes,
    };
    struct cbd_shim_error err;
    struct stat st;

    if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
        options.logical_block_bytes = 0; /* a node has its own */
    if (cbd_shim_disk_open(path, &options, disk, &err) == 0)
        return 0;
    cbd_tool_error(NULL, "%s", err.text);
    return CBD_EXIT_OPERATIONAL;
}

/* Says why a backend was not added, with numbers where there are some. */
static int explain_add(const struct ctl *ctl, const struct cbd_cache *cache, int error)
{
    uint64_t segment = cbd_cache_super(cache)->geo.segment_bytes;
    uint64_t least = (ctl->streams != 0 ? ctl->streams : 1) + CBD_SHARE_RESERVE;
    uint64_t unowned = cbd_cache_unowned(cache);

    if (error == CBD_E_NOSPACE && ctl->cache_bytes / segment < least)
        cbd_tool_error(ctl->path, "--cache-size: got %" PRIu64 " bytes, limit at least %" PRIu64,
                       ctl->cache_bytes, least * segment);
    else if (error == CBD_E_NOSPACE && ctl->cache_bytes / segment > unowned)
        cbd_tool_error(ctl->path,
                       "--cache-size: got %" PRIu64 " bytes, limit %" PRIu64
                       " that no backend owns",
                       ctl->cache_bytes, unowned * segment);
    else if (error == CBD_E_NOSPACE)
        cbd_tool_error_limit(ctl->path, "backends", CBD_BACKENDS + 1, CBD_BACKENDS);
    else
        cbd_tool_error(ctl->path, "backend '%s': not added: %s", ctl->name,
                       cbd_error_sentence(error));
    return CBD_EXIT_OPERATIONAL;
}

static int add_to(const struct ctl *ctl, struct cbd_cache *cache, const struct cbd_disk *disk)
{
    char full[PATH_MAX], size[CBD_TOOL_SIZE_TEXT_BYTES], share[CBD_TOOL_SIZE_TEXT_BYTES];
    struct cbd_backend_options options = {
        .name = ctl->name,
        .size_bytes = disk->size_bytes,
        .logical_block_bytes = disk->logical_block_bytes,
        .cache_bytes = ctl->cache_bytes,
        .streams = ctl->streams,
    };
    struct cbd_backend_info info;
    uint32_t id;
    int error;

    /* /dev/sdb may be another disk tomorrow; a link of udev's is the same one. Half a path would be
     * a wrong one. */
    if (strncmp(ctl->backing, "/dev/disk/by-", 13) == 0 &&
        strlen(ctl->backing) <= CBD_BACKEND_PATH_BYTES)
        options.path = ctl->backing;
    else if (realpath(ctl->backing, full) != NULL && strlen(full) <= CBD_BACKEND_PATH_BYTES)
        options.path = full;
    if (cbd_tool_time(&options.created_s, NULL) != 0)
        return CBD_EXIT_USAGE;
    error = cbd_tool_uuid_random(options.uuid);
    if (error == 0)
        error = cbd_backend_add(cache, &options, &id);
    if (error != 0)
        return explain_add(ctl, cache, error);
    if (!cbd_backend_info(cache, id, &info))
        abort();
    printf("%s: backend '%s' added: %s of cache (%" PRIu32 " segments) for %s, %s\n", ctl->path,
           ctl->name,
           cbd_tool_size_human((uint64_t)info.segments * cbd_cache_super(cache)->geo.segment_bytes,
                               share),
           info.segments, ctl->backing, cbd_tool_size_human(info.size_bytes, size));
    return 0;
}

/*
 * Whether another backend stands before this disk already. Each would take what the other one
 * writes back for its own old data, and one that holds nothing clean cannot notice.
 */
static bool has_backend(const struct ctl *ctl, const struct cbd_cache *cache)
{
    struct stat disk, other;
    struct cbd_backend_info info;

    if (stat(ctl->backing, &disk) != 0)
        return false;
    for (uint32_t id = 0; id < CBD_BACKENDS; id++) {
        if (!cbd_backend_info(cache, id, &info) || strcmp(info.name, ctl->name) == 0 ||
            info.path[0] == '\0' || stat(info.path, &other) != 0)
            continue;
        if (S_ISBLK(disk.st_mode) ? !S_ISBLK(other.st_mode) || disk.st_rdev != other.st_rdev
                                  : disk.st_dev != other.st_dev || disk.st_ino != other.st_ino)
            continue;
        cbd_tool_clean_text(info.name);
        cbd_tool_error(ctl->path,
                       "backend '%s': not added: %s is the disk of backend '%s'. If "
                       "that one is not needed: cbd-ctl %s backend remove %s",
                       ctl->name, ctl->backing, info.name, ctl->path, info.name);
        return true;
    }
    return false;
}

int ctl_add(const struct ctl *ctl)
{
    struct cbd_tool_device device;
    struct cbd_cache *cache;
    struct cbd_disk *disk;
    int code = ctl_open(ctl, false, &device, &cache);

    if (code != 0)
        return code;
    code = ctl_open_disk(ctl->backing, ctl->logical_block, false, &disk);
    if (code == 0) {
        if (ctl->logical_block != 0 && ctl->logical_block != disk->logical_block_bytes) {
            cbd_tool_error(ctl->backing, "--logical-block: got %u, limit what the device has: %u",
                           ctl->logical_block, disk->logical_block_bytes);
            code = CBD_EXIT_OPERATIONAL;
        }
        if (code == 0)
            code = has_backend(ctl, cache) ? CBD_EXIT_OPERATIONAL : add_to(ctl, cache, disk);
        cbd_shim_disk_close(disk);
    }
    ctl_close(&device, cache);
    return code;
}

/* Whether removing backend `id` may lose data; what and how much is printed. */
static bool would_lose(const struct ctl *ctl, const struct cbd_tool_device *device, uint32_t id)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN};
    struct cbd_check_summary *s = malloc(sizeof(*s));
    const struct cbd_check_backend *b;
    bool lose = true;
    int error =
        s != NULL ? cbd_check_run(device->pm, device->env, &options, NULL, NULL, s) : CBD_E_NOMEM;

    if (error != 0) {
        cbd_tool_error_code(ctl->path, "cannot be examined", error);
        free(s);
        return true;
    }
    b = &s->backends[id];
    if (b->dirty_records != 0)
        cbd_tool_error(ctl->path,
                       "backend '%s': not removed: %" PRIu64 " dirty bytes and %" PRIu64
                       " bytes of dirty zeroes. To save them: cbd-ctl %s writeback %s. To lose "
                       "them: --discard-dirty",
                       ctl->name, b->dirty_bytes, b->dirty_zero_bytes, ctl->path, ctl->name);
    else if (s->errors != 0)
        cbd_tool_error(ctl->path,
                       "backend '%s': not removed: the cache is damaged and may hold dirty data "
                       "(cbd-check -f says more). To lose it: --discard-dirty",
                       ctl->name);
    else
        lose = false;
    free(s);
    return lose;
}

int ctl_remove(const struct ctl *ctl)
{
    struct cbd_tool_device device;
    struct cbd_cache *cache;
    uint32_t id = 0;
    int code = ctl_open(ctl, false, &device, &cache);
    int error;

    if (code != 0)
        return code;
    code = ctl_lookup(ctl, cache, &id);
    if (code == 0 && !ctl->discard_dirty && would_lose(ctl, &device, id))
        code = CBD_EXIT_OPERATIONAL;
    if (code == 0) {
        error = cbd_backend_remove(cache, id);
        if (error == 0) {
            printf("%s: backend '%s' removed\n", ctl->path, ctl->name);
        } else {
            cbd_tool_error(ctl->path, "backend '%s': not removed: %s", ctl->name,
                           cbd_error_sentence(error));
            code = CBD_EXIT_OPERATIONAL;
        }
    }
    ctl_close(&device, cache);
    return code;
}
