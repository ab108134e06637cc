/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Space and zeroes before a format. A store to a hole of a sparse file kills the process when the
 * file system is full; therefore everything that format stores to is allocated before.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format_tool.h"
#include "tool_exit.h"
#include "tool_message.h"

#define CHUNK_BYTES (UINT64_C(1) << 20)

static int fail(const struct arguments *a, const char *what, int error)
{
    char text[128];

    cbd_tool_error(a->path, "%s: %s", what, strerror_r(error, text, sizeof(text)));
    return CBD_EXIT_OPERATIONAL;
}

/* Filesystems that cannot allocate have no holes to fill either, as far as anybody can tell. */
static int allocate(int fd, uint64_t off, uint64_t len)
{
    if (fallocate(fd, 0, (off_t)off, (off_t)len) == 0 || errno == EOPNOTSUPP)
        return 0;
    return errno;
}

/*
 * The superblocks go first and durably: a crash while the rest is zeroed must not leave a cache
 * that looks whole.
 */
static int wipe_supers(const struct cbd_tool_device *device)
{
    struct cbd_pmem *pm = device->pm;
    struct cbd_super old;
    uint64_t places[4] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, pm->size_bytes - CBD_PAGE_BYTES, 0};
    uint32_t bad;

    if (cbd_super_read(pm, device->env, &old, &bad) == 0)
        places[3] = old.geo.super2_off;
    for (size_t i = 0; i < 4; i++)
        if (places[i] != 0)
            pm->ops->set(pm, places[i], 0, CBD_PAGE_BYTES, CBD_PMEM_NT, CBD_STEP_NONE);
    return pm->ops->fence(pm, CBD_STEP_NONE);
}

static int wipe_all(const struct cbd_tool_device *device)
{
    struct cbd_pmem *pm = device->pm;
    int error = wipe_supers(device);

    for (uint64_t off = 0; off < pm->size_bytes && error == 0; off += CHUNK_BYTES) {
        uint64_t left = pm->size_bytes - off;

        pm->ops->set(pm, off, 0, left < CHUNK_BYTES ? left : CHUNK_BYTES, CBD_PMEM_NT,
                     CBD_STEP_NONE);
        error = pm->ops->fence(pm, CBD_STEP_NONE);
    }
    return error;
}

static int allocate_metadata(int fd, const struct cbd_geometry *geo)
{
    int error = allocate(fd, 0, geo->data_off);

    return error != 0 ? error : allocate(fd, geo->super2_off, CBD_PAGE_BYTES);
}

/* The bytes behind the last whole page, which is where the mapping ends. */
static int wipe_tail(const struct cbd_tool_device *device, int fd, uint64_t file_bytes)
{
    static const uint8_t zeroes[CBD_PAGE_BYTES];
    size_t len = (size_t)(file_bytes - device->pm->size_bytes);

    if (pwrite(fd, zeroes, len, (off_t)device->pm->size_bytes) != (ssize_t)len)
        return CBD_E_IO;
    return 0;
}

/* A dense file stays dense and a sparse one sparse. */
static int wipe_file(const struct arguments *a, const struct cbd_tool_device *device, int fd,
                     const struct stat *st)
{
    int error;

    if ((uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size && wipe_supers(device) == 0 &&
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st->st_size) == 0)
        return 0;
    error = allocate(fd, 0, (uint64_t)st->st_size);
    if (error != 0)
        return fail(a, "no space", error);
    if (wipe_all(device) == 0 && wipe_tail(device, fd, (uint64_t)st->st_size) == 0)
        return 0;
    cbd_tool_error_code(a->path, "cannot be zeroed", CBD_E_IO);
    return CBD_EXIT_OPERATIONAL;
}

static int prepare_file(const struct arguments *a, const struct cbd_tool_device *device, int fd,
                        const struct cbd_geometry *geo, bool wipe)
{
    struct stat st;
    int error, code;

    if (fstat(fd, &st) != 0)
        return fail(a, "cannot be examined", errno);
    error = allocate_metadata(fd, geo);
    if (error == 0 && wipe) {
        code = wipe_file(a, device, fd, &st);
        if (code != 0)
            return code;
        error = allocate_metadata(fd, geo); /* the hole may have taken it away again */
    }
    return error != 0 ? fail(a, "no space for superblocks and tables", error) : 0;
}

int format_prepare(const struct arguments *a, const struct cbd_tool_device *device,
                   const struct cbd_geometry *geo, bool wipe)
{
    int fd, code;

    if (a->create_bytes != 0)
        return 0; /* new files are dense and zero */
    if (cbd_shim_pmem_kind(device->pm) != CBD_SHIM_PMEM_FILE) {
        if (!wipe || wipe_all(device) == 0)
            return 0;
        cbd_tool_error_code(a->path, "cannot be zeroed", CBD_E_IO);
        return CBD_EXIT_OPERATIONAL;
    }
    fd = open(a->path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail(a, "cannot be opened", errno);
    code = prepare_file(a, device, fd, geo, wipe);
    close(fd);
    return code;
}
