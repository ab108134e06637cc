/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second chance: what was read since it came is copied forward before it is forgotten.
 *
 * Each 4 KiB of the cache has a count of reads, 0 to 3, in one byte. A hit raises it, and stores
 * nothing when it is 3 already. Reclaim asks for the count of what it is about to forget: above 0,
 * the data is stored again as a fill, and the copy begins with one read less. So a block that is
 * read once, as by a scan, leaves at its first turn, and a block that was read often survives
 * three turns without a read.
 *
 *   order  ---- about to be forgotten ----|D'---------------------------|next
 *            [a:0] [b:2] [c:0] [d:1]                      [b:1] [d:0]
 *                    |           |                          ^     ^
 *                    +-----------+------- as fills ---------+-----+
 *
 * K1  a copy takes a new order under the lock of its tree, while the index shows the extent that is
 *     copied: every write that it must not hide has a higher one, as for any fill (G2), and
 *     everything that it hides is older and will be forgotten before it;
 * K2  only what reclaim found clean is copied, and its bytes are verified first. So the disk has
 *     what the copy says, and losing the copy at any moment loses nothing;
 * K3  what is copied is at most half of what becomes free, and no copy waits for room. A step may
 *     use what earlier ones left over, up to one segment. So every step makes a segment free, and
 *     in the long run every second one stays so, however much of the cache is hot.
 */
#include <string.h>

#include "engine.h"

#define READS_MAX 3u
#define CHUNK_BYTES (64u << 10)

int cbd_keep_init(struct cbd_backend *b)
{
    struct cbd_cache *c = b->cache;
    uint64_t units =
        (uint64_t)c->super.geo.segment_count * (c->super.geo.segment_bytes / CBD_PAGE_BYTES);

    if (b->options.replacement == CBD_REPLACE_FIFO)
        return 0;
    if (c->reads == NULL) {
        c->reads = c->env->ops->alloc(c->env, units);
        if (c->reads == NULL)
            return CBD_E_NOMEM;
        memset(c->reads, 0, units);
    }
    b->keep_buf = c->env->ops->alloc(c->env, CHUNK_BYTES);
    if (b->keep_buf == NULL)
        return CBD_E_NOMEM;
    b->reads = c->reads;
    b->keep_credit = c->super.geo.segment_bytes;
    for (uint32_t id = 0; id < c->super.geo.segment_count; id++)
        if (c->segments[id].entry.owner == b->id + 1)
            cbd_keep_clear(b, id);
    return 0;
}

void cbd_keep_destroy(struct cbd_backend *b)
{
    if (b->keep_buf != NULL)
        b->cache->env->ops->free(b->cache->env, b->keep_buf, CHUNK_BYTES);
}

void cbd_keep_release(struct cbd_cache *c)
{
    if (c->reads != NULL)
        c->env->ops->free(c->env, c->reads,
                          (uint64_t)c->super.geo.segment_count *
                              (c->super.geo.segment_bytes / CBD_PAGE_BYTES));
}

/* The count of the 4 KiB that begin `skip` bytes into the extent. */
static atomic_uchar *reads_of(const struct cbd_backend *b, const struct cbd_extent *e,
                              uint64_t skip)
{
    return &b->reads[(e->loc * CBD_LINE_BYTES + skip - b->cache->super.geo.data_off) /
                     CBD_PAGE_BYTES];
}

void cbd_keep_note(const struct cbd_backend *b, const struct cbd_extent *e, uint64_t skip,
                   uint64_t len)
{
    if (b->reads == NULL)
        return;
    for (uint64_t at = skip / CBD_PAGE_BYTES * CBD_PAGE_BYTES; at < skip + len;
         at += CBD_PAGE_BYTES) {
        atomic_uchar *reads = reads_of(b, e, at);
        unsigned char n = atomic_load_explicit(reads, memory_order_relaxed);

        /* A count that is lost to another reader does not matter. */
        if (n < READS_MAX)
            atomic_store_explicit(reads, (unsigned char)(n + 1), memory_order_relaxed);
    }
}

void cbd_keep_clear(const struct cbd_backend *b, uint32_t segment)
{
    uint32_t units = b->cache->super.geo.segment_bytes / CBD_PAGE_BYTES;

    for (uint32_t i = 0; b->reads != NULL && i < units; i++)
        atomic_store_explicit(&b->reads[(uint64_t)segment * units + i], 0, memory_order_relaxed);
}

/* A part of one extent, in which every 4 KiB was read. */
struct chunk {
    struct cbd_extent e;
    uint64_t addr;
    uint64_t skip;
    uint64_t len;
    uint64_t order;
};

static bool was_read(const struct cbd_backend *b, const struct cbd_extent *e, uint64_t skip)
{
    return atomic_load_explicit(reads_of(b, e, skip), memory_order_relaxed) != 0;
}

/* The first run of 4 KiB that were read in the extent at or behind skip. False: none. */
static bool find_run(const struct cbd_backend *b, uint64_t skip, struct chunk *chunk)
{
    uint64_t len = chunk->e.len * CBD_SECTOR_BYTES;
    uint64_t most = cbd_min64(CHUNK_BYTES, b->piece_bytes_max);
    uint64_t end;

    while (skip < len && !was_read(b, &chunk->e, skip))
        skip += CBD_PAGE_BYTES;
    if (skip >= len)
        return false;
    for (end = skip; end < len && end - skip < most && was_read(b, &chunk->e, end);)
        end += CBD_PAGE_BYTES;
    chunk->skip = skip;
    chunk->len = cbd_min64(end, len) - skip;
    return true;
}

/* K1: the next chunk of the record at or behind `from` bytes. False: there is none. */
static bool next_chunk(struct cbd_backend *b, const struct cbd_record *r, uint64_t from,
                       struct chunk *chunk)
{
    struct cbd_index_tree *t = cbd_index_tree_of(b, r->addr_bytes);
    uint64_t base = cbd_index_local(b, r->addr_bytes);
    uint64_t pos = base + from / CBD_SECTOR_BYTES;
    uint64_t end = base + r->len_bytes / CBD_SECTOR_BYTES;
    bool found = false;

    cbd_lock_take(b->cache->env, &t->lock);
    while (!found && pos < end && cbd_tree_find(&t->tree, pos, &chunk->e) && chunk->e.start < end) {
        uint64_t skip = pos > chunk->e.start ? (pos - chunk->e.start) * CBD_SECTOR_BYTES : 0;

        found = chunk->e.kind == CBD_EXTENT_DATA && chunk->e.order == r->order &&
                find_run(b, skip, chunk);
        pos = chunk->e.start + chunk->e.len;
    }
    if (found) {
        chunk->order = CBD_CANARY(COPY_KEEPS_ORDER) ? r->order : cbd_index_next_order(b, t);
        chunk->addr = r->addr_bytes + (chunk->e.start - base) * CBD_SECTOR_BYTES + chunk->skip;
    }
    cbd_lock_drop(&t->lock);
    return found;
}

/* The copy has one read less than the original, unless somebody has read it already. */
static void inherit(struct cbd_backend *b, const struct chunk *chunk, uint64_t len)
{
    struct cbd_index_tree *t = cbd_index_tree_of(b, chunk->addr);
    uint64_t base = cbd_index_local(b, chunk->addr);

    cbd_lock_take(b->cache->env, &t->lock);
    for (uint64_t at = 0; at < len; at += CBD_PAGE_BYTES) {
        uint64_t pos = base + at / CBD_SECTOR_BYTES;
        struct cbd_extent e;
        unsigned char n;

        if (!cbd_tree_find(&t->tree, pos, &e) || e.start > pos || e.order != chunk->order)
            continue;
        n = atomic_load_explicit(reads_of(b, &chunk->e, chunk->skip + at), memory_order_relaxed);
        if (n > 1)
            atomic_store_explicit(reads_of(b, &e, (pos - e.start) * CBD_SECTOR_BYTES),
                                  (unsigned char)(n - 1), memory_order_relaxed);
    }
    cbd_lock_drop(&t->lock);
}

/* How much of the chunk was stored; 0: no room, or the data is not good. */
static uint64_t copy_chunk(struct cbd_backend *b, const struct chunk *chunk)
{
    uint64_t done = 0;

    int error = cbd_extent_read(b->cache, &chunk->e, chunk->skip, chunk->len, b->keep_buf, NULL);

    if (error == CBD_E_CORRUPT && CBD_CANARY(COPY_NOT_VERIFIED))
        error = b->cache->pm->ops->read(b->cache->pm, chunk->e.loc * CBD_LINE_BYTES + chunk->skip,
                                        b->keep_buf, chunk->len);
    if (error != 0)
        return 0; /* K2: the disk has it */
    while (done < chunk->len) {
        struct cbd_insert in = {
            .type = CBD_M_RECORD_FILL,
            .addr = chunk->addr + done,
            .len = chunk->len - done,
            .src = b->keep_buf + done,
            .order = chunk->order,
        };

        if (cbd_insert(b, CBD_LANE_RECLAIM, &in) != 0)
            break;
        done += in.len;
    }
    inherit(b, chunk, done);
    return done;
}

/*
 * Copies what is hot and current of a record of data that is clean, for at most `budget` bytes.
 * Returns how many are left, or 0 when there is no room: the end of this step.
 */
uint64_t cbd_keep_record(struct cbd_backend *b, const struct cbd_record *r, uint64_t budget)
{
    uint64_t from = 0;
    struct chunk chunk;

    if (r->type != CBD_M_RECORD_WRITE && r->type != CBD_M_RECORD_FILL)
        return budget;
    while (next_chunk(b, r, from, &chunk)) {
        uint64_t cost = chunk.len + cbd_header_bytes(chunk.addr, (uint32_t)chunk.len);
        uint64_t kept;

        if (CBD_CANARY(COPIES_WITHOUT_BOUND))
            cost = 0;
        if (cost > budget)
            return 0;
        kept = copy_chunk(b, &chunk);
        budget -= cost;
        b->keep_credit -= cost;
        cbd_count(&b->reclaim_stats.kept_bytes, kept);
        if (kept < chunk.len && atomic_load(&b->free_count) == 0)
            return 0;
        from = chunk.addr + chunk.len - r->addr_bytes;
    }
    return budget;
}
