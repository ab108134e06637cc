/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_dirty DEVICE BACKEND COUNT: writes COUNT blocks of 4 KiB, block i at 4096 * i and full of
 * the byte 1 + i % 255, zeroes block COUNT, and ends as if the power had failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbd/cache.h"
#include "cbd/shim/disk.h"
#include "tool_device.h"

static int fail(const char *what, int error)
{
    fprintf(stderr, "make_dirty: %s: %s\n", what, cbd_error_sentence(error));
    return 1;
}

int main(int argc, char **argv)
{
    struct cbd_attach_options options = {.dirty_start_percent = 100};
    struct cbd_shim_disk_options disk_options = {0};
    struct cbd_tool_device device;
    struct cbd_backend_info info;
    struct cbd_cache *cache;
    struct cbd_backend *backend;
    struct cbd_disk *disk;
    uint8_t block[4096];
    uint64_t count;
    uint32_t id;
    int error;

    if (argc != 4)
        return 2;
    count = strtoull(argv[3], NULL, 10);
    if (cbd_tool_device_open(&device, argv[1], 0, 0) != 0)
        return 1;
    error = cbd_cache_open(device.pm, device.env, 0, &cache);
    if (error == 0)
        error = cbd_backend_lookup(cache, argv[2], &id);
    if (error != 0 || !cbd_backend_info(cache, id, &info))
        return fail("open", error);
    disk_options.logical_block_bytes = info.logical_block_bytes;
    error = cbd_shim_disk_open(info.path, &disk_options, &disk, NULL);
    if (error == 0)
        error = cbd_backend_attach(cache, id, disk, &options, &backend);
    for (uint64_t i = 0; i < count && error == 0; i++) {
        memset(block, (int)(1 + i % 255), sizeof(block));
        error = cbd_write(backend, 0, i * sizeof(block), block, sizeof(block), 0);
    }
    if (error == 0)
        error = cbd_zero(backend, 0, count * sizeof(block), sizeof(block), 0);
    if (error != 0)
        return fail("write", error);
    cbd_backend_abandon(backend);
    cbd_cache_close(cache);
    cbd_shim_disk_close(disk);
    cbd_tool_device_close(&device);
    return 0;
}
