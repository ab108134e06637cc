/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=120 */
/*
 * Faults swept: each place in turn, until none is left.
 *
 * One line of the media damaged, each in turn: every line of the superblocks, of the table entries in
 * use and of the segments in use, unreadable or with a bit turned. After each: the attach ends,
 * reads give what was acknowledged or an error, the backend says so when something is lost, and
 * once the line is as it was, nothing is lost.
 *
 * One fence of an administrative call fails, each in turn: the call says so, and nothing is stored after
 * it. What fails in a life that goes on is in test_engine_sweep_life.c.
 */
#include "engine_rig.h"

enum how { POISON, FLIP };

struct tally {
    uint32_t lines, refused, degraded, errors, wrong, suspects;
};

static struct rig *busy_rig(bool no_checksum)
{
    struct rig *r = rig_create(&(struct rig_config){.disk_bytes = 512 << 10,
                                                    .share_segments = 6,
                                                    .streams = 2,
                                                    .no_data_checksum = no_checksum,
                                                    .recovers_in_parts = !no_checksum});

    rig_attach(r);
    for (uint64_t i = 0; i < 20; i++) {
        r->lane = (unsigned)(i % 2);
        if (i % 6 == 5)
            rig_zero(r, i * 16384, 8192, i % 4 == 1 ? CBD_WRITE_PUNCH : 0);
        else
            rig_write(r, i * 12288, 8192 + 512 * (i % 5), i == 7 ? CBD_WRITE_FUA : 0);
        if (i % 7 == 3)
            rig_read(r, 262144 + i * 4096, 4096);
        if (i == 11)
            rig_write_back(r);
    }
    rig_flush(r);
    r->lane = 0;
    rig_kill(r);
    return r;
}

/* Reads everything, block by block: a right version, an error, or (counted) a wrong one. */
static void read_all(struct rig *r, struct tally *t)
{
    static uint8_t buf[4096];

    for (uint64_t off = 0; off < r->config.disk_bytes; off += sizeof(buf)) {
        int error = cbd_read(r->backend[0], 0, off, buf, sizeof(buf));
        bool right = true;

        assert_true(error == 0 || error == CBD_E_CORRUPT || error == CBD_E_MEDIA);
        if (error != 0) {
            t->errors++;
            continue;
        }
        for (uint64_t i = 0; i < sizeof(buf) / 512; i++)
            right = right &&
                    sim_sector_decode(buf + i * 512, off / 512 + i) == r->want[0][off / 512 + i];
        t->wrong += !right;
    }
}

static void damage_line(struct rig *r, uint64_t off, enum how how, struct tally *t)
{
    int error;

    sim_pmem_mark(r->pmem);
    sim_disk_mark(r->disk[0]);
    t->lines++;
    if (how == POISON)
        sim_pmem_poison(r->pmem, off, 64);
    else
        rig_flip(r, off + 8 * (t->lines % 8));
    error = rig_try_attach(r, 0);
    if (error != 0) {
        t->refused++;
        r->backend[0] = NULL;
    } else {
        struct cbd_stats stats = rig_stats(r);
        uint32_t before = t->wrong;

        t->degraded += stats.degraded;
        read_all(r, t);
        /* Where nobody knows what is lost, the caller was told that. */
        if (stats.lost_records != 0 && stats.lost_bytes == 0)
            t->wrong = before;
        /* The newest record of a stream, with its payload, has no witness: it is suspect. */
        if (how == FLIP && stats.recovered_suspects != 0) {
            t->suspects++;
            t->wrong = before;
        }
    }
    rig_kill(r);
    sim_disk_rollback(r->disk[0]);
    sim_pmem_rollback(r->pmem);
}

static void every_line(enum how how, bool no_checksum, struct tally *t)
{
    struct rig *r = busy_rig(no_checksum);
    struct cbd_geometry geo = r->geo;
    const uint64_t supers[] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, geo.super2_off};

    memset(t, 0, sizeof(*t));
    for (size_t i = 0; i < 3; i++)
        for (uint64_t off = supers[i]; off < supers[i] + 512; off += 64)
            damage_line(r, off, how, t);
    for (int copy = 0; copy < 2; copy++) {
        uint64_t table = copy == 0 ? geo.table_a_off : geo.table_b_off;

        for (uint64_t off = 0; off < 512; off += 64)
            damage_line(r, table + cbd_place_backend(0) + off, how, t);
        damage_line(r, table + cbd_place_state(0), how, t);
        for (uint32_t id = 0; id < geo.segment_count; id++)
            damage_line(r, table + cbd_place_segment(id), how, t);
    }
    assert_int_equal(t->refused + t->degraded + t->errors + t->wrong, 0); /* the other copy */
    for (uint32_t id = 0; id < geo.segment_count; id++) {
        struct cbd_segment_entry e = rig_entry(r, id);

        if (e.status == CBD_M_SEGMENT_FREE)
            continue;
        for (uint64_t off = 0; off < geo.segment_bytes; off += how == POISON ? 64 : 192)
            damage_line(r, cbd_segment_off(&geo, id) + off, how, t);
    }
    assert_int_equal(t->refused, 0);
    assert_true(t->degraded > 0 && t->errors > 0);
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void every_line_may_be_poisoned(void **state)
{
    struct tally t;

    (void)state;
    for (int no_checksum = 0; no_checksum < 2; no_checksum++) {
        every_line(POISON, no_checksum != 0, &t);
        assert_int_equal(t.wrong, 0);
    }
}

static void every_line_may_have_a_bit_turned(void **state)
{
    struct tally t;

    (void)state;
    every_line(FLIP, false, &t);
    assert_int_equal(t.wrong, 0);
    assert_true(t.suspects > 0 && t.suspects < t.lines / 4);
}

/* A fence of an administrative call fails: it says so, and nothing is stored after that. */

static uint64_t stores(const struct rig *r)
{
    return r->pmem->counts.by_kind[SIM_PM_COPY] + r->pmem->counts.by_kind[SIM_PM_SET] +
           r->pmem->counts.by_kind[SIM_PM_STORE64];
}

struct fence_at {
    struct sim_pmem *pm;
    uint64_t left, stores_then;
    bool failed;
};

static void on_op(void *arg, const struct sim_pm_event *ev)
{
    struct fence_at *f = arg;

    if (ev->kind != SIM_PM_FENCE && f->failed)
        f->stores_then++;
    if (ev->kind == SIM_PM_FENCE && !f->failed && f->left-- == 0) {
        f->pm->fail_fences = 1;
        f->failed = true;
    }
}

enum call { CALL_FORMAT, CALL_ADD, CALL_REMOVE, CALL_ATTACH, CALLS };

static int do_call(struct rig *r, enum call call)
{
    struct cbd_format_options format = {.segment_bytes = 65536, .salt = 99};
    struct cbd_backend_options add = {.name = "another",
                                      .size_bytes = 1u << 20,
                                      .logical_block_bytes = 512,
                                      .cache_bytes = 4 * 65536,
                                      .streams = 1};
    struct cbd_geometry geo;
    uint32_t id;

    if (call == CALL_FORMAT)
        return cbd_format(&r->pmem->pm, &r->env.env, &format, &geo);
    if (call == CALL_ADD)
        return cbd_backend_add(r->cache, &add, &id);
    if (call == CALL_REMOVE)
        return cbd_backend_remove(r->cache, 0);
    return cbd_backend_attach(r->cache, 0, &r->disk[0]->disk, NULL, &r->backend[0]);
}

static bool fence_fails(enum call call, uint64_t k)
{
    struct rig *r = rig_create(NULL);
    struct fence_at f = {.pm = r->pmem, .left = k};
    int error;

    if (call != CALL_FORMAT)
        rig_open(r);
    r->pmem->hook = on_op;
    r->pmem->hook_arg = &f;
    error = do_call(r, call);
    r->pmem->hook = NULL;
    if (f.failed) {
        uint64_t before = stores(r);

        assert_int_equal(error, CBD_E_IO);
        assert_int_equal(f.stores_then, 0);
        for (enum call again = CALL_ADD; again < CALLS && call != CALL_FORMAT; again++)
            assert_int_equal(do_call(r, again), CBD_E_IO);
        assert_int_equal(stores(r), before);
    } else {
        assert_int_equal(error, 0);
    }
    if (r->cache != NULL && r->backend[0] != NULL && f.failed)
        r->backend[0] = NULL;
    rig_destroy(r);
    return f.failed;
}

static void a_failed_fence_leaves_the_cache_failed(void **state)
{
    (void)state;
    for (enum call call = CALL_FORMAT; call < CALLS; call++) {
        uint64_t k = 0;

        while (fence_fails(call, k))
            k++;
        assert_true(k > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_fence_leaves_the_cache_failed),
        cmocka_unit_test(every_line_may_be_poisoned),
        cmocka_unit_test(every_line_may_have_a_bit_turned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
