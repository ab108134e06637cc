/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Putting one record in: durable, in order, visible.
 *
 *   1  lock the stream, find room                                     cbd_stream_room
 *   2  store payload, then checksums and header                       store_payload
 *   3  lock the tree (all that a zero range touches, ascending) and
 *      reserve index nodes: nothing fails from here on but pmem       I2
 *   4  load epoch, then era; take the next order of the tree          E1, I3
 *   5  fence, unless checksums are on                                 I1
 *   6  store the record, fence                                        I4
 *   7  insert into the index, unlock the tree                         I5
 *   8  advance the stream, unlock it, return
 *
 * Locking waits until all stores are done, as a fence does. So for a short payload step 3 comes
 * before step 2, and what 2 and 4 have to compute is done while the payload is on its way. A long
 * one would keep others from the tree: it is stored and fenced (5) before the tree is locked.
 *
 * I1  a record never names a payload that may be missing. Without data checksums the payload is
 *     fenced before the record is stored. With them one fence serves both: until it returns the
 *     write is not acknowledged, and recovery believes the last record of a stream only when
 *     its payload matches the checksums (all earlier ones were fenced before it was stored);
 * I2  after the record is stored the write cannot fail half-way: index and media agree;
 * I3  under the lock of a tree everything of lower order is in the index already, so the order of
 *     overlapping writes in the index is the order that recovery sees;
 * I4  the record is durable before anybody can read what it names (P1, P3);
 * I5  the index shows the write before it returns.
 *
 * With durability=flush there is no fence, and I4 holds for what sync.c has made durable only; I1 is
 * kept by recovery, which verifies every payload that was not.
 *
 * A fill (clean data from the disk) brings the order that was sampled, under the tree's lock, at
 * its miss: every write since then has a higher one and wins, in the index and in recovery alike.
 * A fill that the horizon has overtaken meanwhile is dropped: what was written after the miss may
 * have been written back and forgotten, and then nothing would hide the fill's old data.
 */
#include <string.h>

#include "crc.h"
#include "engine.h"

#define HEADER_BYTES_MAX (sizeof(struct cbd_m_header) + 65 * sizeof(struct cbd_m_crc_line))
#define BLOCKS_MAX (CBD_REGION_BYTES / CBD_BLOCK_BYTES + 1)
#define SHORT_BYTES_MAX 8192u /* of a payload that is stored while the tree is locked */

static void block_checksums(const struct cbd_cache *c, const struct cbd_insert *in, uint32_t *crc)
{
    uint64_t done = 0;

    while (done < in->len) {
        uint64_t lead = (in->addr + done) % CBD_BLOCK_BYTES;
        uint64_t n = cbd_min64(CBD_BLOCK_BYTES - lead, in->len - done);

        *crc++ = cbd_crc32c(c->block_seed, in->src + done, n);
        done += n;
    }
}

/* Y1 */
static unsigned store_flags(const struct cbd_backend *b)
{
    return b->unfenced ? 0 : CBD_PMEM_NT;
}

/*
 * Step 2. Returns what ties the record to the header. The payload goes first: its stores and the
 * leaf of the index are on their way while its checksums are computed. No fence is between payload
 * and header: either may become durable before the other, whichever is stored first.
 */
static uint32_t store_payload(struct cbd_backend *b, const struct cbd_insert *in,
                              const struct cbd_room *room, struct cbd_tree_aim *aim)
{
    struct cbd_cache *c = b->cache;
    const struct cbd_segment *seg = &c->segments[room->segment];
    uint64_t base = cbd_segment_off(&c->super.geo, room->segment) + room->payload_off;
    uint32_t header_bytes = cbd_header_bytes(in->addr, (uint32_t)in->len);
    _Alignas(64) uint8_t bytes[HEADER_BYTES_MAX];
    uint32_t crc[BLOCKS_MAX];
    struct cbd_header header = {
        .slot = room->slot,
        .behind = room->slot - room->durable,
        .addr_bytes = in->addr,
        .len_bytes = (uint32_t)in->len,
        .type = in->type,
        .epoch_floor = in->type == CBD_M_RECORD_FILL ? 0 : atomic_load(&b->epoch),
    };
    uint32_t header_crc;

    c->pm->ops->copy(c->pm, base, in->src, in->len, store_flags(b), CBD_STEP_INSERT_DATA);
    cbd_tree_aim_finish(&in->tree->tree, aim);
    if (cbd_checksums(c))
        block_checksums(c, in, crc);
    header_crc = cbd_header_encode(&header, cbd_checksums(c) ? crc : NULL, seg->header_seed,
                                   room->payload_off, bytes);
    c->pm->ops->copy(c->pm, base - header_bytes, bytes, header_bytes, store_flags(b),
                     CBD_STEP_INSERT_HEADER);
    return header_crc;
}

/* I1 */
static int fence_payload(struct cbd_cache *c)
{
    if (cbd_checksums(c) || CBD_CANARY(PAYLOAD_NOT_FENCED))
        return 0;
    return c->pm->ops->fence(c->pm, CBD_STEP_INSERT_DATA_FENCE);
}

/* Locks every tree in the range, ascending, with room for the new extents in each (I2). */
static int lock_trees(struct cbd_backend *b, const struct cbd_insert *in)
{
    struct cbd_env *env = b->cache->env;
    struct cbd_index_tree *only = in->tree;
    uint32_t first, end, n;
    int error = 0;

    if (only != NULL) {
        cbd_lock_take(env, &only->lock);
        if (!CBD_CANARY(NODES_NOT_RESERVED))
            error = cbd_tree_reserve(&only->pool, &only->tree, 1);
        if (error != 0)
            cbd_lock_drop(&only->lock);
        return error;
    }
    cbd_index_trees(b, in->addr, in->len, &first, &end);
    for (n = first; n < end && error == 0; n++) {
        struct cbd_index_part part;
        uint64_t pieces;

        if (!cbd_index_part(b, n, in->addr, in->len, &part))
            continue;
        cbd_lock_take(env, &part.tree->lock);
        pieces = part.len / ((1u << CBD_TREE_LEN_BITS) - 1) + 1;
        if (!CBD_CANARY(NODES_NOT_RESERVED))
            error = cbd_tree_reserve(&part.tree->pool, &part.tree->tree, (unsigned)pieces);
        if (error != 0)
            cbd_lock_drop(&part.tree->lock);
    }
    if (error == 0)
        return 0;
    for (n--; n-- > first;) {
        struct cbd_index_part part;

        if (cbd_index_part(b, n, in->addr, in->len, &part))
            cbd_lock_drop(&part.tree->lock);
    }
    return error;
}

static void unlock_trees(struct cbd_backend *b, const struct cbd_insert *in)
{
    struct cbd_index_tree *only = in->tree;
    uint32_t first, end;

    if (only != NULL) {
        cbd_lock_drop(&only->lock);
        return;
    }
    cbd_index_trees(b, in->addr, in->len, &first, &end);
    for (uint32_t n = first; n < end; n++) {
        struct cbd_index_part part;

        if (cbd_index_part(b, n, in->addr, in->len, &part))
            cbd_lock_drop(&part.tree->lock);
    }
}

/* Of step 4: the next order, higher than any in every tree of the range (I3). */
static uint64_t take_order(struct cbd_backend *b, const struct cbd_insert *in)
{
    struct cbd_index_tree *only = in->tree;
    uint64_t order = 0;
    uint32_t first, end;

    if (only != NULL)
        return cbd_index_next_order(b, only);
    cbd_index_trees(b, in->addr, in->len, &first, &end);
    for (uint32_t n = first; n < end; n++) {
        struct cbd_index_part part;

        if (cbd_index_part(b, n, in->addr, in->len, &part)) {
            uint64_t next = cbd_index_next_order(b, part.tree);

            if (!CBD_CANARY(ORDER_OF_FIRST_TREE) || order == 0)
                order = next > order ? next : order;
        }
    }
    for (uint32_t n = first; n < end; n++) {
        struct cbd_index_part part;

        if (cbd_index_part(b, n, in->addr, in->len, &part) && !CBD_CANARY(ORDER_NOT_SPREAD))
            part.tree->last_order = order;
    }
    return order;
}

/* Step 4 */
static void number(struct cbd_backend *b, struct cbd_insert *in, struct cbd_record *record)
{
    bool sampled = /* the order was taken before */
        in->type == CBD_M_RECORD_FILL ? !CBD_CANARY(FILL_ORDERED_LATE) : CBD_CANARY(ORDER_UNLOCKED);

    record->epoch = in->type == CBD_M_RECORD_FILL ? 0 : atomic_load(&b->epoch); /* E1 */
    if (CBD_CANARY(EPOCH_UNLOCKED) && in->type != CBD_M_RECORD_FILL)
        record->epoch = in->epoch;
    record->order = sampled ? in->order : take_order(b, in);
}

/* Steps 4 to 7, with the trees locked. unfenced: step 5 has yet to be done. */
static int publish(struct cbd_backend *b, struct cbd_insert *in, const struct cbd_room *room,
                   struct cbd_tree_aim *aim, bool unfenced, struct cbd_record *record)
{
    struct cbd_cache *c = b->cache;
    const struct cbd_segment *seg = &c->segments[room->segment];
    struct cbd_m_record m;
    int error = 0;

    number(b, in, record);
    cbd_record_encode(record, seg->record_seed, seg->entry.generation, room->slot, &m);
    if (unfenced)
        error = fence_payload(c);
    if (error != 0)
        return error;
    c->pm->ops->copy(c->pm,
                     cbd_segment_off(&c->super.geo, room->segment) +
                         cbd_slot_off(&c->super.geo, room->slot),
                     &m, sizeof(m), store_flags(b), CBD_STEP_INSERT_RECORD);
    if (in->tree != NULL)
        cbd_tree_aim_place(&in->tree->tree, aim); /* while the record is on its way */
    error = b->unfenced || CBD_CANARY(RECORD_NOT_FENCED) || CBD_CANARY(FENCED_UNLOCKED)
                ? 0
                : c->pm->ops->fence(c->pm, CBD_STEP_INSERT_RECORD_FENCE); /* I4 */
    if (error != 0 && !CBD_CANARY(FENCE_FAILURE_IGNORED))
        return error;
    error = cbd_index_insert_range(b, record, room->segment, aim); /* I5 */
    /* A fill may be cut into more pieces than were reserved: what does not go in is not cached. */
    return in->type == CBD_M_RECORD_FILL ? 0 : error;
}

/* X2: whether the index shows the original wherever its copy goes. The trees are locked. */
__attribute__((noinline, cold)) static bool still_shown(struct cbd_backend *b,
                                                        const struct cbd_insert *in)
{
    const struct cbd_tree *tree = &cbd_index_tree_of(b, in->addr)->tree;
    uint64_t pos = cbd_index_local(b, in->addr);
    uint64_t end = pos + in->len / CBD_SECTOR_BYTES;
    struct cbd_extent e;

    while (pos < end && cbd_tree_find(tree, pos, &e) && e.start <= pos && e.order == in->original)
        pos = e.start + e.len;
    return pos >= end;
}

/* Step 3. CBD_E_NOMEM or CBD_E_MISMATCH: nothing is locked. */
static int lock_and_look(struct cbd_backend *b, const struct cbd_insert *in)
{
    int error = lock_trees(b, in);

    if (error == 0 && in->original != 0 && !still_shown(b, in)) {
        unlock_trees(b, in);
        error = CBD_E_MISMATCH;
    }
    return error;
}

/* Steps 2 to 8 in a stream that is locked and has room. */
static int insert_into(struct cbd_backend *b, struct cbd_stream *s, struct cbd_insert *in,
                       const struct cbd_room *room, struct cbd_tree_aim *aim)
{
    struct cbd_record record = {
        .type = in->type,
        .flags = in->flags,
        .durable = room->durable,
        .addr_bytes = in->addr,
        .len_bytes = in->len,
        .payload_off = room->payload_off,
    };
    bool stored = in->type == CBD_M_RECORD_ZERO; /* and fenced, where it has to be */
    int error = 0;

    if (!stored && in->len > SHORT_BYTES_MAX) {
        record.header_crc = store_payload(b, in, room, aim);
        error = fence_payload(b->cache);
        stored = true;
    }
    if (error == 0) {
        int refused;

        if (CBD_CANARY(ORDER_UNLOCKED) && in->type != CBD_M_RECORD_FILL)
            in->order = take_order(b, in);
        refused = lock_and_look(b, in);
        if (refused != 0) {
            if (stored && !CBD_CANARY(SPACE_NOT_SKIPPED))
                cbd_stream_skip(b, room, in->len);
            return refused;
        }
        if (!stored)
            record.header_crc = store_payload(b, in, room, aim);
        error = publish(b, in, room, aim, !stored, &record);
        unlock_trees(b, in);
        if (CBD_CANARY(FENCED_UNLOCKED) && error == 0)
            error = b->cache->pm->ops->fence(b->cache->pm, CBD_STEP_INSERT_RECORD_FENCE);
    }
    if (error != 0) {
        atomic_store(&b->failed, error);
        return error;
    }
    in->epoch = record.epoch;
    cbd_stream_commit(b, s, room, &record);
    return 0;
}

/*
 * CBD_E_AGAIN: no free segment, or a fill that came too late. CBD_E_MISMATCH: the index does not
 * show the original any more. in->len may come back shorter.
 */
int cbd_insert(struct cbd_backend *b, unsigned lane, struct cbd_insert *in)
{
    struct cbd_stream *s = &b->streams[lane % b->stream_count];
    uint64_t payload = in->type == CBD_M_RECORD_ZERO ? 0 : in->len;
    struct cbd_tree_aim aim = {0};
    struct cbd_room room;
    int error;

    /*
     * Before the first lock: a locked instruction waits for all stores, also for the last record of
     * this thread, and the node below the root comes out of memory meanwhile.
     */
    in->tree = NULL;
    if (in->type != CBD_M_RECORD_ZERO) {
        in->tree = cbd_index_tree_of(b, in->addr);
        cbd_tree_aim(&in->tree->tree, cbd_index_local(b, in->addr), &aim);
        cbd_tree_aim_step(&in->tree->tree, &aim);
    }
    if (CBD_CANARY(EPOCH_UNLOCKED))
        in->epoch = atomic_load(&b->epoch);
    if (!CBD_CANARY(STREAM_NOT_LOCKED))
        cbd_lock_take(b->cache->env, &s->lock);
    error = atomic_load(&b->failed);
    if (error == 0 && in->type == CBD_M_RECORD_FILL && !CBD_CANARY(FILL_BELOW_HORIZON) &&
        in->order < atomic_load(&b->horizon_next))
        error = CBD_E_AGAIN;
    if (error == 0)
        error = cbd_stream_room(b, s, in->addr, &payload, &room);
    if (error == 0 && b->unfenced && room.slot - s->durable >= CBD_UNFENCED_MAX)
        error = cbd_sync_stream(b, s); /* Y2 */
    if (error == 0) {
        room.durable = b->unfenced ? s->durable : room.slot;
        if (in->type != CBD_M_RECORD_ZERO)
            in->len = payload;
        cbd_count(&b->lanes[lane].stats.records, 1);
        error = insert_into(b, s, in, &room, &aim);
    }
    cbd_lock_drop(&s->lock);
    return error;
}
