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

/* Two hex digits for each byte of the longest field that is shown so; texts are shorter. */
#define TEXT_BYTES_MAX (2 * DUMP_STRUCT_BYTES_MAX + 1)
#define HEX_LINE_BYTES 16u
#define HEX_LINE_CHARS 35 /* of sixteen bytes, in groups of four */

/* One list has the fields of all structs; each struct is a stretch of it. */
#define X(s, field, kind, meaning)                                                                 \
    {#field, DUMP_##kind, offsetof(struct cbd_m_##s, field),                                       \
     sizeof(((struct cbd_m_##s *)0)->field), meaning},
static const struct dump_field fields[] = {
#include "cbd/media_fields.def"
};
#undef X

enum field_number {
#define X(s, field, kind, meaning) FIELD_##s##_##field,
#include "cbd/media_fields.def"
#undef X
};

#define STRUCT(s, text, first, last)                                                               \
    const struct dump_struct dump_##s = {text, sizeof(struct cbd_m_##s),                           \
                                         &fields[FIELD_##s##_##first],                             \
                                         FIELD_##s##_##last - FIELD_##s##_##first + 1}

STRUCT(super, "superblock", magic, crc);
STRUCT(backend, "backend entry", crc, reserved1);
STRUCT(backend_state, "backend state", crc, reserved);
STRUCT(segment, "segment entry", crc, reserved);
STRUCT(record, "record", crc, reserved1);
STRUCT(header, "payload header", crc, block_crc);
STRUCT(crc_line, "checksum line", block_crc, block_crc);

static uint64_t number(const uint8_t *bytes, uint32_t len)
{
    uint64_t value = 0;

    for (uint32_t i = len; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static uint64_t field_number(const struct dump_field *f, const uint8_t *bytes)
{
    return number(bytes + f->off_bytes, f->len_bytes);
}

static bool all_zero(const struct dump_field *f, const uint8_t *bytes)
{
    for (uint32_t i = 0; i < f->len_bytes; i++)
        if (bytes[f->off_bytes + i] != 0)
            return false;
    return true;
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

static void hex_digits(const uint8_t *bytes, uint32_t len, char *text)
{
    for (uint32_t i = 0; i < len; i++)
        sprintf(text + 2 * (size_t)i, "%02x", bytes[i]);
}

static void crcs_text(const struct dump_field *f, const uint8_t *bytes, char *text)
{
    size_t n = 0;

    for (uint32_t i = 0; i < f->len_bytes; i += 4)
        n += (size_t)sprintf(text + n, "%s%08" PRIx64, i != 0 ? "," : "",
                             number(bytes + f->off_bytes + i, 4));
}

/* The text of any field. Returns buf. */
static const char *value_text(const struct dump_field *f, const uint8_t *bytes,
                              char buf[TEXT_BYTES_MAX])
{
    const char *word;

    switch (f->kind) {
    case DUMP_RAW:
    case DUMP_RESERVED:
        hex_digits(bytes + f->off_bytes, f->len_bytes, buf);
        return buf;
    case DUMP_UUID:
        return cbd_tool_uuid_print(bytes + f->off_bytes, buf);
    case DUMP_TEXT:
        memcpy(buf, bytes + f->off_bytes, f->len_bytes);
        buf[f->len_bytes] = '\0';
        cbd_tool_clean_text(buf);
        return buf;
    case DUMP_CRCS:
        crcs_text(f, bytes, buf);
        return buf;
    case DUMP_HEX:
        snprintf(buf, TEXT_BYTES_MAX, "0x%" PRIx64, field_number(f, bytes));
        return buf;
    case DUMP_OWNER:
        if (field_number(f, bytes) == 0)
            return "nobody";
        snprintf(buf, TEXT_BYTES_MAX, "backend %" PRIu64, field_number(f, bytes) - 1);
        return buf;
    default:
        break;
    }
    word = dump_word(f->kind, field_number(f, bytes));
    if (word != NULL)
        return word;
    snprintf(buf, TEXT_BYTES_MAX, "%" PRIu64, field_number(f, bytes));
    return buf;
}

/* Sixteen bytes of a field with their offset in the struct; `len` may be less at the end. */
static void hex_line(uint32_t off, const uint8_t *bytes, uint32_t len)
{
    char text[HEX_LINE_CHARS + 1];
    size_t n = 0;

    for (uint32_t i = 0; i < len; i++)
        n += (size_t)sprintf(text + n, "%s%02x", i != 0 && i % 4 == 0 ? " " : "", bytes[i]);
    printf("    %04" PRIx32 "  %-*s", off, HEX_LINE_CHARS, text);
}

/* What a field has beyond its first line; lines like the one before are left out. */
static void hex_rest(const struct dump_field *f, const uint8_t *bytes)
{
    bool starred = false;

    for (uint32_t done = HEX_LINE_BYTES; done < f->len_bytes; done += HEX_LINE_BYTES) {
        const uint8_t *p = bytes + f->off_bytes + done;
        uint32_t left = f->len_bytes - done;
        uint32_t len = left < HEX_LINE_BYTES ? left : HEX_LINE_BYTES;

        if (memcmp(p, p - HEX_LINE_BYTES, len) != 0) {
            hex_line(f->off_bytes + done, p, len);
            printf("\n");
            starred = false;
        } else if (!starred) {
            printf("    *\n");
            starred = true;
        }
    }
}

void dump_fields_text(const struct dump_struct *s, const uint8_t *bytes, bool hex)
{
    char buf[TEXT_BYTES_MAX], size[CBD_TOOL_SIZE_TEXT_BYTES];

    for (size_t i = 0; i < s->field_count; i++) {
        const struct dump_field *f = &s->fields[i];
        bool silent = f->kind == DUMP_RESERVED && all_zero(f, bytes);

        if (silent && !hex)
            continue;
        if (hex)
            hex_line(f->off_bytes, bytes + f->off_bytes,
                     f->len_bytes < HEX_LINE_BYTES ? f->len_bytes : HEX_LINE_BYTES);
        printf("%s%-20s %s", hex ? "  " : "    ", f->name,
               silent ? "0" : value_text(f, bytes, buf));
        if (f->kind == DUMP_BYTES)
            printf("  (%s)", cbd_tool_size_human(field_number(f, bytes), size));
        printf("\n");
        if (hex)
            hex_rest(f, bytes);
    }
}

/* Where in a line: what it is about first, checksums and masks last. */
static int rank(const struct dump_field *f)
{
    if (f->kind == DUMP_TYPE || strcmp(f->name, "addr_bytes") == 0 ||
        strcmp(f->name, "len_bytes") == 0)
        return 0;
    return f->kind == DUMP_HEX ? 2 : 1;
}

void dump_fields_line(const struct dump_struct *s, const uint8_t *bytes)
{
    char buf[TEXT_BYTES_MAX];

    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; i < s->field_count; i++) {
            const struct dump_field *f = &s->fields[i];

            if (rank(f) != turn || (f->kind == DUMP_RESERVED && all_zero(f, bytes)))
                continue;
            printf(" %s=%s", f->name, value_text(f, bytes, buf));
        }
}

static void json_crcs(const struct dump_field *f, const uint8_t *bytes, json_t *object)
{
    json_t *array = cbd_tool_json_array(object, f->name);

    for (uint32_t i = 0; i < f->len_bytes; i += 4)
        cbd_tool_json_append_u64(array, number(bytes + f->off_bytes + i, 4));
}

void dump_fields_json(const struct dump_struct *s, const uint8_t *bytes, bool hex, json_t *object)
{
    char buf[TEXT_BYTES_MAX];

    for (size_t i = 0; i < s->field_count; i++) {
        const struct dump_field *f = &s->fields[i];

        switch (f->kind) {
        case DUMP_RESERVED:
            if (all_zero(f, bytes))
                break;
            /* fallthrough */
        case DUMP_RAW:
        case DUMP_UUID:
            cbd_tool_json_text(object, f->name, value_text(f, bytes, buf));
            break;
        case DUMP_TEXT:
            cbd_tool_json_bytes(object, f->name, (const char *)bytes + f->off_bytes, f->len_bytes);
            break;
        case DUMP_CRCS:
            json_crcs(f, bytes, object);
            break;
        default:
            cbd_tool_json_u64(object, f->name, field_number(f, bytes));
            break;
        }
    }
    if (!hex)
        return;
    hex_digits(bytes, s->len_bytes, buf);
    cbd_tool_json_text(object, "hex", buf);
}
