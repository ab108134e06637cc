/* SPDX-License-Identifier: BSD-2-Clause */
/* Encoding, checksums and validation of everything but the superblock. */
#include "media.h"

#include <assert.h>
#include <string.h>

#include "cbd/canary.h"
#include "crc.h"

uint32_t cbd_seed_cache(const uint8_t uuid[16], uint64_t salt)
{
    struct cbd_le64 s = cbd_put64(CBD_CANARY(SEED_WITHOUT_SALT) ? 0 : salt);

    return cbd_crc32c(cbd_crc32c(0xffffffffu, uuid, 16), &s, sizeof(s));
}

uint32_t cbd_seed_place(uint32_t cache_seed, enum cbd_seed_kind kind, uint32_t index,
                        uint64_t generation)
{
    struct {
        struct cbd_le32 kind;
        struct cbd_le32 index;
        struct cbd_le64 generation;
    } place = {cbd_put32(kind), cbd_put32(index), cbd_put64(generation)};

    return cbd_crc32c(cache_seed, &place, sizeof(place));
}

uint64_t cbd_place_backend(uint32_t backend)
{
    return (uint64_t)backend * sizeof(struct cbd_m_backend);
}

uint64_t cbd_place_state(uint32_t backend)
{
    return cbd_place_backend(CBD_BACKENDS) + (uint64_t)backend * sizeof(struct cbd_m_backend_state);
}

uint64_t cbd_place_segment(uint32_t segment)
{
    return cbd_place_state(CBD_BACKENDS) + (uint64_t)segment * sizeof(struct cbd_m_segment);
}

/* The checksum of a structure whose first four bytes hold it. */
static uint32_t body_crc(const void *m, size_t len_bytes, uint32_t seed)
{
    if (len_bytes == CBD_LINE_BYTES)
        return cbd_crc32c_line(seed, m);
    return cbd_crc32c(seed, (const uint8_t *)m + sizeof(struct cbd_le32),
                      len_bytes - sizeof(struct cbd_le32));
}

/* Stores word `n` of a line. */
static void put_word(void *m, unsigned n, uint64_t value)
{
    struct cbd_le64 word = cbd_put64(value);

    memcpy((uint8_t *)m + n * sizeof(word), &word, sizeof(word));
}

void cbd_backend_encode(const struct cbd_backend_config *b, uint32_t seed, struct cbd_m_backend *m)
{
    memset(m, 0, sizeof(*m));
    m->used = cbd_put32(b->used);
    m->seq = cbd_put64(b->seq);
    memcpy(m->uuid, b->uuid, sizeof(m->uuid));
    memcpy(m->name, b->name, cbd_text_len(b->name, sizeof(m->name)));
    m->size_bytes = cbd_put64(b->size_bytes);
    m->logical_block_bytes = cbd_put32(b->logical_block_bytes);
    m->streams = cbd_put32(b->streams);
    m->segments = cbd_put32(b->segments);
    m->created_s = cbd_put64(b->created_s);
    memcpy(m->path, b->path, cbd_text_len(b->path, sizeof(m->path)));
    m->crc = cbd_put32(body_crc(m, sizeof(*m), seed));
}

static bool backend_used_valid(const struct cbd_backend_config *b)
{
    uint32_t lbs = b->logical_block_bytes;

    if (lbs < 512 || lbs > CBD_BLOCK_BYTES || (lbs & (lbs - 1)) != 0)
        return false;
    if (b->size_bytes == 0 || b->size_bytes % lbs != 0 || b->size_bytes > (UINT64_C(1) << 48))
        return false;
    if (b->streams == 0 || b->streams > CBD_STREAMS_MAX || b->segments > CBD_SEGMENTS_MAX)
        return false;
    return b->segments >= b->streams && b->name[0] != '\0';
}

bool cbd_backend_decode(const struct cbd_m_backend *m, uint32_t seed, struct cbd_backend_config *b)
{
    if (cbd_get32(m->crc) != body_crc(m, sizeof(*m), seed))
        return false;
    memset(b, 0, sizeof(*b));
    b->used = cbd_get32(m->used);
    b->seq = cbd_get64(m->seq);
    memcpy(b->uuid, m->uuid, sizeof(b->uuid));
    memcpy(b->name, m->name, sizeof(m->name));
    b->size_bytes = cbd_get64(m->size_bytes);
    b->logical_block_bytes = cbd_get32(m->logical_block_bytes);
    b->streams = cbd_get32(m->streams);
    b->segments = cbd_get32(m->segments);
    b->created_s = cbd_get64(m->created_s);
    memcpy(b->path, m->path, sizeof(m->path));
    if (cbd_get32(m->reserved0) != 0 || !cbd_all_zero(m->reserved1, sizeof(m->reserved1)))
        return false;
    if (!cbd_text_padded((const char *)m->name, sizeof(m->name)) ||
        !cbd_text_padded((const char *)m->path, sizeof(m->path)))
        return false;
    if (b->used == CBD_M_BACKEND_FREE)
        return true;
    return b->used == CBD_M_BACKEND_USED && backend_used_valid(b);
}

void cbd_state_encode(const struct cbd_backend_state *s, uint32_t seed,
                      struct cbd_m_backend_state *m)
{
    memset(m, 0, sizeof(*m));
    m->flags = cbd_put32(s->flags);
    m->seq = cbd_put64(s->seq);
    m->epoch_written = cbd_put64(s->epoch_written);
    m->horizon = cbd_put64(s->horizon);
    m->attaches = cbd_put64(s->attaches);
    m->carried = cbd_put64(s->carried);
    m->crc = cbd_put32(body_crc(m, sizeof(*m), seed));
}

bool cbd_state_decode(const struct cbd_m_backend_state *m, uint32_t seed,
                      struct cbd_backend_state *s)
{
    if (cbd_get32(m->crc) != body_crc(m, sizeof(*m), seed))
        return false;
    s->flags = cbd_get32(m->flags);
    s->seq = cbd_get64(m->seq);
    s->epoch_written = cbd_get64(m->epoch_written);
    s->horizon = cbd_get64(m->horizon);
    s->attaches = cbd_get64(m->attaches);
    s->carried = cbd_get64(m->carried);
    if (s->epoch_written > CBD_EPOCH_MAX || s->horizon > CBD_ORDER_MAX ||
        s->carried > CBD_EPOCH_MAX)
        return false;
    return (s->flags & ~(CBD_M_STATE_ATTACHED | CBD_M_STATE_DROPPING)) == 0 &&
           cbd_all_zero(m->reserved, sizeof(m->reserved));
}

void cbd_segment_encode(const struct cbd_segment_entry *s, uint32_t seed, struct cbd_m_segment *m)
{
    memset(m, 0, sizeof(*m));
    m->owner = cbd_put16(s->owner);
    m->status = s->status;
    m->stream = s->stream;
    m->seq = cbd_put64(s->seq);
    m->generation = cbd_put64(s->generation);
    m->kind = cbd_put32(CBD_M_SEGMENT_KIND_DATA);
    m->records = cbd_put32(s->records);
    m->order_max = cbd_put64(s->order_max);
    m->epoch_max = cbd_put64(s->epoch_max);
    m->detached = cbd_put32(s->detached);
    m->crc = cbd_put32(body_crc(m, sizeof(*m), seed));
}

bool cbd_segment_decode(const struct cbd_m_segment *m, uint32_t seed,
                        const struct cbd_geometry *geo, struct cbd_segment_entry *s)
{
    if (cbd_get32(m->crc) != body_crc(m, sizeof(*m), seed))
        return false;
    s->owner = cbd_get16(m->owner);
    s->status = m->status;
    s->stream = m->stream;
    s->seq = cbd_get64(m->seq);
    s->generation = cbd_get64(m->generation);
    s->records = cbd_get32(m->records);
    s->order_max = cbd_get64(m->order_max);
    s->epoch_max = cbd_get64(m->epoch_max);
    s->detached = cbd_get32(m->detached);
    if (s->owner > CBD_BACKENDS || s->status > CBD_M_SEGMENT_CLOSED || s->stream >= CBD_STREAMS_MAX)
        return false;
    if (s->status != CBD_M_SEGMENT_FREE && s->owner == 0)
        return false;
    if (s->generation > CBD_GENERATION_MAX || s->order_max > CBD_ORDER_MAX ||
        s->epoch_max > CBD_EPOCH_MAX)
        return false;
    if (s->records > geo->segment_bytes / sizeof(struct cbd_m_record) ||
        s->detached > geo->segment_bytes / sizeof(struct cbd_m_record))
        return false;
    return cbd_get32(m->kind) == CBD_M_SEGMENT_KIND_DATA &&
           cbd_all_zero(m->reserved, sizeof(m->reserved));
}

void cbd_record_encode(const struct cbd_record *r, uint32_t seed, uint64_t generation,
                       uint32_t slot, struct cbd_m_record *m)
{
    /* The fields as words, stored once and in place: what reads them back in other pieces than they
     * were stored in waits for the stores, and they wait for the fence before them. test_media
     * compares with the structure. */
    put_word(m, 0, generation << 32);
    put_word(m, 1, r->type | (uint64_t)r->flags << 8 | (uint64_t)r->durable << 32);
    put_word(m, 2, r->order);
    put_word(m, 3, r->epoch);
    put_word(m, 4, r->addr_bytes);
    put_word(m, 5, r->len_bytes);
    put_word(m, 6, r->payload_off | (uint64_t)r->header_crc << 32);
    put_word(m, 7, CBD_CANARY(STACK_BYTES_IN_RECORD) ? slot + 1 : 0);
    m->crc = cbd_put32(cbd_crc32c_line(CBD_CANARY(SEED_WITHOUT_SLOT) ? seed : seed ^ slot, m));
    if (CBD_CANARY(CHECKSUM_TOO_SHORT))
        m->crc = cbd_put32(body_crc(m, 32, seed ^ slot));
}

static bool record_payload_valid(const struct cbd_record *r, uint32_t slot,
                                 const struct cbd_geometry *geo)
{
    uint32_t limit = cbd_payload_limit(geo, slot + 1);
    uint32_t before;

    if (r->addr_bytes / CBD_REGION_BYTES != (r->addr_bytes + r->len_bytes - 1) / CBD_REGION_BYTES)
        return false;
    before = cbd_header_bytes(r->addr_bytes, (uint32_t)r->len_bytes);
    return r->payload_off % CBD_LINE_BYTES == 0 && r->payload_off >= before &&
           r->payload_off <= limit && r->len_bytes <= limit - r->payload_off;
}

static bool record_fields_valid(const struct cbd_record *r, uint32_t slot,
                                const struct cbd_geometry *geo)
{
    if (r->durable > slot || (r->flags & ~CBD_M_RECORD_FLAGS_KNOWN) != 0)
        return false;
    if (r->order > CBD_ORDER_MAX || r->epoch > CBD_EPOCH_MAX)
        return false;
    if (r->type == CBD_M_RECORD_VOID)
        return r->len_bytes == 0 && r->payload_off == 0;
    if (r->addr_bytes % CBD_SECTOR_BYTES != 0 || r->len_bytes % CBD_SECTOR_BYTES != 0)
        return false;
    if (r->len_bytes == 0 || r->len_bytes > (UINT64_C(1) << 48) ||
        r->addr_bytes > (UINT64_C(1) << 48) - r->len_bytes)
        return false;
    if (r->type == CBD_M_RECORD_ZERO)
        return r->payload_off == 0 && r->header_crc == 0;
    if (r->type != CBD_M_RECORD_WRITE && r->type != CBD_M_RECORD_FILL)
        return false;
    return r->flags == 0 && record_payload_valid(r, slot, geo);
}

bool cbd_record_decode(const struct cbd_m_record *m, uint32_t seed, uint64_t generation,
                       uint32_t slot, const struct cbd_geometry *geo, struct cbd_record *r)
{
    struct cbd_m_record copy;
    uint64_t reserved;

    _Static_assert(sizeof(reserved) == sizeof(copy.reserved1), "one word");
    /* A cheap test first: most slots behind the last record hold anything but a record. */
    if (cbd_get32(m->generation_low) != (uint32_t)generation)
        return false;
    memcpy(&copy, m, sizeof(copy));
    if (cbd_get32(copy.crc) != body_crc(&copy, CBD_CANARY(CHECKSUM_TOO_SHORT) ? 32 : sizeof(copy),
                                        CBD_CANARY(SEED_WITHOUT_SLOT) ? seed : seed ^ slot) &&
        !CBD_CANARY(RECORD_NOT_CHECKED))
        return false;
    r->type = copy.type;
    r->flags = copy.flags;
    r->durable = cbd_get32(copy.durable);
    r->order = cbd_get64(copy.order);
    r->epoch = cbd_get64(copy.epoch);
    r->addr_bytes = cbd_get64(copy.addr_bytes);
    r->len_bytes = cbd_get64(copy.len_bytes);
    r->payload_off = cbd_get32(copy.payload_off);
    r->header_crc = cbd_get32(copy.header_crc);
    memcpy(&reserved, copy.reserved1, sizeof(reserved));
    if (cbd_get16(copy.reserved0) != 0 || reserved != 0)
        return false;
    return record_fields_valid(r, slot, geo);
}

uint32_t cbd_header_block_crc(const struct cbd_m_header *m, uint32_t block)
{
    const struct cbd_m_crc_line *nearest = (const struct cbd_m_crc_line *)m - 1;

    if (block < CBD_HEADER_CRCS)
        return cbd_get32(m->block_crc[block]);
    block -= CBD_HEADER_CRCS;
    return cbd_get32((nearest - block / CBD_CRC_LINE_CRCS)->block_crc[block % CBD_CRC_LINE_CRCS]);
}

static uint32_t header_crc(const struct cbd_m_header *m, uint32_t lines, uint32_t seed)
{
    const struct cbd_m_crc_line *line = (const struct cbd_m_crc_line *)m - 1;
    uint32_t crc = body_crc(m, sizeof(*m), seed);

    for (uint32_t i = 0; i < lines; i++)
        crc = cbd_crc32c(crc, line - i, sizeof(*line));
    return crc;
}

uint32_t cbd_header_encode(const struct cbd_header *h, const uint32_t *block_crc, uint32_t seed,
                           uint32_t payload_off, uint8_t *out)
{
    uint32_t blocks = cbd_block_count(h->addr_bytes, h->len_bytes);
    uint32_t lines = cbd_crc_lines(blocks);
    struct cbd_m_crc_line *first = (struct cbd_m_crc_line *)(void *)out;
    struct cbd_m_header *m = (struct cbd_m_header *)(void *)(first + lines);
    uint64_t crcs[CBD_HEADER_CRCS / 2] = {0};
    uint32_t crc;

    if (lines != 0)
        memset(out, 0, lines * sizeof(*first));
    for (uint32_t i = 0; block_crc != NULL && i < blocks; i++) {
        uint32_t n = i - CBD_HEADER_CRCS;

        if (i < CBD_HEADER_CRCS)
            crcs[i / 2] |= (uint64_t)block_crc[i] << 32 * (i % 2);
        else
            first[lines - 1 - n / CBD_CRC_LINE_CRCS].block_crc[n % CBD_CRC_LINE_CRCS] =
                cbd_put32(block_crc[i]);
    }
    put_word(m, 0, (uint64_t)h->slot << 32);
    put_word(m, 1, h->addr_bytes);
    put_word(m, 2, h->len_bytes | (uint64_t)h->type << 32 | (uint64_t)h->behind << 40);
    put_word(m, 3, h->epoch_floor);
    for (unsigned i = 0; i < CBD_HEADER_CRCS / 2; i++)
        put_word(m, 4 + i, crcs[i]);
    crc = cbd_crc32c_line(seed ^ (payload_off / CBD_LINE_BYTES), m);
    for (uint32_t i = lines; i-- > 0;)
        crc = cbd_crc32c(crc, &first[i], sizeof(*first));
    m->crc = cbd_put32(crc);
    return crc;
}

bool cbd_header_decode(const struct cbd_m_header *m, uint32_t seed, uint32_t payload_off,
                       struct cbd_header *h)
{
    uint32_t lines;

    h->slot = cbd_get32(m->slot);
    h->addr_bytes = cbd_get64(m->addr_bytes);
    h->len_bytes = cbd_get32(m->len_bytes);
    h->type = m->type;
    h->behind = m->behind[0] | (uint32_t)m->behind[1] << 8 | (uint32_t)m->behind[2] << 16;
    h->epoch_floor = cbd_get64(m->epoch_floor);
    h->crc = cbd_get32(m->crc);
    if (h->len_bytes == 0 || h->len_bytes > CBD_SEGMENT_BYTES_MAX ||
        h->len_bytes % CBD_SECTOR_BYTES != 0 || h->addr_bytes % CBD_SECTOR_BYTES != 0 ||
        h->addr_bytes > (UINT64_C(1) << 48))
        return false;
    if (h->behind > h->slot)
        return false;
    /* The lines before the header are read only after this: they must lie inside the segment. */
    if (cbd_header_bytes(h->addr_bytes, h->len_bytes) > payload_off)
        return false;
    lines = cbd_crc_lines(cbd_block_count(h->addr_bytes, h->len_bytes));
    return h->crc == header_crc(m, lines, seed ^ (payload_off / CBD_LINE_BYTES));
}
