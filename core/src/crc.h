/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C (Castagnoli), reflected, as media uses it: seeded by the caller, never inverted. */
#ifndef CBD_CRC_H
#define CBD_CRC_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of len_bytes at p, continued from seed: crc(crc(s, a), b) is crc(s, a followed by
 * b). A checksum with the usual inversions is ~cbd_crc32c(~0, p, n). Any alignment and length; p
 * may be NULL when len_bytes is 0. Safe from any thread.
 */
uint32_t cbd_crc32c(uint32_t seed, const void *p, size_t len_bytes);

/*
 * The checksum of bytes 4..63 of a 64-byte line: what records, headers and table entries carry in
 * their first four bytes. Reads the line in words of eight bytes.
 */
uint32_t cbd_crc32c_line(uint32_t seed, const void *line);

#endif
