/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults crossed with crashes. The promises hold with each of them. When errors of a disk do not
 * reach the engine, as in an engine that ignores them, that is found; so are disks that lie by
 * themselves, and damaged memory without checksums.
 */
/* ctest: novalgrind timeout=240 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "campaign.h"
#include "generate.h"
#include "sim_base.h"

static bool checksums = true;

static struct sim_result *run(uint32_t faults, bool mute, enum sim_schedule schedule, uint64_t seed)
{
    struct sim_generator generator = {
        .seed = seed,
        .requests = 600,
        .space_bytes = UINT64_C(1) << 20,
        .volumes = 2,
        .len_max_bytes = 64u << 10,
    };
    struct sim_campaign c = {
        .config =
            {
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
                .no_data_checksum = !checksums,
                .faults = faults,
                .faults_mute = mute,
                .space_timeout_ns = UINT64_C(1000000000),
            },
        .source = sim_generator_source(&generator),
        .crashes = 20,
        .subsets = 8,
        .restarts = 2,
        .workers = 1,
        .stop_at_first = true,
        .only_step = UINT64_MAX,
    };
    struct sim_result *r = sim_zalloc(1, sizeof(*r));

    assert_int_equal(sim_campaign_run(&c, r), 0);
    return r;
}

static bool wrong(const struct sim_result *r)
{
    return r->run_failed || r->failures != 0;
}

static void must_be_right(const struct sim_result *r, uint32_t faults, enum sim_schedule schedule)
{
    char list[256], text[2048];

    if (wrong(r))
        fail_msg("%s, %s, step %llu subset %llu: %s", sim_fault_list(faults, list, sizeof(list)),
                 sim_schedule_name(schedule), (unsigned long long)r->failed[0].step,
                 (unsigned long long)r->failed[0].subset,
                 sim_verdict_text(r->run_failed ? &r->run_verdict : &r->failed[0].verdict, text,
                                  sizeof(text)));
}

static void test_promises_hold(void **state)
{
    (void)state;
    for (int f = 0; f < SIM_FAULT_COUNT; f++) {
        if ((SIM_FAULTS_HONEST >> f & 1) == 0)
            continue;
        for (int s = 0; s < SIM_SCHEDULE_COUNT; s++) {
            struct sim_result *r = run(1u << f, false, (enum sim_schedule)s, 11 + (uint64_t)f);

            must_be_right(r, 1u << f, (enum sim_schedule)s);
            if ((SIM_FAULTS_MEMORY >> f & 1) != 0)
                assert_true(r->judged.damaged > 0);
            else
                assert_true(r->faults[f] > 0);
            assert_true(f == SIM_FAULT_FULL || r->judged.faults > 0);
            free(r);
        }
    }
}

static void test_all_together(void **state)
{
    (void)state;
    for (int s = 0; s < SIM_SCHEDULE_COUNT; s++) {
        struct sim_result *r = run(SIM_FAULTS_HONEST, false, (enum sim_schedule)s, 5);

        must_be_right(r, SIM_FAULTS_HONEST, (enum sim_schedule)s);
        assert_true(r->requests_failed > 0);
        free(r);
    }
}

/* Some seed of a few must do: not every fault hurts in every run. */
static bool found(uint32_t faults, bool mute)
{
    bool is = false;

    for (uint64_t seed = 1; seed <= 8 && !is; seed++) {
        struct sim_result *r = run(faults, mute, SIM_SCHEDULE_RANDOM, seed);

        is = wrong(r);
        free(r);
    }
    return is;
}

static void test_an_ignored_error_is_found(void **state)
{
    (void)state;
    for (int f = 0; f < SIM_FAULT_COUNT; f++)
        if ((SIM_FAULTS_HONEST & ~SIM_FAULTS_MEMORY) >> f & 1 && !found(1u << f, true))
            fail_msg("%s is ignored and nobody notices", sim_fault_name((enum sim_fault)f));
}

static void test_a_disk_that_lies_is_found(void **state)
{
    (void)state;
    for (int f = 0; f < SIM_FAULT_COUNT; f++)
        if ((SIM_FAULTS_HONEST >> f & 1) == 0 && !found(1u << f, false))
            fail_msg("%s is not found", sim_fault_name((enum sim_fault)f));
}

/*
 * Without checksums nothing but the read itself can tell. So a poisoned line that is read as if
 * nothing were wrong, a wrong bit and an old line must show as wrong data; poison that is reported
 * must not.
 */
static void test_damaged_data_is_found(void **state)
{
    (void)state;
    checksums = false;
    assert_false(found(1u << SIM_FAULT_POISON, false));
    assert_true(found(1u << SIM_FAULT_POISON, true));
    assert_true(found(1u << SIM_FAULT_FLIP, false));
    assert_true(found(1u << SIM_FAULT_STALE, false));
    checksums = true;
}

static void test_names(void **state)
{
    uint32_t mask;
    char buf[256];

    (void)state;
    assert_true(sim_fault_parse("all", &mask));
    assert_int_equal(mask, SIM_FAULTS_HONEST);
    assert_string_equal(sim_fault_list(mask, buf, sizeof(buf)), "all");
    assert_true(sim_fault_parse("none", &mask));
    assert_int_equal(mask, 0);
    assert_string_equal(sim_fault_list(mask, buf, sizeof(buf)), "none");
    for (uint32_t m = 0; m < 1u << SIM_FAULT_COUNT; m++) {
        assert_true(sim_fault_parse(sim_fault_list(m, buf, sizeof(buf)), &mask));
        assert_int_equal(mask, m);
    }
    assert_false(sim_fault_parse("", &mask));
    assert_false(sim_fault_parse("gone,", &mask));
    assert_false(sim_fault_parse("gon", &mask));
    assert_false(sim_fault_parse("gone,never", &mask));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_promises_hold),
        cmocka_unit_test(test_all_together),
        cmocka_unit_test(test_an_ignored_error_is_found),
        cmocka_unit_test(test_a_disk_that_lies_is_found),
        cmocka_unit_test(test_damaged_data_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
