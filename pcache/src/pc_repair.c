/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes metadata again that the driver needs. What can be told from elsewhere only:
 *
 *   superblock    the number of segments from the size of the device
 *   cache_info    all segments, gc_percent as it was or 70; data checksums if one of them is right
 *   segment_info  the only chain that the driver ever writes: 0, 1, 2, ...
 *   generation    the highest one that a key in the log has
 *   tails         where pc_tails.c found them to be
 *
 * A number of segments is not made smaller when the log names one behind the end: the device is only a
 * part of what it was, and has to get its length back first.
 *
 * P1  The slot that is written is never the newest whole one.
 * P2  The superblock is written last: what the driver refuses for it, it goes on refusing until all
 *     the rest is whole.
 */
#include <string.h>

#include "pc_drain.h"
#include "pc_media.h"

#define KEYS_LOOKED_AT 64u

static bool super_whole(const struct cbd_pcache *pc)
{
    uint8_t sb[PC_SB_BYTES];

    return pc->pm->ops->read(pc->pm, PC_SB_OFF, sb, sizeof(sb)) == 0 &&
           pc_record_valid(false, sb, sizeof(sb)) && pc_get64(false, sb + 8) == PC_SB_MAGIC &&
           pc_get32(false, sb + 16) == pc->seg_num;
}

static bool info_whole(const struct cbd_pcache *pc)
{
    struct pc_twin t;
    const uint8_t *r;

    pc_twin_read(pc, PC_INFO_OFF, PC_PAGE_BYTES, PC_INFO_BYTES, &t);
    if (t.slots.newest < 0 || t.slots.media[0] || t.slots.media[1])
        return false;
    r = t.bytes[t.slots.newest];
    return (pc->info_flags & PC_INFO_FLAG_INIT_DONE) != 0 && pc->mode == 0 &&
           pc->gc_percent <= CBD_PCACHE_GC_PERCENT_MAX &&
           pc_get32(pc->big_endian, r + 8) == pc->first_seg &&
           pc_get32(pc->big_endian, r + 12) == pc->seg_count;
}

/* The slots of a segment's info, and whether they say what the chain that was loaded says. */
static bool segment_whole(const struct cbd_pcache *pc, uint32_t i, struct pc_twin *t)
{
    const uint8_t *r;

    pc_twin_read(pc, pc_segment_off(pc->device_seg[i]), PC_SEG_INFO_STRIDE, PC_SEG_INFO_BYTES, t);
    if (t->slots.newest < 0 || t->slots.media[0] || t->slots.media[1])
        return false;
    r = t->bytes[t->slots.newest];
    return i + 1 == pc->seg_count || ((pc_get32(pc->big_endian, r + 8) & PC_SEG_FLAG_NEXT) != 0 &&
                                      pc_get32(pc->big_endian, r + 12) == pc->device_seg[i + 1]);
}

static bool tail_whole(bool valid, const struct cbd_pcache_slots *slots,
                       struct cbd_pcache_pos driver, struct cbd_pcache_pos wanted)
{
    return valid && slots->newest >= 0 && !slots->media[0] && !slots->media[1] &&
           pc_pos_equal(driver, wanted);
}

/* The superblock has more segments than the device, and the log names some of those. */
static bool cut_short(const struct cbd_pcache *pc)
{
    uint8_t sb[PC_SB_BYTES];
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;
    bool beyond = false;

    if (pc->pm->ops->read(pc->pm, PC_SB_OFF, sb, sizeof(sb)) != 0 ||
        !pc_record_valid(false, sb, sizeof(sb)) || pc_get32(false, sb + 16) <= pc->seg_num)
        return false;
    if (cbd_pcache_walk_begin(&walk, pc, pc->key_tail) != 0)
        return true;
    while (!beyond && cbd_pcache_walk_next(&walk, &kset))
        for (uint32_t i = 0; i < kset.key_count; i++)
            beyond = beyond || kset.keys[i].seg >= pc->seg_num;
    beyond = beyond || walk.end == CBD_PCACHE_END_LAST;
    cbd_pcache_walk_end(&walk);
    return beyond;
}

unsigned cbd_pcache_repairs(const struct cbd_pcache *pc)
{
    unsigned what = 0;
    struct pc_twin t;

    if (!pc->key_tail_valid || !pc->dirty_tail_valid || cut_short(pc))
        return 0;
    if (!super_whole(pc))
        what |= CBD_PCACHE_REPAIR_SUPER;
    if (!info_whole(pc))
        what |= CBD_PCACHE_REPAIR_INFO;
    for (uint32_t i = 0; i < pc->seg_count; i++) {
        if (!segment_whole(pc, i, &t))
            what |= CBD_PCACHE_REPAIR_SEGMENTS;
        if (!pc->gen_valid[i])
            what |= CBD_PCACHE_REPAIR_GEN;
    }
    if (!tail_whole(pc->key_tail_valid, &pc->key_slots, pc->driver_key_tail, pc->key_tail) ||
        !tail_whole(pc->dirty_tail_valid, &pc->dirty_slots, pc->driver_dirty_tail, pc->dirty_tail))
        what |= CBD_PCACHE_REPAIR_TAILS;
    return what;
}

static int store(struct cbd_pcache *pc, uint64_t off, const void *bytes, size_t len_bytes)
{
    pc->pm->ops->copy(pc->pm, off, bytes, len_bytes, CBD_PMEM_NT, CBD_STEP_NONE);
    return pc->pm->ops->fence(pc->pm, CBD_STEP_NONE);
}

/* P1: the slot to write, and its sequence. */
static uint32_t next_slot(const struct cbd_pcache_slots *slots, uint8_t *seq)
{
    *seq = slots->newest >= 0 ? (uint8_t)(slots->seq[slots->newest] + 1) : 1;
    if (slots->newest < 0)
        return slots->media[1] ? 1 : 0;
    return slots->newest == 0 ? 1 : 0;
}

static int repair_segments(struct cbd_pcache *pc)
{
    int error = 0;

    for (uint32_t i = 0; i < pc->seg_count && error == 0; i++) {
        bool last = i + 1 == pc->seg_count;
        uint8_t record[PC_SEG_INFO_BYTES], seq;
        struct pc_twin t;
        uint32_t slot;

        if (segment_whole(pc, i, &t))
            continue;
        slot = next_slot(&t.slots, &seq);
        pc_seg_info_encode(pc->big_endian, record, seq,
                           PC_SEG_TYPE_DATA << 1 | (last ? 0 : PC_SEG_FLAG_NEXT),
                           last ? 0 : pc->device_seg[i + 1]);
        error = store(pc, t.off[slot], record, sizeof(record));
    }
    return error;
}

/* The highest generation of a key in each segment whose own is lost; also: are checksums in use? */
static int look_at_keys(struct cbd_pcache *pc, bool *crc)
{
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;
    uint32_t looked = 0;
    int error = cbd_pcache_walk_begin(&walk, pc, pc->key_tail);

    while (error == 0 && cbd_pcache_walk_next(&walk, &kset))
        for (uint32_t i = 0; i < kset.key_count; i++) {
            const struct cbd_pcache_key *key = &kset.keys[i];
            uint32_t problem, sum;

            if (cbd_pcache_key_check(pc, key, 0, &problem) != 0)
                continue;
            if (!pc->gen_valid[key->seg] && key->gen > pc->gen[key->seg] &&
                key->gen < UINT64_MAX / 2)
                pc->gen[key->seg] = key->gen;
            if (key->data_crc != 0 && !*crc && looked++ < KEYS_LOOKED_AT)
                *crc = cbd_pcache_key_crc(pc, key, &sum) == 0 && sum == key->data_crc;
        }
    cbd_pcache_walk_end(&walk);
    return error;
}

static int repair_gens(struct cbd_pcache *pc)
{
    int error = 0;

    for (uint32_t i = 0; i < pc->seg_count && error == 0; i++)
        if (!pc->gen_valid[i])
            error = pc_gen_store(pc, i, pc->gen[i]);
    return error;
}

static int repair_info(struct cbd_pcache *pc, bool crc)
{
    bool sane = pc->info_valid && pc->gc_percent <= CBD_PCACHE_GC_PERCENT_MAX;
    uint32_t percent = sane ? pc->gc_percent : CBD_PCACHE_GC_PERCENT;
    uint8_t record[PC_INFO_BYTES], seq;
    uint32_t slot = next_slot(&pc->info_slots, &seq);

    if (pc->info_valid)
        crc = pc->data_crc;
    pc_info_encode(pc->big_endian, record, seq, pc->first_seg, pc->seg_count,
                   percent << 6 | PC_INFO_FLAG_INIT_DONE | (crc ? PC_INFO_FLAG_DATA_CRC : 0));
    return store(pc, PC_INFO_OFF + (uint64_t)slot * PC_PAGE_BYTES, record, sizeof(record));
}

static int repair_tails(struct cbd_pcache *pc)
{
    int error = pc_tail_store(pc, PC_DIRTY_TAIL_OFF, pc->dirty_tail);

    if (error == 0)
        error = pc_tail_store(pc, PC_DIRTY_TAIL_OFF, pc->dirty_tail);
    if (error == 0)
        error = pc_tail_store(pc, PC_KEY_TAIL_OFF, pc->key_tail);
    return error != 0 ? error : pc_tail_store(pc, PC_KEY_TAIL_OFF, pc->key_tail);
}

/* P2. */
static int repair_super(struct cbd_pcache *pc)
{
    uint8_t old[PC_SB_BYTES] = {0}, record[PC_SB_BYTES];

    if (pc->pm->ops->read(pc->pm, PC_SB_OFF, old, sizeof(old)) != 0)
        memset(old, 0, sizeof(old));
    pc_super_encode(record, pc->big_endian ? PC_SB_FLAG_BIG_ENDIAN : 0, pc->seg_num, old + 20);
    return store(pc, PC_SB_OFF, record, sizeof(record));
}

const char *cbd_pcache_repair_name(unsigned n)
{
    static const char *const names[] = {"the superblock", "cache_info", "the chain of segments",
                                        "generations", "tails"};

    return n < sizeof(names) / sizeof(names[0]) ? names[n] : NULL;
}

int cbd_pcache_repair(struct cbd_pcache *pc)
{
    unsigned what = cbd_pcache_repairs(pc);
    bool crc = false;
    int error = 0;

    if (pc->image)
        return CBD_E_READONLY;
    if (!pc->key_tail_valid || !pc->dirty_tail_valid)
        return CBD_E_CORRUPT;
    if ((what & (CBD_PCACHE_REPAIR_GEN | CBD_PCACHE_REPAIR_INFO)) != 0)
        error = look_at_keys(pc, &crc);
    if (error == 0 && (what & CBD_PCACHE_REPAIR_SEGMENTS) != 0)
        error = repair_segments(pc);
    if (error == 0 && (what & CBD_PCACHE_REPAIR_GEN) != 0)
        error = repair_gens(pc);
    if (error == 0 && (what & CBD_PCACHE_REPAIR_TAILS) != 0)
        error = repair_tails(pc);
    if (error == 0 && (what & CBD_PCACHE_REPAIR_INFO) != 0)
        error = repair_info(pc, crc);
    if (error == 0 && (what & CBD_PCACHE_REPAIR_SUPER) != 0)
        error = repair_super(pc);
    return error;
}
