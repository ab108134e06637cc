/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C through ISA-L, and of single lines by the processor's own instruction. */
#include "crc.h"

#include <isa-l/crc.h>

#include "cbd/le.h"

/* ISA-L takes the length as int; a power of two keeps the pieces aligned as the buffer is. */
#define PIECE_BYTES ((size_t)1 << 30)

uint32_t cbd_crc32c(uint32_t seed, const void *p, size_t len_bytes)
{
    /* ISA-L's prototype lacks const; it only reads. */
    unsigned char *at = (unsigned char *)(uintptr_t)p;
    uint32_t crc = seed;

    while (len_bytes > 0) {
        size_t piece_bytes = len_bytes < PIECE_BYTES ? len_bytes : PIECE_BYTES;

        crc = crc32_iscsi(at, (int)piece_bytes, crc);
        at += piece_bytes;
        len_bytes -= piece_bytes;
    }
    return crc;
}

static uint32_t line_anywhere(uint32_t seed, const uint64_t words[8])
{
    struct cbd_le64 line[8];

    for (unsigned i = 0; i < 8; i++)
        line[i] = cbd_put64(words[i]);
    return cbd_crc32c(seed, (const unsigned char *)line + 4, sizeof(line) - 4);
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t line_sse42(uint32_t seed, const uint64_t words[8])
{
    uint64_t crc = __builtin_ia32_crc32si(seed, (uint32_t)(words[0] >> 32));

    for (unsigned i = 1; i < 8; i++)
        crc = __builtin_ia32_crc32di(crc, words[i]);
    return (uint32_t)crc;
}

uint32_t cbd_crc32c_line(uint32_t seed, const uint64_t words[8])
{
    /* ISA-L takes four times as long for so few bytes. */
    return __builtin_cpu_supports("sse4.2") ? line_sse42(seed, words) : line_anywhere(seed, words);
}

#else

uint32_t cbd_crc32c_line(uint32_t seed, const uint64_t words[8])
{
    return line_anywhere(seed, words);
}

#endif
