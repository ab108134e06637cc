/* SPDX-License-Identifier: BSD-2-Clause */
/* Recovery: what it finds again, what it reports as damage, and what it discards. */
#include "engine_rig.h"

static struct rig *attached(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    return r;
}

/* Five writes of 4 KiB in the open segment, and the process is gone. */
static struct rig *stopped_with_five(uint32_t *segment)
{
    struct rig *r = attached(NULL);

    for (uint64_t i = 0; i < 5; i++)
        rig_write(r, i * 8192, 4096, 0);
    *segment = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_kill(r);
    return r;
}

struct extents {
    struct cbd_extent_view view[2048];
    size_t count;
};

static void keep_extent(void *arg, const struct cbd_extent_view *extent)
{
    struct extents *all = arg;

    assert_true(all->count < 2048);
    all->view[all->count++] = *extent;
}

static void recovery_builds_the_index_that_was_lost(void **state)
{
    static struct extents before, after;
    struct sim_rng rng;

    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct rig *r = attached(
            &(struct rig_config){.streams = 4, .share_segments = 12, .attach = {.trees = 2}});

        sim_rng_seed(&rng, seed);
        for (int i = 0; i < 600; i++) {
            uint64_t off = sim_rng_below(&rng, 2000) * 512;

            r->lane = (unsigned)sim_rng_below(&rng, 4);
            if (sim_rng_chance(&rng, 1, 5))
                rig_zero(r, off, 512 * (1 + sim_rng_below(&rng, 40)), 0);
            else
                rig_write(r, off, 512 * (1 + sim_rng_below(&rng, 16)), 0);
        }
        before.count = 0;
        after.count = 0;
        cbd_backend_extents(r->backend[0], keep_extent, &before);
        rig_power_cut(r, SIM_CRASH_NONE);
        rig_attach(r);
        cbd_backend_extents(r->backend[0], keep_extent, &after);
        assert_int_equal(after.count, before.count);
        for (size_t i = 0; i < before.count; i++) {
            assert_int_equal(after.view[i].addr_bytes, before.view[i].addr_bytes);
            assert_int_equal(after.view[i].len_bytes, before.view[i].len_bytes);
            assert_int_equal(after.view[i].order, before.view[i].order);
            assert_int_equal(after.view[i].pmem_off, before.view[i].pmem_off);
        }
        rig_check_all(r);
        rig_destroy(r);
    }
}

static void after_a_clean_detach_everything_is_cached_and_clean(void **state)
{
    struct rig *r = attached(NULL);
    struct cbd_backend_info info;

    (void)state;
    rig_write(r, 0, 65536, 0);
    rig_read(r, 65536, 65536);
    rig_detach(r);
    rig_open(r);
    assert_true(cbd_backend_info(r->cache, 0, &info));
    assert_false(info.was_attached);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_dirty_bytes, 0);
    assert_int_equal(rig_stats(r).dirty_bytes, 0);
    while (cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM) > 0)
        ; /* warms up */
    rig_read(r, 0, 131072);
    assert_int_equal(rig_stats(r).miss_bytes, 0);
    rig_destroy(r);
}

static void after_a_power_cut_dirty_data_is_dirty_again(void **state)
{
    struct rig *r = attached(NULL);
    struct cbd_backend_info info;
    uint64_t space;

    (void)state;
    rig_write(r, 0, 65536, 0);
    rig_write_back(r);
    rig_write(r, 65536, 4096, 0);
    rig_zero(r, 131072, 4096, 0);
    space = rig_stats(r).dirty_space_bytes;
    assert_true(space > 4096);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_open(r);
    assert_true(cbd_backend_info(r->cache, 0, &info));
    assert_true(info.was_attached);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_dirty_bytes, 4096);
    assert_int_equal(rig_stats(r).dirty_bytes, 4096);
    assert_int_equal(rig_stats(r).dirty_space_bytes, space);
    rig_write_back(r);
    assert_int_equal(rig_stats(r).dirty_space_bytes, 0);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* D11: a clean removal of a full cache dropped what did not fit any more. */
static void test_d11_a_clean_detach_of_a_full_cache_loses_nothing(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    r->background = false;
    for (uint64_t off = 0; rig_stats(r).segments_free > 0; off += 8192)
        rig_write(r, off, 8192, 0);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_fsck(r, true);
    rig_destroy(r);
}

/* Degraded, and the record there is what was lost. Nothing is stored for that. */
static void expect_lost(struct rig *r, uint64_t off)
{
    assert_true(rig_degraded(r));
    assert_true(rig_is_lost(r, off));
    assert_int_equal(rig_try_write(r, 0, 0, 4096, 0), CBD_E_READONLY);
    rig_kill(r);
}

/* D15: damage in the middle of the log was taken for its end; all that followed was dropped. */
static void test_d15_a_damaged_record_of_an_open_segment_is_not_its_end(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < 4; slot++) {
        uint32_t id;
        struct rig *r = stopped_with_five(&id);

        rig_flip(r, rig_slot_off(r, id, slot) + 20);
        expect_lost(r, rig_slot_off(r, id, slot));
        rig_flip(r, rig_slot_off(r, id, slot) + 20); /* nothing was made worse */
        rig_attach(r);
        rig_check_all(r);
        rig_destroy(r);
    }
}

static void a_damaged_record_of_a_closed_segment_is_found(void **state)
{
    struct rig *r = attached(NULL);
    uint32_t id, records;

    (void)state;
    for (uint64_t i = 0; i < 20; i++)
        rig_write(r, i * 8192, 8192, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);
    records = rig_entry(r, id).records;
    rig_kill(r);
    for (uint32_t slot = 0; slot < records; slot++) {
        rig_flip(r, rig_slot_off(r, id, slot) + 3);
        expect_lost(r, rig_slot_off(r, id, slot));
        rig_flip(r, rig_slot_off(r, id, slot) + 3);
    }
    rig_attach(r);
    rig_check_all(r);
    rig_destroy(r);
}

/* A page of records holds 64: none is left, and still it does not look like an empty segment. */
static void test_d15_a_lost_page_of_records_is_not_the_end(void **state)
{
    struct rig *r = attached(&(struct rig_config){.segment_bytes = 131072});
    uint32_t id;

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        rig_write(r, i * 1024, 512, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_kill(r);
    rig_scribble(r, rig_slot_off(r, id, 63), 4096);
    expect_lost(r, rig_slot_off(r, id, 0));
    rig_destroy(r);
}

/* The header of the last write proves that the records before it were there. */
static void test_d15_a_lost_tail_of_several_records_is_damage(void **state)
{
    (void)state;
    for (uint32_t first = 0; first < 4; first++) {
        uint32_t id;
        struct rig *r = stopped_with_five(&id);

        for (uint32_t slot = first; slot < 5; slot++)
            rig_scribble(r, rig_slot_off(r, id, slot), 64);
        expect_lost(r, rig_slot_off(r, id, first));
        rig_destroy(r);
    }
}

/* The model takes back what the fifth write of stopped_with_five() wrote. */
static void take_back_the_fifth(struct rig *r)
{
    for (uint64_t s = 4 * 16; s < 4 * 16 + 8; s++)
        r->want[0][s] = SIM_VERSION_INITIAL;
}

static void a_last_record_that_is_missing_is_an_unfinished_write(void **state)
{
    uint32_t id;
    struct rig *r = stopped_with_five(&id);

    (void)state;
    rig_scribble(r, rig_slot_off(r, id, 4), 64);
    take_back_the_fifth(r);
    rig_attach(r);
    rig_check_all(r);
    rig_write(r, 4 * 8192, 4096, 0); /* takes the slot */
    rig_kill(r);
    rig_fsck(r, false);
    rig_attach(r);
    rig_check_all(r);
    rig_destroy(r);
}

static void a_last_record_without_its_payload_is_suspect_and_voided(void **state)
{
    uint32_t id;
    struct rig *r = stopped_with_five(&id);

    (void)state;
    rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 4).payload_off + 4000);
    take_back_the_fifth(r);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_suspects, 1);
    assert_int_equal(rig_stats(r).recovered_records, 4);
    assert_string_equal(r->last[CBD_INFO].sentence, "unfinished write discarded");
    assert_int_equal(rig_record(r, id, 4).type, CBD_M_RECORD_VOID);
    rig_check_all(r);
    rig_write(r, 65536, 4096, 0);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_suspects, 0);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_fsck(r, true);
    rig_destroy(r);
}

static void write_one_piece(struct rig *r)
{
    rig_write(r, 16384, 16384, 0);
}

static void expect_whole_or_nothing(struct rig *r)
{
    static uint8_t buf[16384];
    uint64_t first;

    assert_int_equal(cbd_read(r->backend[0], 0, 16384, buf, sizeof(buf)), 0);
    first = sim_sector_decode(buf, 32);
    for (uint64_t i = 1; i < 32; i++)
        assert_int_equal(sim_sector_decode(buf + i * 512, 32 + i), first);
    assert_true(first == r->want[0][32] || first == r->maybe[0][32]);
}

/* D25: a block could be cut in two at a segment's end, and come back half. */
static void test_d25_a_piece_is_there_as_a_whole_or_not_at_all(void **state)
{
    const enum cbd_step steps[] = {CBD_STEP_INSERT_DATA, CBD_STEP_INSERT_RECORD,
                                   CBD_STEP_INSERT_RECORD_FENCE};

    (void)state;
    for (uint32_t before = 0; before < 4; before++) { /* the last one does not fit any more */
        for (uint64_t i = 0; i < 60; i++) {
            struct rig *r = attached(NULL);
            struct sim_crash crash = sim_crash_subset(i / 3, before);

            rig_write(r, 16384, 16384, 0);
            for (uint32_t k = 0; k < before; k++)
                rig_write(r, 65536 + k * 16384, 14848, 0);
            assert_true(rig_cut_in(r, steps[i % 3], 0, write_one_piece));
            sim_pmem_crash(r->pmem, &crash);
            rig_power_cut(r, SIM_CRASH_ALL);
            rig_attach(r);
            expect_whole_or_nothing(r);
            rig_check_all(r);
            rig_destroy(r);
        }
    }
}

/* D13: user data could be a perfect log record, and be replayed. */
static void test_d13_user_data_that_looks_like_records_is_only_data(void **state)
{
    uint32_t id;
    struct rig *r = stopped_with_five(&id);
    static uint8_t forged[8192], buf[8192];

    (void)state;
    rig_attach(r);
    /* real headers with data behind them, and real records of slots 0 to 63 */
    memcpy(forged, r->pmem->pm.base + cbd_segment_off(&r->geo, id), 4096);
    memcpy(forged + 4096, r->pmem->pm.base + rig_slot_off(r, id, 63), 4096);
    for (int i = 0; i < 40; i++)
        assert_int_equal(cbd_write(r->backend[0], 0, 262144, forged, sizeof(forged), 0), 0);
    rig_kill(r);
    rig_fsck(r, false);
    rig_attach(r);
    assert_int_equal(rig_try_read(r, 0, 0, 262144), 0);
    assert_int_equal(cbd_read(r->backend[0], 0, 262144, buf, sizeof(buf)), 0);
    assert_memory_equal(buf, forged, sizeof(buf));
    rig_destroy(r);
}

/* D12: what stood behind the end of the log in a reused segment came back to life. */
static void test_d12_records_of_an_earlier_life_of_a_segment_stay_dead(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    for (uint64_t i = 0; i < 3000; i++) { /* small: many slots */
        rig_write(r, i * 53 % 2048 * 512, 512, 0);
        if (i > 2500 && i % 50 == 0) {
            rig_power_cut(r, SIM_CRASH_NONE);
            rig_attach(r);
            rig_check_all(r);
        }
    }
    assert_true(rig_entry(r, rig_segment_with(r, CBD_M_SEGMENT_OPEN)).generation > 3);
    rig_destroy(r);
}

static void recovery_that_is_cut_is_recovered_from(void **state)
{
    const enum cbd_step steps[] = {CBD_STEP_RECOVER_FLUSH,         CBD_STEP_RECOVER_VOID,
                                   CBD_STEP_RECOVER_FLUSH_TABLES,  CBD_STEP_RECOVER_REPAIR,
                                   CBD_STEP_RECOVER_STATE_A_FENCE, CBD_STEP_RECOVER_STATE_B_COPY,
                                   CBD_STEP_RECOVER_SUPER,         CBD_STEP_RECOVER_REPAIR_FENCE};

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        uint32_t id;
        struct rig *r = stopped_with_five(&id);

        if (steps[i] == CBD_STEP_RECOVER_VOID) {
            rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 4).payload_off);
            take_back_the_fifth(r);
        }
        rig_scribble(r, CBD_SUPER1_OFF, 512);
        rig_scribble(r, r->geo.table_b_off + cbd_place_state(0), 64);
        assert_true(rig_cut_in(r, steps[i], 0, rig_attach));
        rig_power_cut(r, i % 2 != 0 ? SIM_CRASH_NONE : SIM_CRASH_PREFIX);
        rig_attach(r);
        rig_check_all(r);
        rig_detach(r);
        rig_check_disk(r, 0);
        rig_destroy(r);
    }
}

/* What the process stored is still there when only it dies; recovery makes it durable. */
static void after_a_kill_what_was_read_survives_the_power_cut_that_follows(void **state)
{
    const enum sim_model models[] = {SIM_PAGE, SIM_ADR, SIM_EADR};

    (void)state;
    for (size_t m = 0; m < 3; m++) {
        struct rig *r = attached(&(struct rig_config){.model = models[m]});

        rig_write(r, 0, 32768, 0);
        assert_true(rig_cut_in(r, CBD_STEP_INSERT_RECORD_FENCE, 0, write_one_piece));
        rig_kill(r);
        /* A new process syncs what it has marked itself. A CPU has drained its stores by then. */
        r->pmem->thread = models[m] == SIM_PAGE ? 1 : 0;
        rig_attach(r);
        /* the record can be read, so the write is there, and from now on for ever */
        for (uint64_t s = 32; s < 64; s++) {
            r->want[0][s] = r->maybe[0][s];
            r->maybe[0][s] = RIG_NO_VERSION;
        }
        rig_check_all(r);
        rig_power_cut(r, SIM_CRASH_NONE);
        rig_attach(r);
        rig_check_all(r);
        rig_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recovery_builds_the_index_that_was_lost),
        cmocka_unit_test(after_a_clean_detach_everything_is_cached_and_clean),
        cmocka_unit_test(after_a_power_cut_dirty_data_is_dirty_again),
        cmocka_unit_test(test_d11_a_clean_detach_of_a_full_cache_loses_nothing),
        cmocka_unit_test(test_d15_a_damaged_record_of_an_open_segment_is_not_its_end),
        cmocka_unit_test(a_damaged_record_of_a_closed_segment_is_found),
        cmocka_unit_test(test_d15_a_lost_page_of_records_is_not_the_end),
        cmocka_unit_test(test_d15_a_lost_tail_of_several_records_is_damage),
        cmocka_unit_test(a_last_record_that_is_missing_is_an_unfinished_write),
        cmocka_unit_test(a_last_record_without_its_payload_is_suspect_and_voided),
        cmocka_unit_test(test_d25_a_piece_is_there_as_a_whole_or_not_at_all),
        cmocka_unit_test(test_d13_user_data_that_looks_like_records_is_only_data),
        cmocka_unit_test(test_d12_records_of_an_earlier_life_of_a_segment_stay_dead),
        cmocka_unit_test(recovery_that_is_cut_is_recovered_from),
        cmocka_unit_test(after_a_kill_what_was_read_survives_the_power_cut_that_follows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
