/* SPDX-License-Identifier: BSD-2-Clause */
/* How a record gets in: room in a stream, insert, what is durable. */
#ifndef CBD_APPEND_H
#define CBD_APPEND_H

#include "state.h"

/* stream.c: where new records go */
struct cbd_room {
    uint32_t segment;
    uint32_t slot;
    uint32_t payload_off; /* 0 without payload */
    uint32_t durable;     /* slots below are durable */
};

void cbd_stream_list(struct cbd_backend *b, struct cbd_stream *s, uint32_t id);
int cbd_stream_close(struct cbd_backend *b, struct cbd_stream *s) CBD_MUST_CHECK;
int cbd_stream_detach(struct cbd_backend *b, struct cbd_stream *s) CBD_MUST_CHECK;
int cbd_stream_room(struct cbd_backend *b, struct cbd_stream *s, uint64_t addr, uint64_t *len,
                    struct cbd_room *room) CBD_MUST_CHECK;
void cbd_stream_commit(struct cbd_backend *b, struct cbd_stream *s, const struct cbd_room *room,
                       const struct cbd_record *record);
void cbd_stream_skip(struct cbd_backend *b, const struct cbd_room *room, uint64_t len);
void cbd_segment_seeds(const struct cbd_cache *c, uint32_t id, struct cbd_segment *seg);
void cbd_segment_make_free(struct cbd_backend *b, uint32_t id);
bool cbd_has_space(void *backend);

/* insert.c: one record, durable and visible */
struct cbd_insert {
    uint8_t type; /* enum cbd_m_record_type */
    uint8_t flags;
    uint64_t addr;
    uint64_t len; /* cut to what went in */
    const uint8_t *src;
    uint64_t order;    /* FILL: sampled at the miss; else chosen here */
    uint64_t original; /* order of the record that this is a copy of (X2); 0: it is none */
    uint64_t epoch;    /* out */
    struct cbd_index_tree *tree; /* set by cbd_insert(); NULL: a zero range may have many */
};

int cbd_insert(struct cbd_backend *b, unsigned lane, struct cbd_insert *in) CBD_MUST_CHECK;

/* write.c: lane, alignment and range of a request. 0, CBD_E_INVALID or CBD_E_RANGE. */
int cbd_check_request(const struct cbd_backend *b, unsigned lane, uint64_t off,
                      uint64_t len) CBD_MUST_CHECK;

/* sync.c: durability=flush */
#define CBD_UNFENCED_MAX 512u /* records of a stream that are not durable */

int cbd_sync_init(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_sync_stream(struct cbd_backend *b, struct cbd_stream *s) CBD_MUST_CHECK;
int cbd_sync(struct cbd_backend *b) CBD_MUST_CHECK;

#endif
