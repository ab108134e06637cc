/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenarios and exploring them: the same number is the same workload, `all` has each workload once,
 * the order and number of processes do not matter, and what fails is found, whoever dies.
 */
/* ctest: sim novalgrind timeout=240 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "explore.h"
#include "minimize.h"
#include "rng.h"
#include "sim_base.h"

static char *print(const struct sim_scenario *s)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    sim_scenario_print(s, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_units_are_valid_and_the_same(void **state)
{
    (void)state;
    for (int kind = 0; kind < SIM_SCENARIO_KIND_COUNT; kind++) {
        for (uint64_t unit = 0; unit < 50; unit++) {
            struct sim_workload a, b;
            struct sim_scenario s;
            char why[256];

            sim_scenario_init(&s);
            s.kind = (enum sim_scenario_kind)kind;
            s.vary = unit % 2 != 0;
            s.config.logical_block_bytes = unit % 3 == 0 ? 4096 : 512;
            sim_workload_init(&a);
            sim_workload_init(&b);
            assert_true(sim_scenario_make(&s, unit, &a));
            assert_true(sim_scenario_make(&s, unit, &b));
            assert_true(sim_workload_equal(&a, &b));
            assert_true(a.count >= s.ops);
            if (!sim_workload_valid(&a, why, sizeof(why), NULL))
                fail_msg("%s", why);
            assert_true(sim_scenario_make(&s, unit + 1, &b));
            assert_false(sim_workload_equal(&a, &b));
            sim_workload_free(&a);
            sim_workload_free(&b);
        }
    }
}

static void test_all_has_each_workload_once(void **state)
{
    struct sim_scenario s;
    struct sim_seen seen = {0};
    struct sim_workload w;
    uint64_t units;

    (void)state;
    sim_scenario_init(&s);
    s.kind = SIM_SCENARIO_ALL;
    s.ops = 3;
    s.zero = s.discard = s.read = 0;
    units = sim_scenario_units(&s);
    assert_int_equal(units, 9 * 9 * 9); /* 3 writes, 3 with FUA, flush, wait, restart */
    sim_workload_init(&w);
    for (uint64_t unit = 0; unit < units; unit++) {
        uint64_t h = 0;

        assert_true(sim_scenario_make(&s, unit, &w));
        assert_int_equal(w.count, 3);
        for (size_t i = 0; i < w.count; i++)
            h = sim_rng_mix(h, (uint64_t)w.ops[i].kind << 60 | (uint64_t)w.ops[i].fua << 59 |
                                   w.ops[i].off_bytes << 20 | w.ops[i].len_bytes);
        assert_true(sim_seen_add(&seen, h));
    }
    assert_false(sim_scenario_make(&s, units, &w));
    sim_workload_free(&w);
    sim_seen_free(&seen);
}

static void test_zipf_prefers_some_places(void **state)
{
    uint64_t count[16] = {0}, most = 0, all = 0;
    struct sim_scenario s;
    struct sim_workload w;

    (void)state;
    sim_scenario_init(&s);
    s.kind = SIM_SCENARIO_ZIPF;
    s.ops = 4000;
    s.len_max_bytes = 4096;
    sim_workload_init(&w);
    assert_true(sim_scenario_make(&s, 0, &w));
    for (size_t i = 0; i < w.count; i++)
        if (w.ops[i].kind == SIM_WORK_WRITE)
            count[w.ops[i].off_bytes / 4096 % 16]++;
    for (int i = 0; i < 16; i++) {
        all += count[i];
        most = count[i] > most ? count[i] : most;
    }
    assert_true(most * 4 > all && most * 2 < all + most);
    sim_workload_free(&w);
}

static void test_settings_are_words(void **state)
{
    static const char *const words[][2] = {
        {"generator", "zipf.1"}, {"ops", "9"},         {"seed", "77"},
        {"space", "128K"},       {"fua", "0"},         {"vary", "1"},
        {"cache", "4M"},         {"model", "page"},    {"schedule", "pct"},
        {"disks", "1M,2M"},      {"checksums", "off"}, {"faults", "gone,full"},
    };
    static const char *const wrong[][2] = {
        {"generator", "zipf.2"}, {"ops", "0"},  {"ops", "x"},      {"model", "arm"},
        {"nothing", "1"},        {"vary", "2"}, {"write", "0,4K"}, {"disks", "1"},
    };
    struct sim_scenario s;
    char *text;

    (void)state;
    sim_scenario_init(&s);
    text = print(&s);
    assert_string_equal(text, "generator=random.1");
    free(text);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_true(sim_scenario_set(&s, words[i][0], words[i][1]));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(sim_scenario_set(&s, wrong[i][0], wrong[i][1]));
    text = print(&s);
    assert_string_equal(text, "generator=zipf.1:ops=9:seed=77:space=131072:fua=0:vary=1:cache=4M:"
                              "checksums=off:model=page:schedule=pct:faults=gone,full:disks=1M,2M");
    free(text);
}

/* ---- exploring ---- */

struct seen_units {
    uint64_t next, hash, failures, limit;
    uint32_t shards;
};

static bool on_unit(void *arg, const struct sim_explored *e)
{
    struct seen_units *s = arg;

    assert_int_equal(e->unit, s->next);
    s->next += s->shards;
    s->hash = sim_rng_mix(s->hash, e->hash);
    s->failures += e->failures;
    return s->limit == 0 || s->next < s->limit;
}

static struct seen_units explore(const struct sim_scenario *scenario, uint32_t jobs, uint32_t shard,
                                 uint32_t shards, uint64_t first, uint64_t units, uint64_t limit)
{
    struct seen_units seen = {.next = shard + first * shards, .shards = shards, .limit = limit};
    struct sim_explore x = {
        .scenario = scenario,
        .t = {.strategy = SIM_STRATEGY_PARTIAL, .subsets = 4, .merge = true, .cut_every = 3},
        .shard = shard,
        .shards = shards,
        .first = first,
        .units = units,
        .jobs = jobs,
        .done = on_unit,
        .arg = &seen,
    };

    assert_int_equal(sim_explore_run(&x), 0);
    return seen;
}

static void test_processes_and_restarts_do_not_matter(void **state)
{
    struct sim_scenario s;
    struct seen_units one, more, half;

    (void)state;
    sim_scenario_init(&s);
    s.ops = 5;
    one = explore(&s, 1, 0, 1, 0, 24, 0);
    more = explore(&s, 4, 0, 1, 0, 24, 0);
    assert_int_equal(one.next, 24);
    assert_int_equal(one.failures, 0);
    assert_int_equal(one.hash, more.hash);
    half = explore(&s, 2, 0, 1, 0, 24, 10);
    assert_int_equal(half.next, 10);
    more = explore(&s, 2, 0, 1, 10, 24, 0);
    assert_int_equal(more.next, 24);
    assert_int_equal(explore(&s, 2, 1, 3, 0, 5, 0).next, 1 + 5 * 3);
}

static void test_a_dropped_step_is_found_and_small(void **state)
{
    static const struct {
        enum cbd_step step;
        bool no_checksum;
    } drops[] = {
        {CBD_STEP_INSERT_DATA_FENCE, true},
        {CBD_STEP_INSERT_RECORD_FENCE, false},
        {CBD_STEP_SEGMENT_OPEN_A_FENCE, false},
        {CBD_STEP_EPOCH_A_COPY, false},
    };
    static const struct sim_minimize m = {.subsets = 16, .tries = 20000};

    (void)state;
    for (size_t i = 0; i < sizeof(drops) / sizeof(drops[0]); i++) {
        struct sim_explored e = {.unit = 0};
        struct sim_scenario s;
        struct sim_minimized small;
        struct sim_workload w;
        struct sim_explore x = {
            .scenario = &s,
            .t = {.strategy = SIM_STRATEGY_PARTIAL,
                  .subsets = 16,
                  .merge = true,
                  .stop_at_first = true},
        };

        sim_scenario_init(&s);
        s.ops = 12;
        s.config.drop_step = drops[i].step;
        s.config.no_data_checksum = drops[i].no_checksum;
        if (i % 2 != 0) { /* also when it takes threads and luck */
            s.config.schedule = SIM_SCHEDULE_RANDOM;
            s.config.clients = 3;
        }
        for (uint64_t unit = 0; unit < 20 && e.failures == 0; unit++)
            sim_explore_one(&x, unit, &e);
        if (e.failures == 0)
            fail_msg("%s is not found", cbd_step_name(drops[i].step));
        sim_workload_init(&w);
        assert_true(sim_scenario_make(&s, e.unit, &w));
        sim_minimize_run(&w, &m, &small);
        assert_true(small.failed && !small.died && !small.exhausted);
        if (small.lines > 8)
            fail_msg("%s: %zu lines", cbd_step_name(drops[i].step), small.lines);
        /* It is still a failure, the same one, and as small as it gets. */
        {
            struct sim_tried again;
            struct sim_minimized twice;

            if (w.cut.where == SIM_WORK_NOWHERE) /* it takes no power cut */
                x.t.strategy = SIM_STRATEGY_NONE;
            sim_try_run(&w, &x.t, &again);
            assert_true(again.failures == 1 && sim_try_alike(&again.verdict, &small.verdict));
            sim_minimize_run(&w, &m, &twice);
            assert_true(twice.failed && twice.lines <= small.lines);
        }
        sim_workload_free(&w);
    }
}

/* What does not fail is left as it is. */
static void test_a_clean_workload_is_not_minimized(void **state)
{
    static const struct sim_minimize m = {.subsets = 4, .tries = 100};
    struct sim_minimized r;
    struct sim_workload w;

    (void)state;
    sim_workload_init(&w);
    sim_workload_add(&w, SIM_WORK_WRITE)->len_bytes = 4096;
    sim_minimize_run(&w, &m, &r);
    assert_false(r.failed);
    assert_int_equal(r.lines, 1);
    sim_workload_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_are_valid_and_the_same),
        cmocka_unit_test(test_all_has_each_workload_once),
        cmocka_unit_test(test_zipf_prefers_some_places),
        cmocka_unit_test(test_settings_are_words),
        cmocka_unit_test(test_processes_and_restarts_do_not_matter),
        cmocka_unit_test(test_a_dropped_step_is_found_and_small),
        cmocka_unit_test(test_a_clean_workload_is_not_minimized),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
