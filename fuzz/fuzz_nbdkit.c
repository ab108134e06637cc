/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The callbacks of the nbdkit plugin under any sequence of requests, against a model: what nbdkit
 * would call, with ranges that it would refuse as well, and the server ending and starting between.
 *
 * Input: options as text, a line each ("key=value", at most 4, up to an empty line), then requests of
 * 8 bytes: what, flags, where (3), how much (2), content. The files are in memory (/dev/shm).
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cbd/cache.h"
#include "cbd/shim/env.h"
#include "cbd/shim/pmem.h"

#define DISK_BYTES (256u << 10)
#define PMEM_BYTES (4u << 20)
#define SHARE_BYTES (768u << 10)
#define COUNT_MAX (128u << 10)
#define REQUESTS_MAX 64u
#define SECTOR 512u

#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_nbdkit: line %d: %s\n", __LINE__, #cond);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct nbdkit_plugin *plugin_init(void);

/* ---- what nbdkit would bring ---- */

static _Thread_local int error_set;

struct nbdkit_extents {
    uint64_t next;
};

static uint8_t model[DISK_BYTES];

void nbdkit_error(const char *msg, ...)
{
    (void)msg;
}

void nbdkit_debug(const char *msg, ...)
{
    (void)msg;
}

void nbdkit_set_error(int err)
{
    error_set = err;
}

const char *nbdkit_export_name(void)
{
    return "";
}

const char *nbdkit_strdup_intern(const char *str)
{
    return str != NULL ? "interned" : NULL;
}

struct nbdkit_exports;
int nbdkit_add_export(struct nbdkit_exports *exports, const char *name, const char *description)
{
    (void)exports;
    REQUIRE(name != NULL && description != NULL);
    return 0;
}

/* Extents follow each other, and what is said to be zeroes is. */
int nbdkit_add_extent(struct nbdkit_extents *extents, uint64_t offset, uint64_t length,
                      uint32_t type)
{
    REQUIRE(length > 0 && offset <= DISK_BYTES && length <= DISK_BYTES - offset);
    REQUIRE(extents->next == UINT64_MAX || extents->next == offset);
    REQUIRE((type & NBDKIT_EXTENT_HOLE) == 0 || (type & NBDKIT_EXTENT_ZERO) != 0);
    for (uint64_t i = offset; i < offset + length && (type & NBDKIT_EXTENT_ZERO) != 0; i++)
        REQUIRE(model[i] == 0);
    extents->next = offset + length;
    return 0;
}

/* ---- the devices ---- */

static char pmem_path[64], disk_path[64];
static uint8_t *formatted; /* what an empty cache is */
static struct nbdkit_plugin *plugin;
static void *handle;

static void make_file(const char *path, const void *data, size_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    REQUIRE(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    REQUIRE(data == NULL || pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    close(fd);
}

static void remove_files(void)
{
    unlink(pmem_path);
    unlink(disk_path);
}

static void prepare(void)
{
    struct cbd_format_options format = {.uuid = {1}, .segment_bytes = 65536, .salt = 3};
    struct cbd_backend_options add = {.name = "disk",
                                      .uuid = {2},
                                      .size_bytes = DISK_BYTES,
                                      .logical_block_bytes = SECTOR,
                                      .cache_bytes = SHARE_BYTES};
    struct cbd_geometry geo;
    struct cbd_cache *cache;
    struct cbd_pmem *pm;
    struct cbd_env *env;
    uint32_t id;

    snprintf(pmem_path, sizeof(pmem_path), "/dev/shm/fuzz_nbdkit.%d.pmem", (int)getpid());
    snprintf(disk_path, sizeof(disk_path), "/dev/shm/fuzz_nbdkit.%d.disk", (int)getpid());
    setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1);
    remove_files();
    atexit(remove_files);
    add.path = disk_path;
    REQUIRE(cbd_shim_env_open(NULL, NULL, &env, NULL) == 0);
    REQUIRE(cbd_shim_pmem_open(pmem_path, CBD_SHIM_PMEM_CREATE, PMEM_BYTES, &pm, NULL) == 0);
    REQUIRE(cbd_format(pm, env, &format, &geo) == 0);
    REQUIRE(cbd_cache_open(pm, env, 0, &cache) == 0);
    REQUIRE(cbd_backend_add(cache, &add, &id) == 0);
    cbd_cache_close(cache);
    formatted = malloc(PMEM_BYTES);
    REQUIRE(formatted != NULL);
    memcpy(formatted, pm->base, PMEM_BYTES);
    cbd_shim_pmem_close(pm);
    cbd_shim_env_close(env);
    plugin = plugin_init();
}

/* ---- one input ---- */

/* Options that name files, or how many threads there are, are not the fuzzer's. */
static bool option_allowed(const char *key)
{
    static const char *const kept[] = {"device", "backing",      "backend",
                                       "record", "disk-threads", "trees"};

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (strcmp(key, kept[i]) == 0)
            return false;
    return true;
}

/* Behind the options. */
static const uint8_t *take_options(const uint8_t *data, const uint8_t *end)
{
    for (unsigned n = 0; n < 4 && data < end; n++) {
        const uint8_t *nl = memchr(data, '\n', (size_t)(end - data));
        char line[256], *value;
        size_t len;

        if (nl == NULL)
            return data;
        len = (size_t)(nl - data);
        if (len == 0)
            return nl + 1;
        if (len < sizeof(line)) {
            memcpy(line, data, len);
            line[len] = '\0';
            value = strchr(line, '=');
            if (value != NULL) {
                *value++ = '\0';
                if (option_allowed(line))
                    (void)plugin->config(line, value);
            }
        }
        data = nl + 1;
    }
    return data;
}

/* False: the options do not go together. */
static bool start(void)
{
    if (plugin->get_ready() != 0)
        return false;
    REQUIRE(plugin->after_fork() == 0);
    handle = plugin->open(0);
    REQUIRE(handle != NULL);
    REQUIRE(plugin->get_size(handle) == DISK_BYTES);
    return true;
}

struct request {
    unsigned what, flags;
    uint64_t offset;
    uint32_t count;
    uint8_t content;
};

static bool is_valid(const struct request *r)
{
    return r->offset % SECTOR == 0 && r->count % SECTOR == 0 && r->offset <= DISK_BYTES &&
           r->count <= DISK_BYTES - r->offset;
}

static void check_range(uint64_t offset, uint32_t count)
{
    static uint8_t got[COUNT_MAX];

    REQUIRE(plugin->pread(handle, got, count, offset, 0) == 0);
    REQUIRE(memcmp(got, model + offset, count) == 0);
}

/* A write that failed is there by sectors, as is what was there before: that is the model then. */
static void adopt(const struct request *r, uint8_t content)
{
    static uint8_t got[COUNT_MAX];

    REQUIRE(plugin->pread(handle, got, r->count, r->offset, 0) == 0);
    for (uint32_t i = 0; i < r->count; i++)
        REQUIRE(got[i] == content || got[i] == model[r->offset + i]);
    memcpy(model + r->offset, got, r->count);
}

static void change(const struct request *r)
{
    static uint8_t buf[COUNT_MAX];
    uint32_t flags = r->flags & NBDKIT_FLAG_FUA;
    uint8_t content = r->what == 0 ? r->content : 0;
    int result;

    if (r->what == 0) {
        memset(buf, content, r->count);
        result = plugin->pwrite(handle, buf, r->count, r->offset, flags);
    } else if (r->what == 1) {
        result = plugin->zero(handle, r->count, r->offset,
                              flags | (r->flags & (NBDKIT_FLAG_MAY_TRIM | NBDKIT_FLAG_FAST_ZERO)));
    } else {
        result = plugin->trim(handle, r->count, r->offset, flags);
    }
    if (!is_valid(r)) {
        REQUIRE(result == -1 && error_set == EINVAL);
    } else if (result == 0) {
        memset(model + r->offset, content, r->count);
    } else {
        REQUIRE(error_set == ENOSPC);
        adopt(r, content);
    }
}

static bool serve(const struct request *r)
{
    struct nbdkit_extents extents = {UINT64_MAX};
    static uint8_t buf[COUNT_MAX];

    error_set = 0;
    switch (r->what) {
    case 0:
    case 1:
    case 2:
        change(r);
        return true;
    case 3:
        if (is_valid(r))
            check_range(r->offset, r->count);
        else
            REQUIRE(plugin->pread(handle, buf, r->count, r->offset, 0) == -1 &&
                    error_set == EINVAL);
        return true;
    case 4:
        REQUIRE(plugin->flush(handle, 0) == 0);
        return true;
    case 5:
        /* nbdkit asks inside the export only, but not by blocks. */
        if (r->count > 0 && r->offset < DISK_BYTES && r->count <= DISK_BYTES - r->offset) {
            REQUIRE(plugin->extents(handle, r->count, r->offset, r->flags & NBDKIT_FLAG_REQ_ONE,
                                    &extents) == 0);
            REQUIRE(extents.next > r->offset);
        }
        return true;
    case 6: /* the server ends and starts, with everything written back or not */
        (void)plugin->config("writeback-on-exit", (r->flags & 1) != 0 ? "true" : "false");
        plugin->cleanup();
        return start();
    default:
        (void)plugin->export_description(handle);
        (void)plugin->can_write(handle);
        REQUIRE(plugin->list_exports(0, 0, NULL) == 0);
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    bool up;

    if (formatted == NULL)
        prepare();
    make_file(pmem_path, formatted, PMEM_BYTES);
    make_file(disk_path, NULL, DISK_BYTES);
    memset(model, 0, sizeof(model));
    plugin->load();
    REQUIRE(plugin->config("device", pmem_path) == 0);
    REQUIRE(plugin->config("disk-threads", "1") == 0);
    REQUIRE(plugin->config("space-timeout", "10ms") == 0);
    data = take_options(data, end);
    REQUIRE(plugin->config_complete() == 0);
    up = start();
    for (unsigned n = 0; n < REQUESTS_MAX && up && end - data >= 8; n++, data += 8) {
        struct request r = {
            .what = data[0] % 8,
            .flags = data[1],
            .offset = data[2] | (uint64_t)data[3] << 8 | (uint64_t)data[4] << 16,
            .count = (uint32_t)(data[5] | data[6] << 8),
            .content = data[7],
        };

        /* Mostly whole sectors, in and around the disk. */
        if ((data[1] & 0x80) == 0) {
            r.offset = r.offset % (DISK_BYTES / SECTOR + 2) * SECTOR;
            r.count = r.count % (COUNT_MAX / SECTOR) * SECTOR;
        }
        up = serve(&r);
    }
    if (up) {
        check_range(0, COUNT_MAX);
        check_range(COUNT_MAX, COUNT_MAX);
        plugin->cleanup();
    }
    plugin->unload();
    return 0;
}
