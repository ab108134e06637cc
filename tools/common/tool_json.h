/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON output: keys in the order in which they were set, integers as integers, two spaces of
 * indentation. Every setter ends the program with CBD_EXIT_OPERATIONAL when memory runs out, so
 * that no output is ever incomplete in silence. Objects come from and go to libjansson.
 */
#ifndef CBD_TOOL_JSON_H
#define CBD_TOOL_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cbd/errors.h"
#include "tool_uuid.h"

/* {"format": kind, "format_version": version}; the caller owns it: json_decref(). */
json_t *cbd_tool_json_document(const char *kind, unsigned version);

/* An empty object or array, already inside its parent, which owns it. */
json_t *cbd_tool_json_object(json_t *parent, const char *key);
json_t *cbd_tool_json_array(json_t *parent, const char *key);
json_t *cbd_tool_json_append_object(json_t *array);

/* Values above INT64_MAX, which only damaged fields have, are written as a decimal string. */
void cbd_tool_json_u64(json_t *object, const char *key, uint64_t value);
/* A number at the end of an array. */
void cbd_tool_json_append_u64(json_t *array, uint64_t value);
void cbd_tool_json_bool(json_t *object, const char *key, bool value);

/* len_bytes of anything, up to the first NUL; what is no UTF-8 becomes U+FFFD. */
void cbd_tool_json_bytes(json_t *object, const char *key, const char *text, size_t len_bytes);
void cbd_tool_json_text(json_t *object, const char *key, const char *text);
void cbd_tool_json_uuid(json_t *object, const char *key, const uint8_t uuid[CBD_TOOL_UUID_BYTES]);

/* Writes the document, a newline, and flushes. 0 or CBD_E_SYSTEM (the output is gone or full). */
int cbd_tool_json_print(const json_t *document, FILE *out) CBD_MUST_CHECK;

#endif
