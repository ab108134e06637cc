/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and prints sizes and shares. Integers only, so that output is the same everywhere. */
#ifndef CBD_TOOL_SIZE_H
#define CBD_TOOL_SIZE_H

#include <stddef.h>
#include <stdint.h>

#include "cbd/errors.h"

#define CBD_TOOL_SIZE_TEXT_BYTES 32 /* room for anything that the printers below make */

/*
 * Decimal digits with an optional binary suffix: 4096, 4K, 4k, 4KiB; K M G T. No sign, no space,
 * no fraction; "KB" is refused because it means 1000 to some.
 * Returns 0, or CBD_E_INVALID with a sentence in why that names the argument:
 * "--size: got '12Q', limit a number with K, M, G or T".
 */
int cbd_tool_parse_size(const char *argument, const char *text, uint64_t *size_bytes, char *why,
                        size_t why_len_bytes) CBD_MUST_CHECK;

/* A plain decimal number of min..max; errors as above. */
int cbd_tool_parse_number(const char *argument, const char *text, uint64_t min, uint64_t max,
                          uint64_t *value, char *why, size_t why_len_bytes) CBD_MUST_CHECK;

/* Exact, and read back by the parser: "16MiB", "1536KiB", "1000". Returns buf. */
const char *cbd_tool_size_exact(uint64_t size_bytes, char buf[CBD_TOOL_SIZE_TEXT_BYTES]);

/* For people: "1.5 GiB", one decimal, rounded half up. Returns buf. */
const char *cbd_tool_size_human(uint64_t size_bytes, char buf[CBD_TOOL_SIZE_TEXT_BYTES]);

/*
 * "37.5%", one decimal, rounded down, so that 100.0% means all of it. part <= whole; a whole of 0
 * is "0.0%". Returns buf.
 */
const char *cbd_tool_percent(uint64_t part, uint64_t whole, char buf[CBD_TOOL_SIZE_TEXT_BYTES]);

#endif
