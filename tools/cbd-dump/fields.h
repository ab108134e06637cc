/* SPDX-License-Identifier: BSD-2-Clause */
/* One description of the fields of each struct on the media; text and JSON both come from it. */
#ifndef CBD_DUMP_FIELDS_H
#define CBD_DUMP_FIELDS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum dump_kind {
    DUMP_UINT,    /* 1, 2, 4 or 8 bytes, little-endian */
    DUMP_BYTES,   /* the same, an amount: text shows the size for people as well */
    DUMP_HEX,     /* the same, shown in hex: checksums, masks, seeds */
    DUMP_RAW,     /* shown as hex digits in the order on the media */
    DUMP_UUID,    /* 16 bytes */
    DUMP_TEXT,    /* padded with NUL */
    DUMP_USED,    /* enum cbd_m_backend_used */
    DUMP_STATUS,  /* enum cbd_m_segment_status */
    DUMP_TYPE,    /* enum cbd_m_record_type */
    DUMP_OWNER,   /* backend + 1 */
};

struct dump_field {
    const char *name;
    enum dump_kind kind;
    uint32_t off_bytes;
    uint32_t len_bytes;
};

struct dump_struct {
    const char *name;
    uint32_t len_bytes;
    const struct dump_field *fields;
    size_t field_count;
};

extern const struct dump_struct dump_super;
extern const struct dump_struct dump_backend;
extern const struct dump_struct dump_state;
extern const struct dump_struct dump_segment;
extern const struct dump_struct dump_record;

/* One line a field, indented. */
void dump_fields_text(const struct dump_struct *s, const uint8_t *bytes);

/* All fields on the rest of one line: "name=value name=value". */
void dump_fields_line(const struct dump_struct *s, const uint8_t *bytes);

/* A member for each field. */
void dump_fields_json(const struct dump_struct *s, const uint8_t *bytes, json_t *object);

/* "free", "open", "closed", ... or NULL. Static. */
const char *dump_word(enum dump_kind kind, uint64_t value);

#endif
