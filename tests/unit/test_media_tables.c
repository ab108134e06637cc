/* SPDX-License-Identifier: BSD-2-Clause */
/* Superblock and table entries: each rule of their validation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crc.h"
#include "media.h"

#define DEVICE_BYTES (UINT64_C(16) << 20)

/* One field set to a value that no writer produces; the checksum is right. */
struct bad_field {
    const char *name;
    size_t off;
    size_t len_bytes;
    uint64_t value;
    int error; /* superblock only */
};

#define BAD(type, field, len, value)                                                               \
    {                                                                                              \
#field " = " #value, offsetof(struct type, field), len, value, CBD_E_CORRUPT               \
    }
#define SUPER(field, len, value, error)                                                            \
    {                                                                                              \
#field " = " #value, offsetof(struct cbd_m_super, field), len, value, error                \
    }

static void put_field(void *m, const struct bad_field *bad)
{
    for (size_t i = 0; i < bad->len_bytes; i++)
        ((uint8_t *)m)[bad->off + i] = (uint8_t)(bad->value >> 8 * i);
}

static void seal(void *m, size_t len_bytes, uint32_t seed)
{
    struct cbd_le32 crc = cbd_put32(cbd_crc32c(seed, (uint8_t *)m + 4, len_bytes - 4));

    memcpy(m, &crc, sizeof(crc));
}

static struct cbd_geometry geometry(void)
{
    struct cbd_geometry geo;

    assert_int_equal(cbd_geometry_plan(&geo, DEVICE_BYTES, 65536), 0);
    return geo;
}

/* ------------------------------------------------------------------ segment entries */

static const struct cbd_segment_entry good_segment = {
    .owner = 1,
    .status = CBD_M_SEGMENT_CLOSED,
    .stream = 2,
    .seq = 4,
    .generation = 5,
    .records = 6,
    .order_max = 7,
    .epoch_max = 8,
};

static void a_segment_entry_comes_back(void **state)
{
    struct cbd_geometry geo = geometry();
    struct cbd_segment_entry out;
    struct cbd_m_segment m;

    (void)state;
    cbd_segment_encode(&good_segment, 1, &m);
    assert_true(cbd_segment_decode(&m, 1, &geo, &out));
    assert_int_equal(out.owner, 1);
    assert_int_equal(out.status, CBD_M_SEGMENT_CLOSED);
    assert_int_equal(out.stream, 2);
    assert_int_equal(out.seq, 4);
    assert_int_equal(out.generation, 5);
    assert_int_equal(out.records, 6);
    assert_int_equal(out.order_max, 7);
    assert_int_equal(out.epoch_max, 8);
    assert_false(cbd_segment_decode(&m, 2, &geo, &out)); /* of another place */
}

static void a_segment_entry_with_a_field_out_of_range_is_refused(void **state)
{
    const struct bad_field bad[] = {
        BAD(cbd_m_segment, owner, 2, CBD_BACKENDS + 1),
        BAD(cbd_m_segment, owner, 2, 0), /* closed, and nobody's */
        BAD(cbd_m_segment, status, 1, 3),
        BAD(cbd_m_segment, stream, 1, CBD_STREAMS_MAX),
        BAD(cbd_m_segment, generation, 8, CBD_GENERATION_MAX + 1),
        BAD(cbd_m_segment, kind, 4, 1),
        BAD(cbd_m_segment, records, 4, 65536 / 64 + 1),
        BAD(cbd_m_segment, order_max, 8, CBD_ORDER_MAX + 1),
        BAD(cbd_m_segment, epoch_max, 8, CBD_EPOCH_MAX + 1),
        BAD(cbd_m_segment, reserved, 1, 1),
        BAD(cbd_m_segment, reserved[11], 1, 1),
        BAD(cbd_m_segment, detached, 4, 65536 / 64 + 1),
    };
    struct cbd_geometry geo = geometry();

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cbd_segment_entry out;
        struct cbd_m_segment m;

        cbd_segment_encode(&good_segment, 1, &m);
        put_field(&m, &bad[i]);
        seal(&m, sizeof(m), 1);
        if (cbd_segment_decode(&m, 1, &geo, &out))
            fail_msg("accepted: %s", bad[i].name);
    }
}

/* ------------------------------------------------------------------ backend entries */

static struct cbd_backend_config good_backend(void)
{
    struct cbd_backend_config b = {
        .used = CBD_M_BACKEND_USED,
        .seq = 3,
        .uuid = {9},
        .name = "one",
        .size_bytes = 1u << 20,
        .logical_block_bytes = 4096,
        .streams = 2,
        .segments = 4,
        .created_s = 5,
        .path = "/dev/x",
    };

    return b;
}

static void a_backend_entry_comes_back(void **state)
{
    struct cbd_backend_config in = good_backend(), out;
    struct cbd_m_backend m;

    (void)state;
    memset(in.name, 'n', CBD_BACKEND_NAME_BYTES); /* names may fill their place */
    memset(in.path, 'p', CBD_BACKEND_PATH_BYTES);
    cbd_backend_encode(&in, 1, &m);
    assert_true(cbd_backend_decode(&m, 1, &out));
    assert_string_equal(out.name, in.name);
    assert_string_equal(out.path, in.path);
    assert_memory_equal(out.uuid, in.uuid, 16);
    assert_int_equal(out.seq, 3);
    assert_int_equal(out.size_bytes, in.size_bytes);
    assert_int_equal(out.logical_block_bytes, 4096);
    assert_int_equal(out.streams, 2);
    assert_int_equal(out.segments, 4);
    assert_int_equal(out.created_s, 5);
    assert_false(cbd_backend_decode(&m, 2, &out));
}

static void a_backend_entry_with_a_field_out_of_range_is_refused(void **state)
{
    const struct bad_field bad[] = {
        BAD(cbd_m_backend, used, 4, 2),
        BAD(cbd_m_backend, name, 8, 0),
        BAD(cbd_m_backend, size_bytes, 8, 0),
        BAD(cbd_m_backend, size_bytes, 8, (1 << 20) + 512),
        BAD(cbd_m_backend, size_bytes, 8, (UINT64_C(1) << 48) + 4096),
        BAD(cbd_m_backend, logical_block_bytes, 4, 0),
        BAD(cbd_m_backend, logical_block_bytes, 4, 256),
        BAD(cbd_m_backend, logical_block_bytes, 4, 1536),
        BAD(cbd_m_backend, logical_block_bytes, 4, 8192),
        BAD(cbd_m_backend, streams, 4, 0),
        BAD(cbd_m_backend, streams, 4, CBD_STREAMS_MAX + 1),
        BAD(cbd_m_backend, segments, 4, 1), /* fewer than streams */
        BAD(cbd_m_backend, segments, 4, CBD_SEGMENTS_MAX + 1),
        BAD(cbd_m_backend, reserved0, 4, 1),
        BAD(cbd_m_backend, reserved1, 1, 1),
        BAD(cbd_m_backend, reserved1[127], 1, 1),
        BAD(cbd_m_backend, name[63], 1, 1), /* behind the end of the text */
        BAD(cbd_m_backend, path[255], 1, 1),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cbd_backend_config in = good_backend(), out;
        struct cbd_m_backend m;

        cbd_backend_encode(&in, 1, &m);
        put_field(&m, &bad[i]);
        seal(&m, sizeof(m), 1);
        if (cbd_backend_decode(&m, 1, &out))
            fail_msg("accepted: %s", bad[i].name);
    }
}

static void a_free_backend_entry_needs_no_sense(void **state)
{
    struct cbd_backend_config in = {.seq = 8}, out;
    struct cbd_m_backend m;

    (void)state;
    cbd_backend_encode(&in, 1, &m);
    assert_true(cbd_backend_decode(&m, 1, &out));
    assert_int_equal(out.used, CBD_M_BACKEND_FREE);
    assert_int_equal(out.seq, 8);
}

static void a_backend_state_obeys_its_limits(void **state)
{
    const struct cbd_backend_state in = {
        .flags = CBD_M_STATE_ATTACHED | CBD_M_STATE_DROPPING,
        .seq = 2,
        .epoch_written = 3,
        .horizon = 4,
        .attaches = 5,
        .carried = 6,
    };
    const struct bad_field bad[] = {
        BAD(cbd_m_backend_state, flags, 4, 4),
        BAD(cbd_m_backend_state, flags, 4, UINT32_C(1) << 31),
        BAD(cbd_m_backend_state, epoch_written, 8, CBD_EPOCH_MAX + 1),
        BAD(cbd_m_backend_state, horizon, 8, CBD_ORDER_MAX + 1),
        BAD(cbd_m_backend_state, carried, 8, CBD_EPOCH_MAX + 1),
        BAD(cbd_m_backend_state, reserved, 1, 1),
        BAD(cbd_m_backend_state, reserved[15], 1, 1),
    };
    struct cbd_m_backend_state m;
    struct cbd_backend_state out;

    (void)state;
    cbd_state_encode(&in, 1, &m);
    assert_true(cbd_state_decode(&m, 1, &out));
    assert_int_equal(out.flags, in.flags);
    assert_int_equal(out.seq, in.seq);
    assert_int_equal(out.epoch_written, in.epoch_written);
    assert_int_equal(out.horizon, in.horizon);
    assert_int_equal(out.attaches, in.attaches);
    assert_int_equal(out.carried, in.carried);
    assert_false(cbd_state_decode(&m, 2, &out));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cbd_state_encode(&in, 1, &m);
        put_field(&m, &bad[i]);
        seal(&m, sizeof(m), 1);
        if (cbd_state_decode(&m, 1, &out))
            fail_msg("accepted: %s", bad[i].name);
    }
}

/* D23: stack bytes reached the media in the padding of small structures. */
static void test_d23_every_byte_that_has_no_field_is_zero(void **state)
{
    struct cbd_backend_config backend = good_backend();
    struct cbd_m_backend a, b;

    (void)state;
    memset(&a, 0xaa, sizeof(a));
    memset(&b, 0x55, sizeof(b));
    memset(backend.name + 4, 0xee, 8); /* behind the end of the text */
    cbd_backend_encode(&backend, 1, &a);
    memset(backend.name + 4, 0x11, 8);
    cbd_backend_encode(&backend, 1, &b);
    assert_memory_equal(&a, &b, sizeof(a));
}

/* ------------------------------------------------------------------ superblock */

static struct cbd_super good_super(void)
{
    struct cbd_super super = {
        .uuid = {4},
        .salt = 5,
        .disk_version = CBD_DISK_VERSION,
        .compat = 6,
        .ro_compat = 7,
        .incompat = CBD_INCOMPAT_DATA_CHECKSUMS,
        .generation_floor = 8,
        .created_s = 9,
        .label = "shelf",
    };

    super.geo = geometry();
    return super;
}

static void seal_super(struct cbd_m_super *m)
{
    m->crc = cbd_put32(cbd_crc32c(0xffffffffu, m, offsetof(struct cbd_m_super, crc)));
}

static void a_superblock_comes_back(void **state)
{
    struct cbd_super in = good_super(), out;
    struct cbd_m_super m;

    (void)state;
    cbd_super_encode(&in, 2, &m);
    assert_int_equal(cbd_super_decode(&m, 2, DEVICE_BYTES, &out), 0);
    assert_memory_equal(&out.geo, &in.geo, sizeof(in.geo));
    assert_memory_equal(out.uuid, in.uuid, 16);
    assert_string_equal(out.label, "shelf");
    assert_int_equal(out.salt, 5);
    assert_int_equal(out.compat, 6); /* unknown bits there forbid nothing here */
    assert_int_equal(out.ro_compat, 7);
    assert_int_equal(out.generation_floor, 8);
    assert_int_equal(out.created_s, 9);
    assert_int_equal(cbd_super_decode(&m, 1, DEVICE_BYTES, &out), CBD_E_CORRUPT);
    assert_int_equal(cbd_super_decode(&m, 2, 2 * DEVICE_BYTES, &out), 0); /* it has grown */
    assert_int_equal(cbd_super_decode(&m, 2, DEVICE_BYTES - 4096, &out), CBD_E_CORRUPT);
}

static void a_superblock_with_a_field_out_of_range_is_refused(void **state)
{
    const struct bad_field bad[] = {
        SUPER(magic, 1, 0, CBD_E_NOTCBD),
        SUPER(magic[15], 1, 1, CBD_E_NOTCBD),
        SUPER(disk_version, 4, 0, CBD_E_VERSION),
        SUPER(disk_version, 4, 2, CBD_E_VERSION),
        SUPER(incompat, 8, 4, CBD_E_VERSION),
        SUPER(incompat, 8, CBD_INCOMPAT_FORMATTING, CBD_E_NOTCBD),
        SUPER(copy, 4, 3, CBD_E_CORRUPT),
        SUPER(device_bytes, 8, 0, CBD_E_CORRUPT),
        SUPER(device_bytes, 8, DEVICE_BYTES + 4096, CBD_E_CORRUPT),
        SUPER(device_bytes, 8, UINT64_MAX, CBD_E_CORRUPT),
        SUPER(segment_bytes, 4, 0, CBD_E_CORRUPT),
        SUPER(segment_bytes, 4, 131072, CBD_E_CORRUPT),
        SUPER(segment_bytes, 4, 1u << 31, CBD_E_CORRUPT),
        SUPER(segment_count, 4, 0, CBD_E_CORRUPT),
        SUPER(segment_count, 4, UINT32_MAX, CBD_E_CORRUPT),
        SUPER(table_a_off, 8, 0, CBD_E_CORRUPT),
        SUPER(table_b_off, 8, CBD_TABLES_OFF, CBD_E_CORRUPT),
        SUPER(table_bytes, 8, 4096, CBD_E_CORRUPT),
        SUPER(data_off, 8, 4u << 20, CBD_E_CORRUPT),
        SUPER(super2_off, 8, 4096, CBD_E_CORRUPT),
        SUPER(generation_floor, 8, CBD_GENERATION_MAX + 1, CBD_E_CORRUPT),
        SUPER(backends_max, 4, 33, CBD_E_CORRUPT),
        SUPER(atomic_bytes, 4, 65536, CBD_E_CORRUPT),
        SUPER(reserved, 1, 1, CBD_E_CORRUPT),
        SUPER(reserved[291], 1, 1, CBD_E_CORRUPT),
        SUPER(label[6], 1, 1, CBD_E_CORRUPT), /* behind the end of the text */
        SUPER(label[63], 1, 1, CBD_E_CORRUPT),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cbd_super in = good_super(), out;
        struct cbd_m_super m;
        int error;

        cbd_super_encode(&in, 0, &m);
        put_field(&m, &bad[i]);
        seal_super(&m);
        error = cbd_super_decode(&m, 0, DEVICE_BYTES, &out);
        if (error != bad[i].error)
            fail_msg("%s: %s", bad[i].name, cbd_error_name(error));
    }
}

static void any_flipped_bit_of_a_superblock_is_seen(void **state)
{
    struct cbd_super in = good_super(), out;
    struct cbd_m_super m;

    (void)state;
    cbd_super_encode(&in, 0, &m);
    for (size_t bit = 0; bit < 8 * sizeof(m); bit++) {
        ((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(cbd_super_decode(&m, 0, DEVICE_BYTES, &out), 0);
        ((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(cbd_super_decode(&m, 0, DEVICE_BYTES, &out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_entry_comes_back),
        cmocka_unit_test(a_segment_entry_with_a_field_out_of_range_is_refused),
        cmocka_unit_test(a_backend_entry_comes_back),
        cmocka_unit_test(a_backend_entry_with_a_field_out_of_range_is_refused),
        cmocka_unit_test(a_free_backend_entry_needs_no_sense),
        cmocka_unit_test(a_backend_state_obeys_its_limits),
        cmocka_unit_test(test_d23_every_byte_that_has_no_field_is_zero),
        cmocka_unit_test(a_superblock_comes_back),
        cmocka_unit_test(a_superblock_with_a_field_out_of_range_is_refused),
        cmocka_unit_test(any_flipped_bit_of_a_superblock_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
