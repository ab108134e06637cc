/* SPDX-License-Identifier: BSD-2-Clause */
/* The checksum: known values, and the same result for every alignment, length and split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crc.h"

#define PAGE_BYTES 4096

/* One bit at a time: too slow to use, too simple to be wrong. */
static uint32_t crc32c_bitwise(uint32_t seed, const uint8_t *p, size_t len_bytes)
{
    uint32_t crc = seed;

    for (size_t i = 0; i < len_bytes; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0);
        }
    }
    return crc;
}

static void fill_pattern(uint8_t *p, size_t len_bytes)
{
    uint32_t state = 1;

    for (size_t i = 0; i < len_bytes; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (uint8_t)(state >> 24);
    }
}

static void test_check_value_of_the_standard(void **state)
{
    (void)state;
    assert_int_equal(~cbd_crc32c(~0u, "123456789", 9), 0xE3069283u);
}

static void test_seeded_pages(void **state)
{
    static uint8_t page[PAGE_BYTES];

    (void)state;
    memset(page, 0, sizeof(page));
    assert_int_equal(cbd_crc32c(0x3B15A, page, sizeof(page)), 0x603571B1u);
    memset(page, 0xC1, sizeof(page));
    assert_int_equal(cbd_crc32c(0x3B15A, page, sizeof(page)), 0x736A14FDu);
}

/* Bytes 4..63 of a line. */
static void test_lines(void **state)
{
    uint8_t bytes[64 + 256];

    (void)state;
    fill_pattern(bytes, sizeof(bytes));
    for (size_t at = 0; at < 256; at++)
        assert_int_equal(cbd_crc32c_line(0x12345678u + (uint32_t)at, bytes + at),
                         crc32c_bitwise(0x12345678u + (uint32_t)at, bytes + at + 4, 60));
}

static void test_nothing_leaves_the_seed(void **state)
{
    (void)state;
    assert_int_equal(cbd_crc32c(0x12345678u, "", 0), 0x12345678u);
    assert_int_equal(cbd_crc32c(0x12345678u, NULL, 0), 0x12345678u);
}

/* Exact-size heap copies let ASan and valgrind see a read past the end. */
static void test_every_short_length_and_alignment(void **state)
{
    enum { LEN_MAX = 300, ALIGN_MAX = 16 };

    (void)state;
    for (size_t align = 0; align < ALIGN_MAX; align++) {
        for (size_t len = 1; len <= LEN_MAX; len++) {
            uint8_t *buffer = malloc(align + len);

            assert_non_null(buffer);
            fill_pattern(buffer, align + len);
            assert_int_equal(cbd_crc32c(0x3B15A, buffer + align, len),
                             crc32c_bitwise(0x3B15A, buffer + align, len));
            free(buffer);
        }
    }
}

static void test_pieces_continue_each_other(void **state)
{
    static uint8_t page[PAGE_BYTES];
    uint32_t whole;

    (void)state;
    fill_pattern(page, sizeof(page));
    whole = cbd_crc32c(7, page, sizeof(page));
    for (size_t cut = 0; cut <= sizeof(page); cut += 61) {
        uint32_t first = cbd_crc32c(7, page, cut);

        assert_int_equal(cbd_crc32c(first, page + cut, sizeof(page) - cut), whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_value_of_the_standard),
        cmocka_unit_test(test_seeded_pages),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_nothing_leaves_the_seed),
        cmocka_unit_test(test_every_short_length_and_alignment),
        cmocka_unit_test(test_pieces_continue_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
