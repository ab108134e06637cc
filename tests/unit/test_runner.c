/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: threads novalgrind timeout=120 */
/*
 * The background runner on real files and threads: writers on a cache a quarter of what they write,
 * write-back and reclaim in their threads. Run it under TSan.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cbd/cache.h"
#include "cbd/shim/disk.h"
#include "cbd/shim/env.h"
#include "cbd/shim/pmem.h"
#include "cbd/shim/runner.h"
#include "engine.h"

#define PMEM_BYTES (UINT64_C(5) << 20)
#define SHARE_BYTES (UINT64_C(2) << 20)
#define SEGMENT_BYTES 65536u
#define DISK_BYTES (UINT64_C(8) << 20)
#define BLOCK 4096u
#define BLOCKS ((unsigned)(DISK_BYTES / BLOCK))
#define WRITERS 4u
#define MS UINT64_C(1000000)

/* The disk of the files, with an answer that can be withheld. */
struct box {
    char dir[64], pmem_path[96], disk_path[96];
    struct cbd_env *env;
    struct cbd_pmem *pm;
    struct cbd_disk *file;
    struct cbd_disk disk; /* what the cache gets: passes requests on, or fails them */
    atomic_bool gone;
    struct cbd_cache *cache;
    struct cbd_backend *backend;
    struct cbd_shim_runner *runner;
    uint64_t newest[BLOCKS]; /* each block has one writer */
    atomic_uint errors;
    atomic_bool stop;
};

static struct box box;

static void submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    (void)disk;
    if (atomic_load(&box.gone))
        io->done(io, CBD_E_IO);
    else
        box.file->ops->submit(box.file, io);
}

static const struct cbd_disk_ops ops = {submit};

static void make_file(const char *path, uint64_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    close(fd);
}

static void begin(const struct cbd_attach_options *attach)
{
    struct cbd_shim_disk_options disk_options = {.threads = 2};
    struct cbd_format_options format = {.uuid = {1}, .segment_bytes = SEGMENT_BYTES, .salt = 3};
    struct cbd_backend_options add = {.name = "disk",
                                      .size_bytes = DISK_BYTES,
                                      .logical_block_bytes = 512,
                                      .cache_bytes = SHARE_BYTES,
                                      .streams = 4};
    struct cbd_shim_runner_options quick = {.retry_min_ns = MS, .retry_max_ns = 20 * MS};
    struct cbd_geometry geo;
    uint32_t id;

    memset(&box, 0, sizeof(box));
    setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1);
    snprintf(box.dir, sizeof(box.dir), "/tmp/cbd-test-runner-XXXXXX");
    assert_non_null(mkdtemp(box.dir));
    snprintf(box.pmem_path, sizeof(box.pmem_path), "%s/pmem", box.dir);
    snprintf(box.disk_path, sizeof(box.disk_path), "%s/disk", box.dir);
    make_file(box.pmem_path, PMEM_BYTES);
    make_file(box.disk_path, DISK_BYTES);
    assert_int_equal(cbd_shim_env_open(NULL, NULL, &box.env, NULL), 0);
    assert_int_equal(cbd_shim_pmem_open(box.pmem_path, 0, 0, &box.pm, NULL), 0);
    assert_int_equal(cbd_shim_disk_open(box.disk_path, &disk_options, &box.file, NULL), 0);
    box.disk = *box.file;
    box.disk.ops = &ops;
    assert_int_equal(cbd_format(box.pm, box.env, &format, &geo), 0);
    assert_int_equal(cbd_cache_open(box.pm, box.env, 0, &box.cache), 0);
    assert_int_equal(cbd_backend_add(box.cache, &add, &id), 0);
    assert_int_equal(cbd_backend_attach(box.cache, id, &box.disk, attach, &box.backend), 0);
    assert_int_equal(cbd_shim_runner_start(box.env, box.backend, &quick, &box.runner, NULL), 0);
}

static void fill_block(uint8_t *buf, unsigned block, uint64_t version)
{
    uint64_t word[2] = {block, version};

    for (unsigned i = 0; i < BLOCK; i += sizeof(word))
        memcpy(buf + i, word, sizeof(word));
}

/* Detaches, and the disk alone must hold the newest of every block. */
static void end(void)
{
    uint8_t want[BLOCK], got[BLOCK];
    int fd;

    cbd_shim_runner_stop(box.runner);
    assert_int_equal(cbd_backend_detach(box.backend), 0);
    cbd_cache_close(box.cache);
    cbd_shim_disk_close(box.file);
    cbd_shim_pmem_close(box.pm);
    cbd_shim_env_close(box.env);
    fd = open(box.disk_path, O_RDONLY);
    assert_true(fd >= 0);
    for (unsigned n = 0; n < BLOCKS; n++) {
        memset(want, 0, sizeof(want));
        if (box.newest[n] != 0)
            fill_block(want, n, box.newest[n]);
        assert_int_equal(pread(fd, got, BLOCK, (off_t)n * BLOCK), BLOCK);
        assert_memory_equal(got, want, BLOCK);
    }
    close(fd);
    unlink(box.pmem_path);
    unlink(box.disk_path);
    rmdir(box.dir);
    unsetenv("PMEM2_FORCE_GRANULARITY");
}

struct writer {
    pthread_t thread;
    unsigned lane;
    unsigned writes;
    uint64_t longest_ns;
};

static void *write_all(void *arg)
{
    struct writer *w = arg;
    uint64_t x = w->lane + 1;
    uint8_t buf[BLOCK];

    for (unsigned i = 0; i < w->writes; i++) {
        uint64_t start = box.env->ops->now_ns(box.env), took;
        unsigned block;
        int error;

        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        block = (unsigned)(x >> 33) % (BLOCKS / WRITERS) * WRITERS + w->lane;
        fill_block(buf, block, i + 1);
        error = cbd_write(box.backend, w->lane, (uint64_t)block * BLOCK, buf, BLOCK,
                          i % 100 == 99 ? CBD_WRITE_FUA : 0);
        if (error == 0)
            box.newest[block] = i + 1;
        atomic_fetch_add(&box.errors, error != 0);
        took = box.env->ops->now_ns(box.env) - start;
        w->longest_ns = took > w->longest_ns ? took : w->longest_ns;
        if (i % 50 == 0)
            atomic_fetch_add(&box.errors, cbd_flush(box.backend, w->lane) != 0);
        if (i % 7 == 0 && box.newest[block] == i + 1) {
            uint8_t got[BLOCK];

            error = cbd_read(box.backend, w->lane, (uint64_t)block * BLOCK, got, BLOCK);
            atomic_fetch_add(&box.errors, error != 0 || memcmp(got, buf, BLOCK) != 0);
        }
    }
    return NULL;
}

static void run_writers(unsigned writes, void (*meanwhile)(void))
{
    struct writer w[WRITERS];

    for (unsigned i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.lane = i, .writes = writes};
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_all, &w[i]), 0);
    }
    if (meanwhile != NULL)
        meanwhile();
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(w[i].thread, NULL);
    assert_int_equal(atomic_load(&box.errors), 0);
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static void writers_beside_the_runner(void **state)
{
    struct cbd_shim_runner_stats stats;

    (void)state;
    begin(NULL);
    run_writers(2000, NULL);
    cbd_shim_runner_stats(box.runner, &stats);
    assert_int_not_equal(stats.steps[CBD_WORK_WRITEBACK], 0);
    assert_int_not_equal(stats.steps[CBD_WORK_RECLAIM], 0);
    assert_int_equal(stats.failures[CBD_WORK_WRITEBACK], 0);
    end();
}

/* Its own passes come by the clock alone; the second one begins a second after the first. */
static void scrub_beside_writers(void **state)
{
    struct cbd_attach_options attach = {.scrub_rate_bytes = 32u << 20};
    struct cbd_shim_runner_stats before, after;

    (void)state;
    begin(&attach);
    run_writers(1500, NULL);
    cbd_shim_runner_stats(box.runner, &before);
    after = before;
    for (unsigned i = 0; i < 500 && after.steps[CBD_WORK_SCRUB] <= before.steps[CBD_WORK_SCRUB];
         i++) {
        sleep_ms(10);
        cbd_shim_runner_stats(box.runner, &after);
    }
    assert_true(after.steps[CBD_WORK_SCRUB] > before.steps[CBD_WORK_SCRUB]);
    assert_int_equal(after.failures[CBD_WORK_SCRUB], 0);
    end();
}

static void tune_again_and_again(void)
{
    for (unsigned i = 0; i < 60; i++) {
        struct cbd_attach_options o = {
            .dirty_start_percent = i % 3 * 20,
            .dirty_urgent_percent = 30 + i % 4 * 20,
            .queue_depth = 1 + i % 20,
            .max_dirty_bytes = i % 5 == 4 ? 256u << 10 : 0,
            .backend_consistency_off = i % 7 == 6,
            .writeback_rate_bytes = i % 6 == 5 ? 4u << 20 : 0,
            .max_dirty_age_ns = i % 2 == 1 ? 5 * MS : 0,
            .idle_ns = i % 11 == 10 ? MS : 0,
            .scrub_rate_bytes = i % 2 == 0 ? 64u << 20 : 0,
        };
        struct cbd_attach_options got;

        atomic_fetch_add(&box.errors, cbd_backend_tune(box.backend, &o) != 0);
        cbd_backend_options(box.backend, &got);
        atomic_fetch_add(&box.errors, got.queue_depth != o.queue_depth);
        sleep_ms(2);
    }
}

static void options_change_under_load(void **state)
{
    (void)state;
    begin(NULL);
    run_writers(1500, tune_again_and_again);
    end();
}

static void go_and_come_back(void)
{
    sleep_ms(5);
    atomic_store(&box.gone, true);
    sleep_ms(300);
    atomic_store(&box.gone, false);
}

/* Writers see nothing of it, and the runner goes on by itself. */
static void a_disk_that_is_away_for_a_while(void **state)
{
    struct cbd_attach_options attach = {.space_timeout_ns = 60000 * MS, .no_fill = true};
    struct writer w = {.lane = 0, .writes = 1500};

    (void)state;
    begin(&attach);
    /* Reads of what is not cached would fail while it is away: this writer reads its own writes. */
    assert_int_equal(pthread_create(&w.thread, NULL, write_all, &w), 0);
    go_and_come_back();
    pthread_join(w.thread, NULL);
    assert_int_equal(atomic_load(&box.errors), 0);
    end();
}

/* Nothing but time brings the work; and without work all threads sleep. */
static void an_idle_cache_is_written_back_by_the_clock(void **state)
{
    struct cbd_attach_options attach = {.idle_ns = 20 * MS, .dirty_start_percent = 90};
    struct cbd_shim_runner_stats before, after;
    uint8_t buf[BLOCK];

    (void)state;
    begin(&attach);
    fill_block(buf, 5, 1);
    box.newest[5] = 1;
    assert_int_equal(cbd_write(box.backend, 0, 5 * BLOCK, buf, BLOCK, 0), 0);
    for (unsigned i = 0; i < 500 && cbd_dirty_bytes(box.backend) != 0; i++)
        sleep_ms(10);
    assert_int_equal(cbd_dirty_bytes(box.backend), 0);
    sleep_ms(50);
    cbd_shim_runner_stats(box.runner, &before);
    sleep_ms(200);
    cbd_shim_runner_stats(box.runner, &after);
    assert_int_equal(after.steps[0], before.steps[0]);
    assert_in_range(after.sleeps[0] - before.sleeps[0], 0, 50); /* it does not spin */
    assert_in_range(after.sleeps[1] - before.sleeps[1], 0, 50);
    assert_int_equal(after.steps[CBD_WORK_SCRUB], 0); /* no rate: it is off */
    assert_in_range(after.sleeps[CBD_WORK_SCRUB] - before.sleeps[CBD_WORK_SCRUB], 0, 50);
    end();
}

static void it_starts_and_stops_many_times(void **state)
{
    uint8_t buf[BLOCK];

    (void)state;
    begin(NULL);
    for (unsigned i = 0; i < 50; i++) {
        fill_block(buf, i, 1);
        box.newest[i] = 1;
        assert_int_equal(cbd_write(box.backend, 0, (uint64_t)i * BLOCK, buf, BLOCK, 0), 0);
        assert_int_equal(cbd_flush(box.backend, 0), 0);
        cbd_shim_runner_stop(box.runner);
        assert_int_equal(cbd_shim_runner_start(box.env, box.backend, NULL, &box.runner, NULL), 0);
    }
    cbd_shim_runner_stop(NULL);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_beside_the_runner),
        cmocka_unit_test(scrub_beside_writers),
        cmocka_unit_test(options_change_under_load),
        cmocka_unit_test(a_disk_that_is_away_for_a_while),
        cmocka_unit_test(an_idle_cache_is_written_back_by_the_clock),
        cmocka_unit_test(it_starts_and_stops_many_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
