/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Self-describing sectors: 512 bytes that say which version of which sector they are, so that one
 * u64 a sector is enough to know what a disk or a cache holds.
 *
 *   word 0   version            0 is the content of an untouched disk (not zeroes)
 *   word 1   sector address + 1 so that no sector but a zeroed one starts with two zero words
 *   word 2.. a cheap function of both
 *
 * Words are little-endian. Addresses count sectors of 512 bytes. Pure functions.
 */
#ifndef SIM_SECTOR_H
#define SIM_SECTOR_H

#include <stdint.h>

#define SIM_SECTOR_BYTES 512u

/* Versions a caller may use are below this. */
#define SIM_VERSION_LIMIT (UINT64_C(1) << 62)
#define SIM_VERSION_INITIAL UINT64_C(0)
#define SIM_VERSION_ZERO UINT64_MAX          /* all bytes zero */
#define SIM_VERSION_GARBAGE (UINT64_MAX - 1) /* torn, of another address, or nobody's */

/* Writes 512 bytes. ZERO gives zeroes, GARBAGE bytes that decode as garbage everywhere. */
void sim_sector_fill(void *buf512, uint64_t sector, uint64_t version);

/* Looks at all 512 bytes. */
uint64_t sim_sector_decode(const void *buf512, uint64_t sector);

/* Looks at words 0 and 1 only: does not see damage behind them. */
uint64_t sim_sector_decode_fast(const void *buf512, uint64_t sector);

#endif
