/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of fields, and the printers that read them. */
#include "fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cbd/media_format.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_size.h"

#define TEXT_BYTES_MAX 257 /* the longest text field and its end */

#define F(type, field, kind)                                                                       \
    {#field, DUMP_##kind, offsetof(struct type, field), sizeof(((struct type *)0)->field)}
#define STRUCT(variable, type, text)                                                               \
    const struct dump_struct variable = {text, sizeof(struct type), variable##_fields,            \
                                         sizeof(variable##_fields) / sizeof(variable##_fields[0])}

static const struct dump_field dump_super_fields[] = {
    F(cbd_m_super, magic, RAW),
    F(cbd_m_super, uuid, UUID),
    F(cbd_m_super, salt, HEX),
    F(cbd_m_super, disk_version, UINT),
    F(cbd_m_super, copy, UINT),
    F(cbd_m_super, compat, HEX),
    F(cbd_m_super, ro_compat, HEX),
    F(cbd_m_super, incompat, HEX),
    F(cbd_m_super, device_bytes, BYTES),
    F(cbd_m_super, segment_bytes, BYTES),
    F(cbd_m_super, segment_count, UINT),
    F(cbd_m_super, table_a_off, UINT),
    F(cbd_m_super, table_b_off, UINT),
    F(cbd_m_super, table_bytes, BYTES),
    F(cbd_m_super, data_off, UINT),
    F(cbd_m_super, super2_off, UINT),
    F(cbd_m_super, generation_floor, UINT),
    F(cbd_m_super, created_s, UINT),
    F(cbd_m_super, backends_max, UINT),
    F(cbd_m_super, atomic_bytes, BYTES),
    F(cbd_m_super, label, TEXT),
    F(cbd_m_super, crc, HEX),
};
STRUCT(dump_super, cbd_m_super, "superblock");

static const struct dump_field dump_backend_fields[] = {
    F(cbd_m_backend, crc, HEX),
    F(cbd_m_backend, used, USED),
    F(cbd_m_backend, seq, UINT),
    F(cbd_m_backend, uuid, UUID),
    F(cbd_m_backend, name, TEXT),
    F(cbd_m_backend, size_bytes, BYTES),
    F(cbd_m_backend, logical_block_bytes, UINT),
    F(cbd_m_backend, streams, UINT),
    F(cbd_m_backend, segments, UINT),
    F(cbd_m_backend, created_s, UINT),
    F(cbd_m_backend, path, TEXT),
};
STRUCT(dump_backend, cbd_m_backend, "backend entry");

static const struct dump_field dump_state_fields[] = {
    F(cbd_m_backend_state, crc, HEX),
    F(cbd_m_backend_state, flags, HEX),
    F(cbd_m_backend_state, seq, UINT),
    F(cbd_m_backend_state, epoch_written, UINT),
    F(cbd_m_backend_state, horizon, UINT),
    F(cbd_m_backend_state, attaches, UINT),
};
STRUCT(dump_state, cbd_m_backend_state, "backend state");

static const struct dump_field dump_segment_fields[] = {
    F(cbd_m_segment, crc, HEX),
    F(cbd_m_segment, owner, OWNER),
    F(cbd_m_segment, status, STATUS),
    F(cbd_m_segment, stream, UINT),
    F(cbd_m_segment, seq, UINT),
    F(cbd_m_segment, generation, UINT),
    F(cbd_m_segment, kind, UINT),
    F(cbd_m_segment, records, UINT),
    F(cbd_m_segment, order_max, UINT),
    F(cbd_m_segment, epoch_max, UINT),
};
STRUCT(dump_segment, cbd_m_segment, "segment entry");

static const struct dump_field dump_record_fields[] = {
    F(cbd_m_record, type, TYPE),
    F(cbd_m_record, addr_bytes, UINT),
    F(cbd_m_record, len_bytes, UINT),
    F(cbd_m_record, order, UINT),
    F(cbd_m_record, epoch, UINT),
    F(cbd_m_record, payload_off, UINT),
    F(cbd_m_record, flags, HEX),
    F(cbd_m_record, durable, UINT),
    F(cbd_m_record, generation_low, UINT),
    F(cbd_m_record, header_crc, HEX),
    F(cbd_m_record, crc, HEX),
};
STRUCT(dump_record, cbd_m_record, "record");

static uint64_t number(const struct dump_field *f, const uint8_t *bytes)
{
    uint64_t value = 0;

    for (uint32_t i = f->len_bytes; i-- > 0;)
        value = value << 8 | bytes[f->off_bytes + i];
    return value;
}

const char *dump_word(enum dump_kind kind, uint64_t value)
{
    static const char *const used[] = {"free", "used"};
    static const char *const status[] = {"free", "open", "closed"};
    static const char *const type[] = {NULL, "write", "fill", "zero", "void"};

    if (kind == DUMP_USED && value < 2)
        return used[value];
    if (kind == DUMP_STATUS && value < 3)
        return status[value];
    return kind == DUMP_TYPE && value < 5 ? type[value] : NULL;
}

static void hex_digits(const struct dump_field *f, const uint8_t *bytes, char *text)
{
    for (uint32_t i = 0; i < f->len_bytes; i++)
        sprintf(text + 2 * (size_t)i, "%02x", bytes[f->off_bytes + i]);
}

/* The text of any field. Returns buf. */
static const char *value_text(const struct dump_field *f, const uint8_t *bytes,
                              char buf[TEXT_BYTES_MAX])
{
    const char *word;

    switch (f->kind) {
    case DUMP_RAW:
        hex_digits(f, bytes, buf);
        return buf;
    case DUMP_UUID:
        return cbd_tool_uuid_print(bytes + f->off_bytes, buf);
    case DUMP_TEXT:
        memcpy(buf, bytes + f->off_bytes, f->len_bytes);
        buf[f->len_bytes] = '\0';
        cbd_tool_clean_text(buf);
        return buf;
    case DUMP_HEX:
        snprintf(buf, TEXT_BYTES_MAX, "0x%" PRIx64, number(f, bytes));
        return buf;
    case DUMP_OWNER:
        if (number(f, bytes) == 0)
            return "nobody";
        snprintf(buf, TEXT_BYTES_MAX, "backend %" PRIu64, number(f, bytes) - 1);
        return buf;
    default:
        break;
    }
    word = dump_word(f->kind, number(f, bytes));
    if (word != NULL)
        return word;
    snprintf(buf, TEXT_BYTES_MAX, "%" PRIu64, number(f, bytes));
    return buf;
}

void dump_fields_text(const struct dump_struct *s, const uint8_t *bytes)
{
    char buf[TEXT_BYTES_MAX], size[CBD_TOOL_SIZE_TEXT_BYTES];

    for (size_t i = 0; i < s->field_count; i++) {
        const struct dump_field *f = &s->fields[i];

        printf("    %-20s %s", f->name, value_text(f, bytes, buf));
        if (f->kind == DUMP_BYTES)
            printf("  (%s)", cbd_tool_size_human(number(f, bytes), size));
        printf("\n");
    }
}

void dump_fields_line(const struct dump_struct *s, const uint8_t *bytes)
{
    char buf[TEXT_BYTES_MAX];

    for (size_t i = 0; i < s->field_count; i++)
        printf(" %s=%s", s->fields[i].name, value_text(&s->fields[i], bytes, buf));
}

void dump_fields_json(const struct dump_struct *s, const uint8_t *bytes, json_t *object)
{
    char buf[TEXT_BYTES_MAX];

    for (size_t i = 0; i < s->field_count; i++) {
        const struct dump_field *f = &s->fields[i];

        switch (f->kind) {
        case DUMP_RAW:
        case DUMP_UUID:
            cbd_tool_json_text(object, f->name, value_text(f, bytes, buf));
            break;
        case DUMP_TEXT:
            cbd_tool_json_bytes(object, f->name, (const char *)bytes + f->off_bytes, f->len_bytes);
            break;
        default:
            cbd_tool_json_u64(object, f->name, number(f, bytes));
            break;
        }
    }
}
