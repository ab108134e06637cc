/* SPDX-License-Identifier: BSD-2-Clause */
/* UUIDs: 16 bytes in the order in which they are written, and their text. */
#ifndef CBD_TOOL_UUID_H
#define CBD_TOOL_UUID_H

#include <stdint.h>

#include "cbd/errors.h"

#define CBD_TOOL_UUID_BYTES 16
#define CBD_TOOL_UUID_TEXT_BYTES 37 /* with the end of the string */

/* Accepts 8-4-4-4-12 hex digits of either case and nothing else. 0 or CBD_E_INVALID. */
int cbd_tool_uuid_parse(const char *text, uint8_t uuid[CBD_TOOL_UUID_BYTES]) CBD_MUST_CHECK;

/* Lower case. Returns buf. */
const char *cbd_tool_uuid_print(const uint8_t uuid[CBD_TOOL_UUID_BYTES],
                                char buf[CBD_TOOL_UUID_TEXT_BYTES]);

/* Random, version 4. 0 or CBD_E_SYSTEM. */
int cbd_tool_uuid_random(uint8_t uuid[CBD_TOOL_UUID_BYTES]) CBD_MUST_CHECK;

#endif
