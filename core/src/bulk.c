/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records into the index in great numbers, as recovery does it. Segments hold them in the order of
 * time, so each goes to another leaf than the one before. They wait in bins by place until all are
 * read, are sorted bin by bin, and go in from left to right: the leaf of a record is that of the
 * last one, or the next.
 *
 *   parts, side by side       bins, by place                   trees, side by side
 *   0 | 7 2 9 4 ...           0 | 2   | 4   | 9 7 |
 *   1 | 1 6 3 8 ...    -->    1 | 1 3 | 6   | 8   |     -->    1 2 3 4 6 7 8 9
 *
 * A place is the tree and the sector within it, the tree in the upper bits. A bin has a part of one
 * tree, or whole trees. What comes out of the segments first does not matter: the order decides (V2).
 *
 * A record takes 24 bytes here, and as many at least in the index, unless a newer one hides it. Bins
 * are of chunks as long as those that nodes are cut from, and each goes back before its records
 * become nodes: the index can have it again.
 */
#include <string.h>

#include "engine.h"

#define CHUNK_RECORDS ((CBD_TREE_CHUNK_BYTES - sizeof(void *)) / sizeof(struct cbd_tree_words))
#define BIN_RECORDS 16384u /* a bin of so many is sorted in the cache next to a core */
#define BIN_BITS_MAX 9u /* of the number of bins: of each part one chunk in each may be half full */
#define SORT_RECORDS 32768u /* more are sorted in turns */
#define SORT_FEW 4096u      /* fewer are sorted by digits of 8 bits */
#define DIGIT_BITS_MAX 11u

struct cbd_bulk_chunk {
    struct cbd_bulk_chunk *next;
    struct cbd_tree_words w[CHUNK_RECORDS];
};

_Static_assert(sizeof(struct cbd_bulk_chunk) <= CBD_TREE_CHUNK_BYTES, "chunk");

/* Sectors of the tree that has the most of them, in bits. */
static unsigned local_bits(const struct cbd_backend *b)
{
    uint64_t regions = (b->size_bytes + CBD_REGION_BYTES - 1) / CBD_REGION_BYTES;
    uint64_t sectors = (((regions - 1) >> b->tree_bits) + 1) * CBD_REGION_SECTORS;
    unsigned bits = 0;

    while ((sectors - 1) >> bits != 0)
        bits++;
    return bits;
}

/* `records`: about how many will be added. `parts` may add records side by side. */
int cbd_bulk_begin(struct cbd_bulk *k, struct cbd_backend *b, unsigned parts, uint64_t records)
{
    struct cbd_env *env = b->cache->env;
    unsigned place_bits, bin_bits = 0;

    memset(k, 0, sizeof(*k));
    k->backend = b;
    k->parts = parts;
    k->local_bits = local_bits(b);
    place_bits = k->local_bits + b->tree_bits;
    while (bin_bits < BIN_BITS_MAX && bin_bits < place_bits && records >> bin_bits > BIN_RECORDS)
        bin_bits++;
    k->bin_shift = place_bits - bin_bits;
    k->bin_count = 1u << bin_bits;
    k->bins = env->ops->alloc(env, (size_t)parts * k->bin_count * sizeof(*k->bins));
    if (k->bins == NULL)
        return CBD_E_NOMEM;
    memset(k->bins, 0, (size_t)parts * k->bin_count * sizeof(*k->bins));
    return 0;
}

/* A chunk of a bin goes back. */
static void drop_chunk(struct cbd_bulk *k, struct cbd_bulk_bin *bin)
{
    struct cbd_env *env = k->backend->cache->env;
    struct cbd_bulk_chunk *chunk = bin->chunk;

    bin->chunk = chunk->next;
    bin->left = 0; /* the one before it is full */
    env->ops->free(env, chunk, CBD_TREE_CHUNK_BYTES);
}

/* Forgets what was added and did not become a part of the index. */
void cbd_bulk_end(struct cbd_bulk *k)
{
    struct cbd_env *env = k->backend->cache->env;

    if (k->bins == NULL)
        return;
    for (size_t n = 0; n < (size_t)k->parts * k->bin_count; n++)
        while (k->bins[n].chunk != NULL)
            drop_chunk(k, &k->bins[n]);
    env->ops->free(env, k->bins, (size_t)k->parts * k->bin_count * sizeof(*k->bins));
    k->bins = NULL;
}

/* A zero record touches many trees, and is one of few: it goes in at once. */
static int insert_zero(struct cbd_bulk *k, const struct cbd_record *r, uint32_t segment)
{
    struct cbd_env *env = k->backend->cache->env;
    uint32_t first, end;
    int error;

    cbd_index_trees(k->backend, r->addr_bytes, r->len_bytes, &first, &end);
    for (uint32_t n = first; n < end && k->parts > 1; n++)
        cbd_lock_take(env, &k->backend->trees[n].lock);
    error = cbd_index_insert_range(k->backend, r, segment, NULL);
    for (uint32_t n = first; n < end && k->parts > 1; n++)
        cbd_lock_drop(&k->backend->trees[n].lock);
    return error;
}

/* Of one part: nobody else adds for it meanwhile. */
int cbd_bulk_add(struct cbd_bulk *k, unsigned part, const struct cbd_record *r, uint32_t segment)
{
    struct cbd_backend *b = k->backend;
    struct cbd_env *env = b->cache->env;
    struct cbd_extent e;
    struct cbd_bulk_bin *bin;

    if (r->type == CBD_M_RECORD_ZERO)
        return insert_zero(k, r, segment);
    cbd_index_extent(b, r, segment, &e);
    e.start |= (uint64_t)cbd_index_tree_number(b, r->addr_bytes) << k->local_bits;
    bin = &k->bins[(size_t)part * k->bin_count + (e.start >> k->bin_shift)];
    if (bin->left == 0) {
        struct cbd_bulk_chunk *chunk = env->ops->alloc(env, CBD_TREE_CHUNK_BYTES);

        if (chunk == NULL)
            return CBD_E_NOMEM;
        chunk->next = bin->chunk;
        bin->chunk = chunk;
        bin->left = CHUNK_RECORDS;
    }
    cbd_tree_pack(&e, &bin->chunk->w[--bin->left]);
    bin->count++;
    return 0;
}

/* By the bits from `shift` on, `bits` of them. */
static void sort_digit(const struct cbd_tree_words *from, struct cbd_tree_words *to, size_t n,
                       unsigned shift, unsigned bits)
{
    uint32_t next[1u << DIGIT_BITS_MAX];
    uint32_t mask = (1u << bits) - 1, at = 0;

    memset(next, 0, (mask + 1) * sizeof(next[0]));
    for (size_t i = 0; i < n; i++)
        next[from[i].w0 >> shift & mask]++;
    for (uint32_t d = 0; d <= mask; d++) {
        uint32_t count = next[d];

        next[d] = at;
        at += count;
    }
    for (size_t i = 0; i < n; i++)
        to[next[from[i].w0 >> shift & mask]++] = from[i];
}

/* By start; w has room for as many again. Returns where they are then. */
static struct cbd_tree_words *sort(struct cbd_tree_words *w, size_t n)
{
    unsigned most = n < SORT_FEW ? 8 : DIGIT_BITS_MAX;
    unsigned shift = CBD_TREE_LEN_BITS;
    struct cbd_tree_words *to = w + n;
    uint64_t differ = 0;

    for (size_t i = 1; i < n; i++)
        differ |= w[i].w0 ^ w[0].w0;
    differ >>= shift;
    for (; differ != 0; differ >>= most, shift += most) {
        struct cbd_tree_words *t = w;

        for (; (differ & 1) == 0; differ >>= 1)
            shift++;
        sort_digit(w, to, n, shift, most);
        w = to;
        to = t;
    }
    return w;
}

/* Sorted ones into their trees. */
static int insert_sorted(struct cbd_bulk *k, struct cbd_tree_words *w, size_t n)
{
    const unsigned shift = k->local_bits + CBD_TREE_LEN_BITS;
    int error = 0;

    for (size_t first = 0, end; first < n && error == 0; first = end) {
        uint64_t tree = w[first].w0 >> shift;
        struct cbd_index_tree *t = &k->backend->trees[tree];

        for (end = first; end < n && w[end].w0 >> shift == tree; end++)
            w[end].w0 -= tree << shift;
        error = cbd_tree_insert_sorted(&t->pool, &t->tree, &w[first], end - first);
    }
    return error;
}

/* As many of a bin as there is room for, out of all parts, without a sequence. */
static size_t take(struct cbd_bulk *k, unsigned bin_number, struct cbd_tree_words *w, size_t room)
{
    size_t n = 0;

    for (unsigned part = 0; part < k->parts; part++) {
        struct cbd_bulk_bin *bin = &k->bins[(size_t)part * k->bin_count + bin_number];

        while (bin->chunk != NULL) {
            size_t here = CHUNK_RECORDS - bin->left;

            if (here > room - n)
                return n;
            memcpy(&w[n], &bin->chunk->w[bin->left], here * sizeof(*w));
            n += here;
            drop_chunk(k, bin);
        }
    }
    return n;
}

static int insert_bin(struct cbd_bulk *k, unsigned bin, struct cbd_tree_words *w, size_t room)
{
    int error = 0;
    size_t n;

    while (error == 0 && (n = take(k, bin, w, room)) != 0)
        error = insert_sorted(k, sort(w, n), n);
    return error;
}

static uint64_t bin_records(const struct cbd_bulk *k, unsigned bin)
{
    uint64_t n = 0;

    for (unsigned part = 0; part < k->parts; part++)
        n += k->bins[(size_t)part * k->bin_count + bin].count;
    return n;
}

/* Part n of k->shares of the bins: whole trees. */
static void insert_share(void *arg, unsigned n)
{
    struct cbd_bulk *k = arg;
    struct cbd_env *env = k->backend->cache->env;
    unsigned per_share = k->bin_count / k->shares;
    uint64_t most = 0, room;
    struct cbd_tree_words *w;
    int error = 0;

    for (unsigned bin = n * per_share; bin < (n + 1) * per_share; bin++) {
        uint64_t records = bin_records(k, bin);

        most = records > most ? records : most;
    }
    if (most == 0)
        return;
    room = cbd_min64(most, SORT_RECORDS);
    w = env->ops->alloc(env, 2 * room * sizeof(*w));
    if (w == NULL)
        error = CBD_E_NOMEM;
    for (unsigned bin = n * per_share; bin < (n + 1) * per_share && error == 0; bin++)
        error = insert_bin(k, bin, w, room);
    if (w != NULL)
        env->ops->free(env, w, 2 * room * sizeof(*w));
    if (error != 0)
        atomic_store(&k->error, error);
}

/* All that was added goes into the index. Nothing else uses it. */
int cbd_bulk_insert(struct cbd_bulk *k)
{
    struct cbd_env *env = k->backend->cache->env;
    unsigned trees = 1u << k->backend->tree_bits;

    k->shares = trees < k->bin_count ? trees : k->bin_count;
    if (k->parts > 1)
        env->ops->run(env, insert_share, k, k->shares);
    for (unsigned n = 0; n < k->shares && k->parts == 1; n++)
        insert_share(k, n);
    return atomic_load(&k->error);
}
