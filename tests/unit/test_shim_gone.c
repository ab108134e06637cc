/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=60 */
/*
 * The mapped file is cut short under a cache that is in use: each way in which core/ reads and
 * stores gives an error, and nobody dies. A single page is taken away by mapping a page of an empty
 * file over it, which faults as the end of a file does.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "cbd/cache.h"
#include "cbd/check.h"
#include "cbd/shim/env.h"
#include "cbd/shim/pmem.h"
#include "media.h"

#define DISK_BYTES (UINT64_C(8) << 20)
#define SEGMENT_BYTES 1048576u

struct fixture {
    struct cbd_disk disk; /* first */
    uint8_t *store;
    struct cbd_pmem *pm;
    struct cbd_env *env;
    struct cbd_cache *cache;
    struct cbd_backend *b;
    struct cbd_geometry geo;
    char path[64];
    int empty_fd;
    uint8_t buf[1u << 20];
};

static struct fixture *f;

static void submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    (void)disk;
    if (io->op == CBD_DISK_READ)
        memcpy(io->buf, f->store + io->off_bytes, io->len_bytes);
    else if (io->op == CBD_DISK_WRITE)
        memcpy(f->store + io->off_bytes, io->buf, io->len_bytes);
    else if (io->op != CBD_DISK_FLUSH)
        memset(f->store + io->off_bytes, 0, io->len_bytes);
    io->done(io, 0);
}

static const struct cbd_disk_ops disk_ops = {.submit = submit};

static int attach(void)
{
    int error = 0;

    if (f->cache == NULL)
        error = cbd_cache_open(f->pm, f->env, 0, &f->cache);
    return error != 0 ? error : cbd_backend_attach(f->cache, 0, &f->disk, NULL, &f->b);
}

static void stop(void)
{
    if (f->b != NULL)
        cbd_backend_abandon(f->b);
    f->b = NULL;
    if (f->cache != NULL)
        cbd_cache_close(f->cache);
    f->cache = NULL;
}

static void setup(void)
{
    struct cbd_format_options format = {.segment_bytes = SEGMENT_BYTES, .salt = 7};
    struct cbd_backend_options add = {.name = "b",
                                      .size_bytes = DISK_BYTES,
                                      .logical_block_bytes = 512,
                                      .cache_bytes = 16u << 20,
                                      .streams = 1};
    char empty[] = "/tmp/cbd-test-empty-XXXXXX";
    uint32_t id;

    setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1);
    f = calloc(1, sizeof(*f));
    f->disk =
        (struct cbd_disk){.ops = &disk_ops, .size_bytes = DISK_BYTES, .logical_block_bytes = 512};
    f->store = calloc(1, DISK_BYTES);
    snprintf(f->path, sizeof(f->path), "/tmp/cbd-test-gone-%ld", (long)getpid());
    f->empty_fd = mkstemp(empty);
    unlink(empty);
    assert_int_equal(cbd_shim_env_open(NULL, NULL, &f->env, NULL), 0);
    assert_int_equal(cbd_shim_pmem_open(f->path, CBD_SHIM_PMEM_CREATE | CBD_SHIM_PMEM_GUARD_SIGBUS,
                                        UINT64_C(32) << 20, &f->pm, NULL),
                     0);
    assert_int_equal(cbd_format(f->pm, f->env, &format, &f->geo), 0);
    assert_int_equal(cbd_cache_open(f->pm, f->env, 0, &f->cache), 0);
    assert_int_equal(cbd_backend_add(f->cache, &add, &id), 0);
    assert_int_equal(attach(), 0);
}

static void teardown(void)
{
    stop();
    cbd_shim_pmem_close(f->pm);
    cbd_shim_env_close(f->env);
    close(f->empty_fd);
    unlink(f->path);
    free(f->store);
    free(f);
    unsetenv("PMEM2_FORCE_GRANULARITY");
}

static int write_at(uint64_t off, uint64_t len, unsigned flags)
{
    memset(f->buf, (int)(off / 4096 + 1), len);
    return cbd_write(f->b, 0, off, f->buf, len, flags);
}

static void take_page(uint64_t off)
{
    void *page = (void *)(uintptr_t)(f->pm->base + off / 4096 * 4096);

    assert_ptr_equal(
        mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f->empty_fd, 0), page);
}

/* The only open segment: the first one that was given out. */
static uint64_t open_segment(void)
{
    for (uint32_t id = 0; id < f->geo.segment_count; id++) {
        struct cbd_m_segment m;

        memcpy(&m, f->pm->base + f->geo.table_a_off + cbd_place_segment(id), sizeof(m));
        if (m.status == CBD_M_SEGMENT_OPEN)
            return cbd_segment_off(&f->geo, id);
    }
    fail();
    return 0;
}

static int drain(void)
{
    int did = 1;

    cbd_backend_drain(f->b, true);
    for (int i = 0; i < 100 && did > 0; i++)
        did = cbd_backend_step(f->b, CBD_WORK_WRITEBACK);
    return did;
}

static void reads_and_write_back(void)
{
    uint64_t segment;

    assert_int_equal(write_at(0, 4096, 0), 0); /* the next header is in the second page */
    assert_int_equal(write_at(65536, 65536, 0), 0);
    assert_int_equal(write_at(262144, 8192, 0), 0);
    segment = open_segment();
    take_page(segment + 4096 * 8); /* data */
    assert_int_equal(cbd_read(f->b, 0, 65536, f->buf, 65536), CBD_E_MEDIA);
    assert_int_equal(cbd_read(f->b, 0, 65536, f->buf, 4096), 0);
    assert_int_equal(cbd_read(f->b, 0, 262144, f->buf, 8192), 0);
    assert_int_equal(drain(), CBD_E_MEDIA);
    take_page(segment + 4096); /* the header and lines of the second */
    assert_int_equal(cbd_read(f->b, 0, 65536, f->buf, 4096), CBD_E_MEDIA);
    take_page(segment); /* and of the first */
    assert_int_equal(cbd_read(f->b, 0, 0, f->buf, 512), CBD_E_MEDIA);
    take_page(segment + SEGMENT_BYTES - 4096); /* records: what write-back reads */
    assert_int_equal(drain(), CBD_E_MEDIA);
    assert_int_equal(cbd_read(f->b, 0, 262144, f->buf, 8192), 0);
}

static void attach_and_check(void)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS |
                                                 CBD_CHECK_ORDERS | CBD_CHECK_DATA};
    struct cbd_check_summary sum;
    struct cbd_stats stats;
    uint64_t segment;

    assert_int_equal(write_at(0, 65536, 0), 0);
    assert_int_equal(write_at(65536, 65536, 0), 0);
    segment = open_segment();
    stop();
    take_page(segment + 4096 * 4);
    assert_int_equal(attach(), 0);
    assert_int_equal(cbd_read(f->b, 0, 0, f->buf, 65536), CBD_E_MEDIA);
    assert_int_equal(cbd_read(f->b, 0, 65536, f->buf, 65536), 0);
    stop();
    assert_int_equal(cbd_check_run(f->pm, f->env, &options, NULL, NULL, &sum), 0);
    assert_true(sum.errors > 0);
    take_page(segment + SEGMENT_BYTES - 4096); /* the records: which there were is not known */
    assert_int_equal(attach(), 0);
    cbd_backend_stats(f->b, &stats);
    assert_true(stats.degraded);
    stop();
    assert_int_equal(cbd_check_run(f->pm, f->env, &options, NULL, NULL, &sum), 0);
    assert_true(sum.errors > 0);
}

/* Reclaim reads records of closed segments again. */
static void reclaim(void)
{
    int did = 0;
    uint64_t segment;

    assert_int_equal(write_at(0, 4096, 0), 0);
    segment = open_segment();
    for (uint64_t i = 0; i < 13; i++)
        for (uint64_t off = 0; off < 1u << 20; off += 262144)
            assert_int_equal(write_at((i % 8 << 20) + off, 262144, 0), 0);
    assert_int_equal(drain(), 0);
    take_page(segment + SEGMENT_BYTES - 4096);
    for (int i = 0; i < 20 && did >= 0; i++) {
        did = cbd_backend_step(f->b, CBD_WORK_RECLAIM);
        if (did == 0 && cbd_write(f->b, 0, 0, f->buf, 262144, 0) != 0)
            break;
    }
    assert_int_equal(did, CBD_E_MEDIA);
}

/* A store that finds nothing to store to: the fence says so, and the cache stores nothing more. */
static void stores(void)
{
    uint64_t segment;

    assert_int_equal(write_at(0, 4096, 0), 0);
    segment = open_segment();
    take_page(segment + 8192);
    assert_int_equal(write_at(4096, 65536, 0), CBD_E_IO);
    assert_int_equal(write_at(1u << 20, 4096, 0), CBD_E_IO);
    assert_int_equal(cbd_read(f->b, 0, 0, f->buf, 4096), 0);
    assert_int_equal(cbd_backend_detach(f->b), CBD_E_IO);
}

static void a_real_cut(void)
{
    for (uint64_t i = 0; i < 12; i++)
        assert_int_equal(write_at(i * 65536, 65536, 0), 0);
    assert_int_equal(truncate(f->path, (off_t)open_segment() + 200000), 0);
    for (uint64_t i = 0; i < 12; i++) {
        int error = cbd_read(f->b, 0, i * 65536, f->buf, 65536);

        assert_true(error == 0 || error == CBD_E_MEDIA);
    }
    assert_int_equal(cbd_read(f->b, 0, 0, f->buf, 65536), 0);
    assert_int_equal(drain(), CBD_E_MEDIA);
    assert_int_equal(write_at(0, 65536, 0), CBD_E_IO);
    stop();
    assert_int_not_equal(attach(), 0);
}

/* One test: cmocka puts its own handler of SIGBUS over ours at the start of each. */
static void memory_that_is_gone_is_an_error(void **state)
{
    void (*const parts[])(void) = {reads_and_write_back, attach_and_check, reclaim, stores,
                                   a_real_cut};

    (void)state;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        setup();
        parts[i]();
        teardown();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_gone_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
