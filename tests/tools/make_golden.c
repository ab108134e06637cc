/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_golden DEVICE BACKEND SEED COUNT WANT: COUNT requests of all kinds and sizes, with flushes,
 * reads that fill the cache, and some write-back in between, then the end as if the process had
 * died. What the backend reads as then goes into the file WANT. A function of the arguments only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbd/cache.h"
#include "cbd/shim/disk.h"
#include "tool_device.h"

#define LEN_MAX 65536u

struct life {
    struct cbd_backend *b;
    struct cbd_backend_info info;
    uint8_t *want;
    uint64_t random;
    uint8_t buf[LEN_MAX];
};

static int fail(const char *what, int error)
{
    fprintf(stderr, "make_golden: %s: %s\n", what, cbd_error_sentence(error));
    return 1;
}

static uint64_t draw(struct life *l, uint64_t bound)
{
    l->random = l->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (l->random >> 33) % bound;
}

/* Blocks of one byte: what a golden image holds must compress well. */
static int write_some(struct life *l, uint64_t off, uint64_t len)
{
    uint32_t lbs = l->info.logical_block_bytes;
    int error;

    for (uint64_t at = 0; at < len; at += lbs)
        memset(l->buf + at, (int)draw(l, 256), lbs);
    error = cbd_write(l->b, 0, off, l->buf, len, draw(l, 8) == 0 ? CBD_WRITE_FUA : 0);
    if (error == 0)
        memcpy(l->want + off, l->buf, len);
    return error;
}

static int zero_some(struct life *l, uint64_t off, uint64_t len)
{
    int error = cbd_zero(l->b, 0, off, len, draw(l, 2) == 0 ? CBD_WRITE_PUNCH : 0);

    if (error == 0)
        memset(l->want + off, 0, len);
    return error;
}

/* Nothing runs beside this program: it makes room itself, when it has to. */
static int make_room(struct life *l)
{
    struct cbd_stats stats;
    int did = 1;

    cbd_backend_stats(l->b, &stats);
    if (stats.segments_free > 3)
        return 0;
    cbd_backend_drain(l->b, true);
    while (did > 0)
        did = cbd_backend_step(l->b, CBD_WORK_WRITEBACK);
    cbd_backend_drain(l->b, false);
    for (cbd_backend_stats(l->b, &stats); did >= 0 && stats.segments_free <= 3;
         cbd_backend_stats(l->b, &stats)) {
        did = cbd_backend_step(l->b, CBD_WORK_RECLAIM);
        if (did == 0)
            break;
    }
    return did < 0 ? did : 0;
}

static int one_request(struct life *l)
{
    uint64_t lbs = l->info.logical_block_bytes;
    uint64_t blocks = l->info.size_bytes / lbs, n = 1 + draw(l, LEN_MAX / lbs);
    uint64_t first, kind = draw(l, 100);
    int did = 1;

    n = draw(l, 4) != 0 && n > 8 ? n % 8 + 1 : n;
    first = draw(l, blocks - n);
    if (kind < 60)
        return write_some(l, first * lbs, n * lbs);
    if (kind < 68)
        return zero_some(l, first * lbs, n * lbs);
    if (kind < 85)
        return cbd_read(l->b, 0, first * lbs, l->buf, n * lbs);
    if (kind < 95)
        return cbd_flush(l->b, 0);
    for (uint64_t steps = draw(l, 6); steps > 0 && did > 0; steps--)
        did = cbd_backend_step(l->b, CBD_WORK_WRITEBACK);
    return did < 0 ? did : 0;
}

static int live(struct life *l, uint64_t count, const char *want_path)
{
    int error = cbd_read(l->b, 0, 0, l->buf, LEN_MAX);
    FILE *f;

    for (uint64_t at = 0; at < l->info.size_bytes && error == 0; at += LEN_MAX) {
        error = cbd_read(l->b, 0, at, l->buf, LEN_MAX);
        memcpy(l->want + at, l->buf, LEN_MAX);
    }
    for (uint64_t i = 0; i < count && error == 0; i++)
        if ((error = make_room(l)) == 0)
            error = one_request(l);
    if (error != 0)
        return fail("request", error);
    f = fopen(want_path, "wb");
    if (f == NULL || fwrite(l->want, 1, l->info.size_bytes, f) != l->info.size_bytes ||
        fclose(f) != 0)
        return fail(want_path, CBD_E_SYSTEM);
    return 0;
}

int main(int argc, char **argv)
{
    struct cbd_attach_options options = {.dirty_start_percent = 100};
    struct cbd_shim_disk_options disk_options = {0};
    static struct life l;
    struct cbd_tool_device device;
    struct cbd_cache *cache;
    struct cbd_disk *disk;
    uint32_t id;
    int error, code;

    if (argc != 6)
        return 2;
    l.random = strtoull(argv[3], NULL, 10);
    if (cbd_tool_device_open(&device, argv[1], 0, 0) != 0)
        return 1;
    error = cbd_cache_open(device.pm, device.env, 0, &cache);
    if (error == 0)
        error = cbd_backend_lookup(cache, argv[2], &id);
    if (error != 0 || !cbd_backend_info(cache, id, &l.info) || l.info.size_bytes % LEN_MAX != 0)
        return fail("open", error);
    disk_options.logical_block_bytes = l.info.logical_block_bytes;
    error = cbd_shim_disk_open(l.info.path, &disk_options, &disk, NULL);
    if (error == 0)
        error = cbd_backend_attach(cache, id, disk, &options, &l.b);
    l.want = malloc(l.info.size_bytes);
    if (error != 0 || l.want == NULL)
        return fail("attach", error);
    code = live(&l, strtoull(argv[4], NULL, 10), argv[5]);
    cbd_backend_abandon(l.b);
    cbd_cache_close(cache);
    cbd_shim_disk_close(disk);
    cbd_tool_device_close(&device);
    free(l.want);
    return code;
}
