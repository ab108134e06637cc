/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of the two kernel drivers, by their numbers in docs/design.md: those that no other file of
 * tests has a place for.
 */
#include "engine_rig.h"

#define BLOCK UINT64_C(4096)

static struct rig *attached(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    return r;
}

static void fill_until_reclaim(struct rig *r, uint64_t writes)
{
    for (uint64_t i = 0; i < writes; i++)
        rig_write(r, i * 13 % 200 * BLOCK, BLOCK, 0);
}

/* D18: memory was freed while write-back was in flight. */
static void test_d18_nothing_is_in_flight_when_memory_goes(void **state)
{
    (void)state;
    for (int clean = 0; clean < 2; clean++) {
        struct rig *r = attached(NULL);

        for (uint64_t i = 0; i < 40; i++)
            rig_write(r, i * 2 * BLOCK, BLOCK, 0);
        cbd_backend_drain(r->backend[0], true);
        while (sim_disk_inflight(r->disk[0]) < 4)
            assert_true(cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK) > 0);
        if (clean != 0)
            rig_detach(r);
        else
            rig_abandon(r);
        assert_int_equal(sim_disk_inflight(r->disk[0]), 0);
        assert_null(r->blocks);
        rig_attach(r);
        rig_check_all(r);
        rig_destroy(r);
    }
}

/* D20: memory without synchronous persistence was accepted as if stores were durable. */
static void test_d20_a_failed_sync_is_never_acknowledged(void **state)
{
    struct rig *r = attached(&(struct rig_config){.model = SIM_PAGE});

    (void)state;
    rig_write(r, 0, BLOCK, 0);
    r->pmem->fail_fences = 1;
    assert_int_equal(rig_try_write(r, 0, BLOCK, BLOCK, 0), CBD_E_IO);
    assert_int_equal(rig_try_write(r, 0, 2 * BLOCK, BLOCK, 0), CBD_E_IO); /* trusted no more */
    assert_int_equal(cbd_flush(r->backend[0], 0), CBD_E_IO);
    rig_read(r, 0, BLOCK);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    rig_check_all(r);
    rig_destroy(r);
}

/* D24: reads did not verify the data that they returned. */
static void test_d24_every_read_verifies(void **state)
{
    struct rig *r = attached(NULL);
    struct cbd_record record;
    uint32_t segment;

    (void)state;
    rig_write(r, 0, 4 * BLOCK, 0);
    segment = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    record = rig_record(r, segment, 0);
    rig_flip(r, r->geo.data_off + (uint64_t)segment * r->geo.segment_bytes + record.payload_off +
                    BLOCK + 77);
    assert_int_equal(rig_try_read(r, 0, BLOCK, 512), CBD_E_CORRUPT);
    assert_int_equal(rig_try_read(r, 0, BLOCK + 3584, 512), CBD_E_CORRUPT); /* the same block */
    rig_read(r, 0, BLOCK);
    rig_read(r, 2 * BLOCK, 2 * BLOCK);
    rig_power_cut(r, SIM_CRASH_NONE); /* what is bad cannot be written back */
    rig_destroy(r);
}

/* C1: FLUSH never reached the cache, so nothing ordered what came before and after it. */
static void test_c1_a_flush_orders_what_reaches_the_disk(void **state)
{
    (void)state;
    for (uint64_t completions = 0; completions < 8; completions++) {
        struct rig *r = attached(NULL);
        uint64_t first, second;

        rig_write(r, 0, BLOCK, 0);
        rig_flush(r);
        rig_write(r, 8 * BLOCK, BLOCK, 0);
        first = r->want[0][0];
        second = r->want[0][64];
        cbd_backend_drain(r->backend[0], true);
        for (uint64_t done = 0; done < completions;) {
            while (cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK) > 0)
                ;
            if (sim_disk_inflight(r->disk[0]) == 0)
                break;
            sim_disk_complete(r->disk[0], 0);
            done++;
        }
        rig_power_cut(r, completions % 2 != 0 ? SIM_CRASH_ALL : SIM_CRASH_NONE);
        assert_true(sim_disk_peek(r->disk[0], 64) != second ||
                    sim_disk_peek(r->disk[0], 0) == first);
        rig_destroy(r);
    }
}

static void write_back_all(struct rig *r)
{
    rig_write_back(r);
}

/* C3: generations and links were single, updated in place, without checksum. */
static void test_c3_an_update_in_place_is_the_old_or_the_new(void **state)
{
    static const enum cbd_step steps[] = {CBD_STEP_EPOCH_A_COPY, CBD_STEP_EPOCH_A_FENCE,
                                          CBD_STEP_EPOCH_B_COPY, CBD_STEP_EPOCH_B_FENCE};
    static const enum sim_crash_kind kinds[] = {SIM_CRASH_NONE, SIM_CRASH_ALL, SIM_CRASH_ONE_LOST,
                                                SIM_CRASH_ONE_KEPT};

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            struct rig *r = attached(NULL);
            struct cbd_backend_info before, after;

            rig_write(r, 0, 4 * BLOCK, 0);
            assert_true(cbd_backend_info(r->cache, 0, &before));
            assert_true(rig_cut_in(r, steps[i], 0, write_back_all));
            rig_power_cut(r, kinds[k]);
            rig_open(r);
            assert_true(cbd_backend_info(r->cache, 0, &after));
            assert_true(after.epoch_written == before.epoch_written ||
                        after.epoch_written == before.epoch_written + 1);
            rig_attach(r);
            rig_check_all(r);
            rig_destroy(r);
        }
}

static uint32_t oldest_closed(struct rig *r)
{
    uint32_t oldest = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);

    for (uint32_t id = 0; id < r->config.share_segments; id++) {
        struct cbd_segment_entry e = rig_entry(r, id);

        if (e.status == CBD_M_SEGMENT_CLOSED && e.order_max < rig_entry(r, oldest).order_max)
            oldest = id;
    }
    return oldest;
}

/* C4: a record that could not be decoded in reclaim did not stop the tail from moving on. */
static void test_c4_a_bad_record_stops_reclaim_before_it_forgets(void **state)
{
    struct rig *r = attached(NULL);
    struct cbd_backend_info before, after;
    uint32_t segment;
    int did = 1;

    (void)state;
    while (rig_stats(r).segments_free > 2)
        rig_write(r, rig_stats(r).writes * 13 % 200 * BLOCK, BLOCK, 0);
    rig_write_back(r);
    segment = oldest_closed(r);
    r->background = false;
    while (rig_stats(r).segments_free > 1)
        rig_write(r, rig_stats(r).writes * 13 % 200 * BLOCK, BLOCK, 0);
    rig_flip(r, rig_slot_off(r, segment, 1) + 9);
    assert_true(cbd_backend_info(r->cache, 0, &before));
    for (int i = 0; i < 8 && did > 0; i++)
        did = cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM);
    assert_true(cbd_backend_info(r->cache, 0, &after));
    assert_true(did < 0);
    assert_int_equal(after.horizon, before.horizon);
    rig_kill(r);
    rig_destroy(r);
}

/* C5: nothing that the media said was checked against a bound. */
static void test_c5_any_byte_of_the_tables_may_be_wrong(void **state)
{
    static const uint8_t values[] = {0x00, 0x7f, 0x80, 0xff};
    struct rig *r = attached(NULL);

    (void)state;
    fill_until_reclaim(r, 60);
    rig_power_cut(r, SIM_CRASH_NONE);
    for (uint64_t at = 0; at < 2048; at += 3) {
        uint64_t a = r->geo.table_a_off + (at < 1024 ? at : CBD_BACKENDS * 512 + at - 1024);
        uint64_t b = a - r->geo.table_a_off + r->geo.table_b_off;
        uint8_t value = values[at % 4];

        sim_pmem_mark(r->pmem);
        sim_pmem_poke(r->pmem, a, &value, 1);
        sim_pmem_poke(r->pmem, b, &value, 1);
        if (cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache) != 0)
            r->cache = NULL;
        else if (rig_try_attach(r, 0) == 0)
            rig_check_all(r);
        rig_kill(r);
        sim_pmem_rollback(r->pmem);
    }
    rig_destroy(r);
}

static uint64_t bytes_stored;

static void count_bytes(void *arg, const struct sim_pm_event *ev)
{
    (void)arg;
    if (ev->kind != SIM_PM_FENCE && ev->kind != SIM_PM_FLUSH)
        bytes_stored += ev->len_bytes;
}

/* C7: every allocation zeroed a whole segment; a full cache burned CPU. */
static void test_c7_a_new_segment_costs_its_entries_and_nothing_is_zeroed(void **state)
{
    struct rig *r = attached(NULL);
    uint64_t opened = rig_stats(r).segments_opened;

    (void)state;
    bytes_stored = 0;
    r->pmem->hook = count_bytes;
    fill_until_reclaim(r, 150);
    opened = rig_stats(r).segments_opened - opened;
    assert_true(opened > 5);
    /* Each write is its data, a header and a record; each segment two entries, open and close. */
    assert_true(bytes_stored <
                150 * (BLOCK + 64 + 64) + opened * 4 * 64 + /* epochs, horizons */ 64 * 64);
    r->pmem->hook = NULL;
    rig_destroy(r);
}

/* C8: an option of the build changed the size of a record, so one build could not read another's. */
static void test_c8_checksums_change_no_size(void **state)
{
    struct rig *with = rig_create(&(struct rig_config){.no_data_checksum = false});
    struct rig *without = rig_create(&(struct rig_config){.no_data_checksum = true});

    (void)state;
    assert_memory_equal(&with->geo, &without->geo, sizeof(with->geo));
    for (int i = 0; i < 2; i++) {
        struct rig *r = i == 0 ? with : without;

        rig_attach(r);
        fill_until_reclaim(r, 40);
        rig_power_cut(r, SIM_CRASH_NONE);
        rig_attach(r);
        rig_check_all(r);
        rig_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d18_nothing_is_in_flight_when_memory_goes),
        cmocka_unit_test(test_d20_a_failed_sync_is_never_acknowledged),
        cmocka_unit_test(test_d24_every_read_verifies),
        cmocka_unit_test(test_c1_a_flush_orders_what_reaches_the_disk),
        cmocka_unit_test(test_c3_an_update_in_place_is_the_old_or_the_new),
        cmocka_unit_test(test_c4_a_bad_record_stops_reclaim_before_it_forgets),
        cmocka_unit_test(test_c5_any_byte_of_the_tables_may_be_wrong),
        cmocka_unit_test(test_c7_a_new_segment_costs_its_entries_and_nothing_is_zeroed),
        cmocka_unit_test(test_c8_checksums_change_no_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
