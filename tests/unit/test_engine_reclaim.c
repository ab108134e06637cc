/* SPDX-License-Identifier: BSD-2-Clause */
/* Reclaim: a cache smaller than its data goes on, whatever fills it. */
#include "engine_rig.h"

static struct rig *attached(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    return r;
}

/* Recovery and the model agree, and the disk alone gets everything. */
static void finish(struct rig *r)
{
    rig_check_all(r);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    rig_fsck(r, true);
    for (uint32_t n = 0; n < r->config.backends; n++)
        rig_check_disk(r, n);
    rig_destroy(r);
}

static void a_cache_ten_times_smaller_than_the_data_holds_up(void **state)
{
    struct rig *r = attached(&(struct rig_config){.disk_bytes = 5u << 20, .streams = 2});

    (void)state;
    for (uint64_t i = 0; i < 1280; i++) {
        r->lane = (unsigned)(i % 2);
        rig_write(r, i * 509 % 1280 * 4096, 4096, i % 50 == 0 ? CBD_WRITE_FUA : 0);
        if (i % 3 == 0)
            rig_read(r, i * 211 % 1280 * 4096, 4096);
    }
    assert_true(rig_stats(r).segments_reclaimed > 60);
    finish(r);
}

static void a_load_of_fills_alone_goes_on(void **state)
{
    struct rig *r = attached(&(struct rig_config){.disk_bytes = 8u << 20, .streams = 2});

    (void)state;
    for (uint64_t i = 0; i < 2048; i++) {
        r->lane = (unsigned)(i % 2);
        rig_read(r, i * 4096, 4096);
    }
    /* a fill never waits for space: reclaim has to keep up by itself */
    while (rig_progress(r))
        ;
    rig_read(r, 0, 8u << 20);
    assert_int_equal(r->disk[0]->state.by_op[CBD_DISK_WRITE], 0);
    assert_int_equal(r->disk[0]->state.by_op[CBD_DISK_FLUSH], 0);
    assert_true(rig_stats(r).segments_reclaimed > 0);
    finish(r);
}

static void a_fill_without_room_is_just_not_cached(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    r->background = false;
    for (uint64_t off = 0; off < 1u << 20; off += 8192)
        rig_read(r, off, 8192);
    assert_int_equal(rig_stats(r).segments_free, 0);
    assert_true(rig_stats(r).fill_bytes < 1u << 20);
    rig_read(r, (1u << 20) - 8192, 8192); /* again from the disk */
    rig_destroy(r);
}

/* More records than the slots of a 64 KiB segment, and no payload that would fill it before. */
static void zeroes_alone_fill_a_segment_to_its_last_slot_and_go_on(void **state)
{
    struct rig *r = attached(&(struct rig_config){.share_segments = 4});

    (void)state;
    for (uint64_t i = 0; i < 6000; i++)
        rig_zero(r, i * 7 % 2048 * 512, 512, 0);
    assert_true(rig_stats(r).segments_opened >= 6);
    finish(r);
}

static void zeroes_and_writes_share_segments(void **state)
{
    struct rig *r = attached(&(struct rig_config){.share_segments = 4});

    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        rig_zero(r, i * 13 % 2048 * 512, 512, i % 2 != 0 ? CBD_WRITE_PUNCH : 0);
        if (i % 40 == 0)
            rig_write(r, i % 256 * 4096, 4096, 0);
    }
    finish(r);
}

/*
 * D17: each CPU's open segment was pinned, and with more of them than room nothing moved. The
 * stream of lane 0 keeps a segment that is full but for one record, and is idle.
 */
static void test_d17_an_idle_stream_with_a_full_open_segment_stops_nobody(void **state)
{
    struct rig *r = attached(&(struct rig_config){.streams = 3, .share_segments = 5});

    (void)state;
    r->lane = 0;
    while (rig_stats(r).segments_opened < 2 && rig_stats(r).records < 14)
        rig_write(r, rig_stats(r).records * 4096, 4096, 0);
    assert_int_equal(rig_stats(r).segments_opened, 1);
    for (uint64_t i = 0; i < 1000; i++) {
        r->lane = 1 + (unsigned)(i % 2);
        rig_write(r, 65536 + i * 31 % 200 * 4096, 4096, 0);
    }
    assert_true(rig_stats(r).segments_reclaimed > 50);
    r->lane = 0;
    rig_write(r, 0, 8192, 0);
    finish(r);
}

/* D17: the smallest share there is, for each number of streams. */
static void test_d17_the_smallest_share_makes_progress(void **state)
{
    (void)state;
    for (uint32_t streams = 1; streams <= CBD_STREAMS_MAX; streams += 5) {
        struct rig *r = attached(&(struct rig_config){
            .streams = streams, .share_segments = streams + CBD_SHARE_RESERVE});

        for (uint64_t i = 0; i < 600; i++) {
            r->lane = (unsigned)(i % 17);
            rig_write(r, i * 101 % 120 * 8192, 8192, 0);
        }
        finish(r);
    }
}

/* Before the first lock that reclaim takes behind its new horizon: stream 0 closes its segment. */
static void close_during_reclaim(struct cbd_env *env, enum cbd_yield why)
{
    struct rig *r = (struct rig *)(void *)((char *)env - offsetof(struct rig, env));

    (void)why;
    if (r->pmem->counts.by_step[CBD_STEP_HORIZON_B_FENCE] == 0)
        return;
    r->ops.yield = NULL;
    r->lane = 0;
    rig_write(r, 0, 16384, 0);
    assert_int_equal(rig_stats(r).segments_free, 0);
}

/*
 * A segment that is closed between the choice of the horizon and the freeing is still in the list
 * for write-back: it must stay there, and is freed by the next step.
 */
static void a_segment_that_is_closed_during_reclaim_stays_listed(void **state)
{
    struct rig *r = attached(&(struct rig_config){.share_segments = 6, .streams = 2});

    (void)state;
    r->background = false;
    rig_write(r, 0, 49152, 0); /* 16 KiB more do not fit */
    r->lane = 1;
    for (uint64_t off = 65536; rig_stats(r).segments_free > 1; off += 8192)
        rig_write(r, off, 8192, 0);
    rig_write_back(r);
    r->ops.yield = close_during_reclaim;
    assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM), 1);
    assert_null(r->ops.yield);
    assert_int_equal(rig_stats(r).segments_free, 1); /* not the one that was closed just now */
    rig_write_back(r);
    r->background = true;
    for (uint64_t i = 0; i < 300; i++) {
        r->lane = (unsigned)(i % 2);
        rig_write(r, i * 37 % 120 * 8192, 8192, 0);
    }
    finish(r);
}

/*
 * D1: a crash in garbage collection made a segment free while it was in use, and it was given out
 * twice. Here: a crash at each of the calls by which the horizon moves and a segment is opened.
 */
static void write_much(struct rig *r)
{
    for (uint64_t i = 0; i < 400; i++)
        rig_write(r, i * 37 % 128 * 8192, 8192, 0);
}

static void test_d1_a_crash_in_reclaim_gives_no_segment_out_twice(void **state)
{
    const enum cbd_step steps[] = {CBD_STEP_HORIZON_A_COPY,        CBD_STEP_HORIZON_A_FENCE,
                                   CBD_STEP_HORIZON_B_COPY,        CBD_STEP_HORIZON_B_FENCE,
                                   CBD_STEP_SEGMENT_OPEN_A_COPY,   CBD_STEP_SEGMENT_OPEN_A_FENCE,
                                   CBD_STEP_SEGMENT_OPEN_B_COPY,   CBD_STEP_SEGMENT_OPEN_B_FENCE,
                                   CBD_STEP_SEGMENT_CLOSE_A_FENCE, CBD_STEP_SEGMENT_CLOSE_B_COPY};

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        for (uint32_t k = 0; k < 3; k++) {
            struct rig *r = attached(NULL);

            assert_true(rig_cut_in(r, steps[i], 2 + 5 * k, write_much));
            rig_power_cut(r, k == 0 ? SIM_CRASH_ALL : k == 1 ? SIM_CRASH_NONE : SIM_CRASH_PREFIX);
            rig_fsck(r, false);
            rig_attach(r);
            rig_check_all(r);
            finish(r);
        }
    }
}

/* D2: after such a crash the checksum of a stale key failed, and the device could not be used. */
static void test_d2_a_cache_that_is_crashed_again_and_again_attaches(void **state)
{
    struct rig *r = attached(&(struct rig_config){.share_segments = 6});

    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        const enum sim_crash_kind kind[] = {SIM_CRASH_NONE, SIM_CRASH_ALL, SIM_CRASH_PREFIX,
                                            SIM_CRASH_ONE_LOST};

        if (rig_cut_in(r, i % 2 != 0 ? CBD_STEP_HORIZON_B_COPY : CBD_STEP_INSERT_RECORD_FENCE,
                       i * 3 % 25, write_much))
            rig_power_cut(r, kind[i % 4]);
        else
            rig_kill(r);
        rig_attach(r);
        rig_check_all(r);
        /* what a cut write may have left is decided now */
        rig_write(r, 0, 1u << 20, 0);
    }
    finish(r);
}

static void forgotten_data_is_still_read_right(void **state)
{
    struct rig *r = attached(&(struct rig_config){.attach = {.no_fill = true}});

    (void)state;
    rig_write(r, 0, 65536, 0);
    for (uint64_t i = 0; i < 300; i++)
        rig_write(r, 524288 + i % 64 * 8192, 8192, 0);
    assert_true(rig_stats(r).reclaims > 0);
    rig_read(r, 0, 65536);
    assert_int_equal(rig_stats(r).miss_bytes, 65536);
    finish(r);
}

static void nothing_is_reclaimed_while_there_is_room(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    rig_write(r, 0, 262144, 0);
    rig_write_back(r);
    assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM), 0);
    assert_int_equal(rig_stats(r).reclaims, 0);
    rig_read(r, 0, 262144);
    assert_int_equal(rig_stats(r).miss_bytes, 0);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_ten_times_smaller_than_the_data_holds_up),
        cmocka_unit_test(a_load_of_fills_alone_goes_on),
        cmocka_unit_test(a_fill_without_room_is_just_not_cached),
        cmocka_unit_test(zeroes_alone_fill_a_segment_to_its_last_slot_and_go_on),
        cmocka_unit_test(zeroes_and_writes_share_segments),
        cmocka_unit_test(test_d17_an_idle_stream_with_a_full_open_segment_stops_nobody),
        cmocka_unit_test(test_d17_the_smallest_share_makes_progress),
        cmocka_unit_test(a_segment_that_is_closed_during_reclaim_stays_listed),
        cmocka_unit_test(test_d1_a_crash_in_reclaim_gives_no_segment_out_twice),
        cmocka_unit_test(test_d2_a_cache_that_is_crashed_again_and_again_attaches),
        cmocka_unit_test(forgotten_data_is_still_read_right),
        cmocka_unit_test(nothing_is_reclaimed_while_there_is_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
