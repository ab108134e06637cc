/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write-back of a dm-pcache device is cut at every store, fence and disk request. What was
 * interrupted goes on, and the disk comes out as if nothing had happened (K1 to K6 of pc_drain.c).
 * Without a flush of the disk, or without fences, this test finds what is lost.
 */
/* ctest: novalgrind timeout=120 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pcache_driver.h"
#include "sim_base.h"
#include "sim_crash.h"
#include "sim_env.h"

#define DISK_BYTES (UINT64_C(16) << 20)
#define SUBSETS 10u

enum fault { FAULT_NONE, FAULT_NO_FLUSH, FAULT_NO_FENCE };

struct rig {
    struct sim_pmem *pm;
    struct sim_disk *disk;
    struct sim_env env;
    struct sim_pcache driver;
    struct cbd_pmem_ops ops;
    enum fault fault;
    uint64_t expected[SIM_PCACHE_SECTORS];
    uint64_t cut_at, steps;
    jmp_buf cut;
};

static struct rig *current;

static void step(void)
{
    if (current->cut_at != 0 && ++current->steps == current->cut_at)
        longjmp(current->cut, 1);
}

static void on_store(void *arg, const struct sim_pm_event *ev)
{
    (void)arg;
    (void)ev;
    step();
}

static void on_disk(void *arg, const struct sim_disk_event *ev)
{
    (void)arg;
    (void)ev;
    step();
}

static bool progress(void *arg)
{
    struct rig *r = arg;

    if (sim_disk_inflight(r->disk) == 0)
        return false;
    sim_disk_complete(r->disk, sim_disk_inflight(r->disk) - 1); /* the newest first */
    return true;
}

static int no_fence(struct cbd_pmem *pm, enum cbd_step s)
{
    (void)pm;
    (void)s;
    return 0;
}

static void rig_open(struct rig *r, bool crc)
{
    const struct sim_disk_config config = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 512, .volatile_cache = true};

    memset(r, 0, sizeof(*r));
    current = r;
    r->pm =
        sim_pmem_create(CBD_PCACHE_SEGMENTS_OFF + UINT64_C(5) * CBD_PCACHE_SEGMENT_BYTES, SIM_ADR);
    r->disk = sim_disk_create(&config);
    sim_env_init(&r->env, 1);
    r->env.progress = progress;
    r->env.progress_arg = r;
    sim_pcache_init(&r->driver, r->pm, &r->disk->disk, &r->env.env, 65536, 400);
    assert_int_equal(sim_pcache_activate(&r->driver, crc), 0);
    for (uint32_t i = 0; i < 14; i++) {
        assert_int_equal(sim_pcache_write(&r->driver, i % 3 + i % 2 * 32, 2, i % 3 == 1), 0);
        if (i == 5)
            assert_int_equal(sim_pcache_writeback(&r->driver), 0);
    }
    assert_int_equal(sim_pcache_flush(&r->driver), 0);
    r->pm->hook = on_store;
    r->disk->hook = on_disk;
}

static void rig_close(struct rig *r)
{
    sim_env_destroy(&r->env);
    sim_disk_destroy(r->disk);
    sim_pmem_destroy(r->pm);
}

static int drain(struct rig *r, unsigned flags, struct cbd_pcache_drained *out)
{
    struct cbd_pcache_drain_options options = {.flags = flags};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache pc;
    int error = cbd_pcache_open(&r->pm->pm, &r->env.env, &sink, &pc);

    if (error == 0)
        error = cbd_pcache_drain(&pc, &r->disk->disk, &options, out);
    cbd_pcache_close(&pc);
    return error;
}

static uint64_t on_the_disk(const struct rig *r, uint32_t sector)
{
    return sim_disk_peek(
        r->disk, sector + (sector >= SIM_PCACHE_SECTORS / 2 ? CBD_PCACHE_KEY_BYTES_MAX / 512 : 0));
}

static bool clean(struct rig *r)
{
    struct cbd_pcache_check_options options = {.data = true};
    struct cbd_pcache_summary s;
    struct cbd_pcache_sink sink = {0};

    return cbd_pcache_check(&r->pm->pm, &r->env.env, &options, &sink, &s) == 0 && s.errors == 0 &&
           s.view.dirty_key_count == 0;
}

static void power_off(struct rig *r, unsigned subset, uint64_t seed)
{
    struct sim_crash crash = sim_crash_subset(subset, seed);

    sim_pmem_crash(r->pm, &crash);
    crash = sim_crash_subset(subset / 2, seed + 1);
    sim_disk_crash(r->disk, &crash);
    sim_env_reset(&r->env, 1);
}

/* Cut at step n, what is left of it, and again to the end. True: as it should be. */
static bool cut_and_resume(struct rig *r, unsigned flags, uint64_t n, unsigned subset, bool *last)
{
    struct cbd_pcache_drained out;
    bool well;

    sim_pmem_mark(r->pm);
    sim_disk_mark(r->disk);
    r->cut_at = n;
    r->steps = 0;
    if (r->fault == FAULT_NO_FLUSH) {
        sim_disk_fail_next(r->disk, CBD_DISK_FLUSH, 0, 1000);
        sim_disk_set_lie(r->disk, SIM_DISK_MUTE);
    }
    if (r->fault == FAULT_NO_FENCE) {
        r->ops = *r->pm->pm.ops;
        r->ops.fence = no_fence;
    }
    *last = false;
    if (setjmp(r->cut) == 0) {
        const struct cbd_pmem_ops *ops = r->pm->pm.ops;

        if (r->fault == FAULT_NO_FENCE)
            r->pm->pm.ops = &r->ops;
        (void)!drain(r, flags, &out);
        r->pm->pm.ops = ops;
        *last = true; /* there is no such step */
    }
    r->cut_at = 0;
    sim_disk_heal(r->disk);
    power_off(r, subset, n);
    well = drain(r, flags, &out) == 0 && clean(r);
    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS && well; s++)
        well = on_the_disk(r, s) == r->expected[s];
    sim_disk_rollback(r->disk);
    sim_pmem_rollback(r->pm);
    return well;
}

/* All cuts; returns how many came out wrong. */
static unsigned explore(struct rig *r, unsigned flags)
{
    const struct cbd_pmem_ops *ops = r->pm->pm.ops;
    struct cbd_pcache_drained out;
    unsigned wrong = 0;
    bool last = false;

    sim_pmem_mark(r->pm);
    sim_disk_mark(r->disk);
    assert_int_equal(drain(r, flags, &out), 0);
    assert_true(clean(r));
    assert_true(out.ksets > 4 && out.flushes == out.ksets);
    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS; s++) {
        r->expected[s] = on_the_disk(r, s);
        assert_int_equal(r->expected[s], r->driver.truth.newest[s]);
    }
    sim_disk_rollback(r->disk);
    sim_pmem_rollback(r->pm);
    for (uint64_t n = 1; !last; n++)
        for (unsigned subset = 0; subset < SUBSETS; subset++) {
            wrong += !cut_and_resume(r, flags, n, subset, &last);
            r->pm->pm.ops = ops; /* a jump may have left the other one */
        }
    return wrong;
}

static unsigned run(unsigned flags, bool crc, enum fault fault)
{
    static struct rig r;
    unsigned wrong;

    rig_open(&r, crc);
    r.fault = fault;
    wrong = explore(&r, flags);
    rig_close(&r);
    return wrong;
}

static void test_resumes(void **state)
{
    (void)state;
    assert_int_equal(run(0, false, FAULT_NONE), 0);
    assert_int_equal(run(0, true, FAULT_NONE), 0);
}

static void test_empties(void **state)
{
    (void)state;
    assert_int_equal(run(CBD_PCACHE_DRAIN_EMPTY, true, FAULT_NONE), 0);
    assert_int_equal(run(CBD_PCACHE_DRAIN_FROM_KEY_TAIL, false, FAULT_NONE), 0);
}

/* K1 taken away. */
static void test_needs_flushes(void **state)
{
    (void)state;
    assert_true(run(0, false, FAULT_NO_FLUSH) > 0);
}

/* K4 and K6 taken away. */
static void test_needs_fences(void **state)
{
    (void)state;
    assert_true(run(CBD_PCACHE_DRAIN_EMPTY, false, FAULT_NO_FENCE) > 0);
}

/* A disk that fails: the error comes back, and nothing that is not on it counts as clean. */
static void test_disk_fails(void **state)
{
    static struct rig r;
    struct cbd_pcache_drained out;

    (void)state;
    rig_open(&r, false);
    for (enum cbd_disk_op op = CBD_DISK_WRITE; op <= CBD_DISK_FLUSH; op++)
        for (uint64_t skip = 0; skip < 3; skip++) {
            sim_pmem_mark(r.pm);
            sim_disk_mark(r.disk);
            sim_disk_fail_next(r.disk, op, skip, 1);
            assert_int_equal(drain(&r, 0, &out), CBD_E_IO);
            assert_false(clean(&r));
            power_off(&r, 0, skip);
            assert_int_equal(drain(&r, 0, &out), 0);
            for (uint32_t s = 0; s < SIM_PCACHE_SECTORS; s++)
                assert_int_equal(on_the_disk(&r, s), r.driver.truth.newest[s]);
            sim_disk_rollback(r.disk);
            sim_pmem_rollback(r.pm);
        }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumes),       cmocka_unit_test(test_empties),
        cmocka_unit_test(test_needs_flushes), cmocka_unit_test(test_needs_fences),
        cmocka_unit_test(test_disk_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
