/* SPDX-License-Identifier: BSD-2-Clause */
/* The rig: a file as persistent memory, a disk that costs nothing, one cache between them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "cbd/shim/env.h"
#include "cbd/shim/pmem.h"
#include "tool_exit.h"
#include "tool_message.h"

/* A cached block takes its data, a header and a record. */
#define FOOTPRINT_BYTES (BENCH_BLOCK_BYTES + 64u + 64u)
#define STREAMS 4u
#define DISK_BLOCKS_PER_CACHED 4u
#define INDEX_BYTES_PER_BLOCK 37u /* docs/performance.md */

/* Completes inside submit(). Reads are zeroes, and nothing else is kept. */
static void null_submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    (void)disk;
    if (io->op == CBD_DISK_READ)
        memset(io->buf, 0, io->len_bytes);
    io->done(io, 0);
}

static const struct cbd_disk_ops null_ops = {.submit = null_submit};

void bench_must(int error, const char *what)
{
    if (error == 0)
        return;
    cbd_tool_error_code(NULL, what, error);
    exit(CBD_EXIT_OPERATIONAL);
}

static void must_shim(int error, const struct cbd_shim_error *err)
{
    if (error == 0)
        return;
    cbd_tool_error(NULL, "%s", err->text);
    exit(CBD_EXIT_OPERATIONAL);
}

static void print_report(void *arg, const struct cbd_report *report)
{
    (void)arg;
    cbd_tool_report(NULL, report);
}

/* Segments in front go to the backend, one in sixteen behind them to the floors. */
static void divide(struct bench_rig *rig, const struct bench_options *options)
{
    struct cbd_geometry geo;
    uint64_t segments, floors, per_segment, fits;

    bench_must(cbd_geometry_plan(&geo, rig->pm->size_bytes, 0), "layout");
    floors = geo.segment_count / 16 + 1;
    segments = geo.segment_count - floors;
    per_segment = geo.segment_bytes / FOOTPRINT_BYTES;
    /* Every stream may leave one segment open, once before and once after the recovery. */
    if (segments < 4 * STREAMS)
        bench_must(CBD_E_NOSPACE, "the file is too small");
    fits = (segments - 2 * STREAMS) * per_segment;
    rig->blocks = fits / 4 * 3;
    if (rig->blocks > options->blocks_max)
        rig->blocks = options->blocks_max;
    rig->spare = fits - rig->blocks;
    rig->share_bytes = segments * geo.segment_bytes;
    rig->data_off = geo.data_off;
    rig->floor_off = geo.data_off + rig->share_bytes;
    rig->floor_bytes = floors * geo.segment_bytes;
    while (UINT64_C(1) << rig->disk_bits < DISK_BLOCKS_PER_CACHED * rig->blocks)
        rig->disk_bits++;
}

static const uint8_t *make_source(void)
{
    uint64_t words = BENCH_SOURCES * BENCH_BLOCK_BYTES / sizeof(uint64_t);
    uint64_t *src = aligned_alloc(BENCH_BLOCK_BYTES, words * sizeof(uint64_t));

    if (src == NULL)
        bench_must(CBD_E_NOMEM, "source of the writes");
    for (uint64_t i = 0; i < words; i++)
        src[i] = bench_random(1, i, UINT64_MAX);
    return (const uint8_t *)src;
}

/* In huge pages, as the index is. */
static void make_lines(struct bench_rig *rig)
{
    uint64_t bytes = rig->blocks * INDEX_BYTES_PER_BLOCK / 64 * 64 + 64;
    void *lines = rig->env->ops->alloc(rig->env, bytes);

    if (lines == NULL)
        bench_must(CBD_E_NOMEM, "lines to look up in");
    memset(lines, 0, bytes);
    rig->lines = lines;
    rig->line_count = bytes / 64;
}

void bench_rig_open(struct bench_rig *rig, const struct bench_options *options)
{
    struct cbd_shim_error err;

    memset(rig, 0, sizeof(*rig));
    if (setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1) != 0)
        bench_must(CBD_E_SYSTEM, "PMEM2_FORCE_GRANULARITY");
    must_shim(cbd_shim_env_open(print_report, NULL, &rig->env, &err), &err);
    must_shim(cbd_shim_pmem_open(options->path, CBD_SHIM_PMEM_CREATE | CBD_SHIM_PMEM_GUARD_SIGBUS,
                                 options->size_bytes, &rig->pm, &err),
              &err);
    unlink(options->path); /* nothing is left behind, whatever ends the program */
    divide(rig, options);
    /* Every page is there and mapped before anything is timed. */
    rig->pm->ops->set(rig->pm, 0, 0, rig->pm->size_bytes, CBD_PMEM_NT, CBD_STEP_NONE);
    bench_must(rig->pm->ops->fence(rig->pm, CBD_STEP_NONE), "fence");
    rig->src = make_source();
    make_lines(rig);
    rig->disk = (struct cbd_disk){
        .ops = &null_ops,
        .size_bytes = (uint64_t)BENCH_BLOCK_BYTES << rig->disk_bits,
        .logical_block_bytes = BENCH_BLOCK_BYTES,
    };
}

void bench_rig_close(struct bench_rig *rig)
{
    free((void *)(uintptr_t)rig->src);
    rig->env->ops->free(rig->env, (void *)(uintptr_t)rig->lines, rig->line_count * 64);
    cbd_shim_pmem_close(rig->pm);
    cbd_shim_env_close(rig->env);
}

void bench_rig_start(struct bench_rig *rig, bool checksums)
{
    struct cbd_format_options format = {.uuid = {1}, .salt = 1, .no_data_checksum = !checksums};
    struct cbd_backend_options add = {
        .uuid = {2},
        .name = "bench",
        .size_bytes = rig->disk.size_bytes,
        .logical_block_bytes = BENCH_BLOCK_BYTES,
        .cache_bytes = rig->share_bytes,
        .streams = STREAMS,
    };
    struct cbd_geometry geo;

    bench_must(cbd_format(rig->pm, rig->env, &format, &geo), "format");
    bench_must(cbd_cache_open(rig->pm, rig->env, 0, &rig->cache), "open");
    bench_must(cbd_backend_add(rig->cache, &add, &rig->id), "add");
    bench_must(cbd_backend_attach(rig->cache, rig->id, &rig->disk, NULL, &rig->backend), "attach");
}

void bench_rig_stop(struct bench_rig *rig)
{
    cbd_backend_abandon(rig->backend);
    cbd_cache_close(rig->cache);
    rig->backend = NULL;
    rig->cache = NULL;
}

void bench_rig_recover(struct bench_rig *rig, uint64_t *cpu_ns, uint64_t *wall_ns)
{
    uint64_t start_cpu_ns, start_wall_ns;

    bench_rig_stop(rig);
    bench_must(cbd_cache_open(rig->pm, rig->env, 0, &rig->cache), "open");
    start_cpu_ns = bench_cpu_ns();
    start_wall_ns = bench_wall_ns();
    bench_must(cbd_backend_attach(rig->cache, rig->id, &rig->disk, NULL, &rig->backend), "attach");
    *cpu_ns = bench_cpu_ns() - start_cpu_ns;
    *wall_ns = bench_wall_ns() - start_wall_ns;
}

uint64_t bench_rig_address(const struct bench_rig *rig, uint64_t n)
{
    uint64_t mask = (UINT64_C(1) << rig->disk_bits) - 1;
    unsigned half = (rig->disk_bits + 1) / 2;

    /* Each step can be undone within disk_bits bits, so no two n meet. */
    n = (n * UINT64_C(0x9e3779b97f4a7c15) + 1) & mask;
    n ^= n >> half;
    n = n * UINT64_C(0xbf58476d1ce4e5b9) & mask;
    n ^= n >> half;
    n = n * UINT64_C(0x94d049bb133111eb) & mask;
    return n * BENCH_BLOCK_BYTES;
}
