/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: threads novalgrind timeout=300 */
/*
 * The engine under real threads: writers with blocks of their own and blocks that all fight for,
 * a thread each for write-back, reclaim and scrub, options that change, detaches and crashes in
 * between, on a cache a tenth of what is written. Run it under TSan. CBD_STRESS_SECONDS makes it
 * longer.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "cbd/cache.h"
#include "plain_pmem.h"

#define PMEM_BYTES (UINT64_C(5) << 20)
#define SEGMENT_BYTES (128u << 10)
#define DISK_BYTES (UINT64_C(16) << 20)
#define BLOCK 4096u
#define BLOCKS ((unsigned)(DISK_BYTES / BLOCK))
#define WRITERS 4u
#define SHARED_BLOCKS 64u /* the first ones: every thread writes them */

/* ---- the world: plain memory ---- */

struct ram {
    struct cbd_pmem pm;
    struct cbd_disk disk;
    struct cbd_env env;
    uint8_t *pmem;
    uint8_t *store; /* of the disk */
    pthread_mutex_t disk_lock;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint64_t wakes;
    atomic_bool stop;            /* for the writers */
    atomic_bool stop_background; /* when the writers have ended: they may wait for it */
    atomic_uint errors;
};

static struct ram *ram_of_env(struct cbd_env *env)
{
    return (struct ram *)(void *)((char *)env - offsetof(struct ram, env));
}

static void disk_submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    struct ram *r = (struct ram *)(void *)((char *)disk - offsetof(struct ram, disk));

    pthread_mutex_lock(&r->disk_lock);
    if (io->op == CBD_DISK_READ)
        memcpy(io->buf, r->store + io->off_bytes, io->len_bytes);
    else if (io->op == CBD_DISK_WRITE)
        memcpy(r->store + io->off_bytes, io->buf, io->len_bytes);
    else if (io->op != CBD_DISK_FLUSH)
        memset(r->store + io->off_bytes, 0, io->len_bytes);
    pthread_mutex_unlock(&r->disk_lock);
    io->done(io, 0);
}

static const struct cbd_disk_ops disk_ops = {disk_submit};

static void *env_alloc(struct cbd_env *env, size_t len)
{
    (void)env;
    return aligned_alloc(64, (len + 63) & ~(size_t)63);
}

static void env_free(struct cbd_env *env, void *p, size_t len)
{
    (void)env;
    (void)len;
    free(p);
}

static uint64_t env_now(struct cbd_env *env)
{
    struct timespec t;

    (void)env;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t env_random(struct cbd_env *env)
{
    (void)env;
    return 4;
}

static void env_report(struct cbd_env *env, const struct cbd_report *report)
{
    if (report->severity == CBD_ERROR)
        atomic_fetch_add(&ram_of_env(env)->errors, 1);
}

static int env_wait(struct cbd_env *env, bool (*ready)(void *), void *arg, uint64_t timeout_ns)
{
    struct ram *r = ram_of_env(env);
    uint64_t end = timeout_ns > UINT64_MAX / 2 ? UINT64_MAX : env_now(env) + timeout_ns;

    while (!ready(arg)) {
        struct timespec until;

        if (env_now(env) >= end)
            return CBD_E_TIMEDOUT;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_mutex_lock(&r->mutex);
        pthread_cond_timedwait(&r->cond, &r->mutex, &until);
        pthread_mutex_unlock(&r->mutex);
    }
    return 0;
}

static void env_wake(struct cbd_env *env)
{
    pthread_cond_broadcast(&ram_of_env(env)->cond);
}

static void env_yield(struct cbd_env *env, enum cbd_yield why)
{
    (void)env;
    if (why == CBD_YIELD_SPIN)
        sched_yield();
}

struct side_job {
    void (*job)(void *arg, unsigned n);
    void *arg;
    unsigned first, end;
};

static void *side_main(void *arg)
{
    struct side_job *side = arg;

    for (unsigned n = side->first; n < side->end; n++)
        side->job(side->arg, n);
    return NULL;
}

#define SIDES 3u

static void env_run(struct cbd_env *env, void (*job)(void *arg, unsigned n), void *arg,
                    unsigned count)
{
    struct side_job side[SIDES];
    pthread_t id[SIDES];

    (void)env;
    for (unsigned i = 0; i < SIDES; i++) {
        side[i] = (struct side_job){job, arg, count * i / SIDES, count * (i + 1) / SIDES};
        assert_int_equal(pthread_create(&id[i], NULL, side_main, &side[i]), 0);
    }
    for (unsigned i = 0; i < SIDES; i++)
        pthread_join(id[i], NULL);
}

static const struct cbd_env_ops env_ops = {env_alloc, env_free, env_now,   env_random, env_report,
                                           env_wait,  env_wake, env_yield, env_run};
static const struct cbd_env_ops env_ops_one = {
    env_alloc, env_free, env_now, env_random, env_report, env_wait, env_wake, env_yield, NULL};

static struct ram *ram_create(void)
{
    struct ram *r = calloc(1, sizeof(*r));

    r->pmem = aligned_alloc(4096, PMEM_BYTES);
    memset(r->pmem, 0, PMEM_BYTES);
    r->store = calloc(1, DISK_BYTES);
    r->pm = plain_pmem(r->pmem, PMEM_BYTES);
    r->disk = (struct cbd_disk){&disk_ops, DISK_BYTES, 512, true, true};
    r->env.ops = &env_ops;
    pthread_mutex_init(&r->disk_lock, NULL);
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->cond, NULL);
    return r;
}

static void ram_destroy(struct ram *r)
{
    free(r->pmem);
    free(r->store);
    free(r);
}

/* ---- the load ---- */

struct stress {
    struct ram *ram;
    struct cbd_backend *b;
    unsigned thread;
    uint64_t version[BLOCKS]; /* of the blocks of this thread: what must be read */
    uint64_t operations;
    const char *wrong;
};

/* Every word of a block says the same. */
static void fill_block(uint64_t *block, uint64_t version)
{
    for (unsigned i = 0; i < BLOCK / 8; i++)
        block[i] = version;
}

static uint64_t block_version(const uint64_t *block)
{
    for (unsigned i = 1; i < BLOCK / 8; i++)
        if (block[i] != block[0])
            return UINT64_MAX;
    return block[0];
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void one_operation(struct stress *s, uint64_t *rng, uint64_t *buf)
{
    unsigned own = SHARED_BLOCKS +
                   (unsigned)(draw(rng) % ((BLOCKS - SHARED_BLOCKS) / WRITERS)) * WRITERS +
                   s->thread;
    bool shared = draw(rng) % 8 == 0;
    unsigned block = shared ? (unsigned)(draw(rng) % SHARED_BLOCKS) : own;
    uint64_t dice = draw(rng) % 100;
    uint64_t version = (s->operations << 8 | s->thread) + 1;
    int error;

    if (dice < 50) {
        fill_block(buf, version);
        error = cbd_write(s->b, s->thread, (uint64_t)block * BLOCK, buf, BLOCK,
                          dice < 3 ? CBD_WRITE_FUA : 0);
        s->version[block] = version;
    } else if (dice < 60) {
        error = cbd_zero(s->b, s->thread, (uint64_t)block * BLOCK, BLOCK, CBD_WRITE_PUNCH);
        s->version[block] = 0;
    } else if (dice < 64) {
        error = cbd_flush(s->b, s->thread);
    } else if (dice < 68) {
        struct cbd_map_view view;

        error = cbd_map(s->b, s->thread, (uint64_t)block * BLOCK, BLOCK, &view);
        if (error == 0 && !shared && s->version[block] != 0 && view.kind == CBD_MAP_ZERO)
            s->wrong = "a block that was written is mapped as zeroes";
    } else {
        error = cbd_read(s->b, s->thread, (uint64_t)block * BLOCK, buf, BLOCK);
        if (error == 0 && block_version(buf) == UINT64_MAX)
            s->wrong = "a block is torn";
        if (error == 0 && !shared && block_version(buf) != s->version[block])
            s->wrong = "a block does not hold what its only writer wrote";
    }
    if (error != 0)
        s->wrong = cbd_error_name(error);
    s->operations++;
}

static void *writer(void *arg)
{
    struct stress *s = arg;
    uint64_t rng = UINT64_C(88172645463325252) + s->thread;
    uint64_t buf[BLOCK / 8];

    while (!atomic_load(&s->ram->stop) && s->wrong == NULL)
        one_operation(s, &rng, buf);
    return NULL;
}

struct background {
    struct ram *ram;
    struct cbd_backend *b;
    enum cbd_work work;
    int error;
};

static void *background(void *arg)
{
    struct background *bg = arg;

    while (!atomic_load(&bg->ram->stop_background)) {
        int did = cbd_backend_step(bg->b, bg->work);

        if (did < 0)
            bg->error = did;
        if (did <= 0)
            sched_yield();
    }
    return NULL;
}

static double seconds(void)
{
    const char *text = getenv("CBD_STRESS_SECONDS");

    return text != NULL ? atof(text) : 4;
}

static struct cbd_backend *start(struct ram *r, struct cbd_cache **cache)
{
    struct cbd_attach_options options = {.dirty_start_percent = 30};
    struct cbd_backend *b = NULL;

    assert_int_equal(cbd_cache_open(&r->pm, &r->env, 0, cache), 0);
    assert_int_equal(cbd_backend_attach(*cache, 0, &r->disk, &options, &b), 0);
    return b;
}

static void format(struct ram *r)
{
    struct cbd_format_options format = {.uuid = {1}, .segment_bytes = SEGMENT_BYTES, .salt = 7};
    struct cbd_backend_options options = {.name = "disk",
                                          .size_bytes = DISK_BYTES,
                                          .logical_block_bytes = 512,
                                          .cache_bytes = 20 * (uint64_t)SEGMENT_BYTES};
    struct cbd_geometry geo;
    struct cbd_cache *cache;
    uint32_t id;

    assert_int_equal(cbd_format(&r->pm, &r->env, &format, &geo), 0);
    assert_int_equal(cbd_cache_open(&r->pm, &r->env, 0, &cache), 0);
    assert_int_equal(cbd_backend_add(cache, &options, &id), 0);
    cbd_cache_close(cache);
}

static void check_blocks(struct stress *s, const struct ram *r, struct cbd_backend *b)
{
    uint64_t buf[BLOCK / 8];

    for (unsigned t = 0; t < WRITERS; t++) {
        for (unsigned block = SHARED_BLOCKS + t; block < BLOCKS; block += WRITERS) {
            if (b != NULL)
                assert_int_equal(cbd_read(b, 0, (uint64_t)block * BLOCK, buf, BLOCK), 0);
            else
                memcpy(buf, r->store + (uint64_t)block * BLOCK, BLOCK);
            if (block_version(buf) != s[t].version[block])
                fail_msg("block %u of thread %u: got %llx, expected %llx", block, t,
                         (unsigned long long)block_version(buf),
                         (unsigned long long)s[t].version[block]);
        }
    }
}

/* Options that change under way: marks, queue, rate, bound, coalescing. */
static void tune(struct cbd_backend *b, unsigned n)
{
    struct cbd_attach_options o = {
        .dirty_start_percent = 30,
        .scrub_rate_bytes = UINT64_C(64) << 20,
        .queue_depth = 1 + n % 16,
        .max_dirty_bytes = n % 3 == 0 ? 512u << 10 : 0,
        .backend_consistency_off = n % 5 == 0,
        .writeback_rate_bytes = n % 4 == 0 ? 32u << 20 : 0,
    };

    assert_int_equal(cbd_backend_tune(b, &o), 0);
}

#define JOBS 3u
#define ROUNDS 4u

static void run_round(struct ram *r, struct stress *s, struct cbd_cache *cache,
                      struct cbd_backend *b, double time_s)
{
    static const enum cbd_work work[JOBS] = {CBD_WORK_WRITEBACK, CBD_WORK_RECLAIM, CBD_WORK_SCRUB};
    struct timespec pause = {.tv_nsec = 10000000};
    uint64_t end = env_now(&r->env) + (uint64_t)(time_s * 1e9);
    struct background bg[JOBS];
    pthread_t thread[WRITERS + JOBS];
    uint64_t writes = 0, horizon = 0, epoch_written = 0;

    atomic_store(&r->stop, false);
    atomic_store(&r->stop_background, false);
    for (unsigned i = 0; i < JOBS; i++) {
        bg[i] = (struct background){r, b, work[i], 0};
        assert_int_equal(pthread_create(&thread[WRITERS + i], NULL, background, &bg[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        s[i].ram = r;
        s[i].b = b;
        assert_int_equal(pthread_create(&thread[i], NULL, writer, &s[i]), 0);
    }
    for (unsigned n = 0; env_now(&r->env) < end; n++) {
        struct cbd_backend_info info;
        struct cbd_stats stats;

        tune(b, n);
        cbd_backend_stats(b, &stats); /* beside all of them, and nothing goes back */
        assert_true(stats.writes >= writes);
        writes = stats.writes;
        assert_true(cbd_backend_info(cache, 0, &info));
        assert_true(info.was_attached && info.horizon >= horizon);
        assert_true(info.epoch_written >= epoch_written);
        horizon = info.horizon;
        epoch_written = info.epoch_written;
        assert_true(cbd_cache_unowned(cache) < 40);
        nanosleep(&pause, NULL);
    }
    atomic_store(&r->stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(thread[i], NULL);
    atomic_store(&r->stop_background, true);
    for (unsigned i = WRITERS; i < WRITERS + JOBS; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        if (s[i].wrong != NULL)
            fail_msg("thread %u: %s", i, s[i].wrong);
    for (unsigned i = 0; i < JOBS; i++)
        assert_int_equal(bg[i].error, 0);
}

static void test_threads_read_what_they_wrote_and_so_does_the_disk_in_the_end(void **state)
{
    struct ram *r = ram_create();
    struct stress *s = calloc(WRITERS, sizeof(*s));
    struct cbd_cache *cache;
    struct cbd_backend *b;
    uint64_t operations = 0;

    (void)state;
    format(r);
    for (unsigned i = 0; i < WRITERS; i++)
        s[i].thread = i;
    /* The process dies without a detach, or detaches; the next one finds everything. */
    for (unsigned round = 0; round < ROUNDS; round++) {
        b = start(r, &cache);
        run_round(r, s, cache, b, seconds() / ROUNDS);
        if (round % 2 == 0)
            cbd_backend_abandon(b);
        else
            assert_int_equal(cbd_backend_detach(b), 0);
        cbd_cache_close(cache);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        operations += s[i].operations;
    assert_int_equal(atomic_load(&r->errors), 0);
    print_message("%llu operations by %u threads\n", (unsigned long long)operations, WRITERS);
    b = start(r, &cache);
    check_blocks(s, r, b);
    assert_int_equal(cbd_backend_detach(b), 0);
    cbd_cache_close(cache);
    check_blocks(s, r, NULL);
    free(s);
    ram_destroy(r);
}

/* Order-dependent, so equal sums mean equal lists. */
static void add_extent(void *arg, const struct cbd_extent_view *e)
{
    uint64_t *sum = arg;
    uint64_t words[] = {e->addr_bytes, e->len_bytes, e->order, e->zero, e->pmem_off};

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        *sum = (*sum ^ words[i]) * UINT64_C(0x100000001b3);
}

struct recovered {
    uint64_t extents;
    struct cbd_stats stats;
};

static struct recovered recover_once(struct ram *r, const struct cbd_env_ops *ops)
{
    struct recovered found = {0};
    struct cbd_cache *cache;
    struct cbd_backend *b;

    r->env.ops = ops;
    b = start(r, &cache);
    cbd_backend_extents(b, add_extent, &found.extents);
    cbd_backend_stats(b, &found.stats);
    found.stats.index_bytes = 0; /* the shape of a tree depends on who came first */
    cbd_backend_abandon(b);
    cbd_cache_close(cache);
    return found;
}

/* V2: overlapping writes and zeroes, in many segments, side by side and one after another. */
static void test_recovery_in_parts_finds_the_same(void **state)
{
    struct ram *r = ram_create();
    struct cbd_cache *cache;
    struct cbd_backend *b;
    struct recovered one, many;
    uint8_t *block = calloc(1, 16 * BLOCK);
    uint64_t x = 1;

    (void)state;
    assert_non_null(block);
    format(r);
    b = start(r, &cache);
    for (unsigned n = 0; n < 400; n++) {
        uint64_t off, len;

        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        off = (x >> 33) % (BLOCKS - 16) * BLOCK;
        len = (1 + (x >> 20) % 4) * BLOCK / 2;
        memset(block, (int)n, 16 * BLOCK);
        if (n % 50 == 49)
            assert_int_equal(cbd_zero(b, n % 4, off % (DISK_BYTES / 2), DISK_BYTES / 2, 0), 0);
        else
            assert_int_equal(cbd_write(b, n % 4, off, block, len, 0), 0);
    }
    cbd_backend_abandon(b);
    cbd_cache_close(cache);
    one = recover_once(r, &env_ops_one);
    assert_true(one.stats.recovered_records > 300);
    for (unsigned n = 0; n < 20; n++) {
        many = recover_once(r, &env_ops);
        assert_true(many.extents == one.extents);
        many.stats.epoch = one.stats.epoch; /* each attach begins a new one */
        assert_memory_equal(&many.stats, &one.stats, sizeof(many.stats));
    }
    free(block);
    ram_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovery_in_parts_finds_the_same),
        cmocka_unit_test(test_threads_read_what_they_wrote_and_so_does_the_disk_in_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
