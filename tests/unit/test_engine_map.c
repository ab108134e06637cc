/* SPDX-License-Identifier: BSD-2-Clause */
/* What the cache says of a range: data, zeroes, or ask the disk; and nothing changes by asking. */
#include "engine_rig.h"

#define BLOCK 4096u

static struct cbd_map_view map(struct rig *r, uint64_t off, uint64_t len)
{
    struct cbd_map_view view = {0};

    assert_int_equal(cbd_map(r->backend[0], 0, off, len, &view), 0);
    assert_int_equal(view.addr_bytes, off);
    assert_true(view.len_bytes > 0 && view.len_bytes <= len);
    return view;
}

static void expect(struct rig *r, uint64_t off, uint64_t len, enum cbd_map_kind kind,
                   uint64_t run_bytes)
{
    struct cbd_map_view view = map(r, off, len);

    assert_int_equal(view.kind, kind);
    assert_int_equal(view.len_bytes, run_bytes);
}

static void test_kinds_and_lengths(void **state)
{
    struct rig *r = rig_create(&(struct rig_config){.share_segments = 16});
    uint64_t size;
    struct cbd_map_view view;

    (void)state;
    rig_attach(r);
    size = r->disk[0]->disk.size_bytes;
    expect(r, 0, size, CBD_MAP_DISK, size);
    rig_write(r, 4 * BLOCK, BLOCK, 0);
    rig_write(r, 5 * BLOCK, BLOCK, 0); /* a neighbour, another record */
    rig_zero(r, 6 * BLOCK, BLOCK, 0);
    rig_zero(r, 7 * BLOCK, 512, CBD_WRITE_PUNCH);
    expect(r, 0, size, CBD_MAP_DISK, 4 * BLOCK);
    expect(r, 4 * BLOCK, size - 4 * BLOCK, CBD_MAP_DATA, 2 * BLOCK);
    expect(r, 4 * BLOCK + 512, 512, CBD_MAP_DATA, 512);
    expect(r, 6 * BLOCK, 8 * BLOCK, CBD_MAP_ZERO, BLOCK + 512);
    expect(r, 7 * BLOCK + 512, BLOCK, CBD_MAP_DISK, BLOCK);
    assert_int_equal(cbd_map(r->backend[0], 0, size, 512, &view), CBD_E_RANGE);
    assert_int_equal(cbd_map(r->backend[0], 0, 100, 512, &view), CBD_E_INVALID);
    assert_int_equal(cbd_map(r->backend[0], CBD_LANES, 0, 512, &view), CBD_E_INVALID);
    rig_detach(r);
    rig_destroy(r);
}

/* Regions of 4 MiB go round the trees: a run goes on from one to the next. */
static void test_runs_cross_regions(void **state)
{
    const uint64_t region = UINT64_C(4) << 20;
    struct rig *r = rig_create(&(struct rig_config){
        .disk_bytes = 3 * region, .share_segments = 16, .attach = {.trees = 2}});

    (void)state;
    rig_attach(r);
    expect(r, 0, 3 * region, CBD_MAP_DISK, 3 * region);
    rig_zero(r, region - BLOCK, region, 0);
    expect(r, 0, 3 * region, CBD_MAP_DISK, region - BLOCK);
    expect(r, region - BLOCK, 3 * BLOCK, CBD_MAP_ZERO, 3 * BLOCK);
    expect(r, region - BLOCK, 2 * region, CBD_MAP_ZERO, region);
    rig_detach(r);
    rig_destroy(r);
}

static void test_asking_changes_nothing(void **state)
{
    struct rig *r = rig_create(&(struct rig_config){.share_segments = 16});
    uint64_t ops;

    (void)state;
    rig_attach(r);
    rig_write(r, 0, BLOCK, 0);
    ops = r->pmem->ops_done;
    for (uint64_t off = 0; off < 16 * BLOCK; off += 512)
        (void)map(r, off, 512);
    assert_int_equal(r->pmem->ops_done, ops);
    assert_int_equal(rig_stats(r).reads, 0);
    rig_check_all(r);
    rig_detach(r);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_and_lengths),
        cmocka_unit_test(test_runs_cross_regions),
        cmocka_unit_test(test_asking_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
