/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An import of a dm-pcache device is cut at every store, fence and disk request, of both memories and
 * the disk, and called again: the backend then serves what dm-pcache had acknowledged, and so does
 * the disk when the backend is written back. Between the two the new cache may have written back what
 * it had (M1 of pc_import.c), and what cannot be moved as a whole is not begun (M2).
 */
/* ctest: novalgrind timeout=120 */
#include "engine_rig.h"
#include "pcache_driver.h"
#include "sim_base.h"
#include "sim_crash.h"

#define DISK_BYTES (UINT64_C(16) << 20)
#define SUBSETS 6u
#define WRITES 14u

struct import {
    struct rig *to;
    struct sim_pmem *from;
    struct sim_env env; /* of dm-pcache */
    struct sim_pcache driver;
    uint64_t cut_at, steps;
    uint64_t refused; /* the disk alone would not have been taken for the backing device */
    jmp_buf cut;
};

static struct import *current;

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
    return rig_progress(arg);
}

static void import_create(struct import *m, uint32_t block_bytes)
{
    const struct rig_config config = {
        .disk_bytes = DISK_BYTES,
        .logical_block_bytes = block_bytes,
        .attach = {.no_fill = true},
    };

    memset(m, 0, sizeof(*m));
    current = m;
    m->to = rig_create(&config);
    m->from =
        sim_pmem_create(CBD_PCACHE_SEGMENTS_OFF + UINT64_C(5) * CBD_PCACHE_SEGMENT_BYTES, SIM_ADR);
    sim_env_init(&m->env, 1);
    m->env.progress = progress;
    m->env.progress_arg = m->to;
    sim_pcache_init(&m->driver, m->from, &m->to->disk[0]->disk, &m->env.env, 65536, 400);
    assert_int_equal(sim_pcache_activate(&m->driver, true), 0);
}

static void import_destroy(struct import *m)
{
    sim_env_destroy(&m->env);
    rig_destroy(m->to);
    sim_pmem_destroy(m->from);
}

/* What dm-pcache did: the first key sets are on the disk, and clean; the others are dirty. */
static void live(struct import *m)
{
    assert_int_equal(sim_pcache_write(&m->driver, 10, 2, true), 0);
    for (uint32_t i = 0; i < WRITES; i++) {
        assert_int_equal(sim_pcache_write(&m->driver, i % 3 + i % 2 * 32, 2, i % 3 == 1), 0);
        if (i == 5)
            assert_int_equal(sim_pcache_writeback(&m->driver), 0);
    }
    assert_int_equal(sim_pcache_flush(&m->driver), 0);
    sim_pcache_kill(&m->driver);
    m->from->hook = on_store;
    m->to->pmem->hook = on_store;
    m->to->disk[0]->hook = on_disk;
}

static int import(struct import *m)
{
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_drained out;
    struct cbd_pcache pc;
    uint64_t differs_at;
    int error = rig_try_attach(m->to, 0);

    assert_int_equal(error, 0);
    error = cbd_pcache_open(&m->from->pm, &m->env.env, &sink, &pc);
    if (error == 0)
        error = cbd_pcache_import(&pc, &m->to->disk[0]->disk, m->to->config.logical_block_bytes,
                                  m->to->backend[0], &differs_at, &out);
    cbd_pcache_close(&pc);
    return error;
}

/* Whether the disk alone would pass for the backing device of what is on the source. */
static bool disk_passes(struct import *m)
{
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_view view;
    struct cbd_pcache pc;
    uint64_t addr;
    int error = cbd_pcache_open(&m->from->pm, &m->env.env, &sink, &pc);

    assert_int_equal(error, 0);
    error = cbd_pcache_view(&pc, DISK_BYTES, &view);
    assert_int_equal(error, 0);
    error = cbd_pcache_identify(&pc, &view, &m->to->disk[0]->disk, &addr);
    cbd_pcache_view_free(&pc, &view);
    cbd_pcache_close(&pc);
    assert_true(error == 0 || error == CBD_E_MISMATCH);
    return error == 0;
}

static bool source_is_empty(struct import *m)
{
    struct cbd_pcache_check_options options = {.data = true};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_summary s;

    return cbd_pcache_check(&m->from->pm, &m->env.env, &options, &sink, &s) == 0 && s.errors == 0 &&
           s.view.key_count == 0;
}

static uint64_t place(uint32_t sector)
{
    return sector + (sector >= SIM_PCACHE_SECTORS / 2 ? CBD_PCACHE_KEY_BYTES_MAX / 512 : 0);
}

static bool all_is_there(struct import *m)
{
    uint8_t buf[SIM_SECTOR_BYTES];
    bool there = true;

    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS && there; s++)
        there =
            cbd_read(m->to->backend[0], 0, place(s) * SIM_SECTOR_BYTES, buf, sizeof(buf)) == 0 &&
            sim_sector_decode(buf, place(s)) == m->driver.truth.newest[s];
    rig_write_back(m->to);
    rig_detach(m->to);
    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS && there; s++)
        there = sim_disk_peek(m->to->disk[0], place(s)) == m->driver.truth.newest[s];
    return there;
}

static void mark(struct import *m)
{
    sim_pmem_mark(m->from);
    sim_pmem_mark(m->to->pmem);
    sim_disk_mark(m->to->disk[0]);
}

static void rollback(struct import *m)
{
    sim_disk_rollback(m->to->disk[0]);
    sim_pmem_rollback(m->to->pmem);
    sim_pmem_rollback(m->from);
}

static void power_off(struct import *m, unsigned subset, uint64_t seed)
{
    struct sim_crash crash = sim_crash_subset(subset, seed);

    rig_kill(m->to);
    sim_pmem_crash(m->from, &crash);
    crash = sim_crash_subset(subset / 2, seed + 1);
    sim_pmem_crash(m->to->pmem, &crash);
    crash = sim_crash_subset(subset / 3, seed + 2);
    sim_disk_crash(m->to->disk[0], &crash);
    sim_env_reset(&m->env, 1);
}

/* Cut at step n, and again to the end. */
static bool cut_and_resume(struct import *m, uint64_t n, unsigned subset, bool *last)
{
    bool well;

    mark(m);
    m->cut_at = n;
    m->steps = 0;
    *last = false;
    if (setjmp(m->cut) == 0) {
        assert_int_equal(import(m), 0);
        *last = true; /* there is no such step */
    }
    m->cut_at = 0;
    power_off(m, subset, n);
    m->refused += !disk_passes(m);
    if (subset % 2 == 1) {
        /* The new cache was used meanwhile; what it has goes to the disk. */
        rig_attach(m->to);
        rig_write_back(m->to);
        rig_detach(m->to);
    }
    well = import(m) == 0 && source_is_empty(m) && all_is_there(m);
    rig_abandon(m->to);
    rollback(m);
    return well;
}

static void test_cut_anywhere(void **state)
{
    static struct import m;
    uint64_t wrong = 0, n;
    bool last = false;

    (void)state;
    import_create(&m, 512);
    live(&m);
    for (n = 1; !last; n++)
        for (unsigned subset = 0; subset < SUBSETS; subset++)
            wrong += !cut_and_resume(&m, n, subset, &last);
    print_message("%llu steps, %u subsets\n", (unsigned long long)n - 2, SUBSETS);
    assert_int_equal(wrong, 0);
    assert_true(n > 100);
    /* M1: compared with the disk, an interrupted import would have been refused. */
    assert_true(m.refused > 0);
    import_destroy(&m);
}

static void test_another_disk(void **state)
{
    static struct import m;
    uint8_t other[SIM_SECTOR_BYTES];

    (void)state;
    import_create(&m, 512);
    live(&m);
    rig_attach(m.to);
    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS; s++) {
        sim_sector_fill(other, place(s), 777);
        assert_int_equal(
            cbd_write(m.to->backend[0], 0, place(s) * SIM_SECTOR_BYTES, other, sizeof(other), 0),
            0);
    }
    rig_write_back(m.to);
    rig_detach(m.to);
    assert_int_equal(import(&m), CBD_E_MISMATCH);
    import_destroy(&m);
}

/* M2. */
static void test_blocks_too_large(void **state)
{
    static struct import m;
    uint64_t stores;

    (void)state;
    import_create(&m, 4096);
    assert_int_equal(sim_pcache_write(&m.driver, 0, 8, true), 0);
    assert_int_equal(sim_pcache_write(&m.driver, 8, 1, true), 0);
    sim_pcache_kill(&m.driver);
    stores = m.from->ops_done;
    assert_int_equal(import(&m), CBD_E_INVALID);
    assert_int_equal(m.from->ops_done, stores);
    assert_int_equal(rig_stats(m.to).dirty_bytes, 0);
    import_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_another_disk),
        cmocka_unit_test(test_blocks_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
