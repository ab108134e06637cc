/* SPDX-License-Identifier: BSD-2-Clause */
/* What an attach does: scan, recovery, what is lost, the disk's identity. */
#ifndef CBD_ATTACH_H
#define CBD_ATTACH_H

#include "state.h"

/* identity.c */
int cbd_identity_check(struct cbd_backend *b) CBD_MUST_CHECK;

/* accept.c */
int cbd_accept_check(const struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_accept_decide(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_accept_finish(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_accept_end(struct cbd_backend *b) CBD_MUST_CHECK;

/* warm.c: attaching after a clean detach */
bool cbd_warm_possible(const struct cbd_backend *b);
int cbd_warm_begin(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_warm_add_closed(struct cbd_backend *b, uint32_t id);
void cbd_warm_add_open(struct cbd_backend *b, uint32_t id);
int cbd_warm_ready(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_warm_step(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_warm_destroy(struct cbd_backend *b);

/* recover.c */
uint32_t cbd_owned_segments(const struct cbd_backend *b);
int cbd_recover(struct cbd_backend *b) CBD_MUST_CHECK;
bool cbd_record_fits(const struct cbd_backend *b, uint32_t segment, const struct cbd_record *r);

/* scan.c: the records of one segment, for recovery and check alike */
struct cbd_scan {
    uint32_t
        records; /* slots in use: one above the last that holds a record or a part, or as CLOSED says */
    uint32_t durable; /* slots below were durable */
    uint32_t damaged; /* slots below `durable` without a valid record */
    uint32_t first_damaged;
    /* Slots from `durable` on without a record, or without its payload: unfinished writes. */
    uint32_t unfinished;
    bool suspect;     /* one of them has a record */
    bool recordless;  /* behind the last slot is a payload whose record is not there: unfinished */
    bool unread_tail; /* slots behind the last valid record cannot be read */
    uint32_t payload_end;
};

int cbd_scan_segment(struct cbd_cache *c, uint32_t id, struct cbd_scan *scan,
                     int (*visit)(void *arg, uint32_t slot, const struct cbd_record *record),
                     void *arg) CBD_MUST_CHECK;

/* Whether a slot from scan->durable on holds no record or no payload, and can be read. */
bool cbd_scan_unfinished(struct cbd_cache *c, uint32_t id, const struct cbd_scan *scan,
                         uint32_t slot);

/* lost.c: what damaged records cost */
int cbd_lost_note(struct cbd_backend *b, uint32_t id, const struct cbd_scan *scan) CBD_MUST_CHECK;
int cbd_lost_decide(struct cbd_backend *b, uint64_t order_end, bool detached) CBD_MUST_CHECK;
bool cbd_lost_in(const struct cbd_backend *b, uint32_t segment);
bool cbd_lost_at(const struct cbd_backend *b, uint32_t segment, uint32_t slot);
void cbd_lost_destroy(struct cbd_backend *b);

/* doubt.c: what may be older than the disk */
int cbd_doubt_note(struct cbd_backend *b, uint32_t id, const struct cbd_scan *scan) CBD_MUST_CHECK;
bool cbd_doubt_at(const struct cbd_backend *b, uint64_t addr, uint64_t len, uint64_t order);
void cbd_doubt_destroy(struct cbd_backend *b);

#endif
