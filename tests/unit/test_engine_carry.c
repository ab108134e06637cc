/* SPDX-License-Identifier: BSD-2-Clause */
/* Dirty records of the open epoch in reclaim's way: stored again, and the epoch goes on. */
/* ctest: novalgrind timeout=180 */
#include "engine.h"
#include "engine_rig.h"

#define BLOCK UINT64_C(4096)

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
    rig_fsck(r, false);
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

/* Reads what nobody wrote, until that has gone through the cache `turns` times. */
static void scan(struct rig *r, uint64_t turns)
{
    uint64_t share = (uint64_t)r->config.share_segments * r->config.segment_bytes;
    static unsigned lane;

    for (uint64_t at = 0; at < turns * share; at += BLOCK) {
        r->lane = lane++ % 7;
        rig_read(r, (2u << 20) + at % (6u << 20), BLOCK);
        settle(r);
    }
    r->lane = 0;
}

static const struct rig_config large = {
    .disk_bytes = 8u << 20, .share_segments = 24, .segment_bytes = 64u << 10, .streams = 1};

/* The first 64 KiB of the disk: whole, overwritten in part, discarded in part. */
static void write_some(struct rig *r)
{
    rig_write(r, 0, 3 * BLOCK, 0);
    rig_write(r, BLOCK / 2, BLOCK, 0);
    r->lane = 1;
    rig_write(r, 8 * BLOCK, 2 * BLOCK, 0);
    rig_zero(r, 9 * BLOCK, BLOCK / 2, 0);
    r->lane = 2;
    rig_zero(r, 12 * BLOCK, 2 * BLOCK, CBD_WRITE_PUNCH);
    rig_write(r, 13 * BLOCK, 512, 0);
    r->lane = 0;
}

static void reads_do_not_end_an_epoch(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 12; n++) {
        struct rig_config config = large;
        struct rig *r;

        config.streams = 1 + n % 4 * 2;
        config.no_data_checksum = n / 4 == 1;
        config.attach.durability = n / 4 == 2 ? CBD_DURABLE_ON_FLUSH : CBD_DURABLE_ON_ACK;
        r = attached(&config);
        for (unsigned round = 0; round < 3; round++) {
            write_some(r);
            scan(r, 3);
            if (n % 2 != 0)
                rig_flush(r);
            settle(r);
        }
        assert_true(rig_stats(r).segments_reclaimed > 100);
        assert_true(rig_stats(r).carried_bytes >= 20 * BLOCK);
        assert_int_equal(rig_stats(r).epochs_forced, 0);
        assert_int_equal(rig_stats(r).writeback_epochs, n % 2 != 0 ? 3 : 0);
        if (config.attach.durability == CBD_DURABLE_ON_FLUSH)
            rig_flush(r); /* else the cut takes what finish() looks for */
        finish(r);
    }
}

/* X4: behind a crash there are dirty records below the horizon, and they are no damage. */
static void what_the_horizon_forgot_is_known_after_a_crash(void **state)
{
    struct rig_config config = large;
    uint64_t forgotten = 0;

    (void)state;
    config.streams = 5;
    for (unsigned n = 0; n < 24; n++) {
        struct rig *r = attached(&config);
        struct cbd_backend_info info;

        write_some(r);
        for (unsigned i = 0; i < 130 + 40 * n; i++) {
            r->lane = i % 50 == 0 ? 0 : 3; /* the others keep their segments */
            rig_read(r, (2u << 20) + i * BLOCK, BLOCK);
            settle(r);
        }
        rig_kill(r);
        rig_open(r);
        assert_true(cbd_backend_info(r->cache, 0, &info));
        for (uint32_t id = 0; id < r->geo.segment_count; id++) {
            struct cbd_segment_entry e = rig_entry(r, id);

            if (e.owner != 1 || e.status == CBD_M_SEGMENT_FREE ||
                (e.status == CBD_M_SEGMENT_CLOSED && e.order_max < info.horizon))
                continue;
            cbd_segment_seeds(r->cache, id, &r->cache->segments[id]);
            for (uint32_t slot = 0; slot < 12; slot++) {
                struct cbd_record record;

                if (cbd_load_record(r->cache, id, slot, &record) == 0 &&
                    record.type == CBD_M_RECORD_WRITE && record.epoch > info.epoch_written)
                    forgotten += record.order < info.horizon;
            }
        }
        rig_fsck(r, false);
        rig_attach(r);
        assert_int_equal(rig_stats(r).lost_records, 0);
        finish(r);
    }
    assert_true(forgotten > 4);
}

/* A call of somebody else in a step of write-back, before its lock number `at`. */
static struct {
    uint64_t at, seen;
    unsigned what;
} intruder;

static void intrude(struct cbd_env *env, enum cbd_yield why)
{
    struct rig *r = (struct rig *)(void *)((char *)env - offsetof(struct rig, env));

    if (why != CBD_YIELD_LOCK || intruder.seen++ != intruder.at)
        return;
    r->ops.yield = NULL;
    r->lane = 1;
    if (intruder.what == 0 || intruder.what == 2)
        rig_flush(r);
    if (intruder.what < 2)
        rig_write(r, BLOCK, BLOCK, 0);
    else
        rig_zero(r, BLOCK / 2, 9 * BLOCK, 0);
    if (intruder.what == 1)
        rig_flush(r);
    r->lane = 0;
}

/* X1, X2: a write wins, and the version that a flush has ended reaches the disk. */
static void a_write_or_a_flush_beside_the_copy(void **state)
{
    uint64_t carried = 0;

    (void)state;
    for (unsigned what = 0; what < 4; what++) {
        bool came = true;

        for (uint64_t at = 0; came; at++) {
            struct rig_config config = large;
            struct rig *r;
            int did;

            config.streams = 3;
            config.share_segments = 12;
            r = attached(&config);
            write_some(r);
            r->background = false;
            for (uint64_t off = 2u << 20; rig_stats(r).segments_free > 1; off += BLOCK) {
                r->lane = (unsigned)(off / BLOCK % 3);
                rig_read(r, off, BLOCK);
            }
            r->lane = 0;
            assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM), 0);
            intruder.at = at;
            intruder.seen = 0;
            intruder.what = what;
            r->ops.yield = intrude;
            did = cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK);
            came = r->ops.yield == NULL;
            r->ops.yield = NULL;
            assert_int_equal(did, 1);
            carried += rig_stats(r).carried_bytes;
            r->background = true;
            if (at % 2 != 0) {
                scan(r, 1);
            } else {
                rig_power_cut(r, SIM_CRASH_ALL);
                rig_attach(r);
            }
            finish(r);
        }
        assert_true(intruder.at > 20);
    }
    assert_true(carried > 100 * BLOCK);
}

static void write_and_scan(struct rig *r)
{
    for (unsigned i = 0; i < 6; i++) {
        write_some(r);
        scan(r, 1);
    }
}

static void a_crash_beside_the_copy_loses_nothing(void **state)
{
    const enum cbd_step steps[] = {CBD_STEP_INSERT_RECORD, CBD_STEP_INSERT_RECORD_FENCE,
                                   CBD_STEP_HORIZON_A_COPY, CBD_STEP_HORIZON_B_COPY,
                                   CBD_STEP_HORIZON_B_FENCE};
    const enum sim_crash_kind kinds[] = {SIM_CRASH_NONE, SIM_CRASH_ALL, SIM_CRASH_PREFIX,
                                         SIM_CRASH_ONE_LOST};

    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        struct rig_config config = large;
        struct rig *r;

        config.streams = 1 + i % 3;
        r = attached(&config);
        write_and_scan(r);
        assert_true(rig_stats(r).carried_bytes > 0);
        assert_true(rig_cut_in(r, steps[i % 5], 3 + i / 4, write_and_scan));
        rig_power_cut(r, kinds[i / 5 % 4]);
        rig_fsck(r, false);
        rig_attach(r);
        rig_check_all(r);
        finish(r);
    }
}

/* X5, and what is not carried: then the epoch ends, and nobody waits for ever. */
static void what_cannot_be_carried_ends_the_epoch(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 3; n++) {
        struct rig_config config = large;
        struct rig *r;

        config.attach.max_dirty_bytes = n == 1 ? 1u << 20 : 0;
        if (n == 2)
            config.disk_bytes = UINT64_C(1) << 30;
        if (n == 0)
            config.attach.epoch_bytes_max = UINT64_C(2) << 16; /* with the credit of as much */
        r = attached(&config);
        if (n == 0)
            for (unsigned i = 0; i < 22; i++)
                rig_write(r, i * BLOCK, BLOCK, 0);
        else if (n == 1)
            rig_write(r, 0, BLOCK, 0);
        else
            rig_zero(r, 0, UINT64_C(1) << 30, 0);
        if (n == 2)
            rig_write(r, 0, BLOCK, 0);
        for (unsigned i = 0; i < 600; i++) {
            rig_write(r, (1u << 20) + i % 3 * BLOCK, BLOCK, 0);
            settle(r);
        }
        assert_true(rig_stats(r).segments_reclaimed > 0 || n == 0);
        rig_detach(r);
        rig_destroy(r);
    }
}

/* W6: damaged dirty data gets no new checksum; it is held as ever. */
static void what_is_damaged_is_not_carried(void **state)
{
    struct rig *r = attached(&large);
    struct cbd_range range;
    struct cbd_record record;
    uint32_t id;
    bool more;

    (void)state;
    rig_write(r, 0, BLOCK, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    record = rig_record(r, id, 0);
    rig_flip(r, cbd_segment_off(&r->geo, id) + record.payload_off + 100);
    r->background = false;
    for (uint64_t off = 2u << 20; rig_stats(r).segments_free > 1; off += BLOCK)
        rig_read(r, off, BLOCK);
    assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM), 0);
    assert_int_equal(rig_step_to_idle(r, 0), CBD_E_CORRUPT);
    assert_int_equal(rig_stats(r).carried_bytes, 0);
    assert_int_equal(cbd_backend_held(r->backend[0], &range, 1, &more), 1);
    assert_int_equal(range.addr_bytes, 0);
    rig_abandon(r);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_do_not_end_an_epoch),
        cmocka_unit_test(what_the_horizon_forgot_is_known_after_a_crash),
        cmocka_unit_test(a_write_or_a_flush_beside_the_copy),
        cmocka_unit_test(a_crash_beside_the_copy_loses_nothing),
        cmocka_unit_test(what_cannot_be_carried_ends_the_epoch),
        cmocka_unit_test(what_is_damaged_is_not_carried),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
