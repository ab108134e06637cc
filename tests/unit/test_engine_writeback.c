/* SPDX-License-Identifier: BSD-2-Clause */
/* Write-back: the order of what reaches the disk, what is saved on the way, and errors. */
#include "engine_rig.h"

static struct rig *attached(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    r->background = false;
    return r;
}

static size_t events(const struct rig *r, enum cbd_disk_op op)
{
    size_t n = 0;

    for (size_t i = 0; i < r->trace_count; i++)
        n += r->trace[i].ev.op == op;
    return n;
}

static void nothing_is_written_below_the_threshold(void **state)
{
    struct rig *r = attached(&(struct rig_config){.attach = {.dirty_start_percent = 50}});

    (void)state;
    rig_write(r, 0, 65536, 0);
    rig_flush(r);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    assert_int_equal(r->trace_count, 0);
    rig_write(r, 65536, 3 * 65536, 0);
    rig_flush(r);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    assert_int_not_equal(events(r, CBD_DISK_WRITE), 0);
    assert_int_equal(rig_stats(r).dirty_bytes, 3 * 65536); /* below it again */
    rig_destroy(r);
}

static void an_open_epoch_is_not_closed_before_its_time(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    rig_write(r, 0, 4096, 0);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    assert_int_equal(r->trace_count, 0); /* a flush that nobody asked for would be needed */
    rig_flush(r);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    assert_int_equal(events(r, CBD_DISK_WRITE), 1);
    assert_int_equal(events(r, CBD_DISK_FLUSH), 1);
    rig_destroy(r);
}

static void a_flush_without_dirty_data_costs_nothing(void **state)
{
    struct rig *r = attached(NULL);
    uint64_t epoch = rig_stats(r).epoch;

    (void)state;
    rig_flush(r);
    rig_flush(r);
    rig_read(r, 0, 4096);
    rig_flush(r);
    assert_int_equal(rig_stats(r).epoch, epoch);
    rig_write(r, 0, 4096, CBD_WRITE_FUA); /* closes its epoch itself */
    rig_flush(r);
    assert_int_equal(rig_stats(r).epoch, epoch + 1);
    rig_destroy(r);
}

/*
 * D9: the log moved on although the flush had failed or was not waited for. Each epoch here has
 * addresses of its own: 64 KiB times its number.
 */
static void test_d9_an_epoch_starts_after_the_flush_of_the_one_before(void **state)
{
    struct rig *r = attached(&(struct rig_config){.streams = 4, .share_segments = 20});
    uint64_t flushed = 0, submitted_by_then = 0;

    (void)state;
    r->random_order = true;
    r->background = true;
    for (uint64_t epoch = 0; epoch < 10; epoch++) {
        for (uint64_t i = 0; i < 20; i++) {
            r->lane = (unsigned)(i % 4);
            rig_write(r, epoch * 65536 + i * 7 % 32 * 2048, 1024, 0);
        }
        rig_flush(r);
    }
    cbd_backend_drain(r->backend[0], true);
    while (rig_progress(r))
        ;
    for (size_t i = 0; i < r->trace_count; i++) {
        const struct rig_event *e = &r->trace[i];

        if (e->ev.op == CBD_DISK_FLUSH) {
            flushed++;
            submitted_by_then = e->submitted;
            continue;
        }
        assert_int_equal(e->ev.off_bytes / 65536, flushed);
        assert_true(e->ev.request > submitted_by_then);
    }
    assert_int_equal(flushed, 10);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void an_address_that_an_epoch_wrote_often_is_written_once(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    for (int i = 0; i < 10; i++)
        rig_write(r, 4096, 4096, 0);
    rig_zero(r, 8192, 4096, 0);
    rig_write(r, 8192, 4096, 0);
    rig_write_back(r);
    assert_int_equal(rig_stats(r).writeback_bytes, 8192);
    assert_int_equal(rig_stats(r).writeback_zero_bytes, 0);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void neighbours_are_merged_into_one_request(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    for (uint64_t i = 0; i < 16; i++)
        rig_write(r, 65536 + (i * 5 % 16) * 4096, 4096, 0);
    rig_write_back(r);
    assert_int_equal(events(r, CBD_DISK_WRITE), 1);
    assert_int_equal(r->trace[0].ev.off_bytes, 65536);
    assert_int_equal(r->trace[0].ev.len_bytes, 65536);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void requests_go_out_by_address(void **state)
{
    struct rig *r = attached(&(struct rig_config){.attach = {.epoch_bytes_max = 1u << 20}});
    uint64_t last = 0;

    (void)state;
    for (uint64_t i = 0; i < 40; i++)
        rig_write(r, 8192 + i * 37 % 40 * 8192, 4096, 0);
    rig_write_back(r);
    assert_int_equal(events(r, CBD_DISK_WRITE), 40);
    for (size_t i = 0; i < 40; i++) {
        assert_true(r->trace[i].ev.off_bytes > last);
        last = r->trace[i].ev.off_bytes;
    }
    rig_destroy(r);
}

/* All but the last request of a write-back complete before `fail` is tried. */
static void expect_retry_after(struct rig *r, enum cbd_disk_op op, uint64_t skip)
{
    uint64_t written = rig_stats(r).epoch_written;
    size_t writes = events(r, CBD_DISK_WRITE);

    rig_write(r, 0, 4096, 0);
    rig_write(r, 65536, 4096, 0);
    rig_flush(r);
    sim_disk_fail_next(r->disk[0], op, skip, 1);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_IO);
    assert_int_equal(rig_stats(r).epoch_written, written);
    assert_int_equal(rig_stats(r).dirty_bytes, 8192);
    writes = events(r, CBD_DISK_WRITE);
    rig_check_all(r);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    assert_int_equal(events(r, CBD_DISK_WRITE), writes + 2); /* all of it, again */
    assert_true(rig_stats(r).epoch_written > written);
    assert_int_equal(rig_stats(r).dirty_bytes, 0);
    rig_check_disk(r, 0);
}

/* D9: the result of the disk's flush was ignored. */
static void test_d9_after_a_failed_flush_everything_is_written_again(void **state)
{
    struct rig *r = attached(&(struct rig_config){.attach = {.no_fill = true}});

    (void)state;
    expect_retry_after(r, CBD_DISK_FLUSH, 0);
    assert_int_equal(rig_stats(r).writeback_errors, 1);
    expect_retry_after(r, CBD_DISK_FLUSH, 0);
    rig_destroy(r);
}

static void after_a_failed_write_everything_is_written_again(void **state)
{
    struct rig *r = attached(&(struct rig_config){.attach = {.no_fill = true}});

    (void)state;
    expect_retry_after(r, CBD_DISK_WRITE, 0);
    expect_retry_after(r, CBD_DISK_WRITE, 1);
    rig_destroy(r);
}

static void a_failed_flush_leaves_nothing_to_a_power_cut(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    rig_write(r, 0, 4096, 0);
    rig_flush(r);
    sim_disk_fail_next(r->disk[0], CBD_DISK_FLUSH, 0, 1);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_IO);
    rig_power_cut(r, SIM_CRASH_NONE); /* the disk forgets the write */
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void a_discard_is_passed_on_only_where_it_zeroes(void **state)
{
    const struct {
        bool keeps;
        unsigned flags;
        enum cbd_disk_op op;
    } row[] = {
        {false, CBD_WRITE_PUNCH, CBD_DISK_DISCARD},
        {false, 0, CBD_DISK_ZERO},
        {true, CBD_WRITE_PUNCH, CBD_DISK_ZERO},
        {true, 0, CBD_DISK_ZERO},
    };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct rig *r = attached(&(struct rig_config){.keeps_discarded = row[i].keeps});

        rig_zero(r, 8192, 65536, row[i].flags);
        rig_write_back(r);
        assert_int_equal(r->trace_count, 2);
        assert_int_equal(r->trace[0].ev.op, row[i].op);
        assert_int_equal(r->trace[0].ev.off_bytes, 8192);
        assert_int_equal(r->trace[0].ev.len_bytes, 65536);
        rig_check_disk(r, 0);
        rig_destroy(r);
    }
}

static void a_disk_that_writes_through_is_never_flushed(void **state)
{
    struct rig *r = attached(&(struct rig_config){.write_through = true});

    (void)state;
    rig_write(r, 0, 4096, CBD_WRITE_FUA);
    rig_write_back(r);
    assert_int_equal(events(r, CBD_DISK_FLUSH), 0);
    assert_int_equal(rig_stats(r).dirty_bytes, 0);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* D17: failed writes to the disk were retried for ever, and everybody waited. */
static void test_d17_a_full_cache_over_a_dead_disk_fails_after_t_and_recovers(void **state)
{
    struct rig *r = attached(&(struct rig_config){.attach = {.space_timeout_ns = 5000000000}});
    uint64_t off = 0, before = 0;
    int error = 0;

    (void)state;
    r->background = true;
    sim_disk_set_gone(r->disk[0], true);
    while (error == 0 && off < 1u << 20) {
        before = r->env.now_ns;
        error = rig_try_write(r, 0, off, 8192, 0);
        off += 8192;
    }
    assert_int_equal(error, CBD_E_NOSPACE);
    assert_true(r->env.now_ns - before >= 5000000000);
    sim_disk_set_gone(r->disk[0], false);
    rig_write(r, off, 8192, 0);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void a_failed_write_of_a_full_cache_lost_nothing_acknowledged(void **state)
{
    struct rig *r = attached(&(struct rig_config){.attach = {.space_timeout_ns = 1000}});

    (void)state;
    r->background = true;
    sim_disk_set_gone(r->disk[0], true);
    for (uint64_t off = 0; rig_try_write(r, 0, off, 8192, 0) == 0;)
        off += 8192;
    rig_power_cut(r, SIM_CRASH_NONE);
    sim_disk_set_gone(r->disk[0], false);
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void clean_data_with_a_wrong_checksum_comes_from_the_disk(void **state)
{
    struct rig *r = attached(NULL);
    uint32_t id;

    (void)state;
    rig_write(r, 0, 4096, 0);
    rig_read(r, 65536, 4096); /* a fill */
    rig_write_back(r);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    for (uint32_t slot = 0; slot < 2; slot++)
        rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, slot).payload_off + 7);
    rig_read(r, 0, 4096);
    rig_read(r, 65536, 4096);
    assert_int_equal(r->reports[CBD_WARNING], 2);
    assert_int_equal(r->reports[CBD_ERROR], 0);
    rig_destroy(r);
}

static void a_long_epoch_is_closed_by_its_length(void **state)
{
    struct rig *r = attached(&(struct rig_config){.attach = {.epoch_records_max = 64}});
    uint64_t epoch = rig_stats(r).epoch;

    (void)state;
    for (int i = 0; i < 128; i++)
        rig_write(r, (uint64_t)i * 512, 512, 0);
    assert_int_equal(rig_stats(r).epoch, epoch + 2);
    rig_destroy(r);
}

static void a_detach_that_fails_can_be_tried_again(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    rig_write(r, 0, 4096, 0);
    sim_disk_fail_next(r->disk[0], CBD_DISK_FLUSH, 0, 1);
    assert_int_equal(cbd_backend_detach(r->backend[0]), CBD_E_IO);
    rig_read(r, 0, 4096);
    rig_write(r, 8192, 4096, 0);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_fsck(r, true);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_written_below_the_threshold),
        cmocka_unit_test(an_open_epoch_is_not_closed_before_its_time),
        cmocka_unit_test(a_flush_without_dirty_data_costs_nothing),
        cmocka_unit_test(test_d9_an_epoch_starts_after_the_flush_of_the_one_before),
        cmocka_unit_test(an_address_that_an_epoch_wrote_often_is_written_once),
        cmocka_unit_test(neighbours_are_merged_into_one_request),
        cmocka_unit_test(requests_go_out_by_address),
        cmocka_unit_test(test_d9_after_a_failed_flush_everything_is_written_again),
        cmocka_unit_test(after_a_failed_write_everything_is_written_again),
        cmocka_unit_test(a_failed_flush_leaves_nothing_to_a_power_cut),
        cmocka_unit_test(a_discard_is_passed_on_only_where_it_zeroes),
        cmocka_unit_test(a_disk_that_writes_through_is_never_flushed),
        cmocka_unit_test(test_d17_a_full_cache_over_a_dead_disk_fails_after_t_and_recovers),
        cmocka_unit_test(a_failed_write_of_a_full_cache_lost_nothing_acknowledged),
        cmocka_unit_test(clean_data_with_a_wrong_checksum_comes_from_the_disk),
        cmocka_unit_test(a_long_epoch_is_closed_by_its_length),
        cmocka_unit_test(a_detach_that_fails_can_be_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
