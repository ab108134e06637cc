/* SPDX-License-Identifier: BSD-2-Clause */
/* Several backends on one cache: adding, removing, and keeping out of each other's way. */
#include "engine_rig.h"

static struct cbd_backend_options options_of(const char *name)
{
    struct cbd_backend_options options = {
        .uuid = {0x77},
        .name = name,
        .size_bytes = 1u << 20,
        .logical_block_bytes = 512,
        .cache_bytes = 4 * 65536,
        .streams = 2,
    };

    return options;
}

static int add(struct rig *r, const struct cbd_backend_options *options)
{
    uint32_t id;

    rig_open(r);
    return cbd_backend_add(r->cache, options, &id);
}

static void backends_on_one_cache_do_not_meet(void **state)
{
    struct rig *r = rig_create(&(struct rig_config){.backends = 3, .streams = 2});

    (void)state;
    rig_attach(r);
    for (uint64_t i = 0; i < 600; i++) {
        r->lane = (unsigned)(i % 2);
        assert_int_equal(rig_try_write(r, (uint32_t)(i % 3), i * 37 % 250 * 4096, 4096, 0), 0);
    }
    rig_check_all(r);
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    for (uint32_t n = 0; n < 3; n++)
        rig_check_disk(r, n);
    rig_fsck(r, true);
    rig_destroy(r);
}

static void a_dead_disk_stops_only_its_own_backend(void **state)
{
    struct rig *r =
        rig_create(&(struct rig_config){.backends = 2, .attach = {.space_timeout_ns = 50000000}});
    uint64_t off = 0;

    (void)state;
    rig_attach(r);
    sim_disk_set_gone(r->disk[0], true);
    while (rig_try_write(r, 0, off, 8192, 0) == 0)
        off += 8192;
    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal(rig_try_write(r, 1, i * 37 % 120 * 8192, 8192, 0), 0);
    sim_disk_set_gone(r->disk[0], false);
    rig_check_all(r);
    rig_destroy(r);
}

static void a_backend_that_is_removed_and_added_again_is_empty(void **state)
{
    struct rig *r = rig_create(&(struct rig_config){.backends = 2});
    struct cbd_backend_info info;
    uint32_t unowned, id;

    (void)state;
    rig_attach(r);
    rig_write(r, 0, 65536, 0);
    assert_int_equal(rig_try_write(r, 1, 0, 65536, 0), 0);
    rig_abandon(r);
    rig_open(r);
    unowned = cbd_cache_unowned(r->cache);
    assert_int_equal(cbd_backend_remove(r->cache, 0), 0);
    assert_int_equal(cbd_cache_unowned(r->cache), unowned + 8);
    assert_false(cbd_backend_info(r->cache, 0, &info));
    assert_int_equal(cbd_backend_lookup(r->cache, "disk00", &id), CBD_E_NOTFOUND);
    rig_abandon(r); /* durable: seen by the next process */
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_open(r);
    assert_false(cbd_backend_info(r->cache, 0, &info));
    rig_add(r, 0); /* takes the same id */
    for (uint64_t s = 0; s < 2048; s++)
        r->want[0][s] = sim_disk_peek(r->disk[0], s);
    rig_attach(r);
    assert_int_equal(rig_stats(r).recovered_records, 0);
    rig_check_all(r); /* the other one too */
    rig_fsck(r, false);
    rig_destroy(r);
}

static void a_backend_is_added_while_another_is_served(void **state)
{
    struct rig *r = rig_create(NULL);
    struct cbd_backend_options options = options_of("two");
    uint32_t id;

    (void)state;
    rig_attach(r);
    rig_write(r, 0, 65536, 0);
    assert_int_equal(add(r, &options), 0);
    rig_write(r, 0, 131072, 0);
    assert_int_equal(cbd_backend_lookup(r->cache, "two", &id), 0);
    assert_int_equal(cbd_backend_remove(r->cache, id), 0);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_fsck(r, true);
    rig_destroy(r);
}

static void a_share_has_a_least_size(void **state)
{
    struct rig *r = rig_create_blank(NULL);

    (void)state;
    rig_format(r, 1);
    for (uint32_t streams = 1; streams <= 4; streams++) {
        struct cbd_backend_options options = options_of("one");

        options.streams = streams;
        options.cache_bytes = (streams + CBD_SHARE_RESERVE) * 65536u - 1;
        assert_int_equal(add(r, &options), CBD_E_NOSPACE);
        options.cache_bytes++;
        assert_int_equal(add(r, &options), 0);
        assert_int_equal(cbd_backend_remove(r->cache, 0), 0);
    }
    rig_destroy(r);
}

static void a_small_share_gets_fewer_streams_by_itself(void **state)
{
    const struct {
        uint32_t segments, streams;
    } row[] = {{3, 1}, {4, 2}, {5, 3}, {6, 4}, {20, 4}};
    struct rig *r = rig_create_blank(NULL);

    (void)state;
    rig_format(r, 1);
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct cbd_backend_options options = options_of("one");
        struct cbd_backend_info info;

        options.streams = 0;
        options.cache_bytes = row[i].segments * 65536u;
        assert_int_equal(add(r, &options), 0);
        assert_true(cbd_backend_info(r->cache, 0, &info));
        assert_int_equal(info.streams, row[i].streams);
        assert_int_equal(info.segments, row[i].segments);
        assert_int_equal(cbd_backend_remove(r->cache, 0), 0);
    }
    rig_destroy(r);
}

static void a_share_larger_than_what_is_left_is_refused(void **state)
{
    struct rig *r = rig_create_blank(NULL);
    struct cbd_backend_options options = options_of("one");

    (void)state;
    rig_format(r, 1);
    options.cache_bytes = (uint64_t)r->geo.segment_count * 65536 + 65536;
    assert_int_equal(add(r, &options), CBD_E_NOSPACE);
    options.cache_bytes = UINT64_MAX;
    assert_int_equal(add(r, &options), CBD_E_NOSPACE);
    options.cache_bytes = (uint64_t)(r->geo.segment_count - 2) * 65536;
    assert_int_equal(add(r, &options), 0);
    options = options_of("two");
    assert_int_equal(add(r, &options), CBD_E_NOSPACE);
    assert_int_equal(cbd_cache_unowned(r->cache), 2);
    rig_destroy(r);
}

static void a_name_is_given_once(void **state)
{
    struct rig *r = rig_create(NULL);
    struct cbd_backend_options options = options_of("disk00");

    (void)state;
    assert_int_equal(add(r, &options), CBD_E_EXISTS);
    options.name = "disk0";
    assert_int_equal(add(r, &options), 0);
    rig_destroy(r);
}

static void options_without_sense_are_invalid(void **state)
{
    struct rig *r = rig_create_blank(NULL);
    char name[CBD_BACKEND_NAME_BYTES + 2];
    struct cbd_backend_options row[11];

    (void)state;
    rig_format(r, 1);
    memset(name, 'n', sizeof(name));
    name[CBD_BACKEND_NAME_BYTES + 1] = '\0';
    for (size_t i = 0; i < 11; i++)
        row[i] = options_of("one");
    row[0].name = NULL;
    row[1].name = "";
    row[2].name = name;
    row[3].size_bytes = 0;
    row[4].size_bytes = 1000;
    row[5].size_bytes = (UINT64_C(1) << 48) + 512;
    row[6].logical_block_bytes = 256;
    row[7].logical_block_bytes = 8192;
    row[8].logical_block_bytes = 1536;
    row[9].name = "on\ne";
    row[10].name = "one\x7f";
    for (size_t i = 0; i < 11; i++)
        assert_int_equal(add(r, &row[i]), CBD_E_INVALID);
    row[0].streams = CBD_STREAMS_MAX + 1;
    row[0].name = "one";
    assert_int_equal(add(r, &row[0]), CBD_E_INVALID);
    name[CBD_BACKEND_NAME_BYTES] = '\0'; /* the longest that there may be */
    row[2].path = NULL;
    assert_int_equal(add(r, &row[2]), 0);
    rig_fsck(r, true);
    rig_destroy(r);
}

/* D21: any disk that was large enough was taken, and written to. */
static void test_d21_another_disk_is_refused_at_attach(void **state)
{
    struct rig *r = rig_create(NULL);

    (void)state;
    r->disk[0]->disk.size_bytes += 512;
    assert_int_equal(rig_try_attach(r, 0), CBD_E_MISMATCH);
    r->disk[0]->disk.size_bytes -= 1024;
    assert_int_equal(rig_try_attach(r, 0), CBD_E_MISMATCH);
    assert_int_equal(r->last[CBD_ERROR].limit, 1u << 20);
    r->disk[0]->disk.size_bytes = 1u << 20;
    r->disk[0]->disk.logical_block_bytes = 4096;
    assert_int_equal(rig_try_attach(r, 0), CBD_E_MISMATCH);
    r->disk[0]->disk.logical_block_bytes = 512;
    assert_int_equal(rig_try_attach(r, 0), 0);
    rig_destroy(r);
}

static void an_attached_backend_is_busy(void **state)
{
    struct rig *r = rig_create(NULL);
    struct cbd_backend *second;

    (void)state;
    rig_attach(r);
    assert_int_equal(cbd_backend_attach(r->cache, 0, &r->disk[0]->disk, NULL, &second), CBD_E_BUSY);
    assert_int_equal(cbd_backend_remove(r->cache, 0), CBD_E_BUSY);
    rig_write(r, 0, 4096, 0);
    rig_destroy(r);
}

static void ids_that_nobody_has_are_not_found(void **state)
{
    struct rig *r = rig_create(NULL);
    struct cbd_backend *b;
    const uint32_t ids[] = {1, 31, 32, UINT32_MAX};

    (void)state;
    rig_open(r);
    for (size_t i = 0; i < 4; i++) {
        struct cbd_backend_info info;

        assert_int_equal(cbd_backend_attach(r->cache, ids[i], &r->disk[0]->disk, NULL, &b),
                         CBD_E_NOTFOUND);
        assert_int_equal(cbd_backend_remove(r->cache, ids[i]), CBD_E_NOTFOUND);
        assert_false(cbd_backend_info(r->cache, ids[i], &info));
    }
    rig_destroy(r);
}

static void thirty_two_backends_fill_the_table(void **state)
{
    struct rig *r = rig_create(&(struct rig_config){
        .backends = 32, .share_segments = 3, .pmem_bytes = 10u << 20, .disk_bytes = 256u << 10});
    struct cbd_backend_options options = options_of("one more");

    (void)state;
    assert_int_equal(add(r, &options), CBD_E_NOSPACE);
    rig_attach(r);
    for (uint32_t i = 0; i < 320; i++)
        assert_int_equal(rig_try_write(r, i % 32, i / 32 * 16384, 8192, 0), 0);
    rig_check_all(r);
    rig_kill(r);
    assert_int_equal(rig_try_attach(r, 13), 0);
    rig_abandon(r);
    rig_open(r);
    assert_int_equal(cbd_backend_remove(r->cache, 7), 0);
    rig_abandon(r);
    rig_open(r);
    rig_add(r, 7);
    for (uint64_t s = 0; s < 512; s++)
        r->want[7][s] = sim_disk_peek(r->disk[7], s);
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    rig_fsck(r, true);
    rig_destroy(r);
}

static void attaching_and_detaching_are_counted(void **state)
{
    struct rig *r = rig_create(NULL);
    struct cbd_backend_info info;

    (void)state;
    for (uint64_t i = 1; i <= 4; i++) {
        rig_attach(r);
        assert_true(cbd_backend_info(r->cache, 0, &info));
        assert_true(info.was_attached);
        assert_int_equal(info.attaches, i);
        rig_detach(r);
    }
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_on_one_cache_do_not_meet),
        cmocka_unit_test(a_dead_disk_stops_only_its_own_backend),
        cmocka_unit_test(a_backend_that_is_removed_and_added_again_is_empty),
        cmocka_unit_test(a_backend_is_added_while_another_is_served),
        cmocka_unit_test(a_share_has_a_least_size),
        cmocka_unit_test(a_small_share_gets_fewer_streams_by_itself),
        cmocka_unit_test(a_share_larger_than_what_is_left_is_refused),
        cmocka_unit_test(a_name_is_given_once),
        cmocka_unit_test(options_without_sense_are_invalid),
        cmocka_unit_test(test_d21_another_disk_is_refused_at_attach),
        cmocka_unit_test(an_attached_backend_is_busy),
        cmocka_unit_test(ids_that_nobody_has_are_not_found),
        cmocka_unit_test(thirty_two_backends_fill_the_table),
        cmocka_unit_test(attaching_and_detaching_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
