/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nbdkit plugin: each callback is a few lines around front.h.
 *
 *   load, config, config_complete   options
 *   get_ready                       opens and attaches (recovers): errors come before the fork
 *   after_fork                      threads
 *   open, pread .. cache            from any thread, many at a time
 *   cleanup                         no connection is left: writes back and detaches
 *
 * Multi-conn: all connections share one backend, and a flush covers what any of them was answered
 * before it was sent, see front_io.c. A write is visible to all when it is answered, and durable
 * unless durability=flush.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <stdio.h>

#include "front.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define BLOCK_PREFERRED 4096u
#define BLOCK_MAXIMUM (32u << 20) /* what clients assume anyway; nbdkit refuses 64 MiB */

static struct front_config config;
static struct front *front;

static void on_load(void)
{
    front_config_init(&config);
}

static void on_unload(void)
{
    front_config_free(&config);
}

static int on_config(const char *key, const char *value)
{
    char why[FRONT_TEXT_BYTES];
    bool known;

    if (front_config_set(&config, key, value, &known, why) != 0) {
        nbdkit_error("%s", why);
        return -1;
    }
    if (!known) {
        nbdkit_error("unknown parameter '%s'; 'nbdkit --help' with this plugin lists them", key);
        return -1;
    }
    return 0;
}

static int on_config_complete(void)
{
    if (config.device == NULL) {
        nbdkit_error("device=PATH is missing: the device with the cache");
        return -1;
    }
    return 0;
}

static void log_line(void *arg, enum cbd_severity severity, const char *line)
{
    (void)arg;
    if (severity == CBD_INFO)
        nbdkit_debug("%s", line);
    else
        nbdkit_error("%s", line);
}

static int on_get_ready(void)
{
    char why[FRONT_TEXT_BYTES];

    if (front_open(&config, log_line, NULL, &front, why) == 0)
        return 0;
    nbdkit_error("%s", why);
    return -1;
}

static int on_after_fork(void)
{
    char why[FRONT_TEXT_BYTES];

    if (front_start(front, why) == 0)
        return 0;
    nbdkit_error("%s", why);
    return -1;
}

static void on_cleanup(void)
{
    struct front *f = front;

    front = NULL;
    (void)front_close(f); /* has said what is left */
}

static int on_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    struct front_export_info info;

    (void)readonly;
    (void)is_tls;
    for (unsigned i = 0; i < front_export_count(front); i++) {
        front_export_info(front_export_at(front, i), &info);
        if (nbdkit_add_export(exports, info.name, info.description) != 0)
            return -1;
    }
    return 0;
}

/* The only one; with several the client has to say which. */
static const char *on_default_export(int readonly, int is_tls)
{
    struct front_export_info info;

    (void)readonly;
    (void)is_tls;
    if (front_export_count(front) != 1)
        return NULL;
    front_export_info(front_export_at(front, 0), &info);
    return info.name;
}

static void *on_open(int readonly)
{
    const char *name = nbdkit_export_name();
    struct front_export *e = NULL;

    (void)readonly;
    if (name != NULL && name[0] == '\0' && front_export_count(front) == 1)
        e = front_export_at(front, 0);
    else if (name != NULL)
        e = front_export_find(front, name);
    if (e == NULL) {
        nbdkit_error("there is no export '%s'", name != NULL ? name : "");
        nbdkit_set_error(ENOENT);
    }
    return e;
}

static struct front_export_info info_of(void *handle)
{
    struct front_export_info info;

    front_export_info(handle, &info);
    return info;
}

static const char *on_export_description(void *handle)
{
    return nbdkit_strdup_intern(info_of(handle).description);
}

static int64_t on_get_size(void *handle)
{
    return (int64_t)info_of(handle).size_bytes;
}

static int on_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    *minimum = info_of(handle).logical_block_bytes;
    *preferred = BLOCK_PREFERRED;
    *maximum = BLOCK_MAXIMUM;
    return 0;
}

static int on_can_write(void *handle)
{
    return !info_of(handle).readonly;
}

static int yes(void *handle)
{
    (void)handle;
    return 1;
}

static int no(void *handle)
{
    (void)handle;
    return 0;
}

static int on_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

/* nbdkit reads the range through pread then, which fills the cache. */
static int on_can_cache(void *handle)
{
    return info_of(handle).fills ? NBDKIT_CACHE_EMULATE : NBDKIT_CACHE_NONE;
}

static int answer(int error, const char *what, uint32_t count, uint64_t offset)
{
    if (error == 0)
        return 0;
    nbdkit_error("%s: %u bytes at %llu: %s", what, count, (unsigned long long)offset,
                 front_errno_text(error));
    nbdkit_set_error(error);
    return -1;
}

static int on_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)flags;
    return answer(front_read(handle, buf, count, offset), "read", count, offset);
}

static int on_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
    bool fua = (flags & NBDKIT_FLAG_FUA) != 0;

    return answer(front_write(handle, buf, count, offset, fua), "write", count, offset);
}

static int on_flush(void *handle, uint32_t flags)
{
    (void)flags;
    return answer(front_flush(handle), "flush", 0, 0);
}

static int on_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    bool fua = (flags & NBDKIT_FLAG_FUA) != 0;

    return answer(front_zero(handle, count, offset, true, fua), "trim", count, offset);
}

/* Zeroing is one record whatever its length, so it is always the fast one. */
static int on_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    bool fua = (flags & NBDKIT_FLAG_FUA) != 0;
    bool punch = (flags & NBDKIT_FLAG_MAY_TRIM) != 0;

    return answer(front_zero(handle, count, offset, punch, fua), "zero", count, offset);
}

static int on_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                      struct nbdkit_extents *extents)
{
    static const uint32_t types[] = {
        [FRONT_DATA] = 0,
        [FRONT_ZERO] = NBDKIT_EXTENT_ZERO,
        [FRONT_HOLE] = NBDKIT_EXTENT_ZERO | NBDKIT_EXTENT_HOLE,
    };
    uint32_t block = info_of(handle).logical_block_bytes;
    uint64_t end = (offset + count + block - 1) / block * block;
    enum front_extent_kind kind = FRONT_DATA;
    uint64_t run_bytes = 0;
    int error;

    /* Whole blocks: extents may begin before and end behind what was asked for. */
    for (uint64_t at = offset / block * block; at < end; at += run_bytes) {
        error = front_map(handle, end - at, at, &run_bytes, &kind);
        if (error != 0)
            return answer(error, "extents", count, offset);
        if (nbdkit_add_extent(extents, at, run_bytes, types[kind]) != 0)
            return -1;
        if ((flags & NBDKIT_FLAG_REQ_ONE) != 0 && at + run_bytes > offset)
            return 0;
    }
    return 0;
}

static void on_dump_plugin(void)
{
    printf("cbd_version=%s\n", CBD_VERSION);
    printf("cbd_lanes=%u\n", CBD_LANES);
    printf("cbd_backends_max=%u\n", CBD_BACKENDS);
    printf("cbd_durability=ack flush\n");
}

static struct nbdkit_plugin plugin = {
    .name = "cbd",
    .longname = "CBD cache",
    .version = CBD_VERSION,
    .description = "Serves block devices that are cached on persistent memory",
    .load = on_load,
    .unload = on_unload,
    .config = on_config,
    .config_complete = on_config_complete,
    .config_help = front_config_help,
    .magic_config_key = "device",
    .dump_plugin = on_dump_plugin,
    .get_ready = on_get_ready,
    .after_fork = on_after_fork,
    .cleanup = on_cleanup,
    .list_exports = on_list_exports,
    .default_export = on_default_export,
    .export_description = on_export_description,
    .open = on_open,
    .get_size = on_get_size,
    .block_size = on_block_size,
    .can_write = on_can_write,
    .can_flush = yes,
    .is_rotational = no,
    .can_trim = yes,
    .can_zero = yes,
    .can_fast_zero = yes,
    .can_fua = on_can_fua,
    .can_multi_conn = yes,
    .can_extents = yes,
    .can_cache = on_can_cache,
    .pread = on_pread,
    .pwrite = on_pwrite,
    .flush = on_flush,
    .trim = on_trim,
    .zero = on_zero,
    .extents = on_extents,
    .errno_is_preserved = 0,
};

struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
