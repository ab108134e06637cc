/* SPDX-License-Identifier: BSD-2-Clause */
/* The index of a backend: trees by address, and many records at once. */
#ifndef CBD_INDEX_H
#define CBD_INDEX_H

#include "state.h"

/* index.c: the trees of a backend */
int cbd_index_create(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_index_destroy(struct cbd_backend *b);
static inline uint32_t cbd_index_tree_number(const struct cbd_backend *b, uint64_t addr)
{
    return (uint32_t)((addr / CBD_REGION_BYTES) & ((UINT64_C(1) << b->tree_bits) - 1));
}

static inline struct cbd_index_tree *cbd_index_tree_of(struct cbd_backend *b, uint64_t addr)
{
    return &b->trees[cbd_index_tree_number(b, addr)];
}

/* Its sector within its tree. */
static inline uint64_t cbd_index_local(const struct cbd_backend *b, uint64_t addr)
{
    return (addr / CBD_REGION_BYTES >> b->tree_bits) * CBD_REGION_SECTORS +
           addr % CBD_REGION_BYTES / CBD_SECTOR_BYTES;
}

/* What a record with payload says. */
void cbd_index_extent(const struct cbd_backend *b, const struct cbd_record *r, uint32_t segment,
                      struct cbd_extent *e);
uint64_t cbd_index_next_order(struct cbd_backend *b, struct cbd_index_tree *t);
int cbd_index_insert_range(struct cbd_backend *b, const struct cbd_record *r, uint32_t segment,
                           const struct cbd_tree_aim *aim) CBD_MUST_CHECK;
int cbd_index_add_old(struct cbd_backend *b, const struct cbd_record *r,
                      uint32_t segment) CBD_MUST_CHECK;
int cbd_index_insert_lost(struct cbd_backend *b, uint64_t addr, uint64_t len,
                          uint64_t order) CBD_MUST_CHECK;
int cbd_index_forget_range(struct cbd_backend *b, uint64_t addr, uint64_t len,
                           uint64_t below) CBD_MUST_CHECK;

/* A contiguous part of one tree. */
struct cbd_index_part {
    struct cbd_index_tree *tree;
    uint64_t start; /* sectors within the tree */
    uint64_t len;
};

/* The trees first .. end-1 are the only ones that [addr, addr+len) may touch. */
void cbd_index_trees(const struct cbd_backend *b, uint64_t addr, uint64_t len, uint32_t *first,
                     uint32_t *end);

/* The part of tree `n` that [addr, addr+len) covers; false: none. */
bool cbd_index_part(struct cbd_backend *b, uint32_t n, uint64_t addr, uint64_t len,
                    struct cbd_index_part *part);

/* bulk.c: many records into an index that nothing else uses. Each part may have a thread of its own. */
struct cbd_bulk_bin {
    struct cbd_bulk_chunk *chunk; /* the last one; it is filled from its end */
    uint32_t left;                /* free places in it */
    uint64_t count;               /* records ever added */
};

struct cbd_bulk {
    struct cbd_backend *backend;
    unsigned parts;
    unsigned local_bits; /* of a sector within its tree */
    unsigned bin_shift;  /* from a place to its bin */
    unsigned bin_count;
    struct cbd_bulk_bin *bins; /* for each part all of them */
    unsigned shares;           /* that go in side by side */
    _Atomic(int) error;
};

int cbd_bulk_begin(struct cbd_bulk *k, struct cbd_backend *b, unsigned parts,
                   uint64_t records) CBD_MUST_CHECK;
int cbd_bulk_add(struct cbd_bulk *k, unsigned part, const struct cbd_record *r,
                 uint32_t segment) CBD_MUST_CHECK;
int cbd_bulk_insert(struct cbd_bulk *k) CBD_MUST_CHECK;
void cbd_bulk_end(struct cbd_bulk *k);

#endif
