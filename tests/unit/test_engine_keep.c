/* SPDX-License-Identifier: BSD-2-Clause */
/* The second chance: what was read stays, whatever else passes through the cache. */
/* ctest: novalgrind */
#include "engine_rig.h"

#define BLOCK UINT64_C(4096)
#define HOT 12u

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
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void settle(struct rig *r)
{
    while (rig_progress(r))
        ;
}

static uint64_t misses_of_hot(struct rig *r, uint64_t bytes)
{
    uint64_t before = rig_stats(r).miss_bytes;

    rig_read(r, 0, bytes);
    return rig_stats(r).miss_bytes - before;
}

/* Reads the hot blocks once, each 4 KiB that follow once, and now and then the hot ones again. */
static uint64_t scan(struct rig *r, uint64_t every)
{
    uint64_t missed = 0;

    rig_read(r, 0, HOT * BLOCK);
    (void)misses_of_hot(r, HOT * BLOCK);
    for (uint64_t off = 1u << 20; off < r->config.disk_bytes; off += BLOCK) {
        rig_read(r, off, BLOCK);
        settle(r);
        if (off / BLOCK % every == 0)
            missed += misses_of_hot(r, HOT * BLOCK);
    }
    return missed;
}

static void a_scan_does_not_displace_what_is_hot(void **state)
{
    const struct rig_config config = {.disk_bytes = 8u << 20, .share_segments = 16};
    struct rig *r = attached(&config);

    (void)state;
    assert_int_equal(scan(r, 64), 0);
    assert_true(rig_stats(r).segments_reclaimed > 100);
    assert_true(rig_stats(r).kept_bytes > 5 * HOT * BLOCK);
    finish(r);
}

static void first_in_first_out_forgets_what_is_hot(void **state)
{
    const struct rig_config config = {
        .disk_bytes = 8u << 20, .share_segments = 16, .attach = {.replacement = CBD_REPLACE_FIFO}};
    struct rig *r = attached(&config);

    (void)state;
    assert_true(scan(r, 64) > 5 * HOT * BLOCK);
    assert_int_equal(rig_stats(r).kept_bytes, 0);
    finish(r);
}

/* Read three times and then never again: it stays for three turns, and leaves. */
static void what_is_not_read_any_more_leaves_after_three_turns(void **state)
{
    struct rig *r = attached(&(struct rig_config){.disk_bytes = 16u << 20, .share_segments = 16});

    (void)state;
    for (int i = 0; i < 10; i++)
        rig_read(r, 0, BLOCK);
    for (uint64_t off = 1u << 20; off < 16u << 20; off += BLOCK) {
        rig_read(r, off, BLOCK);
        settle(r);
    }
    assert_int_equal(rig_stats(r).kept_bytes, 3 * BLOCK);
    assert_int_equal(misses_of_hot(r, BLOCK), BLOCK);
    finish(r);
}

/* K3: everything is read all the time, in the smallest share and in one with room for copies. */
static void a_cache_that_is_hot_as_a_whole_makes_progress(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 6; n++) {
        uint32_t streams = 1 + n / 2 * 3;
        uint32_t spare = CBD_SHARE_RESERVE + n % 2 * 4;
        struct rig *r =
            attached(&(struct rig_config){.streams = streams, .share_segments = streams + spare});

        for (uint64_t i = 0; i < 800; i++) {
            r->lane = (unsigned)(i % 17);
            rig_write(r, i * 101 % 120 * 8192, 8192, i % 60 == 0 ? CBD_WRITE_FUA : 0);
            if (i % 4 == 0)
                rig_read(r, 0, 1u << 20);
            if (i % 3 == 0)
                settle(r);
        }
        assert_true(spare == CBD_SHARE_RESERVE || rig_stats(r).kept_bytes > 0);
        assert_true(rig_stats(r).segments_reclaimed > 2 * streams);
        finish(r);
    }
}

/* A write in a step of reclaim, before its lock number `at`. */
static struct {
    uint64_t at, seen;
    bool zero;
} intruder;

static void intrude(struct cbd_env *env, enum cbd_yield why)
{
    struct rig *r = (struct rig *)(void *)((char *)env - offsetof(struct rig, env));

    if (why != CBD_YIELD_LOCK || intruder.seen++ != intruder.at)
        return;
    r->ops.yield = NULL;
    r->lane = 1;
    if (intruder.zero)
        rig_zero(r, BLOCK / 2, 2 * BLOCK, 0);
    else
        rig_write(r, BLOCK / 2, 2 * BLOCK, 0);
    r->lane = 0;
}

/* K1: whenever a newer write comes, the copy does not hide it, nor after a crash. */
static void a_write_beside_the_copy_wins(void **state)
{
    uint64_t kept = 0;
    bool came = true;

    (void)state;
    for (uint64_t at = 0; came; at++) {
        struct rig *r = attached(&(struct rig_config){.streams = 2, .share_segments = 8});

        r->background = false;
        rig_write(r, 0, HOT * BLOCK, 0);
        rig_read(r, 0, HOT * BLOCK);
        for (uint64_t off = 1u << 19; rig_stats(r).segments_free > 1; off += BLOCK)
            rig_write(r, off, BLOCK, 0);
        r->lane = 1;
        rig_write(r, 65536, BLOCK, 0);
        r->lane = 0;
        rig_write_back(r);
        intruder.at = at;
        intruder.seen = 0;
        intruder.zero = at % 2 != 0;
        r->ops.yield = intrude;
        assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM), 1);
        came = r->ops.yield == NULL;
        r->ops.yield = NULL;
        kept += rig_stats(r).kept_bytes;
        r->background = true;
        finish(r);
    }
    assert_true(intruder.at > 10);
    assert_true(kept > 10 * BLOCK);
}

static void read_and_write_much(struct rig *r)
{
    for (uint64_t i = 0; i < 300; i++) {
        rig_write(r, i * 37 % 128 * 8192, 8192, 0);
        rig_read(r, i * 17 % 8 * 8192, 8192);
        settle(r);
    }
}

static void a_crash_beside_the_copy_loses_nothing(void **state)
{
    const enum cbd_step steps[] = {CBD_STEP_INSERT_HEADER, CBD_STEP_INSERT_RECORD,
                                   CBD_STEP_INSERT_RECORD_FENCE, CBD_STEP_HORIZON_A_COPY,
                                   CBD_STEP_HORIZON_B_FENCE};
    const enum sim_crash_kind kinds[] = {SIM_CRASH_NONE, SIM_CRASH_ALL, SIM_CRASH_PREFIX,
                                         SIM_CRASH_ONE_LOST};

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        for (uint32_t k = 0; k < 4; k++) {
            struct rig *r = attached(NULL);

            rig_read(r, 0, 65536);
            read_and_write_much(r);
            assert_true(rig_stats(r).kept_bytes > 0);
            assert_true(rig_cut_in(r, steps[i], 3 + 7 * k, read_and_write_much));
            rig_power_cut(r, kinds[k]);
            rig_fsck(r, false);
            rig_attach(r);
            rig_check_all(r);
            finish(r);
        }
    }
}

/* K2 */
static void what_is_damaged_is_not_copied(void **state)
{
    struct rig *r = attached(&(struct rig_config){.share_segments = 8});
    struct cbd_record record;

    (void)state;
    r->background = false;
    rig_write(r, 0, BLOCK, 0);
    rig_read(r, 0, BLOCK);
    for (uint64_t off = 1u << 19; rig_stats(r).segments_free > 1; off += BLOCK)
        rig_write(r, off, BLOCK, 0);
    rig_write_back(r);
    record = rig_record(r, 7, 0);
    assert_int_equal(record.addr_bytes, 0);
    rig_flip(r, cbd_segment_off(&r->geo, 7) + record.payload_off + 100);
    assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM), 1);
    assert_int_equal(rig_stats(r).kept_bytes, 0);
    assert_int_equal(misses_of_hot(r, BLOCK), BLOCK);
    r->background = true;
    finish(r);
}

/* A part of a large write that is read is kept without the rest, also from behind a newer write. */
static void only_what_was_read_is_copied(void **state)
{
    struct rig *r = attached(&(struct rig_config){.share_segments = 8});
    uint64_t missed;

    (void)state;
    r->background = false;
    rig_write(r, 0, 4 * BLOCK, 0);
    rig_write(r, BLOCK, 512, 0);
    rig_read(r, 2 * BLOCK, BLOCK);
    for (uint64_t off = 1u << 19; rig_stats(r).segments_free > 1; off += BLOCK)
        rig_write(r, off, BLOCK, 0);
    rig_write_back(r);
    assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM), 1);
    assert_true(rig_stats(r).kept_bytes >= BLOCK);
    assert_true(rig_stats(r).kept_bytes <= 2 * BLOCK);
    missed = rig_stats(r).miss_bytes;
    rig_read(r, 2 * BLOCK, 2048);
    assert_int_equal(rig_stats(r).miss_bytes, missed);
    rig_read(r, 0, 512);
    assert_int_equal(rig_stats(r).miss_bytes, missed + 512);
    r->background = true;
    finish(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_does_not_displace_what_is_hot),
        cmocka_unit_test(first_in_first_out_forgets_what_is_hot),
        cmocka_unit_test(what_is_not_read_any_more_leaves_after_three_turns),
        cmocka_unit_test(a_cache_that_is_hot_as_a_whole_makes_progress),
        cmocka_unit_test(a_write_beside_the_copy_wins),
        cmocka_unit_test(a_crash_beside_the_copy_loses_nothing),
        cmocka_unit_test(what_is_damaged_is_not_copied),
        cmocka_unit_test(only_what_was_read_is_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
