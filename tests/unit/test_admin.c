/* SPDX-License-Identifier: BSD-2-Clause */
/* Formatting and administering a cache under power cuts. */
/* ctest: sim long novalgrind timeout=300 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin.h"
#include "cbd/cache.h"
#include "rng.h"
#include "sim_base.h"
#include "sim_disk.h"
#include "sim_env.h"

#define PMEM_BYTES ((UINT64_C(2) << 20) + (UINT64_C(64) << 10) * 12)
#define SEGMENT_BYTES (64u << 10)
#define DISK_BYTES (UINT64_C(64) << 10)

static void expect_good(enum sim_model model, bool no_data_checksum)
{
    struct sim_admin_config config = {
        .seed = 7, .subsets = 16, .model = model, .no_data_checksum = no_data_checksum};
    struct sim_admin_result r;
    char text[512];

    sim_admin_run(&config, &r);
    if (r.failures != 0)
        fail_msg("%s", sim_admin_failure_text(&r.first, text, sizeof(text)));
    print_message("%llu steps, %llu states\n", (unsigned long long)r.steps,
                  (unsigned long long)r.states);
    for (int stage = 0; stage < SIM_ADMIN_STAGE_COUNT; stage++)
        assert_true(r.states_by[stage] != 0);
    assert_true(r.found_old != 0 && r.found_none != 0 && r.found_new != 0);
    assert_true(r.nested != 0 && r.killed != 0 && r.lost_copies != 0);
    assert_true(r.states > r.steps * config.subsets);
}

static void test_adr(void **state)
{
    (void)state;
    expect_good(SIM_ADR, false);
}

static void test_eadr(void **state)
{
    (void)state;
    expect_good(SIM_EADR, true);
}

static void test_pages(void **state)
{
    (void)state;
    expect_good(SIM_PAGE, false);
}

static void test_same_seed_same_result(void **state)
{
    struct sim_admin_config config = {
        .seed = 3, .subsets = 4, .drop_step = CBD_STEP_SEGMENT_ASSIGN_B_FENCE};
    struct sim_admin_result a, b;
    char one[512], two[512];

    (void)state;
    sim_admin_run(&config, &a);
    sim_admin_run(&config, &b);
    assert_true(a.failures != 0 && a.failures == b.failures);
    assert_int_equal(a.states, b.states);
    assert_string_equal(sim_admin_failure_text(&a.first, one, sizeof(one)),
                        sim_admin_failure_text(&b.first, two, sizeof(two)));
}

static void test_a_dropped_fence_is_found(void **state)
{
    struct sim_admin_config config = {
        .seed = 1, .subsets = 16, .drop_step = CBD_STEP_FORMAT_SUPER_FENCE, .stop_at_first = true};
    struct sim_admin_result r;

    (void)state;
    sim_admin_run(&config, &r);
    assert_int_equal(r.failures, 1);
    assert_true(r.drop_calls != 0);
}

/*
 * The same uuid and the same salt, as SOURCE_DATE_EPOCH gives them: checksums of the old cache hold
 * in the new one, and only the generation keeps its records out.
 */
struct machine {
    struct sim_pmem *pmem;
    struct sim_disk *disk;
    struct sim_env env;
    struct cbd_cache *cache;
    struct cbd_backend *backend;
    uint64_t states;
};

static bool progress(void *arg)
{
    struct machine *m = arg;

    if (sim_disk_inflight(m->disk) == 0)
        return false;
    sim_disk_complete(m->disk, 0);
    return true;
}

static void format(struct machine *m)
{
    struct cbd_format_options options = {
        .uuid = {1, 2, 3}, .segment_bytes = SEGMENT_BYTES, .salt = 4};
    struct cbd_geometry geo;

    assert_int_equal(cbd_format(&m->pmem->pm, &m->env.env, &options, &geo), 0);
}

static void attach(struct machine *m)
{
    struct cbd_backend_options add = {.name = "disk",
                                      .size_bytes = DISK_BYTES,
                                      .logical_block_bytes = 512,
                                      .cache_bytes = 4 * SEGMENT_BYTES,
                                      .streams = 1};
    struct cbd_attach_options options = {.no_fill = true};
    uint32_t id;

    sim_env_reset(&m->env, 0);
    assert_int_equal(cbd_cache_open(&m->pmem->pm, &m->env.env, 0, &m->cache), 0);
    assert_int_equal(cbd_backend_add(m->cache, &add, &id), 0);
    assert_int_equal(cbd_backend_attach(m->cache, id, &m->disk->disk, &options, &m->backend), 0);
}

static void write_version(struct machine *m, uint64_t sector, uint64_t version)
{
    uint8_t buf[SIM_SECTOR_BYTES];

    sim_sector_fill(buf, sector, version);
    assert_int_equal(cbd_write(m->backend, 0, sector * SIM_SECTOR_BYTES, buf, sizeof(buf), 0), 0);
}

static uint64_t read_version(struct machine *m, uint64_t sector)
{
    uint8_t buf[SIM_SECTOR_BYTES];

    assert_int_equal(cbd_read(m->backend, 0, sector * SIM_SECTOR_BYTES, buf, sizeof(buf)), 0);
    return sim_sector_decode(buf, sector);
}

/* A cache with dirty data, without power. */
static void create(struct machine *m)
{
    struct sim_disk_config disk = {.size_bytes = DISK_BYTES, .logical_block_bytes = 512};

    memset(m, 0, sizeof(*m));
    m->pmem = sim_pmem_create(PMEM_BYTES, SIM_ADR);
    m->pmem->hook_arg = m;
    m->disk = sim_disk_create(&disk);
    sim_env_init(&m->env, 1);
    m->env.progress = progress;
    m->env.progress_arg = m;
    format(m);
    attach(m);
    for (uint64_t sector = 0; sector < 8; sector++)
        write_version(m, sector, 5);
    sim_pmem_crash(m->pmem, &(struct sim_crash){.kind = SIM_CRASH_ALL});
}

static void destroy(struct machine *m)
{
    sim_env_destroy(&m->env);
    sim_disk_destroy(m->disk);
    sim_pmem_destroy(m->pmem);
}

/* Writes one sector, so that a segment is open, and recovers: old records would come back now. */
static void expect_empty(struct machine *m)
{
    attach(m);
    write_version(m, 7, 6);
    sim_pmem_crash(m->pmem, &(struct sim_crash){.kind = SIM_CRASH_NONE});
    sim_env_reset(&m->env, 0);
    assert_int_equal(cbd_cache_open(&m->pmem->pm, &m->env.env, 0, &m->cache), 0);
    assert_int_equal(cbd_backend_attach(m->cache, 0, &m->disk->disk,
                                        &(struct cbd_attach_options){.no_fill = true}, &m->backend),
                     0);
    for (uint64_t sector = 0; sector < 7; sector++)
        assert_int_equal(read_version(m, sector), SIM_VERSION_INITIAL);
    assert_int_equal(read_version(m, 7), 6);
}

static void test_reformat_is_empty(void **state)
{
    struct machine m;

    (void)state;
    create(&m);
    format(&m);
    expect_empty(&m);
    destroy(&m);
}

static void cut_then_format_again(void *arg, const struct sim_pm_event *ev)
{
    struct machine *m = arg;

    m->pmem->hook = NULL;
    for (uint64_t subset = 0; subset < 16; subset++) {
        struct sim_crash crash = sim_crash_subset(subset, sim_rng_mix(ev->number, subset));

        sim_pmem_mark(m->pmem);
        sim_disk_mark(m->disk);
        sim_pmem_crash(m->pmem, &crash);
        format(m);
        expect_empty(m);
        sim_disk_rollback(m->disk);
        sim_pmem_rollback(m->pmem);
        m->states++;
    }
    m->pmem->hook = cut_then_format_again;
}

static void test_interrupted_reformat_is_empty(void **state)
{
    struct machine m;

    (void)state;
    create(&m);
    m.pmem->hook = cut_then_format_again;
    format(&m);
    m.pmem->hook = NULL;
    assert_true(m.states > 100 * 16);
    destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adr),
        cmocka_unit_test(test_eadr),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_same_seed_same_result),
        cmocka_unit_test(test_a_dropped_fence_is_found),
        cmocka_unit_test(test_reformat_is_empty),
        cmocka_unit_test(test_interrupted_reformat_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
