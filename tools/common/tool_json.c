/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON output on top of libjansson. */
#include "tool_json.h"

#include <stdlib.h>
#include <string.h>

#include "tool_exit.h"
#include "tool_message.h"

static void need(bool held)
{
    if (held)
        return;
    cbd_tool_error(NULL, "no memory for the JSON output");
    exit(CBD_EXIT_OPERATIONAL);
}

/* Takes over value. */
static json_t *set(json_t *object, const char *key, json_t *value)
{
    need(value != NULL && json_object_set_new(object, key, value) == 0);
    return value;
}

json_t *cbd_tool_json_document(const char *kind, unsigned version)
{
    json_t *document = json_object();

    need(document != NULL);
    cbd_tool_json_text(document, "format", kind);
    cbd_tool_json_u64(document, "format_version", version);
    return document;
}

json_t *cbd_tool_json_object(json_t *parent, const char *key)
{
    return set(parent, key, json_object());
}

json_t *cbd_tool_json_array(json_t *parent, const char *key)
{
    return set(parent, key, json_array());
}

json_t *cbd_tool_json_append_object(json_t *array)
{
    json_t *object = json_object();

    need(object != NULL && json_array_append_new(array, object) == 0);
    return object;
}

static json_t *u64(uint64_t value)
{
    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    return json_sprintf("%llu", (unsigned long long)value);
}

void cbd_tool_json_u64(json_t *object, const char *key, uint64_t value)
{
    set(object, key, u64(value));
}

void cbd_tool_json_append_u64(json_t *array, uint64_t value)
{
    json_t *number = u64(value);

    need(number != NULL && json_array_append_new(array, number) == 0);
}

void cbd_tool_json_bool(json_t *object, const char *key, bool value)
{
    set(object, key, json_boolean(value));
}

/* Length of the well-formed UTF-8 character at p, 0: there is none. */
static size_t utf8_len(const unsigned char *p, size_t left_bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code;
    size_t len;

    if (p[0] < 0x80)
        return 1;
    len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc0 || p[0] >= 0xf8 || len > left_bytes)
        return 0;
    code = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return len;
}

void cbd_tool_json_bytes(json_t *object, const char *key, const char *text, size_t len_bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strnlen(text, len_bytes), used = 0;
    char *clean = malloc(3 * left + 1); /* U+FFFD takes three bytes */

    need(clean != NULL);
    while (left > 0) {
        size_t len = utf8_len(p, left);

        if (len == 0) {
            memcpy(clean + used, "\xef\xbf\xbd", 3);
            used += 3;
            len = 1;
        } else {
            memcpy(clean + used, p, len);
            used += len;
        }
        p += len;
        left -= len;
    }
    set(object, key, json_stringn(clean, used));
    free(clean);
}

void cbd_tool_json_text(json_t *object, const char *key, const char *text)
{
    cbd_tool_json_bytes(object, key, text, strlen(text));
}

void cbd_tool_json_uuid(json_t *object, const char *key, const uint8_t uuid[CBD_TOOL_UUID_BYTES])
{
    char buf[CBD_TOOL_UUID_TEXT_BYTES];

    cbd_tool_json_text(object, key, cbd_tool_uuid_print(uuid, buf));
}

int cbd_tool_json_print(const json_t *document, FILE *out)
{
    if (json_dumpf(document, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF ||
        fflush(out) != 0 || ferror(out))
        return CBD_E_SYSTEM;
    return 0;
}
