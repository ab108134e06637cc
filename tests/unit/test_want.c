/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What check and recovery read of the records of closed segments, they have asked for before: behind
 * a page cache it is read from the device meanwhile.
 */
#include "check_pass.h"
#include "engine_rig.h"

#define PAGE_BYTES 4096u

struct watched {
    struct cbd_pmem_ops ops;
    const struct cbd_pmem_ops *inner;
    struct rig *r;
    bool asked[(12u << 20) / PAGE_BYTES];
    uint32_t asked_count, read_count;
};

static struct watched watched;

static void want(struct cbd_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    assert_true(len_bytes != 0 && len_bytes <= pm->size_bytes - off);
    assert_true(len_bytes <= watched.r->geo.segment_bytes);
    for (uint64_t page = off / PAGE_BYTES; page * PAGE_BYTES < off + len_bytes; page++)
        watched.asked[page] = true;
    watched.asked_count++;
}

static int read_array(struct cbd_pmem *pm, uint64_t off, void *dst, size_t object_bytes,
                      size_t count)
{
    const struct cbd_geometry *geo = &watched.r->geo;
    uint32_t id = (uint32_t)((off - cbd_segment_off(geo, 0)) / geo->segment_bytes);

    if (rig_entry(watched.r, id).status == CBD_M_SEGMENT_CLOSED) {
        assert_true(watched.asked[off / PAGE_BYTES]);
        watched.read_count++;
    }
    return watched.inner->read_array(pm, off, dst, object_bytes, count);
}

static void run_in_turn(struct cbd_env *env, void (*job)(void *arg, unsigned n), void *arg,
                        unsigned count)
{
    (void)env;
    for (unsigned n = 0; n < count; n++)
        job(arg, n);
}

static struct rig *full(void)
{
    struct rig *r = rig_create(&(struct rig_config){
        .pmem_bytes = 12u << 20, .disk_bytes = 8u << 20, .share_segments = 150, .streams = 2});

    rig_attach(r);
    for (uint32_t n = 0; n < 3000; n++)
        rig_write(r, n * 37u % 4096 * 512u, 512, 0);
    for (uint32_t n = 0; n < 64; n++)
        rig_write(r, (n + 64) * 49152u, 49152, 0);
    rig_flush(r);
    rig_kill(r);
    return r;
}

static void watch(struct rig *r)
{
    memset(&watched, 0, sizeof(watched));
    watched.r = r;
    watched.inner = r->pmem->pm.ops;
    watched.ops = *watched.inner;
    watched.ops.want = want;
    watched.ops.read_array = read_array;
    r->pmem->pm.ops = &watched.ops;
}

static void assert_asked(struct rig *r)
{
    uint32_t closed = 0;

    for (uint32_t id = 0; id < r->geo.segment_count; id++)
        closed += rig_entry(r, id).status == CBD_M_SEGMENT_CLOSED;
    assert_true(closed > 64); /* more than are asked for at a time */
    assert_true(watched.asked_count >= closed);
    assert_true(watched.read_count > closed); /* several pages of some */
    r->pmem->pm.ops = watched.inner;
}

static int nothing_is_found(void *arg, const struct cbd_check_finding *f)
{
    (void)arg;
    assert_int_equal(f->problem->severity, CBD_CHECK_INFO);
    return 0;
}

static void check_asks_first(void **state)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN};
    struct rig *r = full();
    struct cbd_check_summary sum;

    (void)state;
    for (unsigned ahead = 0; ahead < 2; ahead++) {
        watch(r);
        r->ops.run = ahead != 0 ? run_in_turn : NULL;
        assert_int_equal(
            cbd_check_run(&r->pmem->pm, &r->env.env, &options, nothing_is_found, NULL, &sum), 0);
        assert_asked(r);
    }
    rig_destroy(r);
}

static void recovery_asks_first(void **state)
{
    (void)state;
    for (unsigned ahead = 0; ahead < 2; ahead++) {
        struct rig *r = full();

        r->ops.run = ahead != 0 ? run_in_turn : NULL;
        watch(r);
        rig_attach(r);
        assert_asked(r);
        rig_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_asks_first),
        cmocka_unit_test(recovery_asks_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
