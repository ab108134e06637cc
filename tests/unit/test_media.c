/* SPDX-License-Identifier: BSD-2-Clause */
/* Media bytes and host values: what is written comes back, and nothing else is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crc.h"
#include "media.h"

#define SLOT 5u
#define SEGMENT 3u
#define GENERATION UINT64_C(0x100000007)
#define PAYLOAD_OFF 8192u

static const uint8_t uuid[16] = {1, 2, 3};
static const uint64_t salt = 99;

/* One field set to a value that no writer produces; the checksum is right. */
struct bad_field {
    const char *name;
    size_t off;
    size_t len_bytes;
    uint64_t value;
};

#define BAD(type, field, len, value)                                                               \
    {                                                                                              \
#field " = " #value, offsetof(struct type, field), len, value                              \
    }

static void put_field(void *m, const struct bad_field *bad)
{
    for (size_t i = 0; i < bad->len_bytes; i++)
        ((uint8_t *)m)[bad->off + i] = (uint8_t)(bad->value >> 8 * i);
}

/* The checksum of a structure that has it in its first four bytes. */
static void seal(void *m, size_t len_bytes, uint32_t seed)
{
    struct cbd_le32 crc = cbd_put32(cbd_crc32c(seed, (uint8_t *)m + 4, len_bytes - 4));

    memcpy(m, &crc, sizeof(crc));
}

static uint32_t seed_of(enum cbd_seed_kind kind, uint32_t index, uint64_t generation)
{
    return cbd_seed_place(cbd_seed_cache(uuid, salt), kind, index, generation);
}

static struct cbd_geometry geometry(void)
{
    struct cbd_geometry geo;

    assert_int_equal(cbd_geometry_plan(&geo, 16u << 20, 65536), 0);
    return geo;
}

static const struct cbd_record good_write = {
    .type = CBD_M_RECORD_WRITE,
    .durable = SLOT,
    .order = 77,
    .epoch = 3,
    .addr_bytes = 4096,
    .len_bytes = 8192,
    .payload_off = PAYLOAD_OFF,
    .header_crc = 0x1234,
};

static void encode_record(const struct cbd_record *r, struct cbd_m_record *m)
{
    cbd_record_encode(r, seed_of(CBD_SEED_RECORD, SEGMENT, GENERATION), GENERATION, SLOT, m);
}

static bool decode_record(const struct cbd_m_record *m, struct cbd_record *r)
{
    struct cbd_geometry geo = geometry();

    return cbd_record_decode(m, seed_of(CBD_SEED_RECORD, SEGMENT, GENERATION), GENERATION, SLOT,
                             &geo, r);
}

static void records_of_every_type_come_back(void **state)
{
    const struct cbd_record in[] = {
        good_write,
        {.type = CBD_M_RECORD_FILL,
         .order = 1,
         .addr_bytes = 512,
         .len_bytes = 512,
         .payload_off = 64},
        {.type = CBD_M_RECORD_ZERO,
         .flags = CBD_M_RECORD_PUNCH,
         .order = CBD_ORDER_MAX,
         .epoch = CBD_EPOCH_MAX,
         .len_bytes = UINT64_C(1) << 48},
        {.type = CBD_M_RECORD_VOID, .durable = 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
        struct cbd_m_record m;
        struct cbd_record out = {0};

        encode_record(&in[i], &m);
        assert_true(decode_record(&m, &out));
        assert_int_equal(out.type, in[i].type);
        assert_int_equal(out.flags, in[i].flags);
        assert_int_equal(out.durable, in[i].durable);
        assert_int_equal(out.order, in[i].order);
        assert_int_equal(out.epoch, in[i].epoch);
        assert_int_equal(out.addr_bytes, in[i].addr_bytes);
        assert_int_equal(out.len_bytes, in[i].len_bytes);
        assert_int_equal(out.payload_off, in[i].payload_off);
        assert_int_equal(out.header_crc, in[i].header_crc);
    }
}

/* D19: crafted records were accepted: ends not on sectors, across a region, flags of RAM only. */
static void test_d19_a_record_with_a_field_out_of_range_is_refused(void **state)
{
    const struct bad_field bad[] = {
        BAD(cbd_m_record, generation_low, 4, 8),
        BAD(cbd_m_record, type, 1, 0),
        BAD(cbd_m_record, type, 1, 5),
        BAD(cbd_m_record, type, 1, 255),
        BAD(cbd_m_record, type, 1, CBD_M_RECORD_ZERO), /* with a payload */
        BAD(cbd_m_record, type, 1, CBD_M_RECORD_VOID),
        BAD(cbd_m_record, flags, 1, CBD_M_RECORD_PUNCH), /* not on a write */
        BAD(cbd_m_record, flags, 1, 2),
        BAD(cbd_m_record, reserved0, 2, 1),
        BAD(cbd_m_record, durable, 4, SLOT + 1),
        BAD(cbd_m_record, order, 8, CBD_ORDER_MAX + 1),
        BAD(cbd_m_record, epoch, 8, CBD_EPOCH_MAX + 1),
        BAD(cbd_m_record, addr_bytes, 8, 4097),
        BAD(cbd_m_record, addr_bytes, 8, CBD_REGION_BYTES - 4096), /* crosses a region */
        BAD(cbd_m_record, addr_bytes, 8, UINT64_C(1) << 48),
        BAD(cbd_m_record, addr_bytes, 8, UINT64_MAX - 511),
        BAD(cbd_m_record, len_bytes, 8, 0),
        BAD(cbd_m_record, len_bytes, 8, 511),
        BAD(cbd_m_record, len_bytes, 8, 65536), /* more than the segment has left */
        BAD(cbd_m_record, len_bytes, 8, (UINT64_C(1) << 48) + 512),
        BAD(cbd_m_record, len_bytes, 8, UINT64_C(1) << 32 | 8192),
        BAD(cbd_m_record, payload_off, 4, 0),
        BAD(cbd_m_record, payload_off, 4, PAYLOAD_OFF + 32),
        BAD(cbd_m_record, payload_off, 4, 61440 - 8192 + 64), /* into the page of the records */
        BAD(cbd_m_record, payload_off, 4, UINT32_MAX - 63),
        BAD(cbd_m_record, reserved1, 8, 1),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cbd_m_record m;
        struct cbd_record r;

        encode_record(&good_write, &m);
        put_field(&m, &bad[i]);
        seal(&m, sizeof(m), seed_of(CBD_SEED_RECORD, SEGMENT, GENERATION) ^ SLOT);
        if (decode_record(&m, &r))
            fail_msg("accepted: %s", bad[i].name);
    }
}

static void a_zero_or_void_record_with_a_payload_is_refused(void **state)
{
    const struct cbd_record in[] = {
        {.type = CBD_M_RECORD_ZERO, .len_bytes = 512, .payload_off = 64},
        {.type = CBD_M_RECORD_ZERO, .len_bytes = 512, .header_crc = 1},
        {.type = CBD_M_RECORD_VOID, .len_bytes = 512},
        {.type = CBD_M_RECORD_VOID, .payload_off = 64},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
        struct cbd_m_record m;
        struct cbd_record r;

        encode_record(&in[i], &m);
        assert_false(decode_record(&m, &r));
    }
}

static void any_flipped_bit_of_a_record_is_seen(void **state)
{
    struct cbd_m_record m;
    struct cbd_record r;

    (void)state;
    encode_record(&good_write, &m);
    for (size_t bit = 0; bit < 8 * sizeof(m); bit++) {
        ((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(decode_record(&m, &r));
        ((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(decode_record(&m, &r));
}

/* D12, D13: nothing tied a kset to its place; stale ones counted, and user data like one. */
static void test_d12_d13_a_record_of_another_place_or_cache_is_refused(void **state)
{
    const uint8_t other_uuid[16] = {1, 2, 4};
    struct cbd_geometry geo = geometry();
    uint32_t seed = seed_of(CBD_SEED_RECORD, SEGMENT, GENERATION);
    struct cbd_m_record m;
    struct cbd_record r;

    (void)state;
    encode_record(&good_write, &m);
    assert_true(cbd_record_decode(&m, seed, GENERATION, SLOT, &geo, &r));
    for (uint32_t slot = SLOT + 1; slot < SLOT + 200; slot++)
        assert_false(cbd_record_decode(&m, seed, GENERATION, slot, &geo, &r));
    assert_false(cbd_record_decode(&m, seed_of(CBD_SEED_RECORD, SEGMENT + 1, GENERATION),
                                   GENERATION, SLOT, &geo, &r));
    assert_false(cbd_record_decode(&m, seed_of(CBD_SEED_RECORD, SEGMENT, GENERATION + 1),
                                   GENERATION + 1, SLOT, &geo, &r));
    /* equal in the 32 bits that the record has itself */
    assert_false(
        cbd_record_decode(&m, seed_of(CBD_SEED_RECORD, SEGMENT, GENERATION + (UINT64_C(1) << 32)),
                          GENERATION + (UINT64_C(1) << 32), SLOT, &geo, &r));
    seed = cbd_seed_place(cbd_seed_cache(other_uuid, salt), CBD_SEED_RECORD, SEGMENT, GENERATION);
    assert_false(cbd_record_decode(&m, seed, GENERATION, SLOT, &geo, &r));
    seed = cbd_seed_place(cbd_seed_cache(uuid, salt + 1), CBD_SEED_RECORD, SEGMENT, GENERATION);
    assert_false(cbd_record_decode(&m, seed, GENERATION, SLOT, &geo, &r));
}

/* ------------------------------------------------------------------ headers */

static const struct cbd_header good_header = {
    .slot = 2,
    .addr_bytes = 512,
    .len_bytes = 40 * 4096,
    .type = CBD_M_RECORD_WRITE,
    .epoch_floor = 9,
};

/* 41 blocks: 8 in the header, 16, 16 and 1 in three lines before it. */
struct header_bytes {
    uint8_t before[PAYLOAD_OFF - 4 * 64]; /* a damaged length may lead there */
    struct cbd_m_crc_line lines[3];
    struct cbd_m_header m;
};

static void encode_header(struct header_bytes *bytes, const uint32_t *crc)
{
    assert_int_equal(cbd_header_bytes(good_header.addr_bytes, good_header.len_bytes),
                     sizeof(bytes->lines) + sizeof(bytes->m));
    memset(bytes, 0, sizeof(*bytes));
    cbd_header_encode(&good_header, crc, seed_of(CBD_SEED_HEADER, SEGMENT, GENERATION), PAYLOAD_OFF,
                      (uint8_t *)bytes->lines);
}

static bool decode_header(const struct cbd_m_header *m, struct cbd_header *h)
{
    return cbd_header_decode(m, seed_of(CBD_SEED_HEADER, SEGMENT, GENERATION), PAYLOAD_OFF, h);
}

static void a_header_and_its_checksum_lines_come_back(void **state)
{
    struct header_bytes bytes;
    struct cbd_header h;
    uint32_t crc[41];

    (void)state;
    for (uint32_t i = 0; i < 41; i++)
        crc[i] = i * 0x01010101u + 1;
    encode_header(&bytes, crc);
    assert_true(decode_header(&bytes.m, &h));
    assert_int_equal(h.slot, good_header.slot);
    assert_int_equal(h.addr_bytes, good_header.addr_bytes);
    assert_int_equal(h.len_bytes, good_header.len_bytes);
    assert_int_equal(h.type, good_header.type);
    assert_int_equal(h.epoch_floor, good_header.epoch_floor);
    for (uint32_t i = 0; i < 41; i++)
        assert_int_equal(cbd_header_block_crc(&bytes.m, i), crc[i]);
}

static void any_flipped_bit_of_a_header_or_its_lines_is_seen(void **state)
{
    struct header_bytes bytes;
    struct cbd_header h;

    (void)state;
    encode_header(&bytes, NULL);
    for (size_t bit = 0; bit < 8 * 256; bit++) {
        uint8_t *byte = (uint8_t *)bytes.lines + bit / 8;

        *byte ^= (uint8_t)(1u << bit % 8);
        assert_false(decode_header(&bytes.m, &h));
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(decode_header(&bytes.m, &h));
}

static void a_header_of_another_place_is_refused(void **state)
{
    uint32_t seed = seed_of(CBD_SEED_HEADER, SEGMENT, GENERATION);
    struct header_bytes bytes;
    struct cbd_header h;

    (void)state;
    encode_header(&bytes, NULL);
    assert_false(cbd_header_decode(&bytes.m, seed, PAYLOAD_OFF + 64, &h));
    seed = seed_of(CBD_SEED_HEADER, SEGMENT + 1, GENERATION);
    assert_false(cbd_header_decode(&bytes.m, seed, PAYLOAD_OFF, &h));
    seed = seed_of(CBD_SEED_HEADER, SEGMENT, GENERATION - 1);
    assert_false(cbd_header_decode(&bytes.m, seed, PAYLOAD_OFF, &h));
}

static void a_header_with_a_field_out_of_range_is_refused(void **state)
{
    const struct bad_field bad[] = {
        BAD(cbd_m_header, addr_bytes, 8, 513),
        BAD(cbd_m_header, addr_bytes, 8, (UINT64_C(1) << 48) + 512),
        BAD(cbd_m_header, addr_bytes, 8, UINT64_MAX - 511),
        BAD(cbd_m_header, len_bytes, 4, 0),
        BAD(cbd_m_header, len_bytes, 4, 1000),
        BAD(cbd_m_header, len_bytes, 4, CBD_SEGMENT_BYTES_MAX + 512),
        BAD(cbd_m_header, len_bytes, 4, UINT32_MAX - 511),
        BAD(cbd_m_header, behind, 3, 1 << 16),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cbd_header one = good_header;
        struct header_bytes bytes = {0};
        struct cbd_header h;
        uint32_t seed = seed_of(CBD_SEED_HEADER, SEGMENT, GENERATION);

        one.len_bytes = 4096; /* no lines, so that sealing is simple */
        one.addr_bytes = 0;
        cbd_header_encode(&one, NULL, seed, PAYLOAD_OFF, (uint8_t *)&bytes.m);
        assert_true(decode_header(&bytes.m, &h));
        put_field(&bytes.m, &bad[i]);
        seal(&bytes.m, sizeof(bytes.m), seed ^ PAYLOAD_OFF / 64);
        if (decode_header(&bytes.m, &h))
            fail_msg("accepted: %s", bad[i].name);
    }
}

/* The lines stand before the header: near the start of a segment they would lie outside it. */
static void a_header_whose_lines_lie_before_the_segment_is_refused(void **state)
{
    uint32_t seed = seed_of(CBD_SEED_HEADER, SEGMENT, GENERATION);
    const uint32_t least = 4 * 64;
    struct header_bytes bytes;
    struct cbd_header h;

    (void)state;
    cbd_header_encode(&good_header, NULL, seed, least, (uint8_t *)bytes.lines);
    assert_true(cbd_header_decode(&bytes.m, seed, least, &h));
    cbd_header_encode(&good_header, NULL, seed, least - 64, (uint8_t *)bytes.lines);
    assert_false(cbd_header_decode(&bytes.m, seed, least - 64, &h));
}

static void the_blocks_of_a_payload_are_counted_by_address(void **state)
{
    (void)state;
    assert_int_equal(cbd_block_count(0, 512), 1);
    assert_int_equal(cbd_block_count(0, 4096), 1);
    assert_int_equal(cbd_block_count(512, 4096), 2);
    assert_int_equal(cbd_block_count(3584, 1024), 2);
    assert_int_equal(cbd_header_bytes(0, 8 * 4096), 64);
    assert_int_equal(cbd_header_bytes(512, 8 * 4096), 128);
    assert_int_equal(cbd_header_bytes(0, 24 * 4096), 128);
    assert_int_equal(cbd_header_bytes(0, CBD_REGION_BYTES), 64 + 64 * 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_every_type_come_back),
        cmocka_unit_test(test_d19_a_record_with_a_field_out_of_range_is_refused),
        cmocka_unit_test(a_zero_or_void_record_with_a_payload_is_refused),
        cmocka_unit_test(any_flipped_bit_of_a_record_is_seen),
        cmocka_unit_test(test_d12_d13_a_record_of_another_place_or_cache_is_refused),
        cmocka_unit_test(a_header_and_its_checksum_lines_come_back),
        cmocka_unit_test(any_flipped_bit_of_a_header_or_its_lines_is_seen),
        cmocka_unit_test(a_header_of_another_place_is_refused),
        cmocka_unit_test(a_header_with_a_field_out_of_range_is_refused),
        cmocka_unit_test(a_header_whose_lines_lie_before_the_segment_is_refused),
        cmocka_unit_test(the_blocks_of_a_payload_are_counted_by_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
