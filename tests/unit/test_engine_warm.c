/* SPDX-License-Identifier: BSD-2-Clause */
/* After a clean detach the cache is served at once and warms up later; it never shows old data. */
#include "engine_rig.h"

#define BLOCK UINT64_C(4096)

static int warm_step(struct rig *r)
{
    return cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM);
}

static void warm_up(struct rig *r)
{
    int did;

    while ((did = warm_step(r)) > 0)
        ;
    assert_int_equal(did, 0);
}

/* A cache with many closed segments of two streams, detached. */
static struct rig *filled(void)
{
    struct rig *r = rig_create(&(struct rig_config){.streams = 2, .share_segments = 24});

    rig_attach(r);
    for (uint64_t i = 0; i < 200; i++) {
        r->lane = (unsigned)(i % 2);
        rig_write(r, i % 120 * BLOCK + i % 8 * 512, BLOCK, 0);
    }
    rig_zero(r, 7 * BLOCK, 3 * BLOCK, CBD_WRITE_PUNCH);
    rig_detach(r);
    return r;
}

static void an_attach_reads_a_part_and_the_rest_comes_later(void **state)
{
    struct rig *r = filled();
    struct cbd_stats at_once, later;

    (void)state;
    r->background = false;
    rig_attach(r);
    at_once = rig_stats(r);
    assert_true(at_once.recovered_records > 0); /* something to compare the disk with */
    assert_true(at_once.recovered_records < 100);
    warm_up(r);
    later = rig_stats(r);
    assert_int_equal(later.recovered_records, 201);
    rig_check_all(r);
    assert_true(rig_stats(r).hit_bytes >= 100 * BLOCK);
    rig_destroy(r);
}

static void nothing_old_is_seen_between_two_steps(void **state)
{
    struct rig *r = filled();

    (void)state;
    r->background = false;
    r->config.attach.no_fill = true;
    rig_attach(r);
    do
        rig_check_all(r);
    while (warm_step(r) > 0);
    rig_check_all(r);
    rig_destroy(r);
}

/* A reader in a step, before its lock number `at`. */
static struct {
    uint64_t at, seen;
} intruder;

static void intrude(struct cbd_env *env, enum cbd_yield why)
{
    struct rig *r = (struct rig *)(void *)((char *)env - offsetof(struct rig, env));

    if (why != CBD_YIELD_LOCK || intruder.seen++ != intruder.at)
        return;
    r->ops.yield = NULL;
    rig_check_all(r);
}

/*
 * H1: three streams write the same ten blocks in turn, then ten others. The newest version of each is
 * shown, or none.
 */
static void nothing_old_is_seen_inside_a_step(void **state)
{
    bool came = true;

    (void)state;
    for (uint64_t at = 0; came; at++) {
        struct rig *r = rig_create(&(struct rig_config){.streams = 3, .share_segments = 24});

        rig_attach(r);
        for (uint64_t i = 0; i < 150; i++) {
            r->lane = (unsigned)(i % 3);
            rig_write(r, (i / 30 * 10 + i * 7 % 10) * BLOCK, BLOCK, 0);
        }
        rig_detach(r);
        r->background = false;
        r->config.attach.no_fill = true;
        rig_attach(r);
        intruder.at = at;
        intruder.seen = 0;
        r->ops.yield = intrude;
        warm_up(r);
        came = r->ops.yield == NULL;
        r->ops.yield = NULL;
        rig_destroy(r);
    }
    assert_true(intruder.at > 50);
}

/*
 *   stream 0   [ x=1  .  .  .  .  .  .  .  .  closed last ]
 *   stream 1          [ x=2 ... closed ] [ open ]
 *
 * The segment with the old x has the higher order_max: read first, it may not show x=1.
 */
static void the_older_of_two_segments_is_held_back(void **state)
{
    struct rig *r = rig_create(&(struct rig_config){.streams = 2, .share_segments = 12});

    (void)state;
    rig_attach(r);
    r->lane = 0;
    rig_write(r, 0, BLOCK, 0);
    r->lane = 1;
    rig_write(r, 0, BLOCK, 0);
    for (uint64_t i = 1; i < 20; i++)
        rig_write(r, i * BLOCK, BLOCK, 0);
    r->lane = 0;
    for (uint64_t i = 20; i < 60; i++)
        rig_write(r, i * BLOCK, BLOCK, 0);
    rig_detach(r);
    r->background = false;
    r->config.attach.no_fill = true;
    rig_attach(r);
    do
        rig_read(r, 0, BLOCK);
    while (warm_step(r) > 0);
    rig_check_all(r);
    rig_destroy(r);
}

static void damage_in_a_cold_segment_costs_only_warmth(void **state)
{
    (void)state;
    for (uint32_t bad = 0; bad < 24; bad++) {
        struct rig *r = filled();
        struct cbd_segment_entry e = rig_entry(r, bad);

        if (e.status != CBD_M_SEGMENT_CLOSED) {
            rig_destroy(r);
            continue;
        }
        rig_flip(r, rig_slot_off(r, bad, e.records / 2) + 20);
        r->background = false;
        r->config.attach.no_fill = true; /* else space runs short, and the segment is reclaimed */
        rig_attach(r);
        rig_check_all(r);
        warm_up(r);
        assert_int_equal(r->reports[CBD_ERROR], 0);
        assert_int_equal(r->reports[CBD_WARNING], 1);
        rig_check_all(r);
        r->background = true;
        for (uint64_t i = 0; i < 300; i++)
            rig_write(r, i * 7 % 200 * BLOCK, BLOCK, 0); /* its space is used again */
        rig_check_all(r);
        rig_detach(r);
        rig_check_disk(r, 0);
        rig_fsck(r, true);
        rig_destroy(r);
    }
}

static void random_work(struct rig *r, struct sim_rng *rng, uint64_t requests)
{
    for (uint64_t i = 0; i < requests; i++) {
        uint64_t off = sim_rng_below(rng, 1800) * 512;
        uint64_t len = (1 + sim_rng_below(rng, 16)) * 512;

        r->lane = (unsigned)sim_rng_below(rng, 8);
        switch (sim_rng_below(rng, 8)) {
        case 0:
            rig_zero(r, off, len * 8, CBD_WRITE_PUNCH);
            break;
        case 1:
            rig_flush(r);
            break;
        case 2:
        case 3:
            rig_read(r, off, len);
            break;
        default:
            rig_write(r, off, len, 0);
        }
        for (uint64_t steps = sim_rng_below(rng, 4); steps > 0; steps--)
            (void)rig_progress(r);
    }
}

/* Served, reclaimed, detached and cut while it warms up: the model always agrees. */
static void work_goes_on_while_it_warms_up(void **state)
{
    struct sim_rng rng;

    (void)state;
    sim_rng_seed(&rng, 5);
    for (int run = 0; run < 6; run++) {
        struct rig *r = rig_create(&(struct rig_config){
            .streams = 3, .share_segments = 16 + (uint32_t)run, .disk_bytes = 1u << 20});

        r->random_order = true;
        for (int round = 0; round < 12; round++) {
            rig_attach(r);
            random_work(r, &rng, 20 + sim_rng_below(&rng, 200));
            rig_check_all(r);
            if (sim_rng_chance(&rng, 1, 3)) {
                rig_power_cut(r, SIM_CRASH_NONE);
                rig_attach(r);
                rig_check_all(r);
            }
            rig_detach(r);
            rig_check_disk(r, 0);
            rig_fsck(r, true);
        }
        rig_destroy(r);
    }
}

static void a_lack_of_memory_only_delays(void **state)
{
    struct rig *r = filled();

    (void)state;
    r->background = false;
    rig_attach(r);
    r->alloc_fail_at = r->allocs;
    for (int i = 0; i < 60; i++) {
        int did = warm_step(r);

        assert_true(did >= 0 || did == CBD_E_NOMEM);
    }
    r->alloc_fail_at = UINT64_MAX;
    warm_up(r);
    assert_true(rig_stats(r).index_extents > 100);
    rig_check_all(r);
    rig_destroy(r);
}

static void an_attach_without_memory_leaves_nothing_behind(void **state)
{
    struct rig *r = filled();
    int error = CBD_E_NOMEM;

    (void)state;
    for (uint64_t k = 0; error == CBD_E_NOMEM; k++) {
        rig_open(r);
        r->alloc_fail_at = r->allocs + k;
        error = rig_try_attach(r, 0);
        r->alloc_fail_at = UINT64_MAX;
        if (error == CBD_E_NOMEM)
            rig_abandon(r);
    }
    assert_int_equal(error, 0);
    rig_check_all(r);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_attach_reads_a_part_and_the_rest_comes_later),
        cmocka_unit_test(nothing_old_is_seen_between_two_steps),
        cmocka_unit_test(nothing_old_is_seen_inside_a_step),
        cmocka_unit_test(the_older_of_two_segments_is_held_back),
        cmocka_unit_test(damage_in_a_cold_segment_costs_only_warmth),
        cmocka_unit_test(work_goes_on_while_it_warms_up),
        cmocka_unit_test(a_lack_of_memory_only_delays),
        cmocka_unit_test(an_attach_without_memory_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
