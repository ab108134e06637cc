/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Poison in everything that core/ reads again while it serves: headers, checksum lines, records,
 * data; and in the slots that a scan takes for the end.
 */
#include "engine_rig.h"

static struct rig *attached(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    return r;
}

static uint64_t payload_of(struct rig *r, uint32_t id, uint32_t slot)
{
    return cbd_segment_off(&r->geo, id) + rig_record(r, id, slot).payload_off;
}

/* 64 KiB have two lines of checksums: the nearest one of blocks 8..15 stands before the header. */
static void one_line(bool clean, uint64_t before, uint64_t len)
{
    struct rig *r = attached(&(struct rig_config){
        .pmem_bytes = 32u << 20, .segment_bytes = 1u << 20, .disk_bytes = 4u << 20});
    uint64_t place;

    rig_write(r, 0, 65536, 0);
    if (clean)
        rig_write_back(r);
    place = payload_of(r, rig_segment_with(r, CBD_M_SEGMENT_OPEN), 0) - before;
    sim_pmem_poison(r->pmem, place, len);
    assert_int_equal(rig_try_read(r, 0, 4096, 4096), clean ? 0 : CBD_E_MEDIA);
    if (clean) { /* its record still says that the disk has it */
        uint64_t hits = rig_stats(r).hit_bytes;

        rig_read(r, 4096, 4096); /* healed */
        assert_int_equal(rig_stats(r).hit_bytes, hits + 4096);
    } else {
        assert_int_equal(r->last[CBD_ERROR].error, CBD_E_MEDIA);
        assert_int_equal(r->last[CBD_ERROR].got, 4096);
        assert_int_equal(r->last[CBD_ERROR].limit, 4096);
        rig_flush(r);
        assert_int_equal(rig_step_to_idle(r, 0), CBD_E_MEDIA);
    }
    sim_pmem_poison_clear(r->pmem, place, len);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void headers_and_lines_are_read_guarded(void **state)
{
    (void)state;
    one_line(false, 64, 1);
    one_line(false, 128, 1);
    one_line(true, 64, 1);
    one_line(true, 128, 1);
}

/* Only the block that is asked for counts, and the report has its exact range. */
static void the_range_of_a_bad_block_is_exact(void **state)
{
    (void)state;
    for (int no_checksum = 0; no_checksum < 2; no_checksum++) {
        struct rig *r = attached(&(struct rig_config){.no_data_checksum = no_checksum != 0});
        uint64_t data;

        rig_write(r, 512, 16384 - 512, 0); /* blocks of 3584, 4096, 4096, 4096 */
        data = payload_of(r, rig_segment_with(r, CBD_M_SEGMENT_OPEN), 0);
        sim_pmem_poison(r->pmem, data + 3584 + 4096 + 64, 1);
        rig_read(r, 0, 8192);
        rig_read(r, 12288, 4096);
        assert_int_equal(rig_try_read(r, 0, 0, 16384), CBD_E_MEDIA);
        assert_int_equal(r->last[CBD_ERROR].got, 8192);
        assert_int_equal(r->last[CBD_ERROR].limit, 4096);
        assert_int_equal(r->last[CBD_ERROR].off_bytes, data + 3584 + 4096);
        /* What is behind the poison needs its whole block to be verified, if there are checksums. */
        assert_int_equal(rig_try_read(r, 0, 8192 + 1024, 512), no_checksum ? 0 : CBD_E_MEDIA);
        rig_destroy(r);
    }
}

static void write_back_reads_records_guarded(void **state)
{
    struct rig *r = attached(NULL);
    uint64_t slot;

    (void)state;
    rig_write(r, 0, 4096, 0);
    rig_flush(r);
    slot = rig_slot_off(r, rig_segment_with(r, CBD_M_SEGMENT_OPEN), 0);
    sim_pmem_poison(r->pmem, slot, 64);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_MEDIA);
    assert_int_equal(r->last[CBD_ERROR].off_bytes, slot);
    sim_pmem_poison_clear(r->pmem, slot, 64);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static bool degraded_by_poison(struct rig *r, uint64_t off, uint64_t len)
{
    bool degraded;

    sim_pmem_poison(r->pmem, off, len);
    degraded = rig_degraded(r);
    rig_kill(r);
    sim_pmem_poison_clear(r->pmem, off, len);
    return degraded;
}

/*
 * The newest record of a stream has no witness. One that cannot be read may have been there; one
 * behind a free slot was not.
 */
static void the_slot_behind_the_last_record_may_have_been_one(void **state)
{
    struct rig *r = attached(NULL);
    uint32_t id;

    (void)state;
    rig_write(r, 0, 4096, 0);
    rig_zero(r, 4096, 4096, 0);
    rig_zero(r, 65536, 4096, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_kill(r);
    assert_true(degraded_by_poison(r, rig_slot_off(r, id, 2), 64));
    assert_true(degraded_by_poison(r, rig_slot_off(r, id, 63), 4096));
    assert_true(degraded_by_poison(r, rig_slot_off(r, id, 3), 64));
    assert_false(degraded_by_poison(r, rig_slot_off(r, id, 4), 64));
    rig_attach(r);
    rig_check_all(r);
    rig_destroy(r);
}

/* A last record whose payload cannot be read is not an unfinished write for that. */
static void poison_in_the_newest_payload_does_not_void_its_record(void **state)
{
    struct rig *r = attached(NULL);
    uint64_t data;

    (void)state;
    rig_write(r, 0, 4096, 0);
    data = payload_of(r, rig_segment_with(r, CBD_M_SEGMENT_OPEN), 0);
    for (uint64_t off = data - 64; off <= data; off += 64) {
        rig_kill(r);
        sim_pmem_poison(r->pmem, off, 64);
        rig_attach(r);
        assert_int_equal(rig_try_read(r, 0, 0, 4096), CBD_E_MEDIA);
        sim_pmem_poison_clear(r->pmem, off, 64);
        rig_check_all(r);
    }
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_and_lines_are_read_guarded),
        cmocka_unit_test(the_range_of_a_bad_block_is_exact),
        cmocka_unit_test(write_back_reads_records_guarded),
        cmocka_unit_test(the_slot_behind_the_last_record_may_have_been_one),
        cmocka_unit_test(poison_in_the_newest_payload_does_not_void_its_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
