/* SPDX-License-Identifier: BSD-2-Clause */
/* Little-endian integers as media holds them: struct types, so that a forgotten swap does not compile. */
#ifndef CBD_LE_H
#define CBD_LE_H

#include <stdint.h>

struct cbd_le16 {
    uint16_t raw;
};
struct cbd_le32 {
    uint32_t raw;
};
struct cbd_le64 {
    uint64_t raw;
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define CBD_LE_SWAP16(v) (v)
#define CBD_LE_SWAP32(v) (v)
#define CBD_LE_SWAP64(v) (v)
#else
#define CBD_LE_SWAP16(v) __builtin_bswap16(v)
#define CBD_LE_SWAP32(v) __builtin_bswap32(v)
#define CBD_LE_SWAP64(v) __builtin_bswap64(v)
#endif

static inline uint16_t cbd_get16(struct cbd_le16 v)
{
    return CBD_LE_SWAP16(v.raw);
}

static inline uint32_t cbd_get32(struct cbd_le32 v)
{
    return CBD_LE_SWAP32(v.raw);
}

static inline uint64_t cbd_get64(struct cbd_le64 v)
{
    return CBD_LE_SWAP64(v.raw);
}

static inline struct cbd_le16 cbd_put16(uint16_t v)
{
    return (struct cbd_le16){CBD_LE_SWAP16(v)};
}

static inline struct cbd_le32 cbd_put32(uint32_t v)
{
    return (struct cbd_le32){CBD_LE_SWAP32(v)};
}

static inline struct cbd_le64 cbd_put64(uint64_t v)
{
    return (struct cbd_le64){CBD_LE_SWAP64(v)};
}

#endif
