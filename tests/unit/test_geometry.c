/* SPDX-License-Identifier: BSD-2-Clause */
/* The arithmetic of the layout, from too small to 256 TiB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "media.h"
#include "rng.h"

#define KIB UINT64_C(1024)
#define MIB (KIB << 10)
#define GIB (MIB << 10)
#define TIB (GIB << 10)

static const uint32_t segment_sizes[] = {64u << 10, 128u << 10, 256u << 10, 512u << 10,
                                         1u << 20,  2u << 20,   4u << 20,   8u << 20,
                                         16u << 20, 32u << 20,  64u << 20};
#define SIZES (sizeof(segment_sizes) / sizeof(segment_sizes[0]))

static uint64_t up(uint64_t v, uint64_t unit)
{
    return (v + unit - 1) / unit * unit;
}

/* Nothing overlaps, everything is aligned, and one more segment would not fit. */
static void expect_sound(const struct cbd_geometry *geo, uint64_t device_bytes)
{
    uint64_t end = geo->data_off + (uint64_t)geo->segment_count * geo->segment_bytes;
    uint64_t unit = geo->segment_bytes >= 2 * MIB ? 2 * MIB : 64 * KIB;
    uint64_t tables, data;

    assert_int_equal(geo->device_bytes, device_bytes);
    assert_true(geo->segment_count >= CBD_SEGMENTS_MIN);
    assert_true(geo->segment_count <= CBD_SEGMENTS_MAX);
    assert_int_equal(geo->table_a_off, CBD_TABLES_OFF);
    assert_true(geo->table_bytes >= cbd_place_segment(geo->segment_count));
    assert_int_equal(geo->table_bytes % CBD_PAGE_BYTES, 0);
    assert_true(geo->data_off >= geo->table_a_off + geo->table_bytes);
    assert_true(geo->table_b_off >= end);
    assert_int_equal(geo->table_b_off % CBD_PAGE_BYTES, 0);
    assert_int_equal(geo->data_off % unit, 0);
    assert_true(geo->table_b_off + geo->table_bytes <= geo->super2_off);
    assert_int_equal(geo->super2_off % CBD_PAGE_BYTES, 0);
    assert_true(geo->super2_off + CBD_PAGE_BYTES <= device_bytes);
    assert_true(device_bytes - geo->super2_off < 2 * CBD_PAGE_BYTES);
    assert_true(geo->atomic_bytes <= geo->segment_bytes / 4 && geo->atomic_bytes <= 64 * KIB);
    tables = up(cbd_place_segment(geo->segment_count + 1), CBD_PAGE_BYTES);
    data = up(CBD_TABLES_OFF + tables, unit);
    assert_true(geo->segment_count == CBD_SEGMENTS_MAX ||
                data + (uint64_t)(geo->segment_count + 1) * geo->segment_bytes + tables >
                    geo->super2_off);
}

static void known_devices_have_known_layouts(void **state)
{
    const struct {
        uint64_t device_bytes;
        uint32_t segment_bytes; /* asked for */
        uint32_t got_bytes;
        uint32_t count;
        uint64_t data_off;
    } row[] = {
        {16 * MIB, 0, 1u << 20, 13, 2 * MIB + 64 * KIB},
        {16 * MIB, 65536, 65536, 222, 2 * MIB + 64 * KIB},
        {GIB - 1, 0, 1u << 20, 1021, 2 * MIB + 128 * KIB},
        {GIB - 4096, 0, 1u << 20, 1021, 2 * MIB + 128 * KIB},
        {GIB, 0, 16u << 20, 63, 4 * MIB},
        {TIB, 0, 16u << 20, 65535, 8 * MIB},
        {16 * TIB, 0, 16u << 20, 1048567, 68 * MIB},
        {16 * TIB + 256 * MIB, 0, 16u << 20, 1048576, 68 * MIB},
        {64 * TIB, 64u << 20, 64u << 20, 1048573, 68 * MIB},
        {256 * TIB, 0, 16u << 20, 1048576, 68 * MIB}, /* the rest cannot be used */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct cbd_geometry geo;

        assert_int_equal(cbd_geometry_plan(&geo, row[i].device_bytes, row[i].segment_bytes), 0);
        assert_int_equal(geo.segment_bytes, row[i].got_bytes);
        assert_int_equal(geo.segment_count, row[i].count);
        assert_int_equal(geo.data_off, row[i].data_off);
        expect_sound(&geo, row[i].device_bytes);
    }
}

static void the_minimum_is_enough_and_a_byte_less_is_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        uint64_t least = cbd_geometry_minimum(segment_sizes[i]);
        struct cbd_geometry geo;

        assert_int_equal(cbd_geometry_plan(&geo, least, segment_sizes[i]), 0);
        assert_int_equal(geo.segment_count, CBD_SEGMENTS_MIN);
        expect_sound(&geo, least);
        assert_int_equal(cbd_geometry_plan(&geo, least - 1, segment_sizes[i]), CBD_E_NOSPACE);
    }
    assert_int_equal(cbd_geometry_minimum(0), cbd_geometry_minimum(1u << 20));
}

static void tiny_devices_have_no_space(void **state)
{
    const uint64_t size[] = {0, 1, 511, 4095, 4096, 8192, MIB, 2 * MIB, 2 * MIB + 16 * KIB};
    struct cbd_geometry geo;

    (void)state;
    for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
        assert_int_equal(cbd_geometry_plan(&geo, size[i], 0), CBD_E_NOSPACE);
        for (size_t k = 0; k < SIZES; k++)
            assert_int_equal(cbd_geometry_plan(&geo, size[i], segment_sizes[k]), CBD_E_NOSPACE);
    }
}

static void a_device_beyond_the_limit_is_refused(void **state)
{
    struct cbd_geometry geo;

    (void)state;
    assert_int_equal(cbd_geometry_plan(&geo, 256 * TIB, 0), 0);
    assert_int_equal(cbd_geometry_plan(&geo, 256 * TIB + 1, 0), CBD_E_INVALID);
    assert_int_equal(cbd_geometry_plan(&geo, UINT64_MAX, 0), CBD_E_INVALID);
    assert_int_equal(cbd_geometry_plan(&geo, UINT64_MAX - 4095, 65536), CBD_E_INVALID);
}

static void other_segment_sizes_are_refused(void **state)
{
    const uint32_t size[] = {1,         512,      4096,      32768,      65535,    65537,
                             96u << 10, 3u << 20, 100000000, 128u << 20, 1u << 31, UINT32_MAX};
    struct cbd_geometry geo;

    (void)state;
    for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++)
        assert_int_equal(cbd_geometry_plan(&geo, GIB, size[i]), CBD_E_INVALID);
}

static void every_size_has_a_sound_layout_or_none(void **state)
{
    struct sim_rng rng;

    (void)state;
    sim_rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        uint64_t size = sim_rng_u64(&rng) >> (16 + sim_rng_below(&rng, 30));
        uint32_t segment = segment_sizes[sim_rng_below(&rng, SIZES)];
        struct cbd_geometry geo;
        int error = cbd_geometry_plan(&geo, size, segment);

        if (error == 0) {
            expect_sound(&geo, size);
        } else {
            assert_int_equal(error, CBD_E_NOSPACE);
            assert_true(size < cbd_geometry_minimum(segment));
        }
    }
}

static void a_larger_device_never_has_fewer_segments(void **state)
{
    uint32_t before = 0;

    (void)state;
    for (uint64_t size = cbd_geometry_minimum(65536); size < 40 * MIB; size += 4096) {
        struct cbd_geometry geo;

        assert_int_equal(cbd_geometry_plan(&geo, size, 65536), 0);
        assert_true(geo.segment_count >= before);
        before = geo.segment_count;
    }
}

static void records_and_payload_never_share_a_page(void **state)
{
    struct cbd_geometry geo;

    (void)state;
    assert_int_equal(cbd_geometry_plan(&geo, 16 * MIB, 65536), 0);
    for (uint32_t slots = 1; slots < 1024; slots++) {
        uint32_t limit = cbd_payload_limit(&geo, slots);

        assert_int_equal(limit % CBD_PAGE_BYTES, 0);
        assert_true(limit <= cbd_slot_off(&geo, slots - 1));
        assert_true(cbd_slot_off(&geo, slots - 1) - limit < CBD_PAGE_BYTES);
    }
    assert_int_equal(cbd_payload_limit(&geo, 1024), 0);
    assert_int_equal(cbd_payload_limit(&geo, UINT32_MAX), 0);
    assert_int_equal(cbd_slot_off(&geo, 1023), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_devices_have_known_layouts),
        cmocka_unit_test(the_minimum_is_enough_and_a_byte_less_is_not),
        cmocka_unit_test(tiny_devices_have_no_space),
        cmocka_unit_test(a_device_beyond_the_limit_is_refused),
        cmocka_unit_test(other_segment_sizes_are_refused),
        cmocka_unit_test(every_size_has_a_sound_layout_or_none),
        cmocka_unit_test(a_larger_device_never_has_fewer_segments),
        cmocka_unit_test(records_and_payload_never_share_a_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
