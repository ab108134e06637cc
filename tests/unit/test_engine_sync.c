/* SPDX-License-Identifier: BSD-2-Clause */
/* durability=flush: what FLUSH and FUA cover survives, the rest is lost piece by piece. */
/* ctest: novalgrind timeout=120 */
#include "campaign.h"
#include "engine_rig.h"
#include "generate.h"
#include "sim_base.h"

#define BLOCK UINT64_C(4096)
#define UNFENCED_MAX 512u /* as in engine.h */

static struct rig *attached(struct rig_config config)
{
    struct rig *r;

    config.attach.durability = CBD_DURABLE_ON_FLUSH;
    r = rig_create(&config);
    rig_attach(r);
    return r;
}

/* The model takes back what was written there: it was lost. */
static void take_back(struct rig *r, uint64_t off, uint64_t len, uint64_t version)
{
    for (uint64_t s = off / 512; s < (off + len) / 512; s++)
        r->want[0][s] = version;
}

static void finish(struct rig *r)
{
    rig_check_all(r);
    rig_detach(r);
    rig_fsck(r, true);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static uint64_t count(const struct rig *r, enum cbd_step step)
{
    return r->pmem->counts.by_step[step];
}

static void what_was_not_flushed_is_lost_and_the_rest_is_there(void **state)
{
    struct rig *r = attached((struct rig_config){.streams = 3});

    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        r->lane = (unsigned)(i % 3);
        rig_write(r, i * BLOCK, BLOCK, 0);
    }
    assert_int_equal(count(r, CBD_STEP_INSERT_RECORD_FENCE), 0);
    assert_int_equal(count(r, CBD_STEP_SYNC_FENCE), 0);
    rig_flush(r);
    assert_int_equal(count(r, CBD_STEP_SYNC_FENCE), 1); /* one for all streams */
    rig_flush(r);
    assert_int_equal(count(r, CBD_STEP_SYNC_FENCE), 1); /* nothing to do */
    rig_write(r, 100 * BLOCK, BLOCK, 0);
    rig_power_cut(r, SIM_CRASH_NONE);
    take_back(r, 100 * BLOCK, BLOCK, SIM_VERSION_INITIAL);
    rig_fsck(r, false);
    rig_attach(r);
    finish(r);
}

static void fua_covers_what_came_before_it(void **state)
{
    struct rig *r = attached((struct rig_config){.streams = 2});

    (void)state;
    rig_write(r, 0, BLOCK, 0);
    r->lane = 1;
    rig_write(r, BLOCK, BLOCK, CBD_WRITE_FUA);
    rig_zero(r, 2 * BLOCK, BLOCK, CBD_WRITE_FUA);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    finish(r);
}

static void it_needs_data_checksums(void **state)
{
    struct rig *r = rig_create(&(struct rig_config){
        .no_data_checksum = true, .attach = {.durability = CBD_DURABLE_ON_FLUSH}});

    (void)state;
    assert_int_equal(rig_try_attach(r, 0), CBD_E_INVALID);
    assert_non_null(strstr(r->last[CBD_ERROR].sentence, "data checksums"));
    rig_destroy(r);
}

/* A hole above what was durable is an unfinished write, ends nothing, and stays shut for ever. */
static void a_hole_above_what_was_flushed_is_not_damage(void **state)
{
    struct rig *r = attached((struct rig_config){0});
    uint32_t id;

    (void)state;
    rig_write(r, 0, BLOCK, 0);
    rig_flush(r);
    for (uint64_t i = 1; i < 6; i++)
        rig_write(r, i * BLOCK, BLOCK, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_power_cut(r, SIM_CRASH_ALL);
    rig_scribble(r, rig_slot_off(r, id, 2), 64); /* the record */
    rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 4).payload_off + 9); /* payload */
    take_back(r, 2 * BLOCK, BLOCK, SIM_VERSION_INITIAL);
    take_back(r, 4 * BLOCK, BLOCK, SIM_VERSION_INITIAL);
    rig_fsck(r, false);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_suspects, 2);
    assert_int_equal(rig_stats(r).recovered_records, 4);
    assert_int_equal(rig_record(r, id, 2).type, CBD_M_RECORD_VOID);
    assert_int_equal(rig_record(r, id, 4).type, CBD_M_RECORD_VOID);
    rig_check_all(r);
    rig_write(r, 7 * BLOCK, BLOCK, CBD_WRITE_FUA);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_suspects, 0);
    finish(r);
}

/* Damage beside it makes no damage of the first slot that no FLUSH covered. */
static void a_hole_right_behind_what_was_flushed_is_never_damage(void **state)
{
    struct rig *r = attached((struct rig_config){0});
    uint32_t id;

    (void)state;
    rig_write(r, 0, BLOCK, 0);
    rig_flush(r);
    for (uint64_t i = 1; i < 4; i++)
        rig_write(r, i * BLOCK, BLOCK, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_power_cut(r, SIM_CRASH_ALL);
    rig_scribble(r, rig_slot_off(r, id, 0), 64);
    rig_scribble(r, rig_slot_off(r, id, 1), 64);
    assert_true(rig_degraded(r));
    assert_int_equal(cbd_backend_lost(r->backend[0], NULL, NULL), 1);
    assert_true(rig_is_lost(r, rig_slot_off(r, id, 0)));
    assert_false(rig_is_lost(r, rig_slot_off(r, id, 1)));
    rig_destroy(r);
}

static void a_hole_below_what_was_flushed_is_damage(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < 5; slot++) {
        struct rig *r = attached((struct rig_config){0});
        uint32_t id;

        for (uint64_t i = 0; i < 5; i++)
            rig_write(r, i * BLOCK, BLOCK, 0);
        rig_flush(r);
        rig_write(r, 5 * BLOCK, BLOCK, 0);
        id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        rig_power_cut(r, SIM_CRASH_ALL);
        rig_scribble(r, rig_slot_off(r, id, slot), 64);
        assert_true(rig_degraded(r));
        assert_int_equal(cbd_backend_lost(r->backend[0], NULL, NULL), 1);
        assert_true(rig_is_lost(r, rig_slot_off(r, id, slot)));
        rig_destroy(r);
    }
}

/* Write-back proves what no FLUSH and no later record does: in the stream nothing is a hole. */
static void what_is_written_back_proves_what_is_below(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < 4; slot++) {
        struct rig *r = attached((struct rig_config){0});
        uint32_t id;

        for (uint64_t i = 0; i < 4; i++)
            rig_write(r, 8 * BLOCK, (i + 1) * BLOCK, 0);
        rig_write_back(r);
        id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        rig_power_cut(r, SIM_CRASH_ALL);
        if (slot == 3) /* the payload of the newest */
            rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 3).payload_off + 9);
        else
            rig_scribble(r, rig_slot_off(r, id, slot), 64);
        rig_attach(r);
        assert_false(rig_stats(r).degraded);
        assert_int_equal(rig_stats(r).recovered_suspects, 0);
        rig_check_all(r);
        rig_detach(r);
        rig_check_disk(r, 0);
        rig_destroy(r);
    }
}

/* A void in the middle leaves its payload there: the headers behind it are found all the same. */
static void a_loss_behind_a_void_has_its_range(void **state)
{
    struct rig *r = attached((struct rig_config){0});
    uint32_t id;

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        rig_write(r, i * 2 * BLOCK, BLOCK, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_power_cut(r, SIM_CRASH_ALL);
    rig_scribble(r, rig_slot_off(r, id, 0), 64);
    take_back(r, 0, BLOCK, SIM_VERSION_INITIAL);
    rig_attach(r);
    assert_int_equal(rig_record(r, id, 0).type, CBD_M_RECORD_VOID);
    rig_write(r, 8 * BLOCK, BLOCK, CBD_WRITE_FUA);
    rig_write(r, 9 * BLOCK, BLOCK, CBD_WRITE_FUA);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_scribble(r, rig_slot_off(r, id, 1), 64);
    assert_true(rig_degraded(r));
    assert_int_equal(rig_stats(r).lost_bytes, BLOCK);
    assert_int_equal(rig_try_read(r, 0, 2 * BLOCK, BLOCK), CBD_E_CORRUPT);
    rig_read(r, 4 * BLOCK, 6 * BLOCK);
    rig_destroy(r);
}

/* The header of a write after a FLUSH proves what the FLUSH covered, and nothing more. */
static void a_header_proves_what_was_flushed_before_it(void **state)
{
    (void)state;
    for (uint32_t flushed = 0; flushed <= 3; flushed++) {
        struct rig *r = attached((struct rig_config){0});
        uint32_t id;

        for (uint64_t i = 0; i < 6; i++) {
            if (i == flushed)
                rig_flush(r);
            rig_write(r, i * BLOCK, BLOCK, 0);
        }
        id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        rig_power_cut(r, SIM_CRASH_ALL);
        for (uint32_t slot = 0; slot < 6; slot++)
            rig_scribble(r, rig_slot_off(r, id, slot), 64);
        assert_int_equal(rig_degraded(r), flushed != 0);
        assert_int_equal(cbd_backend_lost(r->backend[0], NULL, NULL), flushed);
        take_back(r, 0, 6 * BLOCK, SIM_VERSION_INITIAL);
        if (flushed == 0)
            rig_check_all(r);
        rig_destroy(r);
    }
}

/* Y2: however many writes there are without a FLUSH, a crash leaves no longer gap. */
static void many_writes_without_flush_are_made_durable_in_between(void **state)
{
    struct rig *r = attached((struct rig_config){0});

    (void)state;
    for (uint64_t i = 0; i < 700; i++)
        rig_zero(r, i * 512, 512, 0);
    assert_int_equal(count(r, CBD_STEP_SYNC_FENCE), 1);
    take_back(r, UNFENCED_MAX * 512, (700 - UNFENCED_MAX) * 512, SIM_VERSION_INITIAL);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    finish(r);
}

/*
 * V6: what stands behind a hole was served, so it may not get lost in silence. The header of the one
 * before it is gone too, so nothing else tells that it was there. `cut`: recovery itself is cut.
 */
static void what_is_behind_a_hole_is_missed(bool cut)
{
    struct rig *r = attached((struct rig_config){0});
    uint32_t id;

    rig_write(r, 0, BLOCK, 0);
    rig_flush(r);
    for (uint64_t i = 1; i < 4; i++)
        rig_write(r, i * BLOCK, BLOCK, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_power_cut(r, SIM_CRASH_ALL);
    rig_scribble(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 2).payload_off - 64, 64);
    rig_scribble(r, rig_slot_off(r, id, 2), 64);
    take_back(r, 2 * BLOCK, BLOCK, SIM_VERSION_INITIAL);
    if (cut) {
        assert_true(rig_cut_in(r, CBD_STEP_SEGMENT_CLOSE_A_COPY, 0, rig_attach));
        rig_power_cut(r, SIM_CRASH_ALL);
        assert_int_equal(rig_record(r, id, 2).type, CBD_M_RECORD_VOID);
    }
    rig_attach(r);
    rig_check_all(r);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_fsck(r, false);
    rig_flip(r, rig_slot_off(r, id, 3) + 16);
    assert_true(rig_degraded(r));
    assert_true(rig_is_lost(r, rig_slot_off(r, id, 3)));
    rig_destroy(r);
}

static void what_is_behind_a_hole_is_never_lost_in_silence(void **state)
{
    (void)state;
    what_is_behind_a_hole_is_missed(false);
    what_is_behind_a_hole_is_missed(true);
}

/* Y3 */
static void a_closed_segment_is_durable(void **state)
{
    struct rig *r = attached((struct rig_config){0});
    uint64_t off = 0;

    (void)state;
    for (; rig_stats(r).segments_opened < 3; off += BLOCK)
        rig_write(r, off, BLOCK, 0);
    take_back(r, off - BLOCK, BLOCK, SIM_VERSION_INITIAL); /* the first of the third segment */
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_fsck(r, false);
    rig_attach(r);
    finish(r);
}

/* Y4: else the old version in the cache would hide the new one on the disk, and pass for clean. */
static void what_is_written_back_is_durable_before(void **state)
{
    struct rig *r = attached((struct rig_config){0});

    (void)state;
    rig_write(r, 0, BLOCK, 0);
    rig_write_back(r);
    rig_write(r, 0, BLOCK, 0);
    rig_write_back(r);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    finish(r);
}

static void clean_detach(struct rig *r)
{
    rig_read(r, 0, 4 * BLOCK);
    rig_detach(r);
}

static void a_clean_detach_leaves_nothing_unfinished(void **state)
{
    struct rig *r = attached((struct rig_config){0});

    (void)state;
    clean_detach(r);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_fsck(r, true);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_suspects, 0);
    finish(r);
}

static void recovery_that_is_cut_is_recovered_from(void **state)
{
    const enum cbd_step steps[] = {CBD_STEP_RECOVER_VOID, CBD_STEP_RECOVER_FLUSH,
                                   CBD_STEP_RECOVER_STATE_A_COPY, CBD_STEP_RECOVER_STATE_A_FENCE};
    const enum sim_crash_kind kinds[] = {SIM_CRASH_NONE, SIM_CRASH_ALL, SIM_CRASH_PREFIX,
                                         SIM_CRASH_ONE_LOST};

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        for (size_t k = 0; k < 4; k++) {
            struct rig *r = attached((struct rig_config){0});
            uint32_t id;

            rig_write(r, 0, BLOCK, CBD_WRITE_FUA);
            for (uint64_t n = 1; n < 6; n++)
                rig_write(r, n * BLOCK, BLOCK, 0);
            id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
            rig_power_cut(r, SIM_CRASH_ALL);
            rig_scribble(r, rig_slot_off(r, id, 1), 64);
            rig_scribble(r, rig_slot_off(r, id, 3), 64);
            take_back(r, BLOCK, BLOCK, SIM_VERSION_INITIAL);
            take_back(r, 3 * BLOCK, BLOCK, SIM_VERSION_INITIAL);
            assert_true(rig_cut_in(r, steps[i], 0, rig_attach));
            rig_power_cut(r, kinds[k]);
            rig_fsck(r, false);
            rig_attach(r);
            finish(r);
        }
    }
}

/* P1 of this mode, P2 and P4, by the oracle, in all three models. */
static void the_promises_hold(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 9; seed++) {
        struct sim_generator generator = {
            .seed = seed,
            .requests = 400,
            .space_bytes = 256u << 10,
            .volumes = 2,
            .len_max_bytes = 64u << 10,
        };
        struct sim_campaign c = {
            .config =
                {
                    .seed = seed,
                    .cache_bytes = UINT64_C(4) << 20,
                    .segment_bytes = 64u << 10,
                    .streams = 3,
                    .trees = 2,
                    .backends = 2,
                    .disk_bytes = {UINT64_C(1) << 20, UINT64_C(2) << 20},
                    .logical_block_bytes = 512,
                    .dirty_start_percent = 20,
                    .schedule = seed % 2 != 0 ? SIM_SCHEDULE_RANDOM : SIM_SCHEDULE_SERIAL,
                    .clients = 4,
                    .depth = 3,
                    .durability = CBD_DURABLE_ON_FLUSH,
                    .model = (enum sim_model)(seed % 3),
                },
            .source = sim_generator_source(&generator),
            .crashes = 60,
            .subsets = 8,
            .restarts = 3,
            .workers = 1,
            .only_step = UINT64_MAX,
        };
        struct sim_result *r = sim_zalloc(1, sizeof(*r));
        char text[2048];

        assert_int_equal(sim_campaign_run(&c, r), 0);
        if (r->run_failed)
            fail_msg("seed %llu: run: %s", (unsigned long long)seed,
                     sim_verdict_text(&r->run_verdict, text, sizeof(text)));
        if (r->failures != 0)
            fail_msg("seed %llu: step %llu subset %llu: %s", (unsigned long long)seed,
                     (unsigned long long)r->failed[0].step, (unsigned long long)r->failed[0].subset,
                     sim_verdict_text(&r->failed[0].verdict, text, sizeof(text)));
        free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_flushed_is_lost_and_the_rest_is_there),
        cmocka_unit_test(fua_covers_what_came_before_it),
        cmocka_unit_test(it_needs_data_checksums),
        cmocka_unit_test(a_hole_above_what_was_flushed_is_not_damage),
        cmocka_unit_test(a_hole_below_what_was_flushed_is_damage),
        cmocka_unit_test(a_hole_right_behind_what_was_flushed_is_never_damage),
        cmocka_unit_test(a_loss_behind_a_void_has_its_range),
        cmocka_unit_test(what_is_written_back_proves_what_is_below),
        cmocka_unit_test(a_header_proves_what_was_flushed_before_it),
        cmocka_unit_test(many_writes_without_flush_are_made_durable_in_between),
        cmocka_unit_test(what_is_behind_a_hole_is_never_lost_in_silence),
        cmocka_unit_test(a_closed_segment_is_durable),
        cmocka_unit_test(what_is_written_back_is_durable_before),
        cmocka_unit_test(a_clean_detach_leaves_nothing_unfinished),
        cmocka_unit_test(recovery_that_is_cut_is_recovered_from),
        cmocka_unit_test(the_promises_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
