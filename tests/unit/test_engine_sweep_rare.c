/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=120 */
/*
 * The sweeps of test_engine_sweep_life.c through what a life seldom comes to: dirty records of the
 * open epoch that are stored again because reads need the space, and a disk that was changed behind
 * the cache and is accepted as it is.
 */
#include "sweep_rig.h"

#define BLOCK UINT64_C(4096)
#define SECTORS (BLOCK / 512)
#define READ_FROM (UINT64_C(1) << 20) /* nobody writes from here on */

/* Three streams: data, a hole, zeroes, and what overlaps them. */
static void write_some(struct sweep_life *l)
{
    struct rig *r = l->r;

    r->lane = 0;
    SWEEP_DO(l, rig_try_write(r, 0, 0, 3 * BLOCK, 0));
    SWEEP_DO(l, rig_try_write(r, 0, BLOCK / 2, BLOCK, 0));
    r->lane = 1;
    SWEEP_DO(l, rig_try_write(r, 0, 8 * BLOCK, 2 * BLOCK, 0));
    SWEEP_DO(l, rig_try_zero(r, 0, 9 * BLOCK, BLOCK / 2, 0));
    r->lane = 2;
    SWEEP_DO(l, rig_try_zero(r, 0, 12 * BLOCK, 2 * BLOCK, CBD_WRITE_PUNCH));
    SWEEP_DO(l, rig_try_write(r, 0, 13 * BLOCK, 512, 0));
}

/* Ends without a detach, then with one. */
static void live_beside_reads(struct sweep_life *l)
{
    struct rig *r = l->r;

    for (unsigned round = 0; round < 2 && !l->over; round++) {
        SWEEP_DO(l, sweep_open(r));
        SWEEP_DO(l, rig_try_attach(r, 0));
        SWEEP_DO(l, sweep_steps(r, CBD_WORK_RECLAIM));
        write_some(l);
        for (uint64_t i = 0; i < 220 && !l->over; i++) {
            r->lane = i % 3;
            SWEEP_DO(l, rig_try_read(r, 0, READ_FROM + i * BLOCK, BLOCK));
            SWEEP_DO(l, rig_step_to_idle(r, 0));
            SWEEP_DO(l, sweep_steps(r, CBD_WORK_RECLAIM));
        }
        if (l->over)
            break;
        l->did = l->did || rig_stats(r).carried_bytes != 0;
        SWEEP_DO(l, rig_try_read(r, 0, 0, 16 * BLOCK));
        SWEEP_DO(l,
                 cbd_flush(r->backend[0], 0)); /* a read does not tell that its fill has failed */
        if (l->over)
            break;
        if (round == 0) {
            sweep_die(l);
        } else {
            SWEEP_DO(l, sweep_detach(r));
            if (!l->over)
                rig_abandon(r);
        }
    }
}

static void on_conflict(void *arg, uint64_t addr_bytes, uint64_t len_bytes)
{
    (void)addr_bytes;
    (void)len_bytes;
    ((struct sweep_life *)arg)->told = true;
}

/* Somebody writes to the disk where the cache has clean data, and where it has none. */
static void change_disk(struct rig *r)
{
    static const uint64_t blocks[] = {0, 1, 20};

    for (unsigned i = 0; i < 3; i++)
        for (uint64_t n = blocks[i] * SECTORS; n < (blocks[i] + 1) * SECTORS; n++) {
            uint64_t version = ++r->version;

            sim_disk_poke(r->disk[0], n, version);
            r->want[0][n] = version;
        }
}

static void live_with_a_changed_disk(struct sweep_life *l)
{
    struct rig *r = l->r;

    l->told = false;
    r->config.attach.conflict = on_conflict;
    r->config.attach.conflict_arg = l;
    SWEEP_DO(l, sweep_open(r));
    SWEEP_DO(l, rig_try_attach(r, 0));
    r->lane = 0;
    for (uint64_t i = 0; i < 12; i++)
        SWEEP_DO(l, rig_try_write(r, 0, i * 2 * BLOCK, 2 * BLOCK, 0));
    SWEEP_DO(l, cbd_flush(r->backend[0], 0));
    SWEEP_DO(l, sweep_write_back(r));
    for (uint64_t i = 4; i < 8; i++) {
        r->lane = (unsigned)i % 3;
        SWEEP_DO(l, rig_try_write(r, 0, i * 2 * BLOCK + 512, BLOCK, 0));
    }
    SWEEP_DO(l, rig_try_zero(r, 0, 30 * BLOCK, 2 * BLOCK, CBD_WRITE_PUNCH));
    if (l->over)
        return;
    sweep_die(l);
    change_disk(r);
    SWEEP_DO(l, sweep_open(r));
    SWEEP_DO(l, rig_try_attach(r, 0));
    SWEEP_DO(l, rig_try_read(r, 0, 0, 40 * BLOCK));
    if (l->over)
        return;
    l->did = l->told && rig_stats(r).dirty_bytes == 0;
    SWEEP_DO(l, sweep_detach(r));
    if (!l->over)
        rig_abandon(r);
}

static void sweep_reads(unsigned fault, uint64_t places, unsigned least_errors)
{
    struct rig_config config = {.disk_bytes = 2 << 20,
                                .share_segments = 8,
                                .segment_bytes = 64 << 10,
                                .streams = 3,
                                .keeps_discarded = fault == SWEEP_DISK + CBD_DISK_ZERO,
                                .attach = {.trees = 2}};

    sweep(fault, &config, live_beside_reads, places, least_errors);
}

static void sweep_changed(unsigned fault, uint64_t places, unsigned least_errors)
{
    struct rig_config config = {.disk_bytes = 512 << 10,
                                .share_segments = 8,
                                .streams = 3,
                                .keeps_discarded = fault == SWEEP_DISK + CBD_DISK_ZERO,
                                .attach = {.trees = 2, .accept_backing = true}};

    sweep(fault, &config, live_with_a_changed_disk, places, least_errors);
}

static void a_carry_goes_on_when_something_fails(void **state)
{
    (void)state;
    sweep_reads(SWEEP_ALLOC, 40, 30);
    sweep_reads(SWEEP_DISK + CBD_DISK_READ, 400, 300);
    sweep_reads(SWEEP_DISK + CBD_DISK_WRITE, 6, 3);
    sweep_reads(SWEEP_DISK + CBD_DISK_FLUSH, 2, 1);
    sweep_reads(SWEEP_DISK + CBD_DISK_DISCARD, 3, 1);
    sweep_reads(SWEEP_DISK + CBD_DISK_ZERO, 4, 2);
}

static void a_carry_loses_nothing_when_a_fence_fails(void **state)
{
    (void)state;
    sweep_reads(SWEEP_FENCE, 600, 600);
}

static void a_changed_disk_is_accepted_when_something_fails(void **state)
{
    (void)state;
    sweep_changed(SWEEP_ALLOC, 50, 40);
    sweep_changed(SWEEP_DISK + CBD_DISK_READ, 15, 1);
    sweep_changed(SWEEP_DISK + CBD_DISK_WRITE, 5, 5);
    sweep_changed(SWEEP_DISK + CBD_DISK_FLUSH, 3, 3);
    sweep_changed(SWEEP_DISK + CBD_DISK_DISCARD, 1, 1);
    sweep_changed(SWEEP_DISK + CBD_DISK_ZERO, 1, 1);
}

static void an_accepted_disk_loses_nothing_when_a_fence_fails(void **state)
{
    (void)state;
    sweep_changed(SWEEP_FENCE, 70, 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_carry_goes_on_when_something_fails),
        cmocka_unit_test(a_carry_loses_nothing_when_a_fence_fails),
        cmocka_unit_test(a_changed_disk_is_accepted_when_something_fails),
        cmocka_unit_test(an_accepted_disk_loses_nothing_when_a_fence_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
