/* SPDX-License-Identifier: BSD-2-Clause */
/* W6, W7: dirty data that cannot be read is never written, holds its epoch, and is given up by name. */
#include "timed_rig.h"

#define LATENCY_NS TIMED_MS

/* Flips a byte of the payload of record `slot` of the first open segment. */
static void spoil(struct rig *r, uint32_t slot, uint64_t at)
{
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);

    rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, slot).payload_off + at);
}

static struct rig *attached(void)
{
    struct rig *r = rig_create(&(struct rig_config){.share_segments = 16});

    rig_attach(r);
    r->background = false;
    return r;
}

static uint32_t lost(struct rig *r, struct cbd_range *range)
{
    bool more;
    uint32_t n = cbd_backend_held(r->backend[0], range, 1, &more);

    assert_int_equal(more, n > 1);
    return n;
}

static void expect_on_disk(struct rig *r, uint64_t off, bool there)
{
    uint64_t version = sim_disk_peek(r->disk[0], off / 512);

    if (there)
        assert_int_equal(version, r->want[0][off / 512]);
    else
        assert_int_equal(version, SIM_VERSION_INITIAL);
}

/* Three writes of one epoch, the one in the middle loses its second block; a later epoch. */
static struct rig *held(void)
{
    struct rig *r = attached();
    uint64_t written;

    written = rig_stats(r).epoch_written;
    rig_write(r, 0, 4096, 0);
    rig_write(r, 65536, 16384, 0);
    rig_write(r, 131072, 4096, 0);
    rig_flush(r);
    rig_write(r, 200 << 10, 4096, 0);
    rig_flush(r);
    spoil(r, 1, 4096 + 1000);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT);
    assert_int_equal(rig_stats(r).epoch_written, written);
    return r;
}

static void the_rest_of_the_epoch_is_on_the_disk_and_no_more(void **state)
{
    struct rig *r = held();
    struct cbd_range range;
    size_t requests = r->trace_count;

    (void)state;
    assert_int_equal(lost(r, &range), 1);
    assert_int_equal(range.addr_bytes, 65536 + 4096);
    assert_int_equal(range.len_bytes, 4096);
    assert_int_equal(rig_stats(r).writeback_held_bytes, 4096);
    assert_int_equal(r->trace[requests - 1].ev.op, CBD_DISK_FLUSH);
    expect_on_disk(r, 0, true);
    expect_on_disk(r, 65536, true);
    expect_on_disk(r, 65536 + 4096, false);
    expect_on_disk(r, 65536 + 8192, true);
    expect_on_disk(r, 131072, true);
    expect_on_disk(r, 200 << 10, false); /* P4: not before the epoch below it */
    for (int i = 0; i < 10; i++)
        assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT);
    assert_int_equal(r->trace_count, requests); /* it is not written again and again */
    assert_int_equal(rig_try_read(r, 0, 65536, 16384), CBD_E_CORRUPT);
    rig_read(r, 0, 4096);
    assert_int_equal(cbd_backend_detach(r->backend[0]), CBD_E_CORRUPT);
    rig_destroy(r);
}

static void what_is_given_up_lets_the_epoch_pass(void **state)
{
    struct rig *r = held();
    struct cbd_range range;

    (void)state;
    assert_int_equal(cbd_backend_forgo(r->backend[0], 0, 65536 + 4096), 0);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT); /* not this one */
    assert_int_equal(cbd_backend_forgo(r->backend[0], 65536 + 4096, 2048), 0);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT); /* nor a part of it */
    assert_int_equal(cbd_backend_forgo(r->backend[0], 65536 + 6144, 2048), 0);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    assert_int_equal(lost(r, &range), 0);
    assert_int_equal(rig_stats(r).writeback_held_bytes, 0);
    assert_int_equal(rig_stats(r).writeback_forgone_bytes, 4096);
    assert_int_equal(rig_stats(r).dirty_bytes, 0);
    expect_on_disk(r, 200 << 10, true);
    expect_on_disk(r, 65536 + 4096, false);
    for (uint64_t s = (65536 + 4096) / 512; s < (65536 + 8192) / 512; s++)
        r->want[0][s] = SIM_VERSION_INITIAL;
    rig_check_all(r); /* reads show what the disk has */
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* The next epoch that loses something is held again: what was given up is used up. */
static void giving_up_is_for_once(void **state)
{
    struct rig *r = held();
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    uint32_t slot;

    (void)state;
    assert_int_equal(cbd_backend_forgo(r->backend[0], 0, r->config.disk_bytes), 0);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    rig_write(r, 65536, 16384, 0);
    rig_flush(r);
    for (slot = 4; rig_record(r, id, slot).addr_bytes != 65536; slot++)
        ;
    spoil(r, slot, 0);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT);
    rig_destroy(r);
}

/* Also when a part of what was given up, or of the rest, could be read in the end. */
static void giving_up_is_for_once_when_the_epoch_is_written_again(void **state)
{
    struct rig *r = attached();
    uint64_t poisoned;
    uint32_t id;

    (void)state;
    rig_write(r, 65536, 4096, 0);
    rig_write(r, 8192, 4096, 0);
    rig_flush(r);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    poisoned = cbd_segment_off(&r->geo, id) + rig_record(r, id, 0).payload_off;
    sim_pmem_poison(r->pmem, poisoned, 64);
    spoil(r, 1, 9);
    assert_true(rig_step_to_idle(r, 0) < 0);
    assert_int_equal(cbd_backend_forgo(r->backend[0], 8192, 4096), 0);
    assert_true(rig_step_to_idle(r, 0) < 0); /* the other one holds */
    sim_pmem_poison_clear(r->pmem, poisoned, 64);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    expect_on_disk(r, 65536, true);
    rig_write(r, 8192, 4096, 0);
    rig_flush(r);
    spoil(r, 2, 9);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT); /* nobody gave this one up */
    rig_destroy(r);
}

/* What can be read by the time it is given up is written all the same. */
static void what_is_given_up_and_can_be_read_is_written(void **state)
{
    struct rig *r = held();

    (void)state;
    spoil(r, 1, 4096 + 1000); /* flipped back */
    assert_int_equal(cbd_backend_forgo(r->backend[0], 0, r->config.disk_bytes), 0);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    expect_on_disk(r, 65536 + 4096, true);
    assert_int_equal(rig_stats(r).writeback_forgone_bytes, 0);
    rig_write(r, 65536, 4096, 0);
    rig_flush(r);
    spoil(r, 4, 9);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT); /* used up with its epoch */
    rig_destroy(r);
}

static void a_crash_while_held_loses_nothing(void **state)
{
    struct rig *r = held();
    struct cbd_range range;

    (void)state;
    assert_int_equal(cbd_backend_forgo(r->backend[0], 65536 + 4096, 4096), 0); /* not durable */
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    assert_int_equal(rig_try_read(r, 0, 65536 + 4096, 4096), CBD_E_CORRUPT);
    cbd_backend_drain(r->backend[0], true);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT);
    assert_int_equal(lost(r, &range), 1);
    assert_int_equal(range.addr_bytes, 65536 + 4096);
    rig_destroy(r);
}

static void poison_is_treated_alike(void **state)
{
    struct rig *r = attached();
    struct cbd_range range;
    uint32_t id;

    (void)state;
    rig_write(r, 65536, 16384, 0);
    rig_flush(r);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    sim_pmem_poison(r->pmem, cbd_segment_off(&r->geo, id) + rig_record(r, id, 0).payload_off + 8192,
                    64);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_MEDIA);
    assert_int_equal(lost(r, &range), 1);
    assert_int_equal(range.addr_bytes, 65536 + 8192);
    assert_int_equal(range.len_bytes, 4096);
    assert_int_equal(cbd_backend_forgo(r->backend[0], range.addr_bytes, range.len_bytes), 0);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    rig_destroy(r);
}

/* Poison that goes away again, in one of two places: it is written, and the other one holds. */
static void what_can_be_read_again_is_written(void **state)
{
    struct rig *r = attached();
    struct cbd_range range;
    uint64_t data;
    uint32_t id;

    (void)state;
    rig_write(r, 65536, 4096, 0);
    rig_write(r, 8192, 4096, 0);
    rig_flush(r);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    data = cbd_segment_off(&r->geo, id);
    sim_pmem_poison(r->pmem, data + rig_record(r, id, 0).payload_off, 64);
    spoil(r, 1, 9);
    assert_true(rig_step_to_idle(r, 0) < 0);
    sim_pmem_poison_clear(r->pmem, data + rig_record(r, id, 0).payload_off, 64);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT);
    expect_on_disk(r, 65536, true);
    assert_int_equal(lost(r, &range), 1);
    assert_int_equal(range.addr_bytes, 8192);
    spoil(r, 1, 9); /* flipped back */
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* More ranges than the list has room for: only the whole disk covers those that are not listed. */
static void more_ranges_than_are_listed(void **state)
{
    struct rig *r = rig_create(&(struct rig_config){.pmem_bytes = 8u << 20,
                                                    .segment_bytes = 1u << 20,
                                                    .share_segments = 4,
                                                    .disk_bytes = 4u << 20});
    struct cbd_range range[CBD_HELD_MAX];
    bool more;
    uint32_t n;

    (void)state;
    rig_attach(r);
    r->background = false;
    for (uint32_t i = 0; i < CBD_HELD_MAX + 50; i++)
        rig_write(r, i * 8192, 512, 0);
    rig_flush(r);
    for (uint32_t i = 0; i < CBD_HELD_MAX + 50; i++)
        spoil(r, i, 7);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT);
    n = cbd_backend_held(r->backend[0], range, CBD_HELD_MAX, &more);
    assert_int_equal(n, CBD_HELD_MAX);
    assert_true(more);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(range[i].addr_bytes, i * 8192);
        assert_int_equal(cbd_backend_forgo(r->backend[0], range[i].addr_bytes, 512), 0);
    }
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT);
    assert_int_equal(cbd_backend_forgo(r->backend[0], 0, 512), CBD_E_NOSPACE);
    assert_int_equal(cbd_backend_forgo(r->backend[0], 0, r->config.disk_bytes), 0);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    rig_destroy(r);
}

static void ranges_that_are_none_are_refused(void **state)
{
    struct rig *r = attached();
    uint64_t size = r->config.disk_bytes;

    (void)state;
    assert_int_equal(cbd_backend_forgo(r->backend[0], 0, 0), CBD_E_INVALID);
    assert_int_equal(cbd_backend_forgo(r->backend[0], 100, 512), CBD_E_INVALID);
    assert_int_equal(cbd_backend_forgo(r->backend[0], size, 512), CBD_E_RANGE);
    assert_int_equal(cbd_backend_forgo(r->backend[0], 512, size), CBD_E_RANGE);
    assert_int_equal(cbd_backend_forgo(r->backend[0], 512, UINT64_MAX - 511), CBD_E_RANGE);
    rig_destroy(r);
}

/* The cache fills up behind it: writers get an error after T, and go on when it is given up. */
static void writers_are_not_kept_for_ever(void **state)
{
    struct rig_config config = {.share_segments = 16, .attach = {.space_timeout_ns = 3 * TIMED_S}};
    struct cbd_range range;
    uint64_t took = 0, i = 0;
    struct timed t;
    bool more;
    int error = 0;

    (void)state;
    timed_begin(&t, &config, LATENCY_NS);
    rig_write(t.rig, 0, 4096, 0);
    rig_flush(t.rig);
    spoil(t.rig, 0, 0);
    while (error == 0)
        took = timed_try_write(&t, 8192 + i++ % 200 * 4096, 4096, &error);
    assert_int_equal(error, CBD_E_NOSPACE);
    assert_true(i > 100); /* the space that there was is used */
    assert_in_range(took, 3 * TIMED_S, 3 * TIMED_S + 10 * TIMED_MS);
    assert_int_equal(cbd_backend_held(t.rig->backend[0], &range, 1, &more), 1);
    assert_int_equal(rig_try_read(t.rig, 0, 0, 4096), CBD_E_CORRUPT);
    rig_read(t.rig, 8192, 4096);
    assert_int_equal(cbd_backend_forgo(t.rig->backend[0], range.addr_bytes, range.len_bytes), 0);
    for (uint64_t s = 0; s < 8; s++)
        t.rig->want[0][s] = SIM_VERSION_INITIAL;
    for (i = 0; i < 300; i++)
        timed_write(&t, 8192 + i % 200 * 4096, 4096, 0);
    rig_check_all(t.rig);
    rig_detach(t.rig);
    rig_check_disk(t.rig, 0);
    timed_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_of_the_epoch_is_on_the_disk_and_no_more),
        cmocka_unit_test(what_is_given_up_lets_the_epoch_pass),
        cmocka_unit_test(giving_up_is_for_once),
        cmocka_unit_test(giving_up_is_for_once_when_the_epoch_is_written_again),
        cmocka_unit_test(what_is_given_up_and_can_be_read_is_written),
        cmocka_unit_test(a_crash_while_held_loses_nothing),
        cmocka_unit_test(poison_is_treated_alike),
        cmocka_unit_test(what_can_be_read_again_is_written),
        cmocka_unit_test(more_ranges_than_are_listed),
        cmocka_unit_test(ranges_that_are_none_are_refused),
        cmocka_unit_test(writers_are_not_kept_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
