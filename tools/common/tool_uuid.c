/* SPDX-License-Identifier: BSD-2-Clause */
/* UUIDs: 16 bytes in the order in which they are written, and their text. */
#include "tool_uuid.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

static bool dash_before(int byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int cbd_tool_uuid_parse(const char *text, uint8_t uuid[CBD_TOOL_UUID_BYTES])
{
    uint8_t bytes[CBD_TOOL_UUID_BYTES];

    for (int i = 0; i < CBD_TOOL_UUID_BYTES; i++) {
        int high, low;

        if (dash_before(i) && *text++ != '-')
            return CBD_E_INVALID;
        high = hex_digit(*text);
        low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return CBD_E_INVALID;
        bytes[i] = (uint8_t)(high * 16 + low);
        text += 2;
    }
    if (*text != '\0')
        return CBD_E_INVALID;
    memcpy(uuid, bytes, sizeof(bytes));
    return 0;
}

const char *cbd_tool_uuid_print(const uint8_t uuid[CBD_TOOL_UUID_BYTES],
                                char buf[CBD_TOOL_UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *p = buf;

    for (int i = 0; i < CBD_TOOL_UUID_BYTES; i++) {
        if (dash_before(i))
            *p++ = '-';
        *p++ = digits[uuid[i] >> 4];
        *p++ = digits[uuid[i] & 15];
    }
    *p = '\0';
    return buf;
}

int cbd_tool_uuid_random(uint8_t uuid[CBD_TOOL_UUID_BYTES])
{
    /* Up to 256 bytes are never cut short by a signal. */
    if (getrandom(uuid, CBD_TOOL_UUID_BYTES, 0) != CBD_TOOL_UUID_BYTES)
        return CBD_E_SYSTEM;
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    return 0;
}
