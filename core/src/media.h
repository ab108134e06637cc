/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Media bytes <-> host values. Decoding copies out, checks the checksum, then each field; what it
 * returns can be used without further checks against the geometry.
 *
 * Checksums are CRC-32C. Their seed binds a structure to its cache, its kind, its place and its
 * generation: nothing stale, misplaced or foreign validates.
 */
#ifndef CBD_MEDIA_H
#define CBD_MEDIA_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cbd/format.h"
#include "cbd/media_format.h"

struct cbd_backend_config {
    uint32_t used;
    uint64_t seq;
    uint8_t uuid[16];
    char name[CBD_BACKEND_NAME_BYTES + 1];
    uint64_t size_bytes;
    uint32_t logical_block_bytes;
    uint32_t streams;
    uint32_t segments;
    uint64_t created_s;
    char path[CBD_BACKEND_PATH_BYTES + 1];
};

struct cbd_backend_state {
    uint32_t flags;
    uint64_t seq;
    uint64_t epoch_written;
    uint64_t horizon;
    uint64_t carried; /* epoch of which dirty records below the horizon are stored again above it */
    uint64_t attaches;
};

struct cbd_segment_entry {
    uint16_t owner;
    uint8_t status;
    uint8_t stream;
    uint64_t seq;
    uint64_t generation;
    uint32_t records;
    uint64_t order_max;
    uint64_t epoch_max;
    uint32_t detached;
};

struct cbd_record {
    uint8_t type;
    uint8_t flags;
    uint32_t durable;
    uint64_t order;
    uint64_t epoch;
    uint64_t addr_bytes;
    uint64_t len_bytes;
    uint32_t payload_off;
    uint32_t header_crc;
};

struct cbd_header {
    uint32_t slot;
    uint64_t addr_bytes;
    uint32_t len_bytes;
    uint8_t type;
    uint32_t behind; /* slots from slot - behind on were not known to be durable */
    uint64_t epoch_floor;
    uint32_t crc;
};

/* Each byte is zero as the one before it is. */
static inline bool cbd_all_zero(const void *p, size_t len_bytes)
{
    const uint8_t *byte = p;

    return len_bytes == 0 || (*byte == 0 && memcmp(byte, byte + 1, len_bytes - 1) == 0);
}

/* Length of a text that fills at most max_bytes. */
static inline size_t cbd_text_len(const char *text, size_t max_bytes)
{
    const char *end = memchr(text, '\0', max_bytes);

    return end != NULL ? (size_t)(end - text) : max_bytes;
}

/* Nothing but zero bytes behind its end. */
static inline bool cbd_text_padded(const char *text, size_t max_bytes)
{
    size_t len_bytes = cbd_text_len(text, max_bytes);

    return cbd_all_zero(text + len_bytes, max_bytes - len_bytes);
}

enum cbd_seed_kind {
    CBD_SEED_BACKEND = 1,
    CBD_SEED_STATE,
    CBD_SEED_SEGMENT,
    CBD_SEED_RECORD,
    CBD_SEED_HEADER,
    CBD_SEED_BLOCK,
};

/* What every other seed of a cache is made from. */
uint32_t cbd_seed_cache(const uint8_t uuid[16], uint64_t salt);

uint32_t cbd_seed_place(uint32_t cache_seed, enum cbd_seed_kind kind, uint32_t index,
                        uint64_t generation);

/* Places in the tables: offset within one table. */
uint64_t cbd_place_backend(uint32_t backend);
uint64_t cbd_place_state(uint32_t backend);
uint64_t cbd_place_segment(uint32_t segment);

/* Device offset of a segment, and of the slot of a record. */
static inline uint64_t cbd_segment_off(const struct cbd_geometry *geo, uint32_t segment)
{
    return geo->data_off + (uint64_t)segment * geo->segment_bytes;
}

static inline uint32_t cbd_slot_off(const struct cbd_geometry *geo, uint32_t slot)
{
    return geo->segment_bytes - (slot + 1) * (uint32_t)sizeof(struct cbd_m_record);
}

/*
 * The first byte that payloads must not reach while `slots` records exist: records and payload
 * never share a 4 KiB page, so that one bad page never takes a record and its header together.
 */
static inline uint32_t cbd_payload_limit(const struct cbd_geometry *geo, uint32_t slots)
{
    if (slots >= geo->segment_bytes / sizeof(struct cbd_m_record))
        return 0;
    return (geo->segment_bytes - slots * (uint32_t)sizeof(struct cbd_m_record)) &
           ~(CBD_PAGE_BYTES - 1);
}

/* How many checksum blocks a payload touches, and how many bytes stand before it. */
static inline uint32_t cbd_block_count(uint64_t addr_bytes, uint32_t len_bytes)
{
    uint64_t first = addr_bytes / CBD_BLOCK_BYTES;
    uint64_t last = (addr_bytes + len_bytes - 1) / CBD_BLOCK_BYTES;

    return (uint32_t)(last - first + 1);
}

static inline uint32_t cbd_crc_lines(uint32_t blocks)
{
    if (blocks <= CBD_HEADER_CRCS)
        return 0;
    return (blocks - CBD_HEADER_CRCS + CBD_CRC_LINE_CRCS - 1) / CBD_CRC_LINE_CRCS;
}

static inline uint32_t cbd_header_bytes(uint64_t addr_bytes, uint32_t len_bytes)
{
    uint32_t lines = cbd_crc_lines(cbd_block_count(addr_bytes, len_bytes));

    return (uint32_t)sizeof(struct cbd_m_header) + lines * (uint32_t)sizeof(struct cbd_m_crc_line);
}

/* Dirty and forgotten, but what it said was stored again in the same epoch: X4 in carry.c. */
static inline bool cbd_record_carried(const struct cbd_backend_state *s, const struct cbd_record *r)
{
    return r->order < s->horizon && r->epoch == s->carried;
}

uint64_t cbd_super_generation(struct cbd_pmem *pm);
void cbd_super_encode(const struct cbd_super *super, uint32_t copy, struct cbd_m_super *m);
int cbd_super_decode(const struct cbd_m_super *m, uint32_t copy, uint64_t device_bytes,
                     struct cbd_super *super) CBD_MUST_CHECK;

void cbd_backend_encode(const struct cbd_backend_config *b, uint32_t seed, struct cbd_m_backend *m);
bool cbd_backend_decode(const struct cbd_m_backend *m, uint32_t seed, struct cbd_backend_config *b);

void cbd_state_encode(const struct cbd_backend_state *s, uint32_t seed,
                      struct cbd_m_backend_state *m);
bool cbd_state_decode(const struct cbd_m_backend_state *m, uint32_t seed,
                      struct cbd_backend_state *s);

void cbd_segment_encode(const struct cbd_segment_entry *s, uint32_t seed, struct cbd_m_segment *m);
bool cbd_segment_decode(const struct cbd_m_segment *m, uint32_t seed,
                        const struct cbd_geometry *geo, struct cbd_segment_entry *s);

/* seed: cbd_seed_place(RECORD, segment, generation); the slot is mixed in here. */
void cbd_record_encode(const struct cbd_record *r, uint32_t seed, uint64_t generation,
                       uint32_t slot, struct cbd_m_record *m);

/*
 * False: not a record of this place. Every field of a true result is inside the geometry, the
 * address range does not overflow, and a payload lies below the records.
 */
bool cbd_record_decode(const struct cbd_m_record *m, uint32_t seed, uint64_t generation,
                       uint32_t slot, const struct cbd_geometry *geo, struct cbd_record *r);

/*
 * Builds header and checksum lines in `out` (cbd_header_bytes() bytes). block_crc: one for each
 * block, or NULL without data checksums. Returns the checksum of the header.
 */
uint32_t cbd_header_encode(const struct cbd_header *h, const uint32_t *block_crc, uint32_t seed,
                           uint32_t payload_off, uint8_t *out);

/* `m` is the header; the checksum lines stand right before it in memory. */
bool cbd_header_decode(const struct cbd_m_header *m, uint32_t seed, uint32_t payload_off,
                       struct cbd_header *h);

/* The stored checksum of block n of the payload behind header m. */
uint32_t cbd_header_block_crc(const struct cbd_m_header *m, uint32_t block);

#endif
