/* SPDX-License-Identifier: BSD-2-Clause */
/* Printers of structs on the media. Text, hex and JSON all come from cbd/media_fields.def. */
#ifndef CBD_DUMP_FIELDS_H
#define CBD_DUMP_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kinds of media_fields.def. */
enum dump_kind {
    DUMP_UINT,
    DUMP_BYTES,
    DUMP_HEX,
    DUMP_RAW,
    DUMP_UUID,
    DUMP_TEXT,
    DUMP_CRCS,
    DUMP_RESERVED,
    DUMP_USED,
    DUMP_STATUS,
    DUMP_TYPE,
    DUMP_OWNER,
};

struct dump_field {
    const char *name;
    enum dump_kind kind;
    uint32_t off_bytes;
    uint32_t len_bytes;
    const char *meaning;
};

struct dump_struct {
    const char *name;
    uint32_t len_bytes;
    const struct dump_field *fields;
    size_t field_count;
};

extern const struct dump_struct dump_super;
extern const struct dump_struct dump_backend;
extern const struct dump_struct dump_backend_state;
extern const struct dump_struct dump_segment;
extern const struct dump_struct dump_record;
extern const struct dump_struct dump_header;
extern const struct dump_struct dump_crc_line;

#define DUMP_STRUCT_BYTES_MAX 512u

/* One line a field, indented; hex: the bytes and their offset in front. */
void dump_fields_text(const struct dump_struct *s, const uint8_t *bytes, bool hex);

/* All fields on the rest of one line: "name=value name=value". */
void dump_fields_line(const struct dump_struct *s, const uint8_t *bytes);

/* A member for each field; hex: and one, "hex", with all bytes. */
void dump_fields_json(const struct dump_struct *s, const uint8_t *bytes, bool hex, json_t *object);

/* "free", "open", "closed", ... or NULL. Static. */
const char *dump_word(enum dump_kind kind, uint64_t value);

#endif
