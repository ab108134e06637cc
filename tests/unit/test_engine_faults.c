/* SPDX-License-Identifier: BSD-2-Clause */
/* Every allocation, every disk request, every fence and every line of metadata fails once. */
#include "engine_rig.h"

static struct rig *attached(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    return r;
}

/* ------------------------------------------------------------------ memory */

static int try_open(struct rig *r)
{
    return cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache);
}

/* Open, attach, all kinds of requests, detach. The first error ends it. */
static int life(struct rig *r)
{
    int error = try_open(r);

    if (error != 0) {
        r->cache = NULL;
        return error;
    }
    error = rig_try_attach(r, 0);
    if (error != 0) {
        r->backend[0] = NULL;
        return error;
    }
    for (uint64_t i = 0; i < 120 && error == 0; i++) {
        uint64_t off = i * 37 % 240 * 4096;

        if (i % 5 == 0)
            error = rig_try_zero(r, 0, off, 8192, CBD_WRITE_PUNCH);
        else if (i % 5 == 1)
            error = rig_try_read(r, 0, off, 16384);
        else
            error = rig_try_write(r, 0, off, 8192, i % 8 == 0 ? CBD_WRITE_FUA : 0);
    }
    if (error == 0)
        error = cbd_flush(r->backend[0], 0);
    if (error == 0)
        error = cbd_backend_detach(r->backend[0]);
    if (error == 0)
        r->backend[0] = NULL;
    return error;
}

static void every_allocation_may_fail(void **state)
{
    int error = CBD_E_NOMEM;
    uint64_t k = 0;

    (void)state;
    for (; error != 0; k++) {
        struct rig *r = rig_create(&(struct rig_config){.attach = {.trees = 2}});

        r->allocs = 0;
        r->alloc_fail_at = k;
        error = life(r);
        assert_true(error == 0 || error == CBD_E_NOMEM);
        r->alloc_fail_at = UINT64_MAX;
        if (r->backend[0] != NULL) { /* it goes on where it stood */
            rig_check_all(r);
            rig_write(r, 0, 65536, 0);
            rig_detach(r);
        } else {
            rig_abandon(r);
            rig_attach(r);
            rig_check_all(r);
            rig_detach(r);
        }
        rig_check_disk(r, 0);
        rig_fsck(r, true);
        rig_destroy(r);
    }
    assert_true(k > 10);
}

static void a_format_needs_no_memory(void **state)
{
    struct rig *r = rig_create_blank(NULL);

    (void)state;
    r->alloc_fail_at = 0;
    rig_format(r, 1);
    assert_int_equal(r->allocs, 0);
    rig_destroy(r);
}

/* ------------------------------------------------------------------ disk */

/* Request number k of this kind fails; what was acknowledged is there in the end. */
static bool one_request_fails(enum cbd_disk_op op, uint64_t k)
{
    struct rig *r = rig_create(&(struct rig_config){.attach = {.space_timeout_ns = 1000000000}});
    bool done;
    int error;

    sim_disk_fail_next(r->disk[0], op, k, 1);
    error = life(r);
    done = r->disk[0]->state.fault[op].count != 0; /* there is no such request any more */
    sim_disk_fail_next(r->disk[0], op, 0, 0);
    assert_true(error == 0 || error == CBD_E_IO);
    if (r->backend[0] == NULL) {
        rig_abandon(r);
        rig_power_cut(r, SIM_CRASH_NONE);
        rig_attach(r);
    }
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_fsck(r, true);
    rig_destroy(r);
    return done;
}

static void every_request_of_the_disk_may_fail(void **state)
{
    const enum cbd_disk_op ops[] = {CBD_DISK_READ, CBD_DISK_WRITE, CBD_DISK_FLUSH,
                                    CBD_DISK_DISCARD};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        uint64_t k = 0;

        while (!one_request_fails(ops[i], k))
            k++;
        assert_true(k > 5);
    }
}

static void a_bad_sector_fails_only_the_reads_that_need_it(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    sim_disk_set_latent_error(r->disk[0], 100, 1);
    assert_int_equal(rig_try_read(r, 0, 98 * 512, 4 * 512), CBD_E_IO);
    rig_read(r, 90 * 512, 10 * 512);
    rig_write(r, 100 * 512, 512, 0);
    rig_read(r, 98 * 512, 4 * 512);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* ------------------------------------------------------------------ persistent memory */

static void fail_one_fence(void *arg, const struct sim_pm_event *ev)
{
    struct rig *r = arg;

    if (ev->kind == SIM_PM_FENCE && r->cut_skip-- == 0)
        r->pmem->fail_fences = 1;
}

/* After a fence that failed nothing can be promised: the cache stops, and loses nothing. */
static void every_fence_may_fail(void **state)
{
    int error = CBD_E_IO;
    uint32_t k = 0;

    (void)state;
    for (; error != 0; k += 11) {
        struct rig *r = rig_create(NULL);

        r->cut_skip = k;
        r->pmem->hook = fail_one_fence;
        r->pmem->hook_arg = r;
        error = life(r);
        assert_true(error == 0 || error == CBD_E_IO);
        if (error != 0 && r->backend[0] != NULL)
            assert_int_equal(rig_try_write(r, 0, 0, 512, 0), CBD_E_IO);
        r->pmem->hook = NULL;
        rig_power_cut(r, SIM_CRASH_NONE);
        rig_attach(r);
        rig_check_all(r);
        rig_detach(r);
        rig_fsck(r, true);
        rig_destroy(r);
    }
    assert_true(k > 50);
}

/* A cache with dirty data, stopped. */
static struct rig *stopped_rig(void)
{
    struct rig *r = attached(NULL);

    for (uint64_t i = 0; i < 20; i++)
        rig_write(r, i * 8192, 8192, 0);
    rig_kill(r);
    return r;
}

static void expect_use_of_the_other_copy(uint64_t off, uint64_t len)
{
    struct rig *r = stopped_rig();

    sim_pmem_poison(r->pmem, off, len);
    rig_attach(r);
    rig_check_all(r);
    rig_write(r, 0, 131072, 0);
    rig_detach(r);
    rig_check_disk(r, 0);
    /* what was written again in place can be read again, as a device clears poison by a store */
    sim_pmem_poison_clear(r->pmem, off, len);
    rig_fsck(r, true);
    rig_destroy(r);
}

/* D16: one bad line in either copy of the metadata, and the cache could not be loaded. */
static void test_d16_poison_in_any_one_copy_of_metadata_costs_nothing(void **state)
{
    struct rig *r = rig_create(NULL);
    const uint64_t places[] = {cbd_place_backend(0), cbd_place_backend(31), cbd_place_state(0),
                               cbd_place_segment(0), cbd_place_segment(7)};
    struct cbd_geometry geo = r->geo;

    (void)state;
    rig_destroy(r);
    expect_use_of_the_other_copy(CBD_SUPER0_OFF, 4096);
    expect_use_of_the_other_copy(CBD_SUPER1_OFF, 4096);
    expect_use_of_the_other_copy(geo.super2_off, 4096);
    expect_use_of_the_other_copy(geo.table_a_off, geo.table_bytes);
    expect_use_of_the_other_copy(geo.table_b_off, geo.table_bytes);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        expect_use_of_the_other_copy(geo.table_a_off + places[i], 64);
        expect_use_of_the_other_copy(geo.table_b_off + places[i], 64);
    }
}

static void poison_in_both_copies_of_an_entry_is_reported(void **state)
{
    const uint64_t places[] = {cbd_place_backend(3), cbd_place_state(5), cbd_place_segment(9)};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct rig *r = stopped_rig();

        sim_pmem_poison(r->pmem, r->geo.table_a_off + places[i], 64);
        sim_pmem_poison(r->pmem, r->geo.table_b_off + places[i], 64);
        assert_int_equal(try_open(r), CBD_E_CORRUPT);
        assert_int_equal(r->last[CBD_ERROR].off_bytes, r->geo.table_a_off + places[i]);
        r->cache = NULL;
        rig_destroy(r);
    }
}

/* D16: poison in the log was taken for its end. */
static void test_d16_poison_in_a_record_is_damage_and_not_the_end(void **state)
{
    struct rig *r = stopped_rig();
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);

    (void)state;
    sim_pmem_poison(r->pmem, rig_slot_off(r, id, 2), 64);
    assert_true(rig_degraded(r));
    assert_true(rig_is_lost(r, rig_slot_off(r, id, 2)));
    rig_kill(r);
    sim_pmem_poison_clear(r->pmem, rig_slot_off(r, id, 2), 64);
    rig_attach(r);
    rig_check_all(r);
    rig_destroy(r);
}

static void poison_in_dirty_data_is_never_written_back(void **state)
{
    struct rig *r = attached(NULL);
    uint32_t id;
    uint64_t data;

    (void)state;
    rig_write(r, 0, 4096, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    data = cbd_segment_off(&r->geo, id) + rig_record(r, id, 0).payload_off;
    sim_pmem_poison(r->pmem, data + 1024, 64);
    assert_int_equal(rig_try_read(r, 0, 0, 4096), CBD_E_MEDIA);
    rig_flush(r);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_MEDIA);
    assert_int_equal(sim_disk_peek(r->disk[0], 0), SIM_VERSION_INITIAL);
    sim_pmem_poison_clear(r->pmem, data + 1024, 64);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* D16: a media error in clean data was an error of the read, although the disk had the data. */
static void test_d16_poison_in_clean_data_is_read_from_the_disk(void **state)
{
    (void)state;
    for (int no_checksum = 0; no_checksum < 2; no_checksum++) {
        struct rig *r = attached(&(struct rig_config){.no_data_checksum = no_checksum != 0});
        uint32_t id;

        rig_write(r, 0, 4096, 0);
        rig_read(r, 65536, 4096); /* a fill */
        rig_write_back(r);
        id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        for (uint32_t slot = 0; slot < 2; slot++)
            sim_pmem_poison(r->pmem,
                            cbd_segment_off(&r->geo, id) + rig_record(r, id, slot).payload_off, 64);
        rig_read(r, 0, 4096);
        rig_read(r, 65536, 4096);
        assert_int_equal(r->reports[CBD_WARNING], 2);
        assert_int_equal(r->last[CBD_WARNING].error, CBD_E_MEDIA);
        rig_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_format_needs_no_memory),
        cmocka_unit_test(every_request_of_the_disk_may_fail),
        cmocka_unit_test(a_bad_sector_fails_only_the_reads_that_need_it),
        cmocka_unit_test(every_fence_may_fail),
        cmocka_unit_test(test_d16_poison_in_any_one_copy_of_metadata_costs_nothing),
        cmocka_unit_test(poison_in_both_copies_of_an_entry_is_reported),
        cmocka_unit_test(test_d16_poison_in_a_record_is_damage_and_not_the_end),
        cmocka_unit_test(test_d16_poison_in_clean_data_is_read_from_the_disk),
        cmocka_unit_test(poison_in_dirty_data_is_never_written_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
