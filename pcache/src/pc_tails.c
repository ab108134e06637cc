/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slots of a tail against each other. A tail is 16 bytes, two words that persist one by one:
 *
 *   word 0  checksum, sequence      word 1  segment, offset
 *
 * The driver stores a new record over the slot that its index names. After an activation that is
 * the newest (D3), else the older one. A power cut then leaves one word old and one new. With N the
 * sequence of the newest record before the store:
 *
 *   overwritten      words         sequence of the torn slot   its position
 *   older (N-1)      new, old      N+1, valid is N             older than valid
 *   older (N-1)      old, new      N-1, valid is N             newer than valid
 *   newest (N)       new, old      N+1, valid is N-1 or less   the committed one
 *   newest (N)       old, new      N,   valid is N-1 or less   the next one
 *
 * In the last two the position of the torn slot is right: what the driver did before it stored the
 * record allows either of the two.
 */
#include <string.h>

#include "pc_load.h"
#include "pc_media.h"
#include "pc_report.h"

/* Whether the log leads from one position to the other, which is not the same. */
static bool leads(const struct cbd_pcache *pc, struct cbd_pcache_pos from, struct cbd_pcache_pos to)
{
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;
    bool found = false;

    if (cbd_pcache_walk_begin(&walk, pc, from) == 0)
        while (!found && cbd_pcache_walk_next(&walk, &kset))
            found = pc_pos_equal(kset.next, to);
    cbd_pcache_walk_end(&walk);
    return found;
}

/* Whether a key set is at pos, or the zeroes behind the newest one. */
static bool plausible(const struct cbd_pcache *pc, struct cbd_pcache_pos pos)
{
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;
    bool found;

    if (pos.seg >= pc->seg_count || pos.off_bytes >= CBD_PCACHE_DATA_BYTES)
        return false;
    found = cbd_pcache_walk_begin(&walk, pc, pos) == 0 &&
            (cbd_pcache_walk_next(&walk, &kset) || walk.end == CBD_PCACHE_END_ZERO);
    cbd_pcache_walk_end(&walk);
    return found;
}

/* One slot is valid (or none), the other is not, and not zero: which of the two was newer? */
static bool newest_was_torn(const struct cbd_pcache *pc, const struct pc_twin *t, int torn)
{
    int valid = t->slots.newest;
    struct cbd_pcache_pos lost = pc_tail_decode(pc->big_endian, t->bytes[torn]);
    uint8_t ahead;

    if (!plausible(pc, lost))
        return false;
    if (valid < 0)
        return true;
    ahead = (uint8_t)(t->slots.seq[torn] - t->slots.seq[valid]);
    if (ahead >= 2 && ahead < 128)
        return true;
    return ahead == 1 && leads(pc, pc_tail_decode(pc->big_endian, t->bytes[valid]), lost);
}

/*
 * A format writes slot 0 with sequence 1 at 0:0 and does not touch slot 1. As long as slot 0 is so,
 * slot 1 has had one update in the first activation (sequence 2) and at most one in each later one,
 * and each activation counts in cache_info. More than that is older than the format. With fewer, the
 * log has to lead from one to the other; where key_tail has moved on, nobody can tell.
 */
static bool is_stale(const struct cbd_pcache *pc, const struct pc_twin *t)
{
    const struct cbd_pcache_pos start = {0, 0};
    struct cbd_pcache_pos pos;
    int info = pc->info_slots.newest;

    if (!t->slots.valid[0] || t->slots.newest != 1 || t->slots.seq[0] != 1 ||
        !pc_pos_equal(pc_tail_decode(pc->big_endian, t->bytes[0]), start))
        return false;
    if (info >= 0 && t->slots.seq[1] > pc->info_slots.seq[info] + 1)
        return true;
    pos = pc_tail_decode(pc->big_endian, t->bytes[1]);
    return t->off[0] == PC_DIRTY_TAIL_OFF && pc->key_tail_valid &&
           pc_pos_equal(pc->key_tail, start) && !pc_pos_equal(pos, start) && !leads(pc, start, pos);
}

static void say(struct cbd_pcache_sink *sink, uint32_t code, const char *what, uint32_t slot,
                const struct pc_twin *t, struct cbd_pcache_pos pos)
{
    struct cbd_check_finding f = pc_finding(code);

    f.what = what;
    f.copy = slot;
    f.off_bytes = t->off[slot];
    f.segment = pos.seg;
    pc_report(sink, &f);
}

static void judge(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, const char *what,
                  uint64_t off, bool *valid, struct cbd_pcache_pos *pos)
{
    struct pc_twin t;
    uint8_t ahead;

    pc_twin_read(pc, off, PC_TAIL_STRIDE, PC_TAIL_BYTES, &t);
    for (int i = 0; i < 2; i++) {
        struct cbd_pcache_pos lost = pc_tail_decode(pc->big_endian, t.bytes[i]);

        if (t.slots.media[i] || t.slots.valid[i] || t.slots.zero[i])
            continue;
        if (newest_was_torn(pc, &t, i)) {
            say(sink, CBD_PCACHE_TAIL_TORN, what, (uint32_t)i, &t, lost);
            *pos = lost;
            *valid = true;
        } else if (t.slots.newest >= 0) {
            pc_say(sink, CBD_PCACHE_TAIL_SLOT, what, (uint32_t)i, t.off[i], 0, 0);
        }
    }
    if (t.slots.newest < 0 && !*valid && !t.slots.media[0] && !t.slots.media[1])
        pc_say(sink, CBD_PCACHE_TAIL_NONE, what, CBD_CHECK_NONE, off, 0, 0);
    if (!t.slots.valid[0] || !t.slots.valid[1])
        return;
    ahead = (uint8_t)(t.slots.seq[1] - t.slots.seq[0]);
    if (is_stale(pc, &t)) {
        say(sink, CBD_PCACHE_TAIL_STALE, what, 1, &t, pc_tail_decode(pc->big_endian, t.bytes[1]));
        *pos = (struct cbd_pcache_pos){0, 0};
        *valid = true;
    } else if (ahead > 64 && ahead < 192) {
        pc_say(sink, CBD_PCACHE_TAIL_APART, what, CBD_CHECK_NONE, off,
               ahead < 128 ? ahead : 256u - ahead, 127);
    }
}

void pc_judge_tails(struct cbd_pcache *pc, struct cbd_pcache_sink *sink)
{
    judge(pc, sink, "key_tail", PC_KEY_TAIL_OFF, &pc->key_tail_valid, &pc->key_tail);
    judge(pc, sink, "dirty_tail", PC_DIRTY_TAIL_OFF, &pc->dirty_tail_valid, &pc->dirty_tail);
}
