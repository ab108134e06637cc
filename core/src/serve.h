/* SPDX-License-Identifier: BSD-2-Clause */
/* Readers: what they announce, how damage heals, what is kept and scrubbed. */
#ifndef CBD_SERVE_H
#define CBD_SERVE_H

#include "state.h"

/* read.c */
bool cbd_extent_clean(struct cbd_backend *b, const struct cbd_extent *e);
void cbd_reader_begin(struct cbd_backend *b, unsigned lane);
void cbd_reader_end(struct cbd_backend *b, unsigned lane);

struct cbd_healed {
    uint64_t stored; /* bytes in the cache anew */
    uint64_t left;   /* bytes whose damaged copy is shown as before */
};

int cbd_heal(struct cbd_backend *b, unsigned lane, uint64_t addr, uint64_t len,
             const struct cbd_extent *e, uint8_t *buf, struct cbd_healed *healed) CBD_MUST_CHECK;

/* scrub.c */
int cbd_scrub_step(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_scrub_destroy(struct cbd_backend *b);

/* keep.c: a second chance for what was read */
int cbd_keep_init(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_keep_destroy(struct cbd_backend *b);
void cbd_keep_release(struct cbd_cache *c);
void cbd_keep_note(const struct cbd_backend *b, const struct cbd_extent *e, uint64_t skip,
                   uint64_t len);
void cbd_keep_clear(const struct cbd_backend *b, uint32_t segment);
uint64_t cbd_keep_record(struct cbd_backend *b, const struct cbd_record *r, uint64_t budget);

#endif
