/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and prints sizes and shares. */
#include "tool_size.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char suffixes[] = "KMGT";

/* Reads digits at *text and moves it behind them. False: no digit, or too large. */
static bool read_digits(const char **text, uint64_t *value, bool *too_large)
{
    const char *p = *text;

    *value = 0;
    *too_large = false;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');

        if (*value > (UINT64_MAX - digit) / 10) {
            *too_large = true;
            return false;
        }
        *value = *value * 10 + digit;
    }
    if (p == *text)
        return false;
    *text = p;
    return true;
}

/* The shift of a suffix at the end of the text; -1: it is none. */
static int shift_of_suffix(const char *text)
{
    const char *found;

    if (*text == '\0')
        return 0;
    found = strchr(suffixes, *text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text);
    if (found == NULL || (text[1] != '\0' && strcmp(text + 1, "iB") != 0))
        return -1;
    return 10 * (int)(found - suffixes + 1);
}

int cbd_tool_parse_size(const char *argument, const char *text, uint64_t *size_bytes, char *why,
                        size_t why_len_bytes)
{
    const char *rest = text;
    bool too_large;
    uint64_t value;
    int shift = -1;

    if (read_digits(&rest, &value, &too_large))
        shift = shift_of_suffix(rest);
    if (shift >= 0 && value <= UINT64_MAX >> shift) {
        *size_bytes = value << shift;
        return 0;
    }
    if (too_large || shift >= 0)
        snprintf(why, why_len_bytes, "%s: got '%s', limit less than 2^64 bytes", argument, text);
    else
        snprintf(why, why_len_bytes, "%s: got '%s', limit a number with K, M, G or T", argument,
                 text);
    return CBD_E_INVALID;
}

int cbd_tool_parse_number(const char *argument, const char *text, uint64_t min, uint64_t max,
                          uint64_t *value, char *why, size_t why_len_bytes)
{
    const char *rest = text;
    bool too_large;
    uint64_t number;

    if (read_digits(&rest, &number, &too_large) && *rest == '\0' && number >= min &&
        number <= max) {
        *value = number;
        return 0;
    }
    snprintf(why, why_len_bytes, "%s: got '%s', limit a number of %llu..%llu", argument, text,
             (unsigned long long)min, (unsigned long long)max);
    return CBD_E_INVALID;
}

const char *cbd_tool_size_exact(uint64_t size_bytes, char buf[CBD_TOOL_SIZE_TEXT_BYTES])
{
    int unit = -1;

    while (unit < 3 && size_bytes != 0 && size_bytes % 1024 == 0) {
        size_bytes /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(buf, CBD_TOOL_SIZE_TEXT_BYTES, "%llu", (unsigned long long)size_bytes);
    else
        snprintf(buf, CBD_TOOL_SIZE_TEXT_BYTES, "%llu%ciB", (unsigned long long)size_bytes,
                 suffixes[unit]);
    return buf;
}

const char *cbd_tool_size_human(uint64_t size_bytes, char buf[CBD_TOOL_SIZE_TEXT_BYTES])
{
    uint64_t whole = size_bytes, rest, unit_bytes = 1;
    int unit = -1;

    if (size_bytes < 1024) {
        snprintf(buf, CBD_TOOL_SIZE_TEXT_BYTES, "%llu B", (unsigned long long)size_bytes);
        return buf;
    }
    while (unit < 3 && whole >= 1024) {
        whole /= 1024;
        unit_bytes *= 1024;
        unit++;
    }
    rest = ((size_bytes % unit_bytes) * 10 + unit_bytes / 2) / unit_bytes;
    whole += rest / 10;
    if (whole == 1024 && unit < 3) {
        whole = 1;
        unit++;
    }
    snprintf(buf, CBD_TOOL_SIZE_TEXT_BYTES, "%llu.%llu %ciB", (unsigned long long)whole,
             (unsigned long long)(rest % 10), suffixes[unit]);
    return buf;
}

const char *cbd_tool_percent(uint64_t part, uint64_t whole, char buf[CBD_TOOL_SIZE_TEXT_BYTES])
{
    uint64_t permille = 0;

    /* Both are scaled down until the multiplication fits. */
    while (whole > UINT64_MAX / 1000) {
        whole >>= 1;
        part >>= 1;
    }
    if (whole != 0)
        permille = (part < whole ? part : whole) * 1000 / whole;
    snprintf(buf, CBD_TOOL_SIZE_TEXT_BYTES, "%llu.%llu%%", (unsigned long long)(permille / 10),
             (unsigned long long)(permille % 10));
    return buf;
}
