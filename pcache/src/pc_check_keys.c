/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys one by one, and against each other: on the backing device and in the space of the cache. */
#include "pc_check.h"
#include "pc_media.h"
#include "pc_report.h"
#include "sort.h"

/* How many of the keys under one piece are looked at: a bound for media that repeat one range. */
#define COVER_MAX 64u

struct cbd_check_finding pc_key_finding(const struct pc_check *c, uint32_t code,
                                        const struct cbd_pcache_kset *kset, uint32_t index,
                                        bool dirty)
{
    const struct cbd_pcache_key *key = &kset->keys[index];
    struct cbd_check_finding f = pc_finding(code);

    f.segment = kset->pos.seg;
    f.slot = index;
    f.off_bytes = cbd_pcache_pos_off(&c->pc, kset->pos) + PC_KSET_HEADER_BYTES +
                  (uint64_t)index * PC_KEY_BYTES;
    f.backend = 0;
    f.dirty = dirty;
    f.range_known = key->len_bytes != 0 && key->addr_bytes + key->len_bytes > key->addr_bytes;
    f.addr_bytes = key->addr_bytes;
    f.len_bytes = key->len_bytes;
    return f;
}

static void say(struct pc_check *c, uint32_t code, const struct cbd_pcache_kset *kset,
                uint32_t index, bool dirty, uint64_t got, uint64_t limit)
{
    struct cbd_check_finding f = pc_key_finding(c, code, kset, index, dirty);

    f.got = got;
    f.limit = limit;
    pc_report(c->sink, &f);
}

static uint64_t got_of(const struct cbd_pcache_key *key, uint32_t code)
{
    switch (code) {
    case CBD_PCACHE_KEY_LEN:
        return key->len_bytes;
    case CBD_PCACHE_KEY_SEGMENT:
        return key->seg;
    case CBD_PCACHE_KEY_SPACE:
        return (uint64_t)key->seg_off_bytes + key->len_bytes;
    case CBD_PCACHE_KEY_FLAGS:
        return key->flags;
    default:
        return key->addr_bytes;
    }
}

static uint64_t limit_of(const struct pc_check *c, uint32_t code)
{
    switch (code) {
    case CBD_PCACHE_KEY_LEN:
        return CBD_PCACHE_KEY_BYTES_MAX;
    case CBD_PCACHE_KEY_SEGMENT:
        return c->pc.seg_count - 1;
    case CBD_PCACHE_KEY_SPACE:
        return CBD_PCACHE_DATA_BYTES;
    case CBD_PCACHE_KEY_FLAGS:
        return CBD_PCACHE_KEY_CLEAN;
    case CBD_PCACHE_KEY_ALIGN:
        return CBD_PCACHE_SECTOR_BYTES;
    case CBD_PCACHE_KEY_REGION:
        return CBD_PCACHE_KEY_BYTES_MAX;
    default:
        return c->options->backing_bytes;
    }
}

/* Stale: with a checksum that the driver verifies first, it cannot be activated (D2). */
static void check_stale(struct pc_check *c, const struct cbd_pcache_kset *kset, uint32_t index,
                        bool behind)
{
    const struct cbd_pcache_key *key = &kset->keys[index];
    uint32_t code = CBD_PCACHE_KEY_STALE, crc;

    if (c->pc.data_crc && !c->pc.image &&
        (cbd_pcache_key_crc(&c->pc, key, &crc) != 0 || crc != key->data_crc)) {
        code = CBD_PCACHE_KEY_STALE_CRC;
        c->pc.driver_refuses = true;
    }
    say(c, code, kset, index, behind, key->gen, c->pc.gen[key->seg]);
}

/* Without data checksums it is still to be seen whether the data can be read. */
static void check_data(struct pc_check *c, const struct cbd_pcache_kset *kset, uint32_t index,
                       bool dirty)
{
    const struct cbd_pcache_key *key = &kset->keys[index];
    uint32_t crc;
    int error;

    if (!c->options->data || c->pc.image)
        return;
    error = cbd_pcache_key_crc(&c->pc, key, &crc);
    c->out->data_bytes += key->len_bytes;
    if (error == 0 && (!c->pc.data_crc || crc == key->data_crc))
        return;
    if (error != 0)
        say(c, CBD_PCACHE_DATA_MEDIA, kset, index, dirty, 0, 0);
    else
        say(c, dirty ? CBD_PCACHE_DATA_DIRTY : CBD_PCACHE_DATA_CLEAN, kset, index, dirty, crc,
            key->data_crc);
    c->pc.driver_refuses |= c->pc.data_crc; /* else it does not look at data */
    c->out->drain_doubtful |= dirty;
}

void pc_check_key(struct pc_check *c, const struct cbd_pcache_kset *kset, uint32_t index,
                  bool behind)
{
    const struct cbd_pcache_key *key = &kset->keys[index];
    uint64_t order = c->key_count++;
    bool clean = (key->flags & CBD_PCACHE_KEY_CLEAN) != 0;
    bool dirty = behind && !clean;
    uint32_t problem;

    if (cbd_pcache_key_check(&c->pc, key, c->options->backing_bytes, &problem) != 0) {
        say(c, problem, kset, index, dirty, got_of(key, problem), limit_of(c, problem));
        c->pc.driver_refuses |= problem != CBD_PCACHE_KEY_ALIGN &&
                                problem != CBD_PCACHE_KEY_REGION && problem != CBD_PCACHE_KEY_FLAGS;
        c->out->drain_doubtful |= dirty;
        return;
    }
    if (key->reserved != 0)
        say(c, CBD_PCACHE_KEY_RESERVED, kset, index, dirty, key->reserved, 0);
    if (cbd_pcache_key_stale(&c->pc, key)) {
        check_stale(c, kset, index, dirty);
        return;
    }
    if (key->gen > c->pc.gen[key->seg] && c->pc.gen_valid[key->seg])
        say(c, CBD_PCACHE_KEY_GEN, kset, index, dirty, key->gen, c->pc.gen[key->seg]);
    check_data(c, kset, index, dirty);
    if (c->range_count == c->range_cap || order >= c->range_cap)
        return; /* the media changed under us */
    c->places[order] = kset->pos;
    c->ranges[c->range_count++] = (struct pc_range){
        .first = key->addr_bytes,
        .len = key->len_bytes,
        .order = order,
        .place = cbd_pcache_pos_off(&c->pc, (struct cbd_pcache_pos){key->seg, key->seg_off_bytes}),
        .tag = (dirty ? (uint32_t)PC_TAG_DIRTY : 0) | (clean ? (uint32_t)PC_TAG_CLEAN : 0) |
               key->seg << PC_TAG_BITS,
    };
}

/* --- against each other --- */

/* A finding about a key of which the range is kept; what is missing of its place is its index. */
static void say_range(struct pc_check *c, uint32_t code, const struct pc_range *r, uint64_t addr,
                      uint64_t len, uint64_t got, uint64_t limit)
{
    struct cbd_check_finding f = pc_finding(code);

    f.segment = c->places[r->order].seg;
    f.off_bytes = cbd_pcache_pos_off(&c->pc, c->places[r->order]);
    f.backend = 0;
    f.dirty = (r->tag & PC_TAG_DIRTY) != 0;
    f.range_known = true;
    f.addr_bytes = addr;
    f.len_bytes = len;
    f.got = got;
    f.limit = limit;
    pc_report(c->sink, &f);
}

/*
 * Of the keys that cover one piece: the first in the log whose space was taken before that of one
 * that stands earlier in the log.
 */
static void find_old(struct pc_check *c, const struct pc_cover *cover, uint64_t n, uint64_t at)
{
    for (uint64_t i = 0; i < n; i++) {
        const struct pc_range *later = &cover->ranges[cover->items[i]];

        if (later->first + later->len <= at || later->order >= c->old_order)
            continue;
        for (uint64_t k = 0; k < n; k++) {
            const struct pc_range *r = &cover->ranges[cover->items[k]];

            if (r->first + r->len > at && r->order < later->order &&
                r->tag >> PC_TAG_BITS == later->tag >> PC_TAG_BITS && r->place > later->place) {
                c->old_order = later->order;
                c->old_key = *later;
                break;
            }
        }
    }
}

/* The keys that cover one piece; the one on top hides the others. */
static int check_piece(void *arg, const struct pc_range *top, uint64_t skip, uint64_t len,
                       const struct pc_cover *cover)
{
    struct pc_check *c = arg;
    uint64_t n = cover->count < COVER_MAX ? cover->count : COVER_MAX;
    uint64_t at = top->first + skip;

    for (uint64_t i = 1; i < n && (top->tag & PC_TAG_CLEAN) != 0; i++) {
        const struct pc_range *r = &cover->ranges[cover->items[i]];

        if (r->first + r->len > at && (r->tag & PC_TAG_DIRTY) != 0) {
            say_range(c, CBD_PCACHE_KEY_CLEAN_OVER_DIRTY, top, at, len, 0, 0);
            break;
        }
    }
    if (n > 1)
        find_old(c, cover, n, at);
    return c->sink->stop;
}

static void check_old(struct pc_check *c)
{
    const struct pc_range *r = &c->old_key;

    if (c->old_order == UINT64_MAX)
        return;
    c->out->drain_doubtful = true;
    c->out->log_end_known = true;
    c->out->log_end = c->places[c->old_order];
    say_range(c, CBD_PCACHE_LOG_STALE, r, r->first, r->len, 0, 0);
}

/* Ranges are sorted by address. */
static bool starts_at(const struct pc_check *c, uint64_t addr)
{
    uint64_t low = 0, high = c->range_count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (c->ranges[middle].first < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->range_count && c->ranges[low].first == addr;
}

static void check_cuts(struct pc_check *c)
{
    for (uint64_t i = 0; i < c->range_count && c->sink->stop == 0; i++) {
        const struct pc_range *r = &c->ranges[i];
        uint64_t end = r->first + r->len;

        if ((r->tag & PC_TAG_DIRTY) != 0 && end % PC_PAGE_BYTES != 0 &&
            (r->place + r->len - CBD_PCACHE_SEGMENTS_OFF) % CBD_PCACHE_SEGMENT_BYTES == 0 &&
            !starts_at(c, end))
            say_range(c, CBD_PCACHE_KEY_CUT, r, r->first, r->len, 0, 0);
    }
}

static bool by_place(const void *a, const void *b)
{
    const struct pc_range *x = a, *y = b;

    return x->place != y->place ? x->place < y->place : x->order < y->order;
}

static void check_overlaps(struct pc_check *c)
{
    uint64_t end = 0;
    uint32_t told = UINT32_MAX;

    cbd_sort(c->ranges, c->range_count, sizeof(*c->ranges), by_place);
    for (uint64_t i = 0; i < c->range_count && c->sink->stop == 0; i++) {
        const struct pc_range *r = &c->ranges[i];
        uint32_t seg = r->tag >> PC_TAG_BITS;

        if (r->place < end) {
            say_range(c, CBD_PCACHE_SPACE_OVERLAP, r, r->first, r->len, r->place, end);
            c->out->drain_doubtful |= (r->tag & PC_TAG_DIRTY) != 0;
        }
        end = r->place + r->len > end ? r->place + r->len : end;
        if (seg != told && (c->walk.seen[seg / 8] >> seg % 8 & 1) != 0) {
            say_range(c, CBD_PCACHE_SPACE_LOG, r, r->first, r->len, seg, 0);
            c->out->drain_doubtful = true;
        }
        told = seg;
    }
}

void pc_check_space(struct pc_check *c)
{
    if (c->range_count == 0)
        return;
    c->old_order = UINT64_MAX;
    if (pc_sweep(c->ranges, c->range_count, c->heap, check_piece, c) != 0)
        return;
    check_old(c);
    check_cuts(c);
    check_overlaps(c);
}
