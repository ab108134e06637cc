/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=120 */
/*
 * Faults swept through a life that goes on: one allocation, request of the disk or fence fails, each
 * in turn until none is left. The life has all kinds of calls, a clean detach, a death of the process
 * or a power cut, and the attaches after both. The call may fail, or the machine does without. Behind
 * a fence that failed everything ends, and recovery finds what was acknowledged. Behind anything else
 * the same call succeeds when it is made again.
 */
#include "sweep_rig.h"

static void requests(struct sweep_life *l, unsigned round)
{
    struct rig *r = l->r;

    for (uint64_t i = 0; i < 26 && !l->over; i++) {
        uint64_t off = (i * 7 + round * 3) % 30 * 16384;

        r->lane = (unsigned)(i % 2);
        if (i % 6 == 5)
            SWEEP_DO(l, rig_try_zero(r, 0, off, 8192, i % 4 == 1 ? CBD_WRITE_PUNCH : 0));
        else if (i % 5 == 3)
            SWEEP_DO(l, rig_try_read(r, 0, off, 12288));
        else
            SWEEP_DO(
                l, rig_try_write(r, 0, off + 512 * (i % 3), 12288, i % 8 == 7 ? CBD_WRITE_FUA : 0));
        if (i % 9 == 8)
            SWEEP_DO(l, cbd_flush(r->backend[0], r->lane));
    }
}

/* A line of what is clean cannot be read until scrub or a reader has healed it. */
static void spoil(struct sweep_life *l)
{
    struct rig *r = l->r;

    for (uint32_t id = 0; id < r->geo.segment_count && l->poisoned == 0; id++) {
        struct cbd_segment_entry e = rig_entry(r, id);
        struct cbd_record record;

        if (e.status != CBD_M_SEGMENT_OPEN)
            continue;
        record = rig_record(r, id, 0);
        if (record.type == CBD_M_RECORD_WRITE || record.type == CBD_M_RECORD_FILL)
            l->poisoned = cbd_segment_off(&r->geo, id) + record.payload_off;
    }
    if (l->poisoned != 0)
        sim_pmem_poison(r->pmem, l->poisoned, 64);
}

/* Ends with a detach, then without one, then with a detach. */
static void live(struct sweep_life *l)
{
    struct rig *r = l->r;

    for (unsigned round = 0; round < 3 && !l->over; round++) {
        SWEEP_DO(l, sweep_open(r));
        SWEEP_DO(l, rig_try_attach(r, 0));
        SWEEP_DO(l, sweep_steps(r, CBD_WORK_RECLAIM)); /* warms up */
        requests(l, round);
        SWEEP_DO(l, sweep_write_back(r));
        if (!l->over && round == 1)
            spoil(l);
        r->env.now_ns += UINT64_C(2000000000);
        SWEEP_DO(l, sweep_steps(r, CBD_WORK_SCRUB));
        SWEEP_DO(l, rig_try_read(r, 0, 0, r->config.disk_bytes));
        sweep_unspoil(l);
        requests(l, round + 3);
        SWEEP_DO(l, sweep_steps(r, CBD_WORK_RECLAIM));
        if (l->over)
            break;
        if (round == 1) {
            sweep_die(l);
        } else {
            SWEEP_DO(l, sweep_detach(r));
            if (!l->over)
                rig_abandon(r);
        }
    }
    l->did = true;
}

static void every_place_fails_once(unsigned fault, uint64_t places, unsigned least_errors)
{
    struct rig_config config = {
        .disk_bytes = 512 << 10,
        .share_segments = 6,
        .streams = 2,
        .recovers_in_parts = true,
        .keeps_discarded = fault == SWEEP_DISK + CBD_DISK_ZERO, /* then discards are zeroes too */
        .attach = {.trees = 2, .scrub_rate_bytes = CBD_SCRUB_RATE_MAX}};

    sweep(fault, &config, live, places, least_errors);
}

static void life_goes_on_when_an_allocation_fails(void **state)
{
    (void)state;
    every_place_fails_once(SWEEP_ALLOC, 50, 40);
}

static void life_goes_on_when_a_request_of_the_disk_fails(void **state)
{
    (void)state;
    every_place_fails_once(SWEEP_DISK + CBD_DISK_READ, 80, 50);
    every_place_fails_once(SWEEP_DISK + CBD_DISK_WRITE, 60, 10);
    every_place_fails_once(SWEEP_DISK + CBD_DISK_FLUSH, 25, 4);
    every_place_fails_once(SWEEP_DISK + CBD_DISK_DISCARD, 6, 0);
    every_place_fails_once(SWEEP_DISK + CBD_DISK_ZERO, 12, 1);
}

static void nothing_is_lost_when_a_fence_fails(void **state)
{
    (void)state;
    every_place_fails_once(SWEEP_FENCE, 300, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(life_goes_on_when_an_allocation_fails),
        cmocka_unit_test(life_goes_on_when_a_request_of_the_disk_fails),
        cmocka_unit_test(nothing_is_lost_when_a_fence_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
