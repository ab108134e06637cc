/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C through ISA-L. */
#include "crc.h"

#include <isa-l/crc.h>

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
