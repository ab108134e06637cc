/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens and maps persistent memory: libpmem2 for files and devdax, mmap() for block nodes. */
#include <errno.h>
#include <libpmem2.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim_common.h"
#include "pmem_impl.h"
#include "sigbus.h"

#define MAP_UNIT_BYTES 4096u /* what the format addresses; sizes are rounded down to it */

/* libpmem2 returns a negated errno, or a code of its own at or below PMEM2_E_UNKNOWN. */
static int errno_of_pmem2(int rc)
{
    return rc > PMEM2_E_UNKNOWN ? -rc : EINVAL;
}

static int fail_pmem2(struct cbd_shim_error *err, int rc, const char *path, const char *what)
{
    int sys_errno = errno_of_pmem2(rc);

    return shim_fail(err, sys_errno == ENOMEM ? CBD_E_NOMEM : CBD_E_SYSTEM, sys_errno, path,
                     "%s: %s", what, pmem2_errormsg());
}

static uint32_t granularity_bytes(enum pmem2_granularity granularity)
{
    switch (granularity) {
    case PMEM2_GRANULARITY_BYTE:
        return 8;
    case PMEM2_GRANULARITY_CACHE_LINE:
        return CBD_LINE_BYTES;
    default:
        return 4096;
    }
}

static int map_source(struct shim_pmem *s, struct pmem2_source *source, const char *path,
                      struct cbd_shim_error *err)
{
    struct pmem2_config *config;
    int rc = pmem2_config_new(&config);

    if (rc != 0)
        return fail_pmem2(err, rc, path, "cannot be mapped");
    /* PAGE accepts everything; what was given is read back below. */
    rc = pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_PAGE);
    if (rc == 0 && s->readonly)
        rc = pmem2_config_set_protection(config, PMEM2_PROT_READ);
    if (rc == 0)
        rc = pmem2_map_new(&s->map, config, source);
    pmem2_config_delete(&config);
    if (rc != 0) {
        s->map = NULL;
        return fail_pmem2(err, rc, path, "cannot be mapped");
    }
    s->base = pmem2_map_get_address(s->map);
    s->pm.size_bytes = pmem2_map_get_size(s->map) & ~(uint64_t)(MAP_UNIT_BYTES - 1);
    s->pm.granularity_bytes = granularity_bytes(pmem2_map_get_store_granularity(s->map));
    s->copy_nt = pmem2_get_memcpy_fn(s->map);
    s->set_nt = pmem2_get_memset_fn(s->map);
    s->flush_lines = pmem2_get_flush_fn(s->map);
    s->drain = pmem2_get_drain_fn(s->map);
    return 0;
}

static int too_small(const char *path, uint64_t got_bytes, uint64_t least_bytes,
                     struct cbd_shim_error *err)
{
    return shim_fail(err, CBD_E_RANGE, 0, path, "too small: got %llu bytes, limit at least %llu",
                     (unsigned long long)got_bytes, (unsigned long long)least_bytes);
}

static int map_by_pmem2(struct shim_pmem *s, const struct shim_file *file, uint64_t least_bytes,
                        const char *path, struct cbd_shim_error *err)
{
    struct pmem2_source *source;
    size_t size_bytes = 0;
    int rc = pmem2_source_from_fd(&source, file->fd);
    int error;

    if (rc != 0 && file->kind == SHIM_FILE_CHAR)
        return shim_fail(err, CBD_E_INVALID, errno_of_pmem2(rc), path,
                         "type: got a character device that is no devdax device, limit a regular "
                         "file, a block device, a devdax device");
    if (rc != 0)
        return fail_pmem2(err, rc, path, "cannot be examined");
    rc = pmem2_source_size(source, &size_bytes);
    if (rc != 0)
        error = fail_pmem2(err, rc, path, "its size cannot be read");
    else if (size_bytes < least_bytes)
        error = too_small(path, size_bytes, least_bytes, err);
    else
        error = map_source(s, source, path, err);
    if (error == 0 && bad_blocks_list(&s->bad, source, s->pm.size_bytes) != 0)
        error = shim_fail(err, CBD_E_NOMEM, ENOMEM, path, "no memory");
    pmem2_source_delete(&source);
    return error;
}

static int map_block_node(struct shim_pmem *s, const struct shim_file *file, uint64_t least_bytes,
                          const char *path, struct cbd_shim_error *err)
{
    void *base;

    if (file->size_bytes < least_bytes)
        return too_small(path, file->size_bytes, least_bytes, err);
    s->pm.size_bytes = file->size_bytes & ~(uint64_t)(MAP_UNIT_BYTES - 1);
    base = mmap(NULL, s->pm.size_bytes, s->readonly ? PROT_READ : PROT_READ | PROT_WRITE,
                MAP_SHARED, file->fd, 0);
    if (base == MAP_FAILED)
        return shim_fail_errno(err, errno, path, "cannot be mapped");
    s->base = base;
    s->pm.granularity_bytes = 4096;
    return 0;
}

static int map_file(struct shim_pmem *s, const struct shim_file *file, uint64_t least_bytes,
                    const char *path, struct cbd_shim_error *err)
{
    int error;

    if (least_bytes < MAP_UNIT_BYTES)
        least_bytes = MAP_UNIT_BYTES;
    s->kind = file->kind == SHIM_FILE_BLOCK  ? CBD_SHIM_PMEM_BLOCK
              : file->kind == SHIM_FILE_CHAR ? CBD_SHIM_PMEM_DEVDAX
                                             : CBD_SHIM_PMEM_FILE;
    error = file->kind == SHIM_FILE_BLOCK ? map_block_node(s, file, least_bytes, path, err)
                                          : map_by_pmem2(s, file, least_bytes, path, err);
    if (error != 0)
        return error;
    s->pm.base = s->base;
    s->pm.ops = &shim_pmem_line_ops;
    if (s->pm.granularity_bytes == 4096) {
        s->pm.ops = &shim_pmem_page_ops;
        if (page_sync_open(&s->sync, s->base, s->pm.size_bytes) != 0)
            return shim_fail(err, CBD_E_NOMEM, ENOMEM, path, "no memory");
    }
    return 0;
}

/* Undoes what map_file() did, also the half of it that an error left. */
static void unmap(struct shim_pmem *s)
{
    bad_blocks_free(&s->bad);
    if (s->pm.ops == &shim_pmem_page_ops)
        page_sync_close(&s->sync);
    if (s->map != NULL)
        pmem2_map_delete(&s->map);
    else if (s->base != NULL)
        munmap(s->base, s->pm.size_bytes);
}

static int check_arguments(const char *path, unsigned flags, uint64_t size_bytes,
                           struct cbd_shim_error *err)
{
    unsigned known = CBD_SHIM_PMEM_READONLY | CBD_SHIM_PMEM_CREATE | CBD_SHIM_PMEM_GUARD_SIGBUS;

    if (flags & ~known)
        return shim_fail(err, CBD_E_INVALID, 0, path, "flags: got %#x, limit %#x", flags, known);
    if (!(flags & CBD_SHIM_PMEM_CREATE))
        return 0;
    if (flags & CBD_SHIM_PMEM_READONLY)
        return shim_fail(err, CBD_E_INVALID, 0, path, "a new file cannot be read-only");
    if (size_bytes == 0 || size_bytes % MAP_UNIT_BYTES != 0 || size_bytes > INT64_MAX)
        return shim_fail(err, CBD_E_INVALID, 0, path,
                         "size of the new file: got %llu bytes, limit a multiple of %u",
                         (unsigned long long)size_bytes, MAP_UNIT_BYTES);
    return 0;
}

int cbd_shim_pmem_open(const char *path, unsigned flags, uint64_t size_bytes, struct cbd_pmem **pm,
                       struct cbd_shim_error *err)
{
    bool create = (flags & CBD_SHIM_PMEM_CREATE) != 0;
    struct shim_file file;
    struct shim_pmem *s;
    int error = check_arguments(path, flags, size_bytes, err);

    *pm = NULL;
    if (error != 0)
        return error;
    if ((flags & CBD_SHIM_PMEM_GUARD_SIGBUS) && sigbus_guard_install() != 0)
        return shim_fail(err, CBD_E_SYSTEM, 0, path, "no handler for SIGBUS can be installed");
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return shim_fail(err, CBD_E_NOMEM, ENOMEM, path, "no memory");
    s->readonly = (flags & CBD_SHIM_PMEM_READONLY) != 0;
    s->guard = (flags & CBD_SHIM_PMEM_GUARD_SIGBUS) != 0;
    error = create
                ? shim_file_create(path, size_bytes, &file, err)
                : shim_file_open(path, s->readonly,
                                 SHIM_FILE_REGULAR | SHIM_FILE_BLOCK | SHIM_FILE_CHAR, &file, err);
    if (error != 0) {
        free(s);
        return error;
    }
    s->fd = file.fd;
    error = map_file(s, &file, size_bytes, path, err);
    if (error != 0) {
        if (create)
            unlink(path);
        s->pm.ops = NULL; /* page_sync_open() cleaned up after itself */
        unmap(s);
        close(s->fd);
        free(s);
        return error;
    }
    s->range.from = (uintptr_t)s->base;
    s->range.to = s->range.from + s->pm.size_bytes;
    if (s->guard && !s->readonly)
        (void)sigbus_watch(&s->range);
    shim_no_error(err);
    *pm = &s->pm;
    return 0;
}

void cbd_shim_pmem_close(struct cbd_pmem *pm)
{
    struct shim_pmem *s = (struct shim_pmem *)(void *)pm;

    if (s == NULL)
        return;
    sigbus_unwatch(&s->range);
    unmap(s);
    close(s->fd);
    free(s);
}

enum cbd_shim_pmem_kind cbd_shim_pmem_kind(const struct cbd_pmem *pm)
{
    return ((const struct shim_pmem *)(const void *)pm)->kind;
}

void cbd_shim_pmem_bad_blocks(const struct cbd_pmem *pm, struct cbd_shim_bad_blocks *bad)
{
    const struct shim_pmem *s = (const struct shim_pmem *)(const void *)pm;

    bad->count = s->bad.count;
    bad->bytes = s->bad.bytes;
}

const char *cbd_shim_pmem_advice(const struct cbd_pmem *pm)
{
    if (cbd_shim_pmem_kind(pm) == CBD_SHIM_PMEM_BLOCK)
        return "a block device is mapped through the page cache and each persist is an msync; "
               "devdax or fsdax is faster";
    if (pm->granularity_bytes == 4096)
        return "this file is mapped through the page cache and each persist is an msync; "
               "devdax, or a file on fsdax, is faster";
    return NULL;
}
