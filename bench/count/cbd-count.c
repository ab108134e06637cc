/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fixed mix of operations for callgrind: bench/instructions runs it and compares what each
 * operation takes. Everything but the core is as plain as can be: memory for pmem, a disk that
 * keeps nothing. Without callgrind it only shows that the mix runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbd/cache.h"
#include "plain_pmem.h"

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define HAVE_CALLGRIND 1
#endif
#endif
#ifndef HAVE_CALLGRIND
#define HAVE_CALLGRIND 0
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

#define PMEM_BYTES (UINT64_C(192) << 20)
#define BLOCK_BYTES 4096u
#define BLOCKS 8192u /* written first, then again, then as many others are filled by reads */
#define DISK_BLOCKS (4 * BLOCKS)

static uint8_t *memory;
static uint8_t block[BLOCK_BYTES];

static void must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "cbd-count: %s: error %d\n", what, error);
    exit(1);
}

static void *env_alloc(struct cbd_env *env, size_t len_bytes)
{
    (void)env;
    return aligned_alloc(64, (len_bytes + 64) / 64 * 64);
}

static void env_free(struct cbd_env *env, void *p, size_t len_bytes)
{
    (void)env;
    (void)len_bytes;
    free(p);
}

static uint64_t env_count(struct cbd_env *env)
{
    (void)env;
    return 1;
}

static void env_report(struct cbd_env *env, const struct cbd_report *report)
{
    (void)env;
    (void)report;
}

static int env_wait(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    (void)env;
    (void)timeout_ns;
    return ready(arg) ? 0 : CBD_E_TIMEDOUT;
}

static void env_wake(struct cbd_env *env)
{
    (void)env;
}

static const struct cbd_env_ops env_ops = {
    .alloc = env_alloc,
    .free = env_free,
    .now_ns = env_count,
    .random = env_count,
    .report = env_report,
    .wait = env_wait,
    .wake = env_wake,
};

static void disk_submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    (void)disk;
    if (io->op == CBD_DISK_READ)
        memset(io->buf, 0, io->len_bytes);
    io->done(io, 0);
}

static const struct cbd_disk_ops disk_ops = {.submit = disk_submit};

/* Distinct for all n < DISK_BLOCKS. */
static uint64_t address(uint64_t n)
{
    return n * 2654435761u % DISK_BLOCKS * BLOCK_BYTES;
}

struct part {
    const char *name;
    unsigned operations;
};

enum { WRITE_FIRST, WRITE, READ, FILL, FLUSH, RECOVER };

static const struct part parts[] = {
    [WRITE_FIRST] = {"write_first", BLOCKS},
    [WRITE] = {"write", BLOCKS},
    [READ] = {"read", BLOCKS},
    [FILL] = {"fill", BLOCKS},
    [FLUSH] = {"flush", BLOCKS},
    [RECOVER] = {"recover", 3 * BLOCKS},
};

static void dump(unsigned part, bool crc)
{
    char text[64];

    snprintf(text, sizeof(text), "%s%s %u", parts[part].name, crc ? "_crc" : "",
             parts[part].operations);
    CALLGRIND_DUMP_STATS_AT(text);
    CALLGRIND_ZERO_STATS;
}

static void attach(struct cbd_cache *cache, struct cbd_disk *disk, struct cbd_backend **b)
{
    must(cbd_backend_attach(cache, 0, disk, NULL, b), "attach");
}

static void run(bool crc)
{
    struct cbd_pmem pm = plain_pmem(memory, PMEM_BYTES);
    struct cbd_env env = {.ops = &env_ops};
    struct cbd_disk disk = {.ops = &disk_ops,
                            .size_bytes = DISK_BLOCKS * BLOCK_BYTES,
                            .logical_block_bytes = BLOCK_BYTES};
    struct cbd_format_options format = {.uuid = {1}, .salt = 1, .no_data_checksum = !crc};
    struct cbd_backend_options add = {.uuid = {2},
                                      .name = "count",
                                      .size_bytes = disk.size_bytes,
                                      .logical_block_bytes = BLOCK_BYTES,
                                      .cache_bytes = PMEM_BYTES - (UINT64_C(2) << 20),
                                      .streams = 1};
    struct cbd_cache *cache;
    struct cbd_backend *b;
    struct cbd_geometry geo;
    uint32_t id;

    pm.granularity_bytes = CBD_LINE_BYTES;
    must(cbd_format(&pm, &env, &format, &geo), "format");
    must(cbd_cache_open(&pm, &env, 0, &cache), "open");
    add.cache_bytes = (uint64_t)(geo.segment_count - 1) * geo.segment_bytes;
    must(cbd_backend_add(cache, &add, &id), "add");
    attach(cache, &disk, &b);
    CALLGRIND_ZERO_STATS;
    for (unsigned n = 0; n < BLOCKS; n++)
        must(cbd_write(b, 0, address(n), block, BLOCK_BYTES, 0), "write");
    dump(WRITE_FIRST, crc);
    for (unsigned n = 0; n < BLOCKS; n++)
        must(cbd_write(b, 0, address(n * 7 % BLOCKS), block, BLOCK_BYTES, 0), "write");
    dump(WRITE, crc);
    for (unsigned n = 0; n < BLOCKS; n++)
        must(cbd_read(b, 0, address(n * 5 % BLOCKS), block, BLOCK_BYTES), "read");
    dump(READ, crc);
    for (unsigned n = 0; n < BLOCKS; n++)
        must(cbd_read(b, 0, address(BLOCKS + n), block, BLOCK_BYTES), "read");
    dump(FILL, crc);
    must(cbd_flush(b, 0), "flush");
    CALLGRIND_ZERO_STATS;
    for (unsigned n = 0; n < BLOCKS; n++)
        must(cbd_flush(b, 0), "flush");
    dump(FLUSH, crc);
    cbd_backend_abandon(b);
    CALLGRIND_ZERO_STATS;
    attach(cache, &disk, &b);
    dump(RECOVER, crc);
    cbd_backend_abandon(b);
    cbd_cache_close(cache);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--callgrind") == 0) {
        puts(HAVE_CALLGRIND ? "yes" : "no");
        return 0;
    }
    memory = aligned_alloc(4096, PMEM_BYTES);
    if (memory == NULL)
        must(CBD_E_NOMEM, "memory");
    memset(memory, 0, PMEM_BYTES);
    run(false);
    run(true);
    free(memory);
    return 0;
}
