/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of a backend's dirty data can still be trusted. Stores nothing, so it can be run again.
 *
 *   records of the backend --dirty--> what the index still shows of each --read, verified--> piece
 *
 * A piece is good when it was read whole through the cache, and nothing that is lost can be newer:
 *
 * - a lost record whose range is known lies in the index under the highest order that it can have
 *   had (lost.c), so an older piece does not show there;
 * - one whose range is not known may have been anywhere. A piece is certainly newer than it when
 *   its order or its epoch is above the highest that the lost one can have had: of two writes that
 *   meet, the later has the higher order and no lower epoch (I3). Else it is suspect.
 */
#include <string.h>

#include "engine.h"

#define CHUNK_BYTES (UINT64_C(64) << 10)

struct salvage {
    struct cbd_backend *b;
    cbd_salvage_visit *visit;
    void *arg;
    uint8_t *buf;
    int error; /* what the visitor said */
};

static bool suspect(const struct cbd_backend *b, const struct cbd_record *r)
{
    for (uint32_t i = 0; i < b->lost_count; i++) {
        const struct cbd_lost *l = &b->lost[i];

        if (!l->clean && !l->known && r->order <= l->order_max && r->epoch <= l->epoch_max)
            return true;
    }
    return false;
}

static void tell(struct salvage *s, const struct cbd_salvage_piece *piece)
{
    if (s->error == 0)
        s->error = s->visit(s->arg, piece);
}

static int read_into(struct salvage *s, uint64_t addr, uint64_t len)
{
    return cbd_read(s->b, 0, addr, s->buf, len);
}

/* Chunks of CHUNK_BYTES; where one fails, block by block, as the checksums are. */
static void read_piece(struct salvage *s, struct cbd_salvage_piece piece)
{
    uint64_t end = piece.addr_bytes + piece.len_bytes, step;

    piece.data = s->buf;
    for (; piece.addr_bytes < end && s->error == 0; piece.addr_bytes += piece.len_bytes) {
        step = CHUNK_BYTES;
        piece.kind = CBD_SALVAGE_DATA;
        piece.len_bytes = cbd_min64(end - piece.addr_bytes, step - piece.addr_bytes % step);
        piece.error = read_into(s, piece.addr_bytes, piece.len_bytes);
        if (piece.error != 0) {
            step = CBD_BLOCK_BYTES;
            piece.len_bytes = cbd_min64(end - piece.addr_bytes, step - piece.addr_bytes % step);
            piece.error = read_into(s, piece.addr_bytes, piece.len_bytes);
        }
        if (piece.error != 0)
            piece.kind = CBD_SALVAGE_LOST;
        tell(s, &piece);
    }
}

/* Whether the index shows this record there, and not another or another copy of it. */
static bool shows(const struct cbd_backend *b, const struct cbd_extent *e, uint64_t start,
                  const struct cbd_record *r, uint32_t segment)
{
    uint64_t off = cbd_segment_off(&b->cache->super.geo, segment) + r->payload_off;

    if (e->order != r->order)
        return false;
    if (r->type == CBD_M_RECORD_ZERO)
        return e->kind == CBD_EXTENT_ZERO;
    return e->kind == CBD_EXTENT_DATA &&
           e->loc * CBD_LINE_BYTES == off + (e->start - start) * CBD_SECTOR_BYTES;
}

/* One extent of tree n that shows the record, region by region. */
static void salvage_extent(struct salvage *s, uint32_t n, uint64_t at, uint64_t end,
                           const struct cbd_record *r)
{
    while (at < end && s->error == 0) {
        uint64_t region = at / CBD_REGION_SECTORS;
        uint64_t stop = cbd_min64(end, (region + 1) * CBD_REGION_SECTORS);
        struct cbd_salvage_piece piece = {
            .kind = CBD_SALVAGE_ZERO,
            .suspect = suspect(s->b, r),
            .addr_bytes = ((region << s->b->tree_bits) + n) * CBD_REGION_BYTES +
                          at % CBD_REGION_SECTORS * CBD_SECTOR_BYTES,
            .len_bytes = (stop - at) * CBD_SECTOR_BYTES,
        };

        if (r->type == CBD_M_RECORD_ZERO)
            tell(s, &piece);
        else
            read_piece(s, piece);
        at = stop;
    }
}

static void salvage_record(struct salvage *s, uint32_t segment, const struct cbd_record *r)
{
    struct cbd_backend *b = s->b;

    for (uint32_t n = 0; n < 1u << b->tree_bits; n++) {
        struct cbd_index_part part;
        struct cbd_extent e;
        uint64_t end;

        if (!cbd_index_part(b, n, r->addr_bytes, r->len_bytes, &part))
            continue;
        end = part.start + part.len;
        for (uint64_t pos = part.start; pos < end && s->error == 0 &&
                                        cbd_tree_find(&part.tree->tree, pos, &e) && e.start < end;
             pos = e.start + e.len)
            if (shows(b, &e, part.start, r, segment))
                salvage_extent(s, n, e.start > pos ? e.start : pos, cbd_min64(end, e.start + e.len),
                               r);
    }
}

static void salvage_segment(struct salvage *s, uint32_t id)
{
    struct cbd_backend *b = s->b;

    for (uint32_t slot = 0; slot < b->cache->segments[id].records && s->error == 0; slot++) {
        struct cbd_record r;

        if (cbd_load_record(b->cache, id, slot, &r) == 0 &&
            (r.type == CBD_M_RECORD_WRITE || r.type == CBD_M_RECORD_ZERO) &&
            r.epoch > b->state.epoch_written && r.order >= b->state.horizon)
            salvage_record(s, id, &r);
    }
}

/* What recovery found lost, as far as nothing newer covers it. */
static void on_extent(void *arg, const struct cbd_extent_view *e)
{
    struct cbd_salvage_piece piece = {
        .kind = CBD_SALVAGE_LOST,
        .error = CBD_E_CORRUPT,
        .addr_bytes = e->addr_bytes,
        .len_bytes = e->len_bytes,
    };

    if (e->lost)
        tell(arg, &piece);
}

int cbd_backend_salvage(struct cbd_backend *b, cbd_salvage_visit *visit, void *arg)
{
    struct cbd_cache *c = b->cache;
    struct salvage s = {.b = b, .visit = visit, .arg = arg};

    s.buf = c->env->ops->alloc(c->env, CHUNK_BYTES);
    if (s.buf == NULL)
        return CBD_E_NOMEM;
    for (uint32_t id = 0; id < c->super.geo.segment_count && s.error == 0; id++) {
        const struct cbd_segment_entry *e = &c->segments[id].entry;

        if (e->owner == b->id + 1 && e->status != CBD_M_SEGMENT_FREE)
            salvage_segment(&s, id);
    }
    if (s.error == 0)
        cbd_backend_extents(b, on_extent, &s);
    c->env->ops->free(c->env, s.buf, CHUNK_BYTES);
    return s.error;
}
