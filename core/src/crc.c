/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C through ISA-L, and of single lines by the processor's own instruction. */
#include "crc.h"

#include <isa-l/crc.h>
#include <string.h>

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

#if defined(__x86_64__)

static inline uint64_t word_of(const uint8_t *line, unsigned n)
{
    uint64_t word;

    memcpy(&word, line + n * sizeof(word), sizeof(word));
    return word;
}

/* No loop: a compiler that copies the line first would wait for the stores that made it. */
__attribute__((target("sse4.2"))) static uint32_t line_sse42(uint32_t seed, const uint8_t *line)
{
    uint64_t crc = __builtin_ia32_crc32si(seed, (uint32_t)(word_of(line, 0) >> 32));

    crc = __builtin_ia32_crc32di(crc, word_of(line, 1));
    crc = __builtin_ia32_crc32di(crc, word_of(line, 2));
    crc = __builtin_ia32_crc32di(crc, word_of(line, 3));
    crc = __builtin_ia32_crc32di(crc, word_of(line, 4));
    crc = __builtin_ia32_crc32di(crc, word_of(line, 5));
    crc = __builtin_ia32_crc32di(crc, word_of(line, 6));
    return (uint32_t)__builtin_ia32_crc32di(crc, word_of(line, 7));
}

uint32_t cbd_crc32c_line(uint32_t seed, const void *line)
{
    /* ISA-L takes four times as long for so few bytes. */
    return __builtin_cpu_supports("sse4.2") ? line_sse42(seed, line)
                                            : cbd_crc32c(seed, (const uint8_t *)line + 4, 60);
}

#else

uint32_t cbd_crc32c_line(uint32_t seed, const void *line)
{
    return cbd_crc32c(seed, (const uint8_t *)line + 4, 60);
}

#endif
