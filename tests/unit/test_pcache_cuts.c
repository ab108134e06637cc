/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A repair and a format of a dm-pcache device are cut at every store and fence, what was stored since
 * the last fence survives in part, and both are called again.
 *
 * P1  (pc_repair.c) no cut takes a tail: what was dirty is still written back, in full;
 * P2  a superblock that was bad is good only when all the rest is;
 * F1, F2 (pc_format.c) a cut leaves the old device, the new one, or one without a superblock.
 *
 * Without fences each of them is broken, and this test says so.
 */
/* ctest: timeout=120 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pc_media.h"
#include "pcache_driver.h"
#include "sim_base.h"
#include "sim_crash.h"
#include "sim_env.h"

#define DISK_BYTES (UINT64_C(16) << 20)
#define SEGMENTS 5u
#define SUBSETS 12u

struct rig {
    struct sim_pmem *pm;
    struct sim_disk *disk;
    struct sim_env env;
    struct sim_pcache driver;
    struct cbd_pmem_ops no_fence;
    const struct cbd_pmem_ops *ops;
    uint64_t cut_at, steps;
    jmp_buf cut;
};

static struct rig *current;

static void on_store(void *arg, const struct sim_pm_event *ev)
{
    (void)arg;
    (void)ev;
    if (current->cut_at != 0 && ++current->steps == current->cut_at)
        longjmp(current->cut, 1);
}

static int fence_nothing(struct cbd_pmem *pm, enum cbd_step step)
{
    (void)pm;
    (void)step;
    return 0;
}

static bool progress(void *arg)
{
    struct rig *r = arg;

    if (sim_disk_inflight(r->disk) == 0)
        return false;
    sim_disk_complete(r->disk, 0);
    return true;
}

static void rig_open(struct rig *r)
{
    const struct sim_disk_config config = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 512, .volatile_cache = true};

    memset(r, 0, sizeof(*r));
    current = r;
    r->pm = sim_pmem_create(CBD_PCACHE_SEGMENTS_OFF + (uint64_t)SEGMENTS * CBD_PCACHE_SEGMENT_BYTES,
                            SIM_ADR);
    r->disk = sim_disk_create(&config);
    sim_env_init(&r->env, 1);
    r->env.progress = progress;
    r->env.progress_arg = r;
    sim_pcache_init(&r->driver, r->pm, &r->disk->disk, &r->env.env, 65536, 400);
    assert_int_equal(sim_pcache_activate(&r->driver, false), 0);
    for (uint32_t i = 0; i < 14; i++) {
        assert_int_equal(sim_pcache_write(&r->driver, i % 3 + i % 2 * 32, 2, i % 3 == 1), 0);
        if (i == 5 || i == 9)
            assert_int_equal(sim_pcache_writeback(&r->driver), 0);
    }
    assert_int_equal(sim_pcache_flush(&r->driver), 0);
    r->ops = r->pm->pm.ops;
    r->no_fence = *r->ops;
    r->no_fence.fence = fence_nothing;
    r->pm->hook = on_store;
}

static void rig_close(struct rig *r)
{
    sim_env_destroy(&r->env);
    sim_disk_destroy(r->disk);
    sim_pmem_destroy(r->pm);
}

static uint64_t errors_of(struct rig *r)
{
    struct cbd_pcache_check_options options = {.data = true};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_summary s;

    if (cbd_pcache_check(&r->pm->pm, &r->env.env, &options, &sink, &s) != 0)
        return UINT64_MAX;
    return s.errors;
}

/* How many sectors are not as acknowledged after a write-back; of an empty device: all are old. */
static unsigned lost(struct rig *r)
{
    struct cbd_pcache_drain_options options = {.flags = 0};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_drained out;
    struct cbd_pcache pc;
    unsigned wrong = 0;
    int error;

    sim_pmem_mark(r->pm);
    sim_disk_mark(r->disk);
    error = cbd_pcache_open(&r->pm->pm, &r->env.env, &sink, &pc);
    if (error == 0)
        error = cbd_pcache_drain(&pc, &r->disk->disk, &options, &out);
    cbd_pcache_close(&pc);
    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS; s++) {
        uint64_t at = s + (s >= SIM_PCACHE_SECTORS / 2 ? CBD_PCACHE_KEY_BYTES_MAX / 512 : 0);

        wrong += error != 0 || sim_disk_peek(r->disk, at) != r->driver.truth.newest[s];
    }
    sim_disk_rollback(r->disk);
    sim_pmem_rollback(r->pm);
    return wrong;
}

static int repair(struct rig *r, unsigned *what)
{
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache pc;
    int error = cbd_pcache_open(&r->pm->pm, &r->env.env, &sink, &pc);

    *what = 0;
    if (error == 0) {
        *what = cbd_pcache_repairs(&pc);
        error = *what != 0 ? cbd_pcache_repair(&pc) : 0;
    }
    cbd_pcache_close(&pc);
    return error;
}

static unsigned repairs(struct rig *r)
{
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache pc;
    unsigned what = 0;

    if (cbd_pcache_open(&r->pm->pm, &r->env.env, &sink, &pc) == 0)
        what = cbd_pcache_repairs(&pc);
    cbd_pcache_close(&pc);
    return what;
}

/* What the driver goes by when it decides whether to take a device or to refuse or format it. */
static bool has_superblock(const struct rig *r)
{
    const uint8_t *sb = r->pm->pm.base + PC_SB_OFF;

    return pc_record_valid(false, sb, PC_SB_BYTES) && pc_get64(false, sb + 8) == PC_SB_MAGIC;
}

static int format(struct rig *r)
{
    const struct cbd_pcache_format_options options = {.any_size = true,
                                                      .gc_percent = CBD_PCACHE_GC_PERCENT};

    return cbd_pcache_format(&r->pm->pm, &options);
}

/* Runs it up to step n and cuts the power. True: it has no such step. */
static bool cut(struct rig *r, bool formats, uint64_t n, unsigned subset, bool fences)
{
    struct sim_crash crash = sim_crash_subset(subset, n);
    volatile bool last = false;
    unsigned what;

    r->steps = 0;
    r->cut_at = n;
    if (!fences)
        r->pm->pm.ops = &r->no_fence;
    if (setjmp(r->cut) == 0) {
        (void)!(formats ? format(r) : repair(r, &what));
        last = true;
    }
    r->pm->pm.ops = r->ops;
    r->cut_at = 0;
    sim_pmem_crash(r->pm, &crash);
    sim_env_reset(&r->env, 1);
    return last;
}

static void damage(struct rig *r, uint64_t off)
{
    uint8_t byte = r->pm->pm.base[off] ^ 0x55;

    sim_pmem_poke(r->pm, off, &byte, 1);
}

/* What a repair can tell from elsewhere; 0 ends each row. */
static const uint64_t damages[][5] = {
    {PC_SB_OFF},
    {PC_INFO_OFF, PC_INFO_OFF + PC_PAGE_BYTES},
    {PC_KEY_TAIL_OFF},
    {PC_DIRTY_TAIL_OFF},
    {PC_SB_OFF, PC_INFO_OFF, PC_INFO_OFF + PC_PAGE_BYTES, PC_DIRTY_TAIL_OFF},
    {PC_SB_OFF, PC_INFO_OFF, PC_INFO_OFF + PC_PAGE_BYTES, PC_KEY_TAIL_OFF},
};

#define DAMAGES (sizeof(damages) / sizeof(damages[0]))

/* All cuts of the repair of one row; how many came out wrong. */
static unsigned cut_repair(struct rig *r, const uint64_t *row, bool fences)
{
    bool super = row[0] == PC_SB_OFF, last = false;
    unsigned wrong = 0, what, should;

    sim_pmem_mark(r->pm);
    for (; *row != 0; row++)
        damage(r, *row);
    /* Which slot of a tail was hit, and what was in it, decides what can be saved. */
    sim_pmem_mark(r->pm);
    assert_int_equal(repair(r, &what), 0);
    assert_true(what != 0);
    assert_int_equal(errors_of(r), 0);
    should = lost(r);
    sim_pmem_rollback(r->pm);
    for (uint64_t n = 1; !last; n++)
        for (unsigned subset = 0; subset < SUBSETS; subset++) {
            sim_pmem_mark(r->pm);
            last = cut(r, false, n, subset, fences);
            what = repairs(r);
            wrong += super && what != 0 && (what & CBD_PCACHE_REPAIR_SUPER) == 0; /* P2 */
            wrong += repair(r, &what) != 0 || errors_of(r) != 0 || lost(r) != should;
            sim_pmem_rollback(r->pm);
        }
    sim_pmem_rollback(r->pm);
    return wrong;
}

static unsigned cut_repairs(bool fences)
{
    static struct rig r;
    unsigned wrong = 0;

    rig_open(&r);
    assert_int_equal(lost(&r), 0);
    for (size_t i = 0; i < DAMAGES; i++)
        wrong += cut_repair(&r, damages[i], fences);
    rig_close(&r);
    return wrong;
}

static unsigned cut_formats(bool fences)
{
    static struct rig r;
    unsigned wrong = 0, empty;
    bool last = false;

    rig_open(&r);
    sim_pmem_mark(r.pm);
    assert_int_equal(format(&r), 0);
    assert_int_equal(errors_of(&r), 0);
    empty = lost(&r);
    assert_true(empty != 0);
    sim_pmem_rollback(r.pm);
    for (uint64_t n = 1; !last; n++)
        for (unsigned subset = 0; subset < SUBSETS; subset++) {
            unsigned now;

            sim_pmem_mark(r.pm);
            last = cut(&r, true, n, subset, fences);
            if (has_superblock(&r)) {
                now = lost(&r);
                wrong += errors_of(&r) != 0 || (now != 0 && now != empty);
            }
            wrong += format(&r) != 0 || errors_of(&r) != 0 || lost(&r) != empty;
            sim_pmem_rollback(r.pm);
        }
    rig_close(&r);
    return wrong;
}

static void a_repair_may_be_cut_anywhere(void **state)
{
    (void)state;
    assert_int_equal(cut_repairs(true), 0);
}

static void a_repair_needs_its_fences(void **state)
{
    (void)state;
    assert_true(cut_repairs(false) > 0);
}

static void a_format_may_be_cut_anywhere(void **state)
{
    (void)state;
    assert_int_equal(cut_formats(true), 0);
}

static void a_format_needs_its_fences(void **state)
{
    (void)state;
    assert_true(cut_formats(false) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repair_may_be_cut_anywhere),
        cmocka_unit_test(a_repair_needs_its_fences),
        cmocka_unit_test(a_format_may_be_cut_anywhere),
        cmocka_unit_test(a_format_needs_its_fences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
