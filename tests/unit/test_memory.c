/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: timeout=60 */
/* What cbd_geometry_memory() says is what a full cache takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig.h"
#include "rng.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t taken_bytes, most_bytes;
static void *(*rig_alloc)(struct cbd_env *env, size_t len_bytes);
static void (*rig_free)(struct cbd_env *env, void *p, size_t len_bytes);

static void *count_alloc(struct cbd_env *env, size_t len_bytes)
{
    taken_bytes += len_bytes;
    most_bytes = taken_bytes > most_bytes ? taken_bytes : most_bytes;
    return rig_alloc(env, len_bytes);
}

static void count_free(struct cbd_env *env, void *p, size_t len_bytes)
{
    taken_bytes -= len_bytes;
    rig_free(env, p, len_bytes);
}

static void a_full_cache_takes_what_was_said(void **state)
{
    struct rig_config config = {
        .pmem_bytes = 34 * MIB,
        .segment_bytes = 1u << 20,
        .disk_bytes = 64 * MIB,
        .share_segments = 31,
        .attach = {.dirty_start_percent = 100},
    };
    struct rig *r = rig_create(&config);
    struct cbd_memory_need need;
    uint64_t now_bytes;
    struct cbd_stats stats;

    (void)state;
    cbd_geometry_memory(&r->geo, &need);
    rig_alloc = r->ops.alloc;
    rig_free = r->ops.free;
    r->ops.alloc = count_alloc;
    r->ops.free = count_free;
    taken_bytes = most_bytes = 0;
    rig_attach(r);
    for (uint64_t i = 0; i < need.blocks; i++) /* more than fit: segments are used again */
        rig_write(r, sim_rng_mix(1, i) % (64 * MIB / 4096) * 4096, 4096, 0);
    stats = rig_stats(r);
    now_bytes = taken_bytes;
    assert_true(stats.index_extents > need.blocks / 2);
    /* The index: of so many extents as there are now. */
    assert_true(stats.index_bytes <= need.index_bytes);
    assert_true(stats.index_bytes * need.blocks / stats.index_extents > need.index_bytes * 2 / 3);
    /* All of it, with the buffers of the deepest queue. */
    assert_true(now_bytes <= need.index_bytes + need.fixed_bytes);
    assert_true(most_bytes <= (need.index_bytes + need.fixed_bytes) * 5 / 4);
    rig_abandon(r);
    r->ops.alloc = rig_alloc;
    r->ops.free = rig_free;
    rig_destroy(r);
}

static void the_need_grows_with_the_device(void **state)
{
    uint64_t before = 0;

    (void)state;
    for (uint64_t device = 16 * MIB; device <= (UINT64_C(16) << 40); device *= 4) {
        struct cbd_memory_need need;
        struct cbd_geometry geo;

        assert_int_equal(cbd_geometry_plan(&geo, device, 0), 0);
        cbd_geometry_memory(&geo, &need);
        assert_true(need.blocks > before * 3 && need.blocks <= device / 4096);
        assert_true(need.index_bytes >= need.blocks * 36);
        assert_true(need.index_bytes <= need.blocks * 40 + 1025 * 17 * 512);
        before = need.blocks;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_cache_takes_what_was_said),
        cmocka_unit_test(the_need_grows_with_the_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
