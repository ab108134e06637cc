/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: key sets one behind the other, from segment to segment, and the rules for one key.
 *
 * Replay of the driver: a key set is 24 bytes of header and 40 for each key. It ends the log when
 * its magic is wrong, when it has more than 128 keys, or when its checksum is wrong. A key set with
 * the flag LAST has no keys and names the segment where the log goes on. A walk makes at most
 * seg_count hops, so it ends on any media.
 */
#include <string.h>

#include "crc.h"
#include "pc_media.h"

static uint32_t room(struct cbd_pcache_pos pos)
{
    return CBD_PCACHE_DATA_BYTES - pos.off_bytes;
}

/* Decodes what is at pos. Returns CBD_PCACHE_END_NONE and fills *kset when it is a key set. */
static enum cbd_pcache_end parse(const struct cbd_pcache *pc, struct cbd_pcache_pos pos,
                                 struct cbd_pcache_kset *kset)
{
    uint8_t bytes[PC_KSET_BYTES_MAX];
    uint64_t off = cbd_pcache_pos_off(pc, pos);
    bool be = pc->big_endian;
    uint32_t number, len_bytes;

    if (room(pos) < PC_KSET_HEADER_BYTES)
        return CBD_PCACHE_END_NO_MAGIC;
    if (pc->pm->ops->read(pc->pm, off, bytes, PC_KSET_HEADER_BYTES) != 0)
        return CBD_PCACHE_END_MEDIA;
    if (pc_get64(be, bytes + 8) != PC_KSET_MAGIC)
        return pc_zero(bytes, PC_KSET_HEADER_BYTES) ? CBD_PCACHE_END_ZERO : CBD_PCACHE_END_NO_MAGIC;
    kset->pos = pos;
    kset->flags = pc_get64(be, bytes + 16);
    kset->last = (kset->flags & PC_KSET_FLAG_LAST) != 0;
    kset->skipped_damage = false;
    number = pc_get32(be, bytes + 4);
    if (kset->last) {
        if (!pc_record_valid(be, bytes, PC_KSET_HEADER_BYTES))
            return CBD_PCACHE_END_TORN;
        kset->key_count = 0;
        kset->next = (struct cbd_pcache_pos){number, 0};
        return number < pc->seg_count ? CBD_PCACHE_END_NONE : CBD_PCACHE_END_LAST;
    }
    if (number > CBD_PCACHE_KEYS_MAX)
        return CBD_PCACHE_END_TORN;
    len_bytes = PC_KSET_HEADER_BYTES + number * PC_KEY_BYTES;
    if (len_bytes > room(pos))
        return CBD_PCACHE_END_OVERRUN;
    /* The header again: one read for what is whole or not by one checksum. */
    if (pc->pm->ops->read(pc->pm, off, bytes, len_bytes) != 0)
        return CBD_PCACHE_END_MEDIA;
    if (!pc_record_valid(be, bytes, len_bytes))
        return CBD_PCACHE_END_TORN;
    kset->key_count = number;
    kset->next = (struct cbd_pcache_pos){pos.seg, pos.off_bytes + len_bytes};
    for (uint32_t i = 0; i < number; i++)
        pc_key_decode(be, bytes + PC_KSET_HEADER_BYTES + i * PC_KEY_BYTES, &kset->keys[i]);
    return CBD_PCACHE_END_NONE;
}

int cbd_pcache_walk_begin(struct cbd_pcache_walk *walk, const struct cbd_pcache *pc,
                          struct cbd_pcache_pos from)
{
    uint64_t count = pc->seg_count;

    memset(walk, 0, sizeof(*walk));
    walk->pc = pc;
    walk->pos = from;
    if (from.seg >= pc->seg_count || from.off_bytes >= CBD_PCACHE_DATA_BYTES)
        return CBD_E_RANGE;
    walk->alloc_bytes = count * sizeof(uint32_t) + count / 8 + 1;
    walk->reach = pc->env->ops->alloc(pc->env, walk->alloc_bytes);
    if (walk->reach == NULL)
        return CBD_E_NOMEM;
    memset(walk->reach, 0, walk->alloc_bytes);
    walk->seen = (uint8_t *)(walk->reach + count);
    walk->seen[from.seg / 8] |= (uint8_t)(1u << from.seg % 8);
    return 0;
}

void cbd_pcache_walk_end(struct cbd_pcache_walk *walk)
{
    if (walk->reach != NULL)
        walk->pc->env->ops->free(walk->pc->env, walk->reach, walk->alloc_bytes);
    walk->reach = NULL;
}

static bool was_seen(const struct cbd_pcache_walk *walk, uint32_t seg)
{
    return (walk->seen[seg / 8] >> seg % 8 & 1) != 0;
}

static void note_space(struct cbd_pcache_walk *walk, const struct cbd_pcache_kset *kset)
{
    for (uint32_t i = 0; i < kset->key_count; i++) {
        const struct cbd_pcache_key *key = &kset->keys[i];
        uint32_t problem;

        if (cbd_pcache_key_check(walk->pc, key, 0, &problem) == 0 &&
            !cbd_pcache_key_stale(walk->pc, key) &&
            key->seg_off_bytes + key->len_bytes > walk->reach[key->seg])
            walk->reach[key->seg] = key->seg_off_bytes + key->len_bytes;
    }
}

bool cbd_pcache_walk_next(struct cbd_pcache_walk *walk, struct cbd_pcache_kset *kset)
{
    struct cbd_pcache_pos found;
    bool skipped = false;

    if (walk->end != CBD_PCACHE_END_NONE)
        return false;
    if (walk->limited && pc_pos_equal(walk->pos, walk->limit)) {
        walk->end = CBD_PCACHE_END_LIMIT;
        return false;
    }
    walk->end = parse(walk->pc, walk->pos, kset);
    if (walk->end != CBD_PCACHE_END_NONE) {
        if (!walk->past_damage || !cbd_pcache_log_resume(walk, &found))
            return false;
        walk->pos = found;
        walk->seen[found.seg / 8] |= (uint8_t)(1u << found.seg % 8);
        skipped = true;
        walk->end = parse(walk->pc, walk->pos, kset);
        if (walk->end != CBD_PCACHE_END_NONE)
            return false;
    }
    kset->skipped_damage = skipped;
    if (kset->last && was_seen(walk, kset->next.seg)) {
        walk->end = CBD_PCACHE_END_LOOP;
        return false;
    }
    note_space(walk, kset);
    walk->seen[kset->next.seg / 8] |= (uint8_t)(1u << kset->next.seg % 8);
    walk->pos = kset->next;
    walk->ksets++;
    return true;
}

/* --- behind the end --- */

/* Whether some key takes space behind all that was met in its segment. */
static bool is_newer(const struct cbd_pcache_walk *walk, const struct cbd_pcache_kset *kset)
{
    for (uint32_t i = 0; i < kset->key_count; i++) {
        const struct cbd_pcache_key *key = &kset->keys[i];
        uint32_t problem;

        if (cbd_pcache_key_check(walk->pc, key, 0, &problem) != 0)
            return false;
        if (key->gen == walk->pc->gen[key->seg] && key->seg_off_bytes >= walk->reach[key->seg])
            return true;
    }
    return false;
}

/* Damage of more than this is not looked behind. One key set takes at most 5144 bytes. */
#define SEARCH_BYTES 131072u

/* The first newer key set at or behind pos in its segment. The magic is at byte 8 of a key set. */
static bool search(const struct cbd_pcache_walk *walk, struct cbd_pcache_pos pos,
                   struct cbd_pcache_pos *found)
{
    const struct cbd_pcache *pc = walk->pc;
    uint64_t base = cbd_pcache_pos_off(pc, (struct cbd_pcache_pos){pos.seg, 0});
    uint8_t bytes[PC_PAGE_BYTES];
    struct cbd_pcache_kset kset;
    uint32_t at = ((pos.off_bytes + 7) & ~7u) + 8; /* of the word that is looked at */

    while (at + 16 <= CBD_PCACHE_DATA_BYTES && at - pos.off_bytes < SEARCH_BYTES) {
        uint32_t len_bytes = PC_PAGE_BYTES - at % PC_PAGE_BYTES;

        if (pc->pm->ops->read(pc->pm, base + at, bytes, len_bytes) != 0)
            len_bytes = 64 - at % 64; /* perhaps one bad line */
        else
            for (uint32_t i = 0; i < len_bytes; i += 8) {
                struct cbd_pcache_pos here = {pos.seg, at + i - 8};

                if (pc_get64(pc->big_endian, bytes + i) == PC_KSET_MAGIC &&
                    parse(pc, here, &kset) == CBD_PCACHE_END_NONE && is_newer(walk, &kset)) {
                    *found = here;
                    return true;
                }
            }
        at += len_bytes;
    }
    return false;
}

bool cbd_pcache_log_resume(const struct cbd_pcache_walk *walk, struct cbd_pcache_pos *found)
{
    switch (walk->end) {
    case CBD_PCACHE_END_NO_MAGIC:
    case CBD_PCACHE_END_TORN:
    case CBD_PCACHE_END_OVERRUN:
    case CBD_PCACHE_END_MEDIA:
        return cbd_pcache_log_search(walk, found);
    default:
        return false;
    }
}

bool cbd_pcache_log_search(const struct cbd_pcache_walk *walk, struct cbd_pcache_pos *found)
{
    struct cbd_pcache_kset kset;

    if (search(walk, (struct cbd_pcache_pos){walk->pos.seg, walk->pos.off_bytes + 8}, found))
        return true;
    /* What is damaged may have been the way to the next segment. */
    if (room(walk->pos) >= PC_KSET_BYTES_MAX + PC_KSET_HEADER_BYTES)
        return false;
    for (uint32_t i = 0; i < walk->pc->seg_count; i++) {
        struct cbd_pcache_pos here = {i, 0};

        if (!was_seen(walk, i) && parse(walk->pc, here, &kset) == CBD_PCACHE_END_NONE &&
            is_newer(walk, &kset)) {
            *found = here;
            return true;
        }
    }
    return false;
}

/* --- keys --- */

int cbd_pcache_key_check(const struct cbd_pcache *pc, const struct cbd_pcache_key *key,
                         uint64_t backing_bytes, uint32_t *problem)
{
    uint64_t end = key->addr_bytes + key->len_bytes;
    uint32_t odd = (uint32_t)key->addr_bytes | key->len_bytes | key->seg_off_bytes;

    *problem = 0;
    if (key->len_bytes == 0 || key->len_bytes > CBD_PCACHE_KEY_BYTES_MAX)
        *problem = CBD_PCACHE_KEY_LEN;
    else if (key->seg >= pc->seg_count)
        *problem = CBD_PCACHE_KEY_SEGMENT;
    else if (key->seg_off_bytes > CBD_PCACHE_DATA_BYTES ||
             key->len_bytes > CBD_PCACHE_DATA_BYTES - key->seg_off_bytes)
        *problem = CBD_PCACHE_KEY_SPACE;
    else if (end < key->addr_bytes || end > (uint64_t)INT64_MAX ||
             (backing_bytes != 0 && end > backing_bytes))
        *problem = CBD_PCACHE_KEY_BEYOND;
    else if (odd % CBD_PCACHE_SECTOR_BYTES != 0)
        *problem = CBD_PCACHE_KEY_ALIGN;
    else if (key->addr_bytes / CBD_PCACHE_KEY_BYTES_MAX != (end - 1) / CBD_PCACHE_KEY_BYTES_MAX)
        *problem = CBD_PCACHE_KEY_REGION;
    else if ((key->flags & ~CBD_PCACHE_KEY_CLEAN) != 0)
        *problem = CBD_PCACHE_KEY_FLAGS;
    return *problem != 0 ? CBD_E_CORRUPT : 0;
}

bool cbd_pcache_key_stale(const struct cbd_pcache *pc, const struct cbd_pcache_key *key)
{
    return key->gen < pc->gen[key->seg];
}

int cbd_pcache_key_crc(const struct cbd_pcache *pc, const struct cbd_pcache_key *key, uint32_t *crc)
{
    uint64_t off = cbd_pcache_pos_off(pc, (struct cbd_pcache_pos){key->seg, key->seg_off_bytes});
    uint8_t bytes[PC_PAGE_BYTES];

    *crc = PC_CRC_SEED;
    for (uint32_t at = 0; at < key->len_bytes; at += sizeof(bytes)) {
        uint32_t len_bytes = key->len_bytes - at;

        len_bytes = len_bytes < sizeof(bytes) ? len_bytes : (uint32_t)sizeof(bytes);
        if (pc->pm->ops->read(pc->pm, off + at, bytes, len_bytes) != 0)
            return CBD_E_MEDIA;
        *crc = cbd_crc32c(*crc, bytes, len_bytes);
    }
    return 0;
}
