/* SPDX-License-Identifier: BSD-2-Clause */
/* dm-pcache: checksums that running drivers have written, and a format in both byte orders. */
/* ctest: quick */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cbd/pcache.h"
#include "crc.h"
#include "pc_media.h"
#include "sim_env.h"
#include "sim_pmem.h"

static uint32_t crc_of(const uint8_t *record)
{
    return pc_get32(false, record);
}

static void test_superblock(void **state)
{
    static const uint8_t padding[4];
    static const struct {
        uint32_t segments, crc;
    } cases[] = {{31, 0x047F7742}, {47, 0x8D091B6F}, {34, 0xA713E0FF}};
    uint8_t r[PC_SB_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pc_super_encode(r, 0, cases[i].segments, padding);
        assert_int_equal(crc_of(r), cases[i].crc);
    }
}

static void test_segment_records(void **state)
{
    uint8_t r[PC_GEN_BYTES];

    (void)state;
    pc_seg_info_encode(false, r, 1, 2, 0);
    assert_int_equal(crc_of(r), 0xFC8D25FE);
    pc_seg_info_encode(false, r, 2, 3, 1);
    assert_int_equal(crc_of(r), 0x3B668E31);
    pc_gen_encode(false, r, 1, 0);
    assert_int_equal(crc_of(r), 0x6EF5DFB0);
    pc_gen_encode(false, r, 2, 1);
    assert_int_equal(crc_of(r), 0x745BDEC7);
    pc_gen_encode(false, r, 3, 2);
    assert_int_equal(crc_of(r), 0x9E6E8D9E);
}

static void test_info_and_tails(void **state)
{
    uint8_t info[PC_INFO_BYTES], tail[PC_TAIL_BYTES];

    (void)state;
    pc_info_encode(false, info, 1, 0, 31, 0x1182);
    assert_int_equal(crc_of(info), 0xDDCAFE6D);
    pc_info_encode(false, info, 1, 0, 31, 0x1183);
    assert_int_equal(crc_of(info), 0x94F6834A);
    pc_info_encode(false, info, 1, 0, 47, 0x1182);
    assert_int_equal(crc_of(info), 0xF6B09658);
    pc_tail_encode(false, tail, 1, (struct cbd_pcache_pos){0, 0});
    assert_int_equal(crc_of(tail), 0x6EF5DFB0);
    pc_tail_encode(false, tail, 2, (struct cbd_pcache_pos){0, 64});
    assert_int_equal(crc_of(tail), 0x96C1FC07);
    pc_tail_encode(false, tail, 3, (struct cbd_pcache_pos){0, 128});
    assert_int_equal(crc_of(tail), 0x5EB6BEEF);
    pc_tail_encode(false, tail, 4, (struct cbd_pcache_pos){0, 192});
    assert_int_equal(crc_of(tail), 0x6345CD98);
}

static void test_key_sets(void **state)
{
    struct cbd_pcache_key key = {.len_bytes = 4096, .seg = 1};
    uint8_t out[PC_KSET_BYTES_MAX], last[PC_KSET_HEADER_BYTES];

    (void)state;
    assert_int_equal(pc_kset_encode(false, &key, 1, out), 64);
    assert_int_equal(crc_of(out), 0xD4D6C614);
    key.addr_bytes = 8192;
    (void)pc_kset_encode(false, &key, 1, out);
    assert_int_equal(crc_of(out), 0xDCA73210);
    pc_last_encode(false, 5, last);
    assert_int_equal(crc_of(last), 0x5917C2A5);
}

static void test_data(void **state)
{
    uint8_t block[4096] = {0};

    (void)state;
    assert_int_equal(cbd_crc32c(PC_CRC_SEED, block, sizeof(block)), 0x603571B1);
    memset(block, 0xC1, sizeof(block));
    assert_int_equal(cbd_crc32c(PC_CRC_SEED, block, sizeof(block)), 0x736A14FD);
}

/* What is zero is no record. */
static void test_zeroes(void **state)
{
    uint8_t zeroes[PC_INFO_BYTES] = {0};

    (void)state;
    assert_int_equal(pc_record_crc(zeroes, PC_INFO_BYTES), 0xB9B69066);
    assert_int_equal(pc_record_crc(zeroes, PC_TAIL_BYTES), 0x5F840B80);
    assert_false(pc_record_valid(false, zeroes, PC_INFO_BYTES));
}

static void test_newest_slot(void **state)
{
    (void)state;
    assert_true(pc_seq_newer(2, 1));
    assert_true(pc_seq_newer(0, 255));
    assert_false(pc_seq_newer(1, 1));
    assert_false(pc_seq_newer(1, 2));
    assert_true(pc_seq_newer(127, 0));
    assert_false(pc_seq_newer(128, 0));
}

static void format_is_clean(bool big_endian, uint64_t size_bytes, uint32_t segments)
{
    struct cbd_pcache_format_options o = {.any_size = true,
                                          .big_endian = big_endian,
                                          .data_crc = true,
                                          .gc_percent = CBD_PCACHE_GC_PERCENT};
    struct cbd_pcache_check_options check = {.data = true};
    struct sim_pmem *pm = sim_pmem_create(size_bytes, SIM_ADR);
    struct cbd_pcache_summary out;
    struct cbd_pcache_sink sink = {0};
    struct sim_env env;

    sim_env_init(&env, 1);
    assert_int_equal(cbd_pcache_format(&pm->pm, &o), 0);
    assert_int_equal(cbd_pcache_check(&pm->pm, &env.env, &check, &sink, &out), 0);
    assert_int_equal(out.errors, 0);
    assert_int_equal(out.seg_num, segments);
    assert_int_equal(out.big_endian, big_endian);
    assert_true(out.data_crc && out.walked);
    assert_int_equal(out.info_flags, 0x1183);
    assert_int_equal(out.view.used_segments, 1);
    sim_env_destroy(&env);
    sim_pmem_destroy(pm);
}

static void test_format(void **state)
{
    (void)state;
    format_is_clean(false, UINT64_C(20480) + 4 * CBD_PCACHE_SEGMENT_BYTES, 4);
    format_is_clean(true, UINT64_C(20480) + 3 * CBD_PCACHE_SEGMENT_BYTES, 3);
    format_is_clean(false, UINT64_C(512) << 20, 31);
}

static void test_format_limits(void **state)
{
    struct cbd_pcache_format_options o = {.gc_percent = 91};
    struct sim_pmem *pm = sim_pmem_create(UINT64_C(20480) + CBD_PCACHE_SEGMENT_BYTES, SIM_ADR);

    (void)state;
    assert_int_equal(cbd_pcache_format(&pm->pm, &o), CBD_E_INVALID);
    o.gc_percent = 70;
    assert_int_equal(cbd_pcache_format(&pm->pm, &o), CBD_E_NOSPACE);
    assert_int_equal(pm->ops_done, 0);
    assert_false(cbd_pcache_probe(&pm->pm));
    sim_pmem_destroy(pm);
}

/* The table: codes ascend, every row has all of its texts. */
static void test_table(void **state)
{
    const struct cbd_problem *row;
    uint32_t last = 5000;

    (void)state;
    for (uint32_t n = 0; (row = cbd_pcache_problem_row(n)) != NULL; n++) {
        assert_true(row->code > last && row->code < 6000);
        last = row->code;
        assert_ptr_equal(cbd_pcache_problem_find(row->code), row);
        assert_true(row->sentence[0] != '\0' && row->repair[0] != '\0' && row->cost[0] != '\0');
        assert_non_null(cbd_pcache_problem_hole(row->code));
    }
    assert_null(cbd_pcache_problem_find(1001));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_superblock),     cmocka_unit_test(test_segment_records),
        cmocka_unit_test(test_info_and_tails), cmocka_unit_test(test_key_sets),
        cmocka_unit_test(test_data),           cmocka_unit_test(test_zeroes),
        cmocka_unit_test(test_newest_slot),    cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_limits),  cmocka_unit_test(test_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
