/* SPDX-License-Identifier: BSD-2-Clause */
/* Records, headers and payload out of pmem, checked on the copy. */
#ifndef CBD_LOAD_H
#define CBD_LOAD_H

#include "state.h"

/* load.c: records and headers from pmem, each copied and then checked */
#define CBD_LINES_MAX 65u /* checksum lines of a payload of one region that starts inside a block */
#define CBD_PAGE_RECORDS (CBD_PAGE_BYTES / sizeof(struct cbd_m_record))

struct cbd_loaded_header {
    _Alignas(64) uint8_t bytes[(CBD_LINES_MAX + 1) * CBD_LINE_BYTES]; /* as on the media */
    const struct cbd_m_header *m; /* the last of them; valid where decoded */
    struct cbd_header h;
};

/* All zero but for the first two. */
struct cbd_record_reader {
    const struct cbd_cache *cache;
    uint32_t segment;
    uint32_t page;
    bool tried, whole;
    bool
        begun; /* of the slot that was asked for: a record of this life of the segment, or a part of one */
    _Alignas(64) struct cbd_m_record m[CBD_PAGE_RECORDS];
};

int cbd_load_record(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                    struct cbd_record *record) CBD_MUST_CHECK;
int cbd_load_next(struct cbd_record_reader *rd, uint32_t slot,
                  struct cbd_record *record) CBD_MUST_CHECK;
void cbd_want_records(const struct cbd_cache *c, uint32_t segment);
void cbd_want_ahead(const struct cbd_cache *c, uint32_t segment, uint32_t first, uint32_t end);
uint32_t cbd_load_empty(const struct cbd_record_reader *rd, uint32_t slot);
bool cbd_find_header(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                     uint32_t *payload_end, struct cbd_header *h, uint32_t *payload_off);
void cbd_pass_payload(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                      const struct cbd_record *r, uint32_t *payload_end);
int cbd_load_header(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                    struct cbd_loaded_header *out) CBD_MUST_CHECK;

bool cbd_header_left_out(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off);

/* payload.c: data, verified on the copy */
struct cbd_bad {
    uint64_t skip; /* bytes from the start of what was asked for */
    uint64_t len;
};

int cbd_payload_read(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                     uint64_t addr, uint64_t from, uint64_t len, uint8_t *dst,
                     struct cbd_bad *bad) CBD_MUST_CHECK;
int cbd_payload_check(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                      const struct cbd_loaded_header *head) CBD_MUST_CHECK;
uint32_t cbd_extent_payload(const struct cbd_cache *c, const struct cbd_extent *e,
                            uint32_t *payload_off);
int cbd_extent_read(const struct cbd_cache *c, const struct cbd_extent *e, uint64_t skip_bytes,
                    uint64_t len, uint8_t *dst, struct cbd_bad *bad) CBD_MUST_CHECK;

#endif
