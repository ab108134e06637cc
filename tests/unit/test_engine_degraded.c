/* SPDX-License-Identifier: BSD-2-Clause */
/* What a damaged record costs (lost.c), and that a check says the same. */
#include "engine_rig.h"

static struct rig *attached(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    return r;
}

struct ranges {
    uint32_t count;
    struct cbd_lost_view last;
};

static void on_lost(void *arg, const struct cbd_lost_view *lost)
{
    struct ranges *seen = arg;

    seen->count++;
    seen->last = *lost;
}

static struct cbd_lost_view only_loss(struct rig *r)
{
    struct ranges seen = {0};

    assert_int_equal(cbd_backend_lost(r->backend[0], on_lost, &seen), 1);
    assert_int_equal(seen.count, 1);
    return seen.last;
}

static void damage(struct rig *r, uint32_t id, uint32_t slot)
{
    rig_scribble(r, rig_slot_off(r, id, slot), 64);
}

static uint64_t check_errors(struct rig *r)
{
    struct cbd_check_summary sum;

    assert_int_equal(cbd_check_run(&r->pmem->pm, &r->env.env, NULL, NULL, NULL, &sum), 0);
    return sum.errors;
}

/* L2: the lost range is an error, all else is served, and nothing may be written. */
static void a_lost_range_is_an_error_and_the_rest_is_served(void **state)
{
    struct rig *r = attached(NULL);
    struct cbd_lost_view lost;
    struct cbd_stats stats;
    uint32_t id;

    (void)state;
    rig_write(r, 0, 8192, 0);
    rig_write(r, 16384, 4096, 0); /* this one */
    rig_write(r, 32768, 4096, 0);
    rig_write(r, 16384, 1024, 0); /* certainly newer */
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_kill(r);
    damage(r, id, 1);
    assert_true(check_errors(r) > 0);
    assert_true(rig_degraded(r));
    lost = only_loss(r);
    assert_true(lost.range_known);
    assert_int_equal(lost.addr_bytes, 16384);
    assert_int_equal(lost.len_bytes, 4096);
    assert_int_equal(lost.off_bytes, rig_slot_off(r, id, 1));
    stats = rig_stats(r);
    assert_int_equal(stats.lost_records, 1);
    assert_int_equal(stats.lost_bytes, 4096);
    rig_read(r, 0, 16384);
    rig_read(r, 16384, 1024);
    rig_read(r, 20480, 65536);
    assert_int_equal(rig_try_read(r, 0, 16384, 4096), CBD_E_CORRUPT);
    assert_int_equal(r->last[CBD_ERROR].got, 16384 + 1024);
    assert_int_equal(r->last[CBD_ERROR].limit, 3072);
    assert_int_equal(rig_try_write(r, 0, 0, 4096, 0), CBD_E_READONLY);
    assert_int_equal(rig_try_zero(r, 0, 0, 4096, 0), CBD_E_READONLY);
    assert_int_equal(cbd_flush(r->backend[0], 0), 0);
    assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK), CBD_E_READONLY);
    assert_int_equal(cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM), CBD_E_READONLY);
    assert_int_equal(cbd_backend_detach(r->backend[0]), CBD_E_READONLY);
    rig_abandon(r);
    rig_destroy(r);
}

/* An older version in the cache does not come back under a record that is lost. */
static void nothing_older_comes_back(void **state)
{
    (void)state;
    for (int no_checksum = 0; no_checksum < 2; no_checksum++) {
        struct rig *r =
            attached(&(struct rig_config){.streams = 2, .no_data_checksum = no_checksum != 0});
        uint32_t id;

        r->lane = 1;
        rig_write(r, 0, 4096, 0);
        r->lane = 0;
        rig_write(r, 0, 4096, 0);
        rig_write(r, 65536, 4096, 0);
        id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        if (rig_record(r, id, 0).order < 2 || rig_record(r, id, 1).len_bytes != 4096)
            id++;
        rig_kill(r);
        damage(r, id, 0);
        assert_true(rig_degraded(r));
        assert_int_equal(rig_try_read(r, 0, 0, 4096), CBD_E_CORRUPT);
        rig_read(r, 65536, 4096);
        rig_destroy(r);
    }
}

/* L3, and nothing is stored: the same attach comes to the same result. */
static void a_lost_zero_leaves_its_range_unknown(void **state)
{
    struct rig *r = attached(NULL);
    uint64_t ops;
    uint32_t id;

    (void)state;
    rig_write(r, 0, 8192, 0);
    rig_zero(r, 0, 4096, 0);
    rig_write(r, 16384, 8192, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_kill(r);
    damage(r, id, 1);
    for (int i = 0; i < 2; i++) {
        assert_true(rig_degraded(r));
        assert_false(only_loss(r).range_known);
        ops = r->pmem->counts.by_step[CBD_STEP_RECOVER_STATE_A_COPY];
        rig_read(r, 16384, 8192);
        assert_int_equal(rig_try_write(r, 0, 0, 4096, 0), CBD_E_READONLY);
        assert_int_equal(r->pmem->counts.by_step[CBD_STEP_RECOVER_STATE_A_COPY], ops);
        rig_abandon(r);
    }
    assert_true(check_errors(r) > 0);
    rig_destroy(r);
}

/* L1: what the disk has is not lost, in each way to know that; nothing stale comes back. */
static void clean_records_cost_nothing(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct rig *r = attached(NULL);
        uint32_t id;

        rig_write(r, 0, 8192, 0);
        rig_write(r, 0, 8192, 0); /* this one: the first must not show again */
        rig_zero(r, 4096, 4096, 0);
        rig_write(r, 16384, 8192, 0);
        id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        rig_write_back(r);
        if (how == 0) {
            rig_detach(r);
            rig_attach(r);
        }
        if (how == 1)
            rig_read(r, 65536, 4096);
        rig_write(r, 131072, 4096, 0); /* dirty, in a later epoch */
        rig_kill(r);
        damage(r, id, 1);
        damage(r, id, 2);
        if (how == 1)
            damage(r, id, 4); /* the fill: known by its header */
        rig_attach(r);
        assert_false(rig_stats(r).degraded);
        assert_int_equal(cbd_backend_lost(r->backend[0], NULL, NULL), 0);
        rig_check_all(r);
        rig_write(r, 0, 65536, 0);
        rig_write(r, 65536, 65536, CBD_WRITE_FUA);
        rig_kill(r);
        rig_attach(r);
        assert_false(rig_stats(r).degraded);
        rig_check_all(r);
        for (uint64_t i = 0; i < 60; i++)
            rig_write(r, i * 16384, 16384, 0);
        rig_detach(r);
        rig_check_disk(r, 0);
        rig_destroy(r);
    }
}

/* After a clean detach no damage to a record costs anything, also to the newest ones. */
static void after_a_clean_detach_nothing_is_lost(void **state)
{
    struct rig *r = attached(NULL);
    uint32_t id;

    (void)state;
    rig_write(r, 0, 8192, 0);
    rig_write(r, 0, 4096, 0);
    rig_zero(r, 0, 512, 0);
    rig_write(r, 16384, 512, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_detach(r);
    for (uint32_t slot = 1; slot < 4; slot++)
        damage(r, id, slot);
    rig_attach(r);
    assert_false(rig_stats(r).degraded);
    rig_check_all(r);
    for (uint64_t i = 0; i < 60; i++)
        rig_write(r, i * 16384, 16384, 0);
    rig_kill(r);
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* Each record of a cache with everything in it, lost alone: what a check and an attach say agrees. */
static void check_and_attach_agree(void **state)
{
    struct rig *r = attached(NULL);
    uint32_t seen[2] = {0};

    (void)state;
    for (uint64_t i = 0; i < 24; i++) {
        if (i % 5 == 0)
            rig_zero(r, i * 16384, 4096, 0);
        else
            rig_write(r, i * 16384, 8192, 0);
        if (i == 8)
            rig_write_back(r);
    }
    rig_kill(r);
    for (uint32_t id = 0; id < r->geo.segment_count; id++) {
        struct cbd_segment_entry e = rig_entry(r, id);
        uint32_t slots = e.status == CBD_M_SEGMENT_CLOSED ? e.records : 1;

        for (uint32_t slot = 0; e.status != CBD_M_SEGMENT_FREE && slot < slots; slot++) {
            bool degraded;

            sim_pmem_mark(r->pmem);
            sim_disk_mark(r->disk[0]);
            damage(r, id, slot);
            assert_true(check_errors(r) > 0);
            degraded = rig_degraded(r);
            seen[degraded]++;
            assert_int_equal(cbd_backend_lost(r->backend[0], NULL, NULL), degraded);
            if (!degraded)
                rig_check_all(r);
            rig_kill(r);
            sim_disk_rollback(r->disk[0]);
            sim_pmem_rollback(r->pmem);
        }
    }
    assert_true(seen[0] > 2 && seen[1] > 2);
    assert_int_equal(check_errors(r), 0);
    assert_false(rig_degraded(r));
    rig_check_all(r);
    rig_destroy(r);
}

/* L3: the decision would be stored, and could never be carried out. */
static void a_mismatch_of_a_degraded_backend_is_not_accepted(void **state)
{
    struct rig *r = rig_create(NULL);
    uint64_t was;
    uint32_t id;

    (void)state;
    rig_attach(r);
    rig_write(r, 0, 4096, 0);
    rig_flush(r);
    rig_write_back(r);
    rig_write(r, 32768, 4096, 0); /* is lost */
    rig_write(r, 65536, 4096, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_power_cut(r, SIM_CRASH_NONE);
    damage(r, id, 1);
    was = sim_disk_peek(r->disk[0], 0);
    sim_disk_poke(r->disk[0], 0, 999);
    r->config.attach.accept_backing = true;
    assert_int_equal(rig_try_attach(r, 0), CBD_E_MISMATCH);
    rig_abandon(r);
    sim_disk_poke(r->disk[0], 0, was);
    r->config.attach.accept_backing = false;
    assert_true(rig_degraded(r));
    rig_abandon(r);
    rig_destroy(r);
}

/*
 * An attach closes a segment with damage, and what is in a closed segment counts: the record of an
 * unfinished write must be void before (Y3).
 */
static void a_segment_with_damage_is_closed_over_durable_voids(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 32; seed++) {
        const struct sim_crash crash = {.kind = SIM_CRASH_RANDOM, .seed = seed};
        struct rig *r = attached(NULL);
        uint32_t id;

        rig_write(r, 0, 8192, 0); /* is damaged, and clean */
        rig_write(r, 65536, 8192, 0);
        rig_write_back(r);
        rig_write(r, 8192, 4096, 0); /* is unfinished */
        id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        rig_power_cut(r, SIM_CRASH_ALL);
        damage(r, id, 0);
        rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 2).payload_off + 9);
        for (uint64_t s = 16; s < 24; s++)
            r->want[0][s] = SIM_VERSION_INITIAL;
        assert_true(rig_cut_in(r, CBD_STEP_SEGMENT_CLOSE_A_FENCE, 0, rig_attach));
        rig_kill(r);
        sim_pmem_crash(r->pmem, &crash);
        rig_attach(r);
        assert_false(rig_stats(r).degraded);
        rig_check_all(r);
        rig_write(r, 32768, 4096, 0);
        rig_kill(r);
        rig_attach(r);
        rig_check_all(r);
        rig_detach(r);
        rig_check_disk(r, 0);
        rig_destroy(r);
    }
}

/* Behind its payload is another one: it was durable, and so its payload is damaged, not torn. */
static void a_torn_payload_with_another_behind_it_is_damage(void **state)
{
    struct rig *r = attached(NULL);
    uint32_t id;

    (void)state;
    rig_write(r, 0, 4096, 0);
    rig_write(r, 8192, 4096, 0);
    rig_write(r, 16384, 4096, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_kill(r);
    rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 1).payload_off + 9);
    damage(r, id, 2);
    rig_attach(r);
    assert_int_equal(rig_try_read(r, 0, 8192, 4096), CBD_E_CORRUPT);
    rig_read(r, 0, 4096);
    rig_abandon(r);
    rig_destroy(r);
}

/* B4: a segment that was given out again since holds what is on no disk yet. */
static void a_detach_says_nothing_about_the_next_use_of_its_segment(void **state)
{
    struct rig *r = attached(&(struct rig_config){.streams = 1});
    uint64_t generation, turn = 0;
    uint32_t id;

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        rig_write(r, i * 4096, 4096, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    generation = rig_entry(r, id).generation;
    rig_detach(r);
    assert_int_equal(rig_entry(r, id).detached, 3);
    rig_attach(r);
    do {
        rig_write_back(r);
        rig_write(r, turn % 16 * 4096, 4096, 0);
        assert_true(++turn < 5000);
    } while (rig_entry(r, id).generation == generation);
    assert_int_equal(rig_entry(r, id).status, CBD_M_SEGMENT_OPEN);
    rig_write(r, 100 * 4096, 4096, 0); /* proves the dirty one in slot 0 */
    rig_power_cut(r, SIM_CRASH_NONE);
    damage(r, id, 0);
    assert_true(rig_degraded(r));
    assert_true(rig_is_lost(r, rig_slot_off(r, id, 0)));
    rig_destroy(r);
}

/*
 * B4: the newest record of a stream, behind a clean detach and behind crashes that follow it. How:
 * 0 a write, 1 a fill, 2 a discard, 3 the same and its neighbours, with their headers.
 */
static void the_newest_record_behind_a_detach_is_proven(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        for (int crashes = 0; crashes < 3; crashes++) {
            struct rig *r = attached(NULL);
            uint32_t id, newest;

            rig_write(r, 0, 8192, 0);
            rig_write(r, 0, 4096, 0);
            rig_write(r, 4096, 4096, 0);
            rig_write_back(r);
            if (how == 1)
                rig_read(r, 65536, 4096);
            else if (how == 2)
                rig_zero(r, 0, 4096, CBD_WRITE_PUNCH);
            else
                rig_write(r, 0, 4096, 0);
            newest = 3;
            id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
            rig_detach(r);
            assert_int_equal(rig_entry(r, id).detached, newest + 1);
            if (crashes == 2) {
                rig_attach(r);
                rig_power_cut(r, SIM_CRASH_NONE);
            }
            for (uint32_t slot = how == 3 ? 1 : newest; slot <= newest; slot++) {
                if (how == 3)
                    rig_scribble(
                        r, cbd_segment_off(&r->geo, id) + rig_record(r, id, slot).payload_off - 64,
                        64);
                damage(r, id, slot);
            }
            for (int n = 0; n <= crashes; n++) {
                rig_attach(r);
                assert_false(rig_stats(r).degraded);
                assert_int_equal(rig_stats(r).recovered_suspects, 0);
                rig_check_all(r);
                rig_write(r, 131072 + (uint64_t)n * 4096, 4096, 0);
                rig_power_cut(r, SIM_CRASH_NONE);
            }
            rig_attach(r);
            assert_false(rig_stats(r).degraded);
            rig_check_all(r);
            rig_detach(r);
            rig_check_disk(r, 0);
            rig_destroy(r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_record_behind_a_detach_is_proven),
        cmocka_unit_test(a_detach_says_nothing_about_the_next_use_of_its_segment),
        cmocka_unit_test(a_segment_with_damage_is_closed_over_durable_voids),
        cmocka_unit_test(a_torn_payload_with_another_behind_it_is_damage),
        cmocka_unit_test(a_mismatch_of_a_degraded_backend_is_not_accepted),
        cmocka_unit_test(a_lost_range_is_an_error_and_the_rest_is_served),
        cmocka_unit_test(nothing_older_comes_back),
        cmocka_unit_test(a_lost_zero_leaves_its_range_unknown),
        cmocka_unit_test(clean_records_cost_nothing),
        cmocka_unit_test(after_a_clean_detach_nothing_is_lost),
        cmocka_unit_test(check_and_attach_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
