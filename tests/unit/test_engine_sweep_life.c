/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=120 */
/*
 * Faults swept through a life that goes on: one allocation, request of the disk or fence fails, each
 * in turn until none is left. The life has all kinds of calls, a clean detach, a death of the process
 * or a power cut, and the attaches after both. The call may fail, or the machine does without. Behind
 * a fence that failed everything ends, and recovery finds what was acknowledged. Behind anything else
 * the same call succeeds when it is made again.
 */
#include "engine_rig.h"

struct fence_at {
    struct sim_pmem *pm;
    uint64_t left;
    bool failed;
};

static void on_op(void *arg, const struct sim_pm_event *ev)
{
    struct fence_at *f = arg;

    if (ev->kind == SIM_PM_FENCE && !f->failed && f->left-- == 0) {
        f->pm->fail_fences = 1;
        f->failed = true;
    }
}

struct life {
    struct rig *r;
    int error; /* the only one that a call may give */
    bool ends; /* with that error */
    bool cut;  /* the power fails, and not only the process */
    bool over;
    unsigned errors;
    uint64_t poisoned; /* a line of clean data; 0: none */
};

/* Whether the call is to be made again, which must succeed. */
static bool failed(struct life *l, int error)
{
    if (error == 0)
        return false;
    assert_int_equal(error, l->error);
    l->errors++;
    l->over = l->ends;
    return !l->over;
}

#define DO(l, call)                                                                                \
    do {                                                                                           \
        if (!(l)->over && failed((l), (call)))                                                     \
            assert_int_equal((call), 0);                                                           \
    } while (0)

static int open_cache(struct rig *r)
{
    int error = cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache);

    if (error != 0)
        r->cache = NULL;
    return error;
}

static int steps(struct rig *r, enum cbd_work work)
{
    int did;

    do {
        did = cbd_backend_step(r->backend[0], work);
    } while (did > 0);
    return did;
}

static int detach(struct rig *r)
{
    int error = cbd_backend_detach(r->backend[0]);

    if (error == 0)
        r->backend[0] = NULL;
    return error;
}

static int write_back(struct rig *r)
{
    int error;

    cbd_backend_drain(r->backend[0], true);
    error = rig_step_to_idle(r, 0);
    cbd_backend_drain(r->backend[0], false);
    return error;
}

static void requests(struct life *l, unsigned round)
{
    struct rig *r = l->r;

    for (uint64_t i = 0; i < 26 && !l->over; i++) {
        uint64_t off = (i * 7 + round * 3) % 30 * 16384;

        r->lane = (unsigned)(i % 2);
        if (i % 6 == 5)
            DO(l, rig_try_zero(r, 0, off, 8192, i % 4 == 1 ? CBD_WRITE_PUNCH : 0));
        else if (i % 5 == 3)
            DO(l, rig_try_read(r, 0, off, 12288));
        else
            DO(l, rig_try_write(r, 0, off + 512 * (i % 3), 12288, i % 8 == 7 ? CBD_WRITE_FUA : 0));
        if (i % 9 == 8)
            DO(l, cbd_flush(r->backend[0], r->lane));
    }
}

/* A line of what is clean cannot be read until scrub or a reader has healed it. */
static void spoil(struct life *l)
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

static void unspoil(struct life *l)
{
    if (l->poisoned != 0)
        sim_pmem_poison_clear(l->r->pmem, l->poisoned, 64);
    l->poisoned = 0;
}

/* Ends with a detach, then without one, then with a detach. */
static void live(struct life *l)
{
    struct rig *r = l->r;

    for (unsigned round = 0; round < 3 && !l->over; round++) {
        DO(l, open_cache(r));
        DO(l, rig_try_attach(r, 0));
        DO(l, steps(r, CBD_WORK_RECLAIM)); /* warms up */
        requests(l, round);
        DO(l, write_back(r));
        if (!l->over && round == 1)
            spoil(l);
        r->env.now_ns += UINT64_C(2000000000);
        DO(l, steps(r, CBD_WORK_SCRUB));
        DO(l, rig_try_read(r, 0, 0, r->config.disk_bytes));
        unspoil(l);
        requests(l, round + 3);
        DO(l, steps(r, CBD_WORK_RECLAIM));
        if (l->over)
            break;
        if (round == 1) {
            if (l->cut)
                rig_power_cut(r, SIM_CRASH_NONE);
            else
                rig_kill(r);
        } else {
            DO(l, detach(r));
            if (!l->over)
                rig_abandon(r);
        }
    }
}

enum fault {
    FAULT_ALLOC,
    FAULT_FENCE,
    FAULT_DISK, /* and the operation of enum cbd_disk_op */
};

static bool was_hit(const struct rig *r, unsigned fault, const struct fence_at *fence)
{
    if (fault == FAULT_ALLOC)
        return r->allocs > r->alloc_fail_at;
    if (fault == FAULT_FENCE)
        return fence->failed;
    return r->disk[0]->state.fault[fault - FAULT_DISK].count == 0;
}

/* False: the life ended before there was a place number k. */
static bool one_fault(unsigned fault, uint64_t k, unsigned *errors)
{
    struct rig *r = rig_create(&(struct rig_config){
        .disk_bytes = 512 << 10,
        .share_segments = 6,
        .streams = 2,
        .recovers_in_parts = true,
        .keeps_discarded = fault == FAULT_DISK + CBD_DISK_ZERO, /* then discards are zeroes too */
        .attach = {.trees = 2, .scrub_rate_bytes = CBD_SCRUB_RATE_MAX}});
    struct life l = {
        .r = r, .error = CBD_E_IO, .ends = fault == FAULT_FENCE, .cut = fault >= FAULT_DISK};
    struct fence_at fence = {.pm = r->pmem, .left = k};
    bool hit;

    r->allocs = 0;
    if (fault == FAULT_ALLOC) {
        r->alloc_fail_at = k;
        l.error = CBD_E_NOMEM;
    } else if (fault == FAULT_FENCE) {
        r->pmem->hook = on_op;
        r->pmem->hook_arg = &fence;
    } else {
        sim_disk_fail_next(r->disk[0], (enum cbd_disk_op)(fault - FAULT_DISK), k, 1);
    }
    live(&l);
    hit = was_hit(r, fault, &fence);
    *errors += l.errors;
    r->pmem->hook = NULL;
    r->alloc_fail_at = UINT64_MAX;
    sim_disk_heal(r->disk[0]);
    unspoil(&l);
    if (fault == FAULT_FENCE && hit) {
        assert_true(l.over);
        rig_power_cut(r, k % 2 == 0 ? SIM_CRASH_NONE : SIM_CRASH_ALL);
        rig_attach(r);
        rig_check_all(r);
        rig_detach(r);
    }
    l = (struct life){.r = r}; /* and once more, without any */
    live(&l);
    assert_null(r->blocks);
    assert_int_equal(l.errors, 0);
    rig_check_disk(r, 0);
    rig_fsck(r, true);
    rig_destroy(r);
    return hit;
}

static void every_place_fails_once(unsigned fault, uint64_t places, unsigned least_errors)
{
    unsigned errors = 0;
    uint64_t k = 0;

    while (one_fault(fault, k, &errors))
        k++;
    assert_true(k >= places);
    assert_true(fault != FAULT_FENCE || errors == k); /* none is swallowed */
    assert_true(errors >= least_errors);
}

static void life_goes_on_when_an_allocation_fails(void **state)
{
    (void)state;
    every_place_fails_once(FAULT_ALLOC, 50, 40);
}

static void life_goes_on_when_a_request_of_the_disk_fails(void **state)
{
    (void)state;
    every_place_fails_once(FAULT_DISK + CBD_DISK_READ, 80, 50);
    every_place_fails_once(FAULT_DISK + CBD_DISK_WRITE, 60, 10);
    every_place_fails_once(FAULT_DISK + CBD_DISK_FLUSH, 25, 4);
    every_place_fails_once(FAULT_DISK + CBD_DISK_DISCARD, 6, 0);
    every_place_fails_once(FAULT_DISK + CBD_DISK_ZERO, 12, 1);
}

static void nothing_is_lost_when_a_fence_fails(void **state)
{
    (void)state;
    every_place_fails_once(FAULT_FENCE, 300, 300);
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
