/* SPDX-License-Identifier: BSD-2-Clause */
/* A line cut into fields, and what a field may say. */
#include "trace/fields.h"

#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_DIGITS 9u
#define QUOTE_BYTES_MAX 32u /* of the field; the rest of a long one helps nobody */
#define QUOTE_TAIL_BYTES 9u /* room for one \xNN, the dots, the quote and the NUL */

static void store(struct sim_field *fields, unsigned max, unsigned n, const char *from,
                  const char *to)
{
    if (n < max) {
        fields[n] = (struct sim_field){from, (size_t)(to - from)};
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

unsigned sim_fields_split_blank(const char *line, size_t len_bytes, struct sim_field *fields,
                                unsigned max)
{
    const char *at = line;
    const char *end = line + len_bytes;
    unsigned n = 0;

    while (at < end) {
        const char *from;

        while (at < end && is_blank(*at)) {
            at++;
        }
        from = at;
        while (at < end && !is_blank(*at)) {
            at++;
        }
        if (at > from) {
            store(fields, max, n++, from, at);
        }
    }
    return n;
}

unsigned sim_fields_split_comma(const char *line, size_t len_bytes, struct sim_field *fields,
                                unsigned max)
{
    const char *from = line;
    const char *end = line + len_bytes;
    unsigned n = 0;

    for (const char *at = line; at < end; at++) {
        if (*at == ',') {
            store(fields, max, n++, from, at);
            from = at + 1;
        }
    }
    store(fields, max, n++, from, end);
    return n;
}

bool sim_field_u64(const struct sim_field *field, uint64_t *value)
{
    uint64_t sum = 0;

    if (field->len_bytes == 0) {
        return false;
    }
    for (size_t i = 0; i < field->len_bytes; i++) {
        char c = field->text[i];
        uint64_t digit;

        if (c < '0' || c > '9') {
            return false;
        }
        digit = (uint64_t)(c - '0');
        if (sum > (UINT64_MAX - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool sim_field_seconds(const struct sim_field *field, uint64_t *ns)
{
    const char *point = memchr(field->text, '.', field->len_bytes);
    size_t whole = point != NULL ? (size_t)(point - field->text) : field->len_bytes;
    struct sim_field left = {field->text, whole};
    uint64_t seconds;
    uint64_t fraction = 0;

    if (!sim_field_u64(&left, &seconds) || seconds >= UINT64_MAX / NS_PER_S) {
        return false;
    }
    if (point != NULL) {
        struct sim_field right = {point + 1, field->len_bytes - whole - 1};

        if (right.len_bytes > NS_DIGITS || !sim_field_u64(&right, &fraction)) {
            return false;
        }
        for (size_t i = right.len_bytes; i < NS_DIGITS; i++) {
            fraction *= 10;
        }
    }
    *ns = seconds * NS_PER_S + fraction;
    return true;
}

bool sim_field_is(const struct sim_field *field, const char *word)
{
    size_t len = strlen(word);

    return field->len_bytes == len && memcmp(field->text, word, len) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool sim_field_is_any_case(const struct sim_field *field, const char *word)
{
    if (field->len_bytes != strlen(word)) {
        return false;
    }
    for (size_t i = 0; i < field->len_bytes; i++) {
        if (lower(field->text[i]) != lower(word[i])) {
            return false;
        }
    }
    return true;
}

bool sim_field_is_name(const struct sim_field *field)
{
    for (size_t i = 0; i < field->len_bytes; i++) {
        unsigned char c = (unsigned char)field->text[i];

        if (c <= ' ' || c == 0x7F) {
            return false;
        }
    }
    return field->len_bytes > 0;
}

void sim_field_quote(const struct sim_field *field, char *dst, size_t dst_bytes)
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    size_t i = 0;

    if (dst_bytes <= QUOTE_TAIL_BYTES) {
        memset(dst, 0, dst_bytes);
        return;
    }
    dst[at++] = '\'';
    while (i < field->len_bytes && i < QUOTE_BYTES_MAX && at + QUOTE_TAIL_BYTES <= dst_bytes) {
        unsigned char c = (unsigned char)field->text[i++];

        if (c >= ' ' && c < 0x7F && c != '\'' && c != '\\') {
            dst[at++] = (char)c;
        } else {
            dst[at++] = '\\';
            dst[at++] = 'x';
            dst[at++] = hex[c >> 4];
            dst[at++] = hex[c & 15];
        }
    }
    if (i < field->len_bytes) {
        memcpy(dst + at, "...", 3);
        at += 3;
    }
    dst[at++] = '\'';
    dst[at] = '\0';
}
