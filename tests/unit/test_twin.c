/* SPDX-License-Identifier: BSD-2-Clause */
/* Metadata with several copies: any one of them is enough, and attaching restores the others. */
#include "engine_rig.h"

#include "crc.h"

enum { BACKEND, STATE, SEGMENT, KINDS };

static uint64_t place_of(int kind)
{
    const uint64_t place[KINDS] = {cbd_place_backend(0), cbd_place_state(0), cbd_place_segment(1)};

    return place[kind];
}

static uint32_t len_of(int kind)
{
    const uint32_t len[KINDS] = {sizeof(struct cbd_m_backend), sizeof(struct cbd_m_backend_state),
                                 sizeof(struct cbd_m_segment)};

    return len[kind];
}

static uint64_t copy_off(const struct rig *r, int kind, int copy)
{
    return (copy == 0 ? r->geo.table_a_off : r->geo.table_b_off) + place_of(kind);
}

static void expect_equal_copies(const struct rig *r)
{
    assert_memory_equal(r->pmem->pm.base + r->geo.table_a_off,
                        r->pmem->pm.base + r->geo.table_b_off, r->geo.table_bytes);
}

/* A cache with one dirty block, stopped without a detach. */
static struct rig *stopped_rig(void)
{
    struct rig *r = rig_create(NULL);

    rig_attach(r);
    rig_write(r, 8192, 4096, 0);
    rig_kill(r);
    return r;
}

static void a_lost_copy_of_an_entry_is_written_again_at_attach(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        for (int copy = 0; copy < 2; copy++) {
            struct rig *r = stopped_rig();

            rig_scribble(r, copy_off(r, kind, copy), len_of(kind));
            rig_attach(r);
            expect_equal_copies(r);
            rig_check_all(r);
            rig_destroy(r);
        }
    }
}

static void a_single_flipped_bit_in_a_copy_costs_nothing(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct rig *r = stopped_rig();

        for (uint32_t i = 0; i < len_of(kind); i += 37) {
            rig_flip(r, copy_off(r, kind, (int)(i % 2)) + i);
            rig_attach(r);
            expect_equal_copies(r);
            rig_kill(r);
        }
        rig_attach(r);
        rig_check_all(r);
        rig_destroy(r);
    }
}

/* D4: with both copies gone the kernel driver took the device for a new one and emptied it. */
static void test_d4_with_both_copies_of_an_entry_lost_nothing_opens(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct rig *r = stopped_rig();

        rig_flip(r, copy_off(r, kind, 0) + 16);
        rig_flip(r, copy_off(r, kind, 1) + 40);
        assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache), CBD_E_CORRUPT);
        r->cache = NULL;
        assert_int_equal(r->last[CBD_ERROR].off_bytes, copy_off(r, kind, 0));
        rig_destroy(r);
    }
}

/* D14: a segment without a valid generation counted as generation 0, and all its old keys lived. */
static void test_d14_a_segment_without_a_generation_is_an_error(void **state)
{
    struct rig *r = stopped_rig();
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);

    (void)state;
    rig_scribble(r, r->geo.table_a_off + cbd_place_segment(id), 64);
    rig_scribble(r, r->geo.table_b_off + cbd_place_segment(id), 64);
    assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache), CBD_E_CORRUPT);
    r->cache = NULL;
    rig_destroy(r);
}

static void put_state(struct rig *r, int copy, const struct cbd_backend_state *s)
{
    uint32_t cache_seed = cbd_seed_cache(r->super.uuid, r->super.salt);
    struct cbd_m_backend_state m;

    cbd_state_encode(s, cbd_seed_place(cache_seed, CBD_SEED_STATE, 0, 0), &m);
    sim_pmem_poke(r->pmem, copy_off(r, STATE, copy), &m, sizeof(m));
}

static void of_two_valid_copies_the_higher_sequence_counts(void **state)
{
    (void)state;
    for (int newer = 0; newer < 2; newer++) {
        struct rig *r = rig_create(NULL);
        struct cbd_backend_info info;

        put_state(r, newer, &(struct cbd_backend_state){.seq = 11, .attaches = 100});
        put_state(r, 1 - newer, &(struct cbd_backend_state){.seq = 10, .attaches = 50});
        rig_open(r);
        assert_true(cbd_backend_info(r->cache, 0, &info));
        assert_int_equal(info.attaches, 100);
        rig_attach(r);
        expect_equal_copies(r);
        assert_true(cbd_backend_info(r->cache, 0, &info));
        assert_int_equal(info.attaches, 101);
        rig_destroy(r);
    }
}

static void attach_all(struct rig *r)
{
    rig_attach(r);
}

static void fill_a_segment(struct rig *r)
{
    for (uint64_t i = 0; i < 32; i++)
        rig_write(r, i * 4096, 4096, 0);
}

/* T1: also when both are valid, as a cut between them leaves them. */
static void valid_copies_that_differ_are_made_equal_before_one_is_written(void **state)
{
    (void)state;
    for (int newer = 0; newer < 2; newer++) {
        struct rig *r = rig_create(NULL);

        put_state(r, newer, &(struct cbd_backend_state){.seq = 11, .attaches = 100});
        put_state(r, 1 - newer, &(struct cbd_backend_state){.seq = 10, .attaches = 50});
        assert_true(rig_cut_in(r, CBD_STEP_RECOVER_STATE_A_COPY, 0, attach_all));
        expect_equal_copies(r);
        rig_power_cut(r, SIM_CRASH_NONE);
        expect_equal_copies(r);
        rig_destroy(r);
    }
    for (int close = 0; close < 2; close++) {
        struct rig *r = rig_create(NULL);

        rig_attach(r);
        assert_true(
            rig_cut_in(r, close != 0 ? CBD_STEP_SEGMENT_CLOSE_B_COPY : CBD_STEP_SEGMENT_OPEN_B_COPY,
                       0, fill_a_segment));
        rig_power_cut(r, SIM_CRASH_ALL);
        assert_true(rig_cut_in(r, CBD_STEP_RECOVER_STATE_A_COPY, 0, attach_all));
        rig_power_cut(r, SIM_CRASH_NONE);
        expect_equal_copies(r);
        rig_destroy(r);
    }
}

/*
 * D3: the first update after an activation overwrote the newest copy, and a torn store threw the
 * cache back to a position that was long reused.
 */
static void test_d3_a_torn_update_never_takes_the_newest_copy(void **state)
{
    const enum cbd_step steps[] = {
        CBD_STEP_RECOVER_STATE_A_COPY,
        CBD_STEP_RECOVER_STATE_A_FENCE,
        CBD_STEP_RECOVER_STATE_B_COPY,
        CBD_STEP_RECOVER_STATE_B_FENCE,
    };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 20; k++) {
            struct rig *r = stopped_rig();
            struct sim_crash crash = sim_crash_subset(k, i);
            struct cbd_backend_info info;

            assert_true(rig_cut_in(r, steps[i], 0, attach_all));
            sim_pmem_crash(r->pmem, &crash);
            rig_power_cut(r, SIM_CRASH_ALL);
            rig_open(r);
            assert_true(cbd_backend_info(r->cache, 0, &info));
            assert_in_range(info.attaches, i < 2 ? 1 : 2, i < 1 ? 1 : 2);
            rig_attach(r);
            expect_equal_copies(r);
            rig_check_all(r);
            rig_destroy(r);
        }
    }
}

/* D5: a format left an old copy with a high sequence behind, and it beat the new ones. */
static void test_d5_a_format_leaves_no_older_copy_behind(void **state)
{
    struct rig *r = rig_create(NULL);
    struct cbd_backend_info info;

    (void)state;
    for (int i = 0; i < 20; i++) { /* drives the sequences up */
        rig_attach(r);
        rig_write(r, 4096, 4096, 0);
        rig_detach(r);
    }
    rig_format(r, 7); /* even with the same salt */
    expect_equal_copies(r);
    rig_fsck(r, true);
    rig_add(r, 0);
    assert_true(cbd_backend_info(r->cache, 0, &info));
    assert_int_equal(info.attaches, 0);
    assert_int_equal(info.epoch_written, 0);
    rig_destroy(r);
}

/* ------------------------------------------------------------------ superblocks */

static uint64_t super_off(const struct rig *r, int copy)
{
    const uint64_t off[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, r->geo.super2_off};

    return off[copy];
}

/* Two of three superblocks are lost, in all three ways; the third restores them. */
static void any_one_superblock_is_enough(void **state)
{
    (void)state;
    for (int good = 0; good < 3; good++) {
        struct rig *r = stopped_rig();
        struct cbd_super super;
        uint32_t bad;

        for (int copy = 0; copy < 3; copy++)
            if (copy != good)
                rig_scribble(r, super_off(r, copy), 4096);
        rig_attach(r);
        assert_int_equal(cbd_super_read(&r->pmem->pm, &r->env.env, &super, &bad), 0);
        assert_int_equal(bad, 0);
        rig_check_all(r);
        rig_destroy(r);
    }
}

static void without_any_superblock_there_is_no_cache(void **state)
{
    struct rig *r = stopped_rig();

    (void)state;
    for (int copy = 0; copy < 3; copy++)
        rig_flip(r, super_off(r, copy) + 100);
    assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache), CBD_E_CORRUPT);
    for (int copy = 0; copy < 3; copy++)
        rig_scribble(r, super_off(r, copy), 16);
    assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache), CBD_E_NOTCBD);
    r->cache = NULL;
    rig_destroy(r);
}

static void a_blank_device_is_no_cache(void **state)
{
    struct rig *r = rig_create_blank(NULL);

    (void)state;
    assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache), CBD_E_NOTCBD);
    r->cache = NULL;
    assert_int_equal(r->reports[CBD_WARNING], 0);
    rig_destroy(r);
}

/* Writes all superblocks with other feature masks. */
static void put_features(struct rig *r, uint64_t compat, uint64_t ro_compat, uint64_t incompat)
{
    struct cbd_super super = r->super;

    super.compat = compat;
    super.ro_compat = ro_compat;
    super.incompat |= incompat;
    for (uint32_t copy = 0; copy < 3; copy++) {
        struct cbd_m_super m;

        cbd_super_encode(&super, copy, &m);
        sim_pmem_poke(r->pmem, super_off(r, (int)copy), &m, sizeof(m));
    }
}

static int open_with(struct rig *r, unsigned flags)
{
    struct cbd_cache *cache;
    int error = cbd_cache_open(&r->pmem->pm, &r->env.env, flags, &cache);

    if (error == 0)
        cbd_cache_close(cache);
    return error;
}

static void unknown_features_forbid_what_their_mask_says(void **state)
{
    struct rig *r = stopped_rig();

    (void)state;
    put_features(r, 1, 0, 0);
    assert_int_equal(open_with(r, 0), 0);
    put_features(r, 0, 1, 0);
    assert_int_equal(open_with(r, 0), CBD_E_VERSION);
    assert_int_equal(open_with(r, CBD_OPEN_READONLY), 0);
    put_features(r, 0, 0, 4);
    assert_int_equal(open_with(r, 0), CBD_E_VERSION);
    assert_int_equal(open_with(r, CBD_OPEN_READONLY), CBD_E_VERSION);
    rig_destroy(r);
}

static void a_metadata_image_opens_for_reading_only(void **state)
{
    struct rig *r = stopped_rig();

    (void)state;
    put_features(r, 0, 0, CBD_INCOMPAT_METADATA_ONLY);
    assert_int_equal(open_with(r, 0), CBD_E_NODATA);
    assert_int_equal(open_with(r, CBD_OPEN_READONLY), 0);
    rig_destroy(r);
}

static void a_readonly_open_stores_nothing(void **state)
{
    struct rig *r = stopped_rig();
    uint64_t before;

    (void)state;
    rig_scribble(r, super_off(r, 1), 512);
    rig_scribble(r, copy_off(r, STATE, 0), 64);
    before = r->pmem->ops_done;
    assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env.env, CBD_OPEN_READONLY, &r->cache), 0);
    assert_int_equal(rig_try_attach(r, 0), CBD_E_READONLY);
    assert_int_equal(cbd_backend_remove(r->cache, 0), CBD_E_READONLY);
    r->backend[0] = NULL;
    rig_abandon(r);
    assert_int_equal(r->pmem->ops_done, before);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_copy_of_an_entry_is_written_again_at_attach),
        cmocka_unit_test(a_single_flipped_bit_in_a_copy_costs_nothing),
        cmocka_unit_test(test_d4_with_both_copies_of_an_entry_lost_nothing_opens),
        cmocka_unit_test(test_d14_a_segment_without_a_generation_is_an_error),
        cmocka_unit_test(of_two_valid_copies_the_higher_sequence_counts),
        cmocka_unit_test(valid_copies_that_differ_are_made_equal_before_one_is_written),
        cmocka_unit_test(test_d3_a_torn_update_never_takes_the_newest_copy),
        cmocka_unit_test(test_d5_a_format_leaves_no_older_copy_behind),
        cmocka_unit_test(any_one_superblock_is_enough),
        cmocka_unit_test(without_any_superblock_there_is_no_cache),
        cmocka_unit_test(a_blank_device_is_no_cache),
        cmocka_unit_test(unknown_features_forbid_what_their_mask_says),
        cmocka_unit_test(a_metadata_image_opens_for_reading_only),
        cmocka_unit_test(a_readonly_open_stores_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
