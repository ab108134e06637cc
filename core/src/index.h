/* SPDX-License-Identifier: BSD-2-Clause */
/* The index of a backend: trees by address, and many records at once. */
#ifndef CBD_INDEX_H
#define CBD_INDEX_H

#include "state.h"

/* index.c: the trees of a backend */
int cbd_index_create(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_index_destroy(struct cbd_backend *b);
static inline struct cbd_index_tree *cbd_index_tree_of(struct cbd_backend *b, uint64_t addr)
{
    return &b->trees[(addr / CBD_REGION_BYTES) & ((UINT64_C(1) << b->tree_bits) - 1)];
}

/* Its sector within its tree. */
static inline uint64_t cbd_index_local(const struct cbd_backend *b, uint64_t addr)
{
    return (addr / CBD_REGION_BYTES >> b->tree_bits) * CBD_REGION_SECTORS +
           addr % CBD_REGION_BYTES / CBD_SECTOR_BYTES;
}

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

/* bulk.c: many records into the index; each user has a line of its own */
#define CBD_BULK_LINE 16u

struct cbd_bulk_record {
    struct cbd_record record;
    uint32_t segment;
    struct cbd_index_tree *tree;
    struct cbd_tree_aim aim;
};

struct cbd_bulk {
    struct cbd_backend *backend;
    bool shared; /* there are other lines: trees must be locked */
    uint64_t in, out;
    struct cbd_bulk_record line[CBD_BULK_LINE];
};

int cbd_bulk_insert(struct cbd_bulk *k, const struct cbd_record *r,
                    uint32_t segment) CBD_MUST_CHECK;
int cbd_bulk_end(struct cbd_bulk *k) CBD_MUST_CHECK;

#endif
