/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logical threads: coroutines stop and go on where they were, every schedule keeps the promises
 * and gives the same run for the same seed, and a run that is stuck ends and says who waits where.
 */
/* ctest: timeout=180 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "campaign.h"
#include "engine.h"
#include "generate.h"
#include "sim_sched.h"
#include "sim_base.h"
#include "sim_coro.h"

/* ---- coroutines ---- */

struct counter {
    struct sim_coro *coro;
    uint64_t value;
    double third;
};

static void count_body(void *arg)
{
    struct counter *c = arg;
    volatile uint8_t frame[4096];

    memset((void *)(uintptr_t)frame, 7, sizeof(frame));
    for (uint64_t i = 1;; i++) {
        c->value = i + frame[i % sizeof(frame)] - 7;
        c->third = (double)i / 3;
        sim_coro_leave(c->coro);
    }
}

static void test_coroutines_keep_their_frames(void **state)
{
    struct counter c[8] = {{0}};

    (void)state;
    for (int i = 0; i < 8; i++)
        c[i].coro = sim_coro_create(count_body, &c[i]);
    for (uint64_t round = 1; round < 1000; round++) {
        for (int i = 0; i < 8; i++) {
            if (round % 8 == (unsigned)i)
                continue;
            sim_coro_enter(c[i].coro);
            assert_true(c[i].value <= round);
            assert_true(c[i].third > (double)c[i].value / 3 - 0.1);
        }
    }
    for (int i = 0; i < 8; i++) {
        assert_true(c[i].value > 800);
        sim_coro_restart(c[i].coro);
        sim_coro_enter(c[i].coro);
        assert_int_equal(c[i].value, 1);
        sim_coro_destroy(c[i].coro);
    }
}

/* ---- worlds ---- */

static struct sim_config small(enum sim_schedule schedule, uint64_t seed)
{
    return (struct sim_config){
        .seed = seed,
        .cache_bytes = UINT64_C(3) << 20,
        .segment_bytes = 64u << 10,
        .streams = 3,
        .trees = 2,
        .backends = 2,
        .disk_bytes = {UINT64_C(1) << 20, UINT64_C(2) << 20},
        .logical_block_bytes = 512,
        .dirty_start_percent = 20,
        .schedule = schedule,
        .clients = 4,
        .depth = 3,
    };
}

static struct sim_generator requests(uint64_t seed, uint64_t count)
{
    return (struct sim_generator){
        .seed = seed,
        .requests = count,
        .space_bytes = 256u << 10,
        .volumes = 2,
        .len_max_bytes = 64u << 10,
    };
}

static struct sim_result *run_campaign(const struct sim_config *config, uint64_t seed,
                                       uint64_t count, uint64_t crashes)
{
    struct sim_generator generator = requests(seed, count);
    struct sim_campaign c = {
        .config = *config,
        .source = sim_generator_source(&generator),
        .crashes = crashes,
        .subsets = 8,
        .restarts = 2,
        .workers = 1,
        .only_step = UINT64_MAX,
    };
    struct sim_result *r = sim_zalloc(1, sizeof(*r));
    char text[2048];

    assert_int_equal(sim_campaign_run(&c, r), 0);
    if (config->drop_step != CBD_STEP_NONE)
        return r;
    if (r->run_failed)
        fail_msg("%s seed %llu: run: %s", sim_schedule_name(config->schedule),
                 (unsigned long long)seed, sim_verdict_text(&r->run_verdict, text, sizeof(text)));
    if (r->failures != 0)
        fail_msg("%s seed %llu: step %llu subset %llu: %s", sim_schedule_name(config->schedule),
                 (unsigned long long)seed, (unsigned long long)r->failed[0].step,
                 (unsigned long long)r->failed[0].subset,
                 sim_verdict_text(&r->failed[0].verdict, text, sizeof(text)));
    return r;
}

static void test_promises_hold(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) { /* each model once */
        for (int s = SIM_SCHEDULE_RANDOM; s < SIM_SCHEDULE_COUNT; s++) {
            struct sim_config config = small((enum sim_schedule)s, seed);
            struct sim_result *r;

            config.no_data_checksum = seed % 3 == 0;
            config.model = (enum sim_model)(seed % 3);
            r = run_campaign(&config, seed, 400, 40);
            assert_int_equal(r->requests_total, 400);
            assert_int_equal(r->restarts, 2);
            assert_true(r->total.segments_reclaimed > 10);
            free(r);
        }
    }
}

static void test_same_seed_same_run(void **state)
{
    uint64_t hashes[SIM_SCHEDULE_COUNT][2];

    (void)state;
    for (int s = 0; s < SIM_SCHEDULE_COUNT; s++) {
        for (int i = 0; i < 2; i++) {
            struct sim_config config = small((enum sim_schedule)s, 5);
            struct sim_result *r = run_campaign(&config, 5, 200, 10 * (uint64_t)i);

            hashes[s][i] = r->hash;
            free(r);
        }
        assert_int_equal(hashes[s][0], hashes[s][1]);
    }
    assert_true(hashes[SIM_SCHEDULE_RANDOM][0] != hashes[SIM_SCHEDULE_PCT][0]);
    assert_true(hashes[SIM_SCHEDULE_RANDOM][0] != hashes[SIM_SCHEDULE_SERIAL][0]);
}

/* The judge still sees what is wrong. */
static void test_a_dropped_fence_is_found(void **state)
{
    (void)state;
    for (int s = SIM_SCHEDULE_RANDOM; s < SIM_SCHEDULE_COUNT; s++) {
        struct sim_config config = small((enum sim_schedule)s, 1);
        struct sim_result *r;

        config.drop_step = CBD_STEP_INSERT_RECORD_FENCE;
        r = run_campaign(&config, 1, 200, 40);
        assert_true(r->run_failed || r->failures != 0);
        free(r);
    }
}

/* ---- how many, and in which order ---- */

struct feed_state {
    struct sim_source source;
    uint64_t taken;
};

static int feed_next(void *arg, struct sim_request *r)
{
    struct feed_state *f = arg;
    struct sim_trace_error error;
    int got = f->source.next(f->source.arg, r, &error);

    f->taken += got == 1;
    return got;
}

struct watch {
    struct sim_world *w;
    size_t open_max;
};

static void watch_open(void *arg, const struct sim_pm_event *ev)
{
    struct watch *watch = arg;
    size_t open = 0;

    (void)ev;
    for (uint32_t n = 0; n < watch->w->config.backends; n++) {
        struct sim_oracle_range range;

        for (size_t cursor = 0; sim_oracle_open_next(watch->w->oracle[n], &cursor, &range);)
            open++;
    }
    watch->open_max = open > watch->open_max ? open : watch->open_max;
}

static void test_as_many_at_a_time_as_clients(void **state)
{
    (void)state;
    for (uint32_t clients = 1; clients <= 4; clients++) {
        struct sim_config config = small(SIM_SCHEDULE_RANDOM, 3);
        struct sim_generator generator = requests(3, 200);
        struct feed_state f = {.source = sim_generator_source(&generator)};
        struct sim_feed feed = {feed_next, &f};
        struct sim_world *w = sim_zalloc(1, sizeof(*w));
        struct watch watch = {w, 0};
        struct sim_trace_error error;

        config.clients = clients;
        assert_int_equal(f.source.rewind(f.source.arg, &error), 0);
        assert_int_equal(sim_world_create(w, &config), 0);
        w->pmem->hook = watch_open;
        w->pmem->hook_arg = &watch;
        assert_int_equal(sim_world_run(w, &feed), 0);
        assert_false(sim_world_failed(w));
        assert_int_equal(f.taken, 200);
        assert_int_equal(watch.open_max, clients);
        w->pmem->hook = NULL;
        sim_world_drain(w);
        assert_true(sim_world_finish(w));
        sim_world_destroy(w);
        free(w);
    }
}

/* ---- stuck ---- */

static void test_a_lock_that_is_never_dropped(void **state)
{
    (void)state;
    for (int s = SIM_SCHEDULE_RANDOM; s < SIM_SCHEDULE_COUNT; s++) {
        struct sim_config config = small((enum sim_schedule)s, 4);
        struct sim_generator generator = requests(4, 100);
        struct feed_state f = {.source = sim_generator_source(&generator)};
        struct sim_feed feed = {feed_next, &f};
        struct sim_world *w = sim_zalloc(1, sizeof(*w));
        struct sim_trace_error error;

        assert_int_equal(f.source.rewind(f.source.arg, &error), 0);
        assert_int_equal(sim_world_create(w, &config), 0);
        for (uint32_t n = 0; n < config.backends; n++)
            for (uint32_t i = 0; i < w->main.backend[n]->stream_count; i++)
                atomic_store(&w->main.backend[n]->streams[i].lock.held, 1);
        assert_int_equal(sim_world_run(w, &feed), 0);
        assert_true(sim_world_failed(w));
        assert_non_null(strstr(w->stuck, "lock"));
        assert_non_null(strstr(w->stuck, "client 3 waits for a lock"));
        sim_world_destroy(w);
        free(w);
    }
}

/* A disk that is gone: writes end with an error in bounded virtual time, nobody hangs. */
static void test_a_dead_disk_ends_the_wait(void **state)
{
    struct sim_config config = small(SIM_SCHEDULE_RANDOM, 9);
    struct sim_generator generator = requests(9, 5000);
    struct feed_state f = {.source = sim_generator_source(&generator)};
    struct sim_feed feed = {feed_next, &f};
    struct sim_world *w = sim_zalloc(1, sizeof(*w));
    struct sim_trace_error error;

    (void)state;
    assert_int_equal(f.source.rewind(f.source.arg, &error), 0);
    assert_int_equal(sim_world_create(w, &config), 0);
    for (uint32_t n = 0; n < config.backends; n++)
        sim_disk_set_gone(w->disk[n], true);
    assert_int_equal(sim_world_run(w, &feed), 0);
    assert_int_equal(w->stuck[0], 0);
    assert_true(w->error == CBD_E_NOSPACE || w->error == CBD_E_IO);
    assert_true(w->main.env.now_ns < UINT64_C(120000000000));
    sim_world_destroy(w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coroutines_keep_their_frames),
        cmocka_unit_test(test_promises_hold),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_a_dropped_fence_is_found),
        cmocka_unit_test(test_as_many_at_a_time_as_clients),
        cmocka_unit_test(test_a_lock_that_is_never_dropped),
        cmocka_unit_test(test_a_dead_disk_ends_the_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
