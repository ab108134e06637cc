/* SPDX-License-Identifier: BSD-2-Clause */
/* Formatting over what was there before: it is gone, and never comes back. */
#include "engine_rig.h"

/* A cache whose segments are full of records, two thirds of them dirty. */
static struct rig *filled_rig(void)
{
    struct rig *r = rig_create(NULL);

    rig_attach(r);
    for (uint64_t i = 0; i < 300; i++)
        rig_write(r, i * 37 % 128 * 8192, 8192, i % 64 == 0 ? CBD_WRITE_FUA : 0);
    rig_kill(r);
    return r;
}

/* What the disk holds is what a new, empty cache shows. */
static void model_is_the_disk(struct rig *r)
{
    for (uint64_t s = 0; s < r->config.disk_bytes / 512; s++) {
        r->want[0][s] = sim_disk_peek(r->disk[0], s);
        r->maybe[0][s] = RIG_NO_VERSION;
    }
}

static void expect_empty(struct rig *r)
{
    model_is_the_disk(r);
    rig_add(r, 0);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_records, 0);
    assert_int_equal(rig_stats(r).index_extents, 0);
    rig_check_all(r);
}

static void a_new_format_with_the_same_uuid_is_empty(void **state)
{
    struct rig *r = filled_rig();

    (void)state;
    rig_format(r, 8);
    expect_empty(r);
    rig_destroy(r);
}

/* Then only the generations tell old records from new ones. */
static void even_with_the_same_salt_old_records_stay_dead(void **state)
{
    struct rig *r = filled_rig();
    uint64_t floor = r->super.generation_floor;

    (void)state;
    for (int i = 0; i < 5; i++) {
        rig_format(r, 7);
        assert_true(r->super.generation_floor > floor);
        floor = r->super.generation_floor;
        expect_empty(r);
        rig_write(r, 0, 65536, 0); /* opens segments over the old records */
        rig_kill(r);
        rig_attach(r);
        rig_check_all(r);
        rig_kill(r);
    }
    rig_destroy(r);
}

static void format_again(struct rig *r)
{
    rig_format(r, 7);
}

static void a_format_that_was_cut_counts_for_the_generations(void **state)
{
    struct rig *r = filled_rig();
    uint64_t before = r->super.generation_floor;
    uint64_t highest = 0;

    (void)state;
    for (uint32_t id = 0; id < r->geo.segment_count; id++)
        if (rig_entry(r, id).generation > highest)
            highest = rig_entry(r, id).generation;
    assert_true(highest > before);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(rig_cut_in(r, CBD_STEP_FORMAT_TABLE, 40 * i, format_again));
        rig_power_cut(r, i % 2 != 0 ? SIM_CRASH_ALL : SIM_CRASH_NONE);
        assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache), CBD_E_NOTCBD);
        r->cache = NULL;
        assert_true(cbd_super_generation(&r->pmem->pm) > highest);
        highest = cbd_super_generation(&r->pmem->pm);
    }
    rig_format(r, 7);
    assert_true(r->super.generation_floor > highest);
    expect_empty(r);
    rig_destroy(r);
}

static void a_format_that_was_cut_leaves_the_old_cache_or_none_or_the_new_one(void **state)
{
    (void)state;
    for (int step = CBD_STEP_FORMAT_BEGIN; step <= CBD_STEP_FORMAT_SUPER_FENCE; step++) {
        for (uint64_t k = 0; k < 12; k++) {
            struct rig *r = filled_rig();
            struct sim_crash crash = sim_crash_subset(k, (uint64_t)step);
            int error;

            assert_true(rig_cut_in(r, (enum cbd_step)step, 0, format_again));
            sim_pmem_crash(r->pmem, &crash);
            error = cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache);
            if (error != 0) {
                assert_true(error == CBD_E_NOTCBD || error == CBD_E_CORRUPT);
                r->cache = NULL;
                rig_format(r, 7);
                expect_empty(r);
            } else if (cbd_backend_info(r->cache, 0, &(struct cbd_backend_info){0})) {
                rig_attach(r); /* the old one */
                rig_check_all(r);
            } else {
                expect_empty(r); /* the new one */
            }
            rig_destroy(r);
        }
    }
}

static void formats_with_equal_options_give_equal_bytes(void **state)
{
    struct rig *a = rig_create_blank(NULL);
    struct rig *b = rig_create_blank(NULL);

    (void)state;
    rig_format(a, 3);
    rig_format(b, 3);
    assert_memory_equal(a->pmem->pm.base, b->pmem->pm.base, 4u << 20);
    rig_destroy(a);
    rig_destroy(b);
}

static void a_new_format_is_without_findings(void **state)
{
    (void)state;
    for (uint32_t segment = 65536; segment <= 1u << 20; segment *= 2) {
        struct rig *r = rig_create_blank(
            &(struct rig_config){.segment_bytes = segment, .pmem_bytes = 8u << 20});

        rig_format(r, 3);
        rig_fsck(r, true);
        rig_destroy(r);
    }
}

/* The last superblock of the larger cache would be found by nobody, and is erased. */
static void a_smaller_format_erases_the_superblock_at_the_old_end(void **state)
{
    struct rig *r = filled_rig();
    static const uint8_t zeroes[4096];
    uint64_t old_end = r->geo.super2_off;

    (void)state;
    r->pmem->pm.size_bytes = 3u << 20;
    rig_format(r, 9);
    r->pmem->pm.size_bytes = 4u << 20;
    assert_true(r->geo.super2_off < old_end);
    rig_format(r, 9);
    rig_fsck(r, true);
    assert_memory_equal(r->pmem->pm.base + (3u << 20) - 4096, zeroes, 4096);
    rig_destroy(r);
}

static void fail_one_fence(void *arg, const struct sim_pm_event *ev)
{
    struct rig *r = arg;

    if (ev->kind == SIM_PM_FENCE && r->cut_skip-- == 0)
        r->pmem->fail_fences = 1;
}

static void a_format_whose_fence_failed_is_an_error(void **state)
{
    struct cbd_format_options options = {.segment_bytes = 65536};

    (void)state;
    for (uint32_t k = 0; k < 3; k++) {
        struct rig *r = rig_create_blank(NULL);
        struct cbd_geometry geo;

        r->cut_skip = k;
        r->pmem->hook = fail_one_fence;
        r->pmem->hook_arg = r;
        assert_int_equal(cbd_format(&r->pmem->pm, &r->env.env, &options, &geo), CBD_E_IO);
        r->pmem->hook = NULL;
        rig_format(r, 1);
        rig_fsck(r, true);
        rig_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_format_with_the_same_uuid_is_empty),
        cmocka_unit_test(even_with_the_same_salt_old_records_stay_dead),
        cmocka_unit_test(a_format_that_was_cut_counts_for_the_generations),
        cmocka_unit_test(a_format_that_was_cut_leaves_the_old_cache_or_none_or_the_new_one),
        cmocka_unit_test(formats_with_equal_options_give_equal_bytes),
        cmocka_unit_test(a_new_format_is_without_findings),
        cmocka_unit_test(a_smaller_format_erases_the_superblock_at_the_old_end),
        cmocka_unit_test(a_format_whose_fence_failed_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
