/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write-back of a dm-pcache device is cut at every store, fence and disk request (K1 to K6 of
 * pc_drain.c). At every cut
 *
 *   driver  the check finds no error: the driver would go on from there;
 *   disk    the disk alone holds the state behind some key set, and parts of the next one;
 *   resume  a second run ends, nothing is dirty, and the disk comes out as if nothing had happened.
 *
 * Each step is taken away once, and the test says which of the three then fails.
 */
/* ctest: novalgrind timeout=120 */
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
#define SUBSETS 10u

#define STATES_MAX 32u

/* What is taken away. */
enum fault {
    FAULT_NONE,
    FAULT_NO_FLUSH,    /* K1  the flush of the disk */
    FAULT_DIRTY_FENCE, /* K2, K4  the fences behind dirty_tail */
    FAULT_NEWEST_SLOT, /* K3  the slot that is not the newest */
    FAULT_NO_ZEROES,   /* K5  the zeroes at the head */
    FAULT_KEY_FENCE,   /* K6  the fences behind key_tail */
};

struct found {
    unsigned driver, disk, resume;
};

struct rig {
    struct sim_pmem *pm;
    struct sim_disk *disk;
    struct sim_env env;
    struct sim_pcache driver;
    struct cbd_pmem_ops ops; /* those that leave something out */
    const struct cbd_pmem_ops *real;
    enum fault fault;
    uint64_t last_off; /* of the store before a fence */
    unsigned flags;
    struct cbd_pcache_pos log_end;
    uint64_t expected[STATES_MAX]
                     [SIM_PCACHE_SECTORS]; /* of the disk: before, behind each key set */
    unsigned states;
    unsigned errors; /* of a check */
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

static bool in_tail(uint64_t off, uint64_t tail)
{
    return off >= tail && off < tail + 2 * PC_TAIL_STRIDE;
}

static void faulty_copy(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len_bytes,
                        unsigned flags, enum cbd_step s)
{
    static const uint8_t zeroes[2 * CBD_LINE_BYTES];
    struct rig *r = current;

    if (r->fault == FAULT_NO_ZEROES && len_bytes <= sizeof(zeroes) &&
        memcmp(src, zeroes, len_bytes) == 0)
        return;
    if (r->fault == FAULT_NEWEST_SLOT && in_tail(off, PC_DIRTY_TAIL_OFF))
        off = 2 * PC_DIRTY_TAIL_OFF + PC_TAIL_STRIDE - off;
    r->last_off = off;
    r->real->copy(pm, off, src, len_bytes, flags, s);
}

static int faulty_fence(struct cbd_pmem *pm, enum cbd_step s)
{
    struct rig *r = current;

    if ((r->fault == FAULT_DIRTY_FENCE && in_tail(r->last_off, PC_DIRTY_TAIL_OFF)) ||
        (r->fault == FAULT_KEY_FENCE && in_tail(r->last_off, PC_KEY_TAIL_OFF)))
        return 0;
    return r->real->fence(pm, s);
}

static void rig_open(struct rig *r, bool crc)
{
    const struct sim_disk_config config = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 512, .volatile_cache = true};

    memset(r, 0, sizeof(*r));
    current = r;
    r->pm =
        sim_pmem_create(CBD_PCACHE_SEGMENTS_OFF + UINT64_C(10) * CBD_PCACHE_SEGMENT_BYTES, SIM_ADR);
    r->disk = sim_disk_create(&config);
    sim_env_init(&r->env, 1);
    r->env.progress = progress;
    r->env.progress_arg = r;
    sim_pcache_init(&r->driver, r->pm, &r->disk->disk, &r->env.env, 4096, 400);
    assert_int_equal(sim_pcache_activate(&r->driver, crc), 0);
    for (uint32_t i = 0; i < 14; i++) {
        assert_int_equal(sim_pcache_write(&r->driver, i % 3 + i % 2 * 32, 2, i % 3 == 1), 0);
        if (i == 5)
            assert_int_equal(sim_pcache_writeback(&r->driver), 0);
    }
    assert_int_equal(sim_pcache_flush(&r->driver), 0);
    r->real = r->pm->pm.ops;
    r->ops = *r->real;
    r->ops.copy = faulty_copy;
    r->ops.fence = faulty_fence;
    r->pm->hook = on_store;
    r->disk->hook = on_disk;
}

static void rig_close(struct rig *r)
{
    sim_env_destroy(&r->env);
    sim_disk_destroy(r->disk);
    sim_pmem_destroy(r->pm);
}

static uint64_t on_the_disk(const struct rig *r, uint32_t sector)
{
    return sim_disk_peek(
        r->disk, sector + (sector >= SIM_PCACHE_SECTORS / 2 ? CBD_PCACHE_KEY_BYTES_MAX / 512 : 0));
}

static void note_state(void *arg, uint64_t ksets_done)
{
    struct rig *r = arg;

    (void)ksets_done;
    SIM_REQUIRE(r->states < STATES_MAX);
    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS; s++)
        r->expected[r->states][s] = on_the_disk(r, s);
    r->states++;
}

static int drain(struct rig *r, void (*progress_fn)(void *, uint64_t),
                 struct cbd_pcache_drained *out)
{
    struct cbd_pcache_drain_options options = {
        .flags = r->flags, .log_end = r->log_end, .progress = progress_fn, .arg = r};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache pc;
    int error = cbd_pcache_open(&r->pm->pm, &r->env.env, &sink, &pc);

    memset(out, 0, sizeof(*out));
    if (error == 0)
        error = cbd_pcache_drain(&pc, &r->disk->disk, &options, out);
    cbd_pcache_close(&pc);
    return error;
}

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct rig *r = arg;

    /* Half of the header at which the user ends the log: the driver ends there too. */
    if ((r->flags & CBD_PCACHE_DRAIN_LOG_END) == 0 || f->problem->code != CBD_PCACHE_LOG_DAMAGED)
        r->errors += f->problem->severity == CBD_CHECK_ERROR;
    return 0;
}

/* How many errors there are; *dirty: keys. */
static unsigned look(struct rig *r, uint64_t *dirty)
{
    struct cbd_pcache_check_options options = {.data = true};
    struct cbd_pcache_sink sink = {.found = on_finding, .arg = r};
    struct cbd_pcache_summary s;

    r->errors = 0;
    assert_int_equal(cbd_pcache_check(&r->pm->pm, &r->env.env, &options, &sink, &s), 0);
    *dirty = s.view.dirty_key_count;
    return r->errors;
}

static bool clean(struct rig *r)
{
    uint64_t dirty;

    return look(r, &dirty) == 0 && dirty == 0;
}

/* The state behind some key set, and parts of the next one. */
static bool disk_is_a_state(const struct rig *r)
{
    for (unsigned k = 0; k < r->states; k++) {
        const uint64_t *behind = r->expected[k], *next = r->expected[k + (k + 1 < r->states)];
        uint32_t s = 0;

        for (uint64_t v; s < SIM_PCACHE_SECTORS; s++) {
            v = on_the_disk(r, s);
            if (v != behind[s] && v != next[s])
                break;
        }
        if (s == SIM_PCACHE_SECTORS)
            return true;
    }
    return false;
}

static void power_off(struct rig *r, unsigned subset, uint64_t seed)
{
    struct sim_crash crash = sim_crash_subset(subset, seed);

    sim_pmem_crash(r->pm, &crash);
    crash = sim_crash_subset(subset / 2, seed + 1);
    sim_disk_crash(r->disk, &crash);
    sim_env_reset(&r->env, 1);
}

/* One run, cut at step n. True: there is no such step. */
static bool run_until(struct rig *r, uint64_t n)
{
    struct cbd_pcache_drained out;
    volatile bool last = false;

    r->cut_at = n;
    r->steps = 0;
    if (r->fault == FAULT_NO_FLUSH) {
        sim_disk_fail_next(r->disk, CBD_DISK_FLUSH, 0, 1000);
        sim_disk_set_lie(r->disk, SIM_DISK_MUTE);
    }
    r->pm->pm.ops = &r->ops;
    if (setjmp(r->cut) == 0) {
        (void)!drain(r, NULL, &out);
        last = true;
    }
    r->pm->pm.ops = r->real;
    r->cut_at = 0;
    sim_disk_heal(r->disk);
    return last;
}

static void judge(struct rig *r, struct found *found)
{
    uint64_t dirty;

    found->driver += look(r, &dirty) != 0;
    found->disk += !disk_is_a_state(r);
}

/* Cut at step n, what is left of it; then cut again at step m of the next run, or run to the end. */
static bool cut_and_resume(struct rig *r, uint64_t n, uint64_t m, unsigned subset,
                           struct found *found)
{
    struct cbd_pcache_drained out;
    bool well, last;

    sim_pmem_mark(r->pm);
    sim_disk_mark(r->disk);
    last = run_until(r, n);
    if (last)
        found->resume += !clean(r);
    power_off(r, subset, n);
    judge(r, found);
    if (m != 0) {
        (void)run_until(r, m);
        power_off(r, subset, n + m);
        judge(r, found);
    }
    well = drain(r, NULL, &out) == 0 && clean(r);
    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS && well; s++)
        well = on_the_disk(r, s) == r->expected[r->states - 1][s];
    found->resume += !well;
    sim_disk_rollback(r->disk);
    sim_pmem_rollback(r->pm);
    return last;
}

/* What a run that nothing interrupts leaves on the disk, key set by key set. */
static void note_states(struct rig *r)
{
    struct cbd_pcache_drained out;

    sim_pmem_mark(r->pm);
    sim_disk_mark(r->disk);
    r->states = 0;
    note_state(r, 0);
    assert_int_equal(drain(r, note_state, &out), 0);
    assert_true(clean(r));
    assert_true(out.ksets > 2 && out.flushes == out.ksets);
    if ((r->flags & CBD_PCACHE_DRAIN_LOG_END) == 0)
        for (uint32_t s = 0; s < SIM_PCACHE_SECTORS; s++)
            assert_int_equal(on_the_disk(r, s), r->driver.truth.newest[s]);
    sim_disk_rollback(r->disk);
    sim_pmem_rollback(r->pm);
}

/* A key set that is neither the first of those that are dirty nor the last. */
static struct cbd_pcache_pos middle_of_the_log(struct rig *r)
{
    struct cbd_pcache_pos pos = {0, 0};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_kset kset;
    struct cbd_pcache_walk walk;
    struct cbd_pcache pc;

    assert_int_equal(cbd_pcache_open(&r->pm->pm, &r->env.env, &sink, &pc), 0);
    assert_int_equal(cbd_pcache_walk_begin(&walk, &pc, pc.dirty_tail), 0);
    for (unsigned i = 0; i < 4 && cbd_pcache_walk_next(&walk, &kset);)
        i += !kset.last, pos = kset.pos;
    cbd_pcache_walk_end(&walk);
    cbd_pcache_close(&pc);
    return pos;
}

/* All cuts, and with `twice` each of the second run as well. */
static struct found explore(unsigned flags, bool crc, enum fault fault, bool twice)
{
    static struct rig r;
    struct found found = {0};
    bool last = false;
    uint64_t steps;

    rig_open(&r, crc);
    r.flags = flags;
    r.log_end = middle_of_the_log(&r);
    note_states(&r);
    r.fault = fault;
    for (uint64_t n = 1; !last; n++)
        for (unsigned subset = 0; subset < SUBSETS; subset++)
            last = cut_and_resume(&r, n, 0, subset, &found);
    steps = r.steps;
    for (uint64_t n = 1; twice && n <= steps; n += 3)
        for (uint64_t m = 1; m <= steps; m += 3)
            for (unsigned subset = 0; subset < 2; subset++)
                (void)cut_and_resume(&r, n, m, subset, &found);
    rig_close(&r);
    return found;
}

static void expect_nothing(struct found found)
{
    assert_int_equal(found.driver, 0);
    assert_int_equal(found.disk, 0);
    assert_int_equal(found.resume, 0);
}

static void test_resumes(void **state)
{
    (void)state;
    expect_nothing(explore(0, false, FAULT_NONE, true));
    expect_nothing(explore(0, true, FAULT_NONE, false));
}

static void test_empties(void **state)
{
    (void)state;
    expect_nothing(explore(CBD_PCACHE_DRAIN_EMPTY, true, FAULT_NONE, true));
    expect_nothing(explore(CBD_PCACHE_DRAIN_FROM_KEY_TAIL, false, FAULT_NONE, false));
}

static void test_ends_the_log(void **state)
{
    (void)state;
    expect_nothing(explore(CBD_PCACHE_DRAIN_LOG_END, true, FAULT_NONE, true));
}

/* K1: data that was not on the disk counts as clean. */
static void test_needs_flushes(void **state)
{
    (void)state;
    assert_true(explore(0, false, FAULT_NO_FLUSH, false).resume > 0);
}

/* K2: the second run begins so early that it takes the disk back; K4: key_tail is ahead. */
static void test_needs_dirty_tail_durable(void **state)
{
    struct found found = explore(CBD_PCACHE_DRAIN_EMPTY, false, FAULT_DIRTY_FENCE, true);

    (void)state;
    assert_true(found.disk > 0);
    assert_true(found.driver > 0);
}

/* K3: there is no whole slot. */
static void test_needs_the_other_slot(void **state)
{
    (void)state;
    assert_true(explore(0, false, FAULT_NEWEST_SLOT, false).driver > 0);
}

/* K5: what was cut off from the log is in it again. */
static void test_needs_zeroes(void **state)
{
    (void)state;
    assert_true(explore(CBD_PCACHE_DRAIN_LOG_END, true, FAULT_NO_ZEROES, false).resume > 0);
}

/* K6: generations are ahead of key_tail. */
static void test_needs_key_tail_durable(void **state)
{
    (void)state;
    assert_true(explore(CBD_PCACHE_DRAIN_EMPTY, false, FAULT_KEY_FENCE, false).driver > 0);
}

static int on_code(void *arg, const struct cbd_check_finding *f)
{
    uint64_t *codes = arg;

    codes[0] += f->problem->code == CBD_PCACHE_LOG_DAMAGED;
    codes[1] += f->problem->code == CBD_PCACHE_TAIL_ORDER;
    return 0;
}

/* A damaged key set before dirty_tail, at it, and behind it: one finding, and its advice is enough. */
static void test_damage_in_the_log(void **state)
{
    static struct rig r;
    struct cbd_pcache_check_options options = {.data = true};
    struct cbd_pcache_pos where[3];
    struct cbd_pcache_drained out;
    struct cbd_pcache_sink none = {0};
    struct cbd_pcache pc;

    (void)state;
    rig_open(&r, true);
    assert_int_equal(cbd_pcache_open(&r.pm->pm, &r.env.env, &none, &pc), 0);
    where[0] = pc.key_tail;
    where[1] = pc.dirty_tail;
    where[2] = middle_of_the_log(&r);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t off = cbd_pcache_pos_off(&pc, where[i]), codes[2] = {0};
        struct cbd_pcache_sink sink = {.found = on_code, .arg = codes};
        uint8_t byte = r.pm->pm.base[off] ^ 0x55;
        struct cbd_pcache_summary s;

        sim_pmem_mark(r.pm);
        sim_disk_mark(r.disk);
        sim_pmem_poke(r.pm, off, &byte, 1);
        assert_int_equal(cbd_pcache_check(&r.pm->pm, &r.env.env, &options, &sink, &s), 0);
        assert_int_equal(codes[0], 1);
        assert_int_equal(codes[1], 0);
        r.flags = CBD_PCACHE_DRAIN_PAST_DAMAGE;
        assert_int_equal(drain(&r, NULL, &out), 0);
        r.flags = 0;
        assert_true(clean(&r));
        sim_disk_rollback(r.disk);
        sim_pmem_rollback(r.pm);
    }
    cbd_pcache_close(&pc);
    rig_close(&r);
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
            assert_int_equal(drain(&r, NULL, &out), CBD_E_IO);
            assert_false(clean(&r));
            power_off(&r, 0, skip);
            assert_int_equal(drain(&r, NULL, &out), 0);
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
        cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_empties),
        cmocka_unit_test(test_ends_the_log),
        cmocka_unit_test(test_needs_flushes),
        cmocka_unit_test(test_needs_dirty_tail_durable),
        cmocka_unit_test(test_needs_the_other_slot),
        cmocka_unit_test(test_needs_zeroes),
        cmocka_unit_test(test_needs_key_tail_durable),
        cmocka_unit_test(test_damage_in_the_log),
        cmocka_unit_test(test_disk_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
