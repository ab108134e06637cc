/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a device: superblock, cache_info, the chain of segments with their generations, tails.
 *
 * It goes on where the driver would give up (driver_refuses says so), with what most likely was
 * there: all segments that the device holds, in order, which is the only chain that the driver ever
 * writes.
 */
#include <string.h>

#include "pc_load.h"
#include "pc_media.h"
#include "pc_report.h"

static uint32_t capacity(const struct cbd_pmem *pm)
{
    uint32_t n = cbd_pcache_capacity(pm->size_bytes);

    return n < CBD_PCACHE_SEGMENTS_MAX ? n : CBD_PCACHE_SEGMENTS_MAX;
}

/* A whole cache_info of this byte order that fits the device, in one of its three places. */
static bool fits_info(struct cbd_pmem *pm, bool big_endian)
{
    static const uint64_t places[] = {PC_INFO_OFF, PC_INFO_OFF + PC_PAGE_BYTES, PC_INFO_STRAY_OFF};
    uint8_t r[PC_INFO_BYTES];

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (pm->ops->read(pm, places[i], r, sizeof(r)) == 0 &&
            pc_record_valid(big_endian, r, sizeof(r)) &&
            (pc_get32(big_endian, r + 16) & PC_INFO_FLAG_INIT_DONE) != 0 &&
            pc_get32(big_endian, r + 12) != 0 && pc_get32(big_endian, r + 12) <= capacity(pm))
            return true;
    return false;
}

bool cbd_pcache_probe(struct cbd_pmem *pm)
{
    uint8_t sb[PC_SB_BYTES];

    if (pm->size_bytes < CBD_PCACHE_SEGMENTS_OFF)
        return false;
    if (pm->ops->read(pm, PC_SB_OFF, sb, sizeof(sb)) == 0 && pc_get64(false, sb + 8) == PC_SB_MAGIC)
        return true;
    return fits_info(pm, false) || fits_info(pm, true);
}

/* --- superblock --- */

static void say_super(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, uint32_t code,
                      uint64_t got, uint64_t limit)
{
    pc_say(sink, code, NULL, CBD_CHECK_NONE, PC_SB_OFF, got, limit);
    if (cbd_pcache_problem_find(code)->severity == CBD_CHECK_ERROR)
        pc->driver_refuses = true;
}

static void load_order(struct cbd_pcache *pc, const uint8_t *sb)
{
    pc->sb_flags = pc_get32(false, sb + 4);
    pc->big_endian = (pc->sb_flags & PC_SB_FLAG_BIG_ENDIAN) != 0;
    /* A flag that is damaged itself: only one of the two orders gives valid records. */
    if (!pc_record_valid(false, sb, PC_SB_BYTES) && !fits_info(pc->pm, pc->big_endian) &&
        fits_info(pc->pm, !pc->big_endian))
        pc->big_endian = !pc->big_endian;
}

static int load_super(struct cbd_pcache *pc, struct cbd_pcache_sink *sink)
{
    uint8_t sb[PC_SB_BYTES] = {0};
    uint32_t room = capacity(pc->pm), stored;
    uint64_t magic;
    bool readable = pc->pm->ops->read(pc->pm, PC_SB_OFF, sb, sizeof(sb)) == 0;

    load_order(pc, sb);
    magic = pc_get64(false, sb + 8);
    stored = pc_get32(false, sb + 16);
    if (!readable)
        say_super(pc, sink, CBD_PCACHE_SB_MEDIA, 0, 0);
    else if (magic == 0)
        say_super(pc, sink, CBD_PCACHE_SB_ZERO, 0, 0);
    else if (magic != PC_SB_MAGIC)
        say_super(pc, sink, CBD_PCACHE_SB_MAGIC, magic, PC_SB_MAGIC);
    else if (!pc_record_valid(false, sb, sizeof(sb)))
        say_super(pc, sink, CBD_PCACHE_SB_CRC, pc_get32(false, sb), pc_record_crc(sb, sizeof(sb)));
    if (room == 0) {
        say_super(pc, sink, CBD_PCACHE_SB_SEGMENTS, stored, 0);
        return CBD_E_CORRUPT;
    }
    pc->seg_num = stored;
    if (stored == 0 || stored > room) {
        say_super(pc, sink, CBD_PCACHE_SB_SEGMENTS, stored, room);
        pc->seg_num = room;
    } else if (stored < room) {
        say_super(pc, sink, CBD_PCACHE_SB_UNUSED, stored, room);
    }
    if (pc->pm->size_bytes < CBD_PCACHE_DEVICE_BYTES_MIN)
        say_super(pc, sink, CBD_PCACHE_SB_SMALL, pc->pm->size_bytes, CBD_PCACHE_DEVICE_BYTES_MIN);
    if (pc->big_endian)
        say_super(pc, sink, CBD_PCACHE_SB_BIG_ENDIAN, 0, 0);
    if ((pc->sb_flags & ~PC_SB_FLAG_BIG_ENDIAN) != 0)
        say_super(pc, sink, CBD_PCACHE_SB_FLAGS, pc->sb_flags, PC_SB_FLAG_BIG_ENDIAN);
    return 0;
}

/* --- cache_info --- */

static void say_info(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, uint32_t code,
                     uint32_t slot, uint64_t got, uint64_t limit)
{
    pc_say(sink, code, NULL, slot, PC_INFO_OFF + (slot == 1 ? PC_PAGE_BYTES : 0), got, limit);
    if (cbd_pcache_problem_find(code)->severity == CBD_CHECK_ERROR)
        pc->driver_refuses = true;
}

static void take_info(struct cbd_pcache *pc, const uint8_t *r)
{
    pc->first_seg = pc_get32(pc->big_endian, r + 8);
    pc->seg_count = pc_get32(pc->big_endian, r + 12);
    pc->info_flags = pc_get32(pc->big_endian, r + 16);
}

/*
 * Neither slot is valid. The tails are written before the first cache_info: where they are zero, the
 * format did not come so far.
 */
static void no_info(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, const struct pc_twin *t,
                    bool stray, const uint8_t *stray_bytes)
{
    uint8_t ctrl[64];
    bool fresh = t->slots.zero[0] && t->slots.zero[1] &&
                 pc->pm->ops->read(pc->pm, PC_CTRL_OFF, ctrl, sizeof(ctrl)) == 0 &&
                 pc_zero(ctrl, sizeof(ctrl));

    if (stray)
        take_info(pc, stray_bytes);
    else
        pc->seg_count = pc->seg_num;
    if (stray || !fresh)
        say_info(pc, sink, CBD_PCACHE_INFO_NONE, CBD_CHECK_NONE, 0, 0);
    else
        say_info(pc, sink, CBD_PCACHE_INFO_UNFINISHED, CBD_CHECK_NONE, 0, 0);
    pc->driver_refuses = true;
}

static void check_info(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, uint32_t slot,
                       const uint8_t *r)
{
    if ((pc->info_flags & PC_INFO_FLAG_INIT_DONE) == 0)
        say_info(pc, sink, CBD_PCACHE_INFO_INIT, slot, pc->info_flags, PC_INFO_FLAG_INIT_DONE);
    if (pc->mode != 0)
        say_info(pc, sink, CBD_PCACHE_INFO_MODE, slot, pc->mode, 0);
    if (pc->gc_percent > CBD_PCACHE_GC_PERCENT_MAX)
        say_info(pc, sink, CBD_PCACHE_INFO_GC, slot, pc->gc_percent, CBD_PCACHE_GC_PERCENT_MAX);
    if (pc_get32(pc->big_endian, r + 20) != 0 || (pc->info_flags & ~PC_INFO_FLAGS_KNOWN) != 0)
        say_info(pc, sink, CBD_PCACHE_INFO_RESERVED, slot, pc->info_flags & ~PC_INFO_FLAGS_KNOWN,
                 0);
}

static void load_info(struct cbd_pcache *pc, struct cbd_pcache_sink *sink)
{
    struct pc_twin t;
    uint8_t stray_bytes[PC_INFO_BYTES];
    bool stray;

    pc_twin_read(pc, PC_INFO_OFF, PC_PAGE_BYTES, PC_INFO_BYTES, &t);
    stray = pc->pm->ops->read(pc->pm, PC_INFO_STRAY_OFF, stray_bytes, sizeof(stray_bytes)) == 0 &&
            pc_record_valid(pc->big_endian, stray_bytes, sizeof(stray_bytes));
    pc->info_slots = t.slots;
    pc->info_valid = t.slots.newest >= 0;
    for (uint32_t i = 0; i < 2; i++) {
        if (t.slots.media[i])
            say_info(pc, sink, CBD_PCACHE_INFO_MEDIA, i, 0, 0);
        else if (pc->info_valid && !t.slots.valid[i] && !t.slots.zero[i])
            say_info(pc, sink, CBD_PCACHE_INFO_SLOT, i, 0, 0);
    }
    if (pc->info_valid)
        take_info(pc, t.bytes[t.slots.newest]);
    else
        no_info(pc, sink, &t, stray, stray_bytes);
    pc->data_crc = (pc->info_flags & PC_INFO_FLAG_DATA_CRC) != 0;
    pc->mode = pc->info_flags >> 2 & 15;
    pc->gc_percent = pc->info_flags >> 6 & 127;
    if (stray)
        pc_say(sink, CBD_PCACHE_INFO_STRAY, NULL, CBD_CHECK_NONE, PC_INFO_STRAY_OFF, stray_bytes[4],
               pc->info_valid ? t.slots.seq[t.slots.newest] : 0);
    if (pc->info_valid)
        check_info(pc, sink, (uint32_t)t.slots.newest, t.bytes[t.slots.newest]);
    if (pc->seg_count == 0 || pc->seg_count > pc->seg_num || pc->first_seg >= pc->seg_num) {
        say_info(pc, sink, CBD_PCACHE_INFO_RANGE,
                 pc->info_valid ? (uint32_t)t.slots.newest : CBD_CHECK_NONE, pc->seg_count,
                 pc->seg_num);
        pc->first_seg = 0;
        pc->seg_count = pc->seg_num;
    }
}

/* --- segments --- */

static void say_segment(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, uint32_t code,
                        uint32_t seg, uint32_t copy, uint64_t off, uint64_t got, uint64_t limit)
{
    struct cbd_check_finding f = pc_finding(code);

    f.segment = seg;
    f.copy = copy;
    f.off_bytes = off;
    f.got = got;
    f.limit = limit;
    pc_report(sink, &f);
    if (f.problem->severity == CBD_CHECK_ERROR && code != CBD_PCACHE_GEN_NONE)
        pc->driver_refuses = true;
}

static void load_gen(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, uint32_t i)
{
    struct pc_twin t;
    int slot;

    pc_twin_read(pc, pc_segment_off(pc->device_seg[i]) + PC_GEN_OFF, PC_GEN_STRIDE, PC_GEN_BYTES,
                 &t);
    slot = t.slots.newest;
    pc->gen_valid[i] = slot >= 0;
    pc->gen[i] = slot >= 0 ? pc_get64(pc->big_endian, t.bytes[slot] + 8) : 0;
    for (uint32_t n = 0; n < 2; n++) {
        if (t.slots.media[n])
            say_segment(pc, sink, CBD_PCACHE_GEN_MEDIA, i, n, t.off[n], 0, 0);
        else if (slot >= 0 && !t.slots.valid[n] && !t.slots.zero[n])
            say_segment(pc, sink, CBD_PCACHE_GEN_SLOT, i, n, t.off[n], 0, 0);
    }
    if (slot < 0 && !t.slots.media[0] && !t.slots.media[1])
        say_segment(pc, sink, CBD_PCACHE_GEN_NONE, i, CBD_CHECK_NONE, t.off[0], 0, 0);
}

/*
 * The device segment behind `id` in the chain, or seg_num when it is not known or of no use. `seen`
 * has a bit for each segment of the device.
 */
static uint32_t follow(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, uint32_t i,
                       const uint8_t *seen)
{
    uint32_t id = pc->device_seg[i], flags, next;
    bool wanted = i + 1 < pc->seg_count;
    struct pc_twin t;

    pc_twin_read(pc, pc_segment_off(id), PC_SEG_INFO_STRIDE, PC_SEG_INFO_BYTES, &t);
    for (uint32_t n = 0; n < 2; n++) {
        if (t.slots.media[n])
            say_segment(pc, sink, CBD_PCACHE_SEGMENT_MEDIA, i, n, t.off[n], 0, 0);
        else if (t.slots.newest >= 0 && !t.slots.valid[n] && !t.slots.zero[n])
            say_segment(pc, sink, CBD_PCACHE_SEGMENT_SLOT, i, n, t.off[n], 0, 0);
    }
    if (t.slots.newest < 0) {
        if (!t.slots.media[0] && !t.slots.media[1])
            say_segment(pc, sink, CBD_PCACHE_SEGMENT_INFO, i, CBD_CHECK_NONE, t.off[0], 0, 0);
        return pc->seg_num;
    }
    flags = pc_get32(pc->big_endian, t.bytes[t.slots.newest] + 8);
    next = pc_get32(pc->big_endian, t.bytes[t.slots.newest] + 12);
    if ((flags >> 1 & 15) != PC_SEG_TYPE_DATA)
        say_segment(pc, sink, CBD_PCACHE_SEGMENT_TYPE, i, (uint32_t)t.slots.newest,
                    t.off[t.slots.newest], flags >> 1 & 15, PC_SEG_TYPE_DATA);
    if (!wanted)
        return pc->seg_num;
    if ((flags & PC_SEG_FLAG_NEXT) == 0) {
        say_segment(pc, sink, CBD_PCACHE_CHAIN_END, i, (uint32_t)t.slots.newest,
                    t.off[t.slots.newest], i + 1, pc->seg_count);
    } else if (next >= pc->seg_num) {
        say_segment(pc, sink, CBD_PCACHE_CHAIN_RANGE, i, (uint32_t)t.slots.newest,
                    t.off[t.slots.newest], next, pc->seg_num - 1);
    } else if ((seen[next / 8] >> next % 8 & 1) != 0) {
        say_segment(pc, sink, CBD_PCACHE_CHAIN_TWICE, i, (uint32_t)t.slots.newest,
                    t.off[t.slots.newest], next, 0);
    } else {
        return next;
    }
    return pc->seg_num;
}

/* Where the chain is of no use: the next segment in order that was not seen. */
static uint32_t guess(const struct cbd_pcache *pc, uint32_t id, const uint8_t *seen)
{
    for (uint32_t n = 0; n < pc->seg_num; n++) {
        id = id + 1 < pc->seg_num ? id + 1 : 0;
        if ((seen[id / 8] >> id % 8 & 1) == 0)
            break;
    }
    return id;
}

static int load_segments(struct cbd_pcache *pc, struct cbd_pcache_sink *sink)
{
    uint64_t count = pc->seg_count;
    uint64_t seen_bytes = (uint64_t)pc->seg_num / 8 + 1;
    uint8_t *p, *seen;
    uint32_t id = pc->first_seg;

    pc->arrays_bytes = count * 13 + seen_bytes;
    p = pc->env->ops->alloc(pc->env, pc->arrays_bytes);
    if (p == NULL)
        return CBD_E_NOMEM;
    memset(p, 0, pc->arrays_bytes);
    pc->gen = (uint64_t *)(void *)p;
    pc->device_seg = (uint32_t *)(void *)(p + count * 8);
    pc->gen_valid = p + count * 12;
    seen = p + count * 13;
    for (uint32_t i = 0; i < pc->seg_count && sink->stop == 0; i++) {
        uint32_t next;

        pc->device_seg[i] = id;
        seen[id / 8] |= (uint8_t)(1u << id % 8);
        load_gen(pc, sink, i);
        next = follow(pc, sink, i, seen);
        id = next < pc->seg_num ? next : guess(pc, id, seen);
    }
    return 0;
}

/* --- tails --- */

static void say_tail(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, uint32_t code,
                     const char *what, uint32_t slot, uint64_t off, uint64_t got, uint64_t limit)
{
    pc_say(sink, code, what, slot, off, got, limit);
    if (cbd_pcache_problem_find(code)->severity == CBD_CHECK_ERROR)
        pc->driver_refuses = true;
}

static bool load_tail(struct cbd_pcache *pc, struct cbd_pcache_sink *sink, const char *what,
                      uint64_t off, struct cbd_pcache_slots *slots, struct cbd_pcache_pos *pos)
{
    struct pc_twin t;
    int slot;

    pc_twin_read(pc, off, PC_TAIL_STRIDE, PC_TAIL_BYTES, &t);
    *slots = t.slots;
    slot = t.slots.newest;
    for (uint32_t i = 0; i < 2; i++) {
        if (t.slots.media[i])
            say_tail(pc, sink, CBD_PCACHE_TAIL_MEDIA, what, i, t.off[i], 0, 0);
        else if (t.slots.valid[i] && !pc_zero(t.bytes[i] + 5, 3))
            say_tail(pc, sink, CBD_PCACHE_HEADER_BYTES, what, i, t.off[i], 0, 0);
    }
    if (slot < 0) {
        pc->driver_refuses = true;
        return false; /* pc_judge_tails() says more */
    }
    *pos = pc_tail_decode(pc->big_endian, t.bytes[slot]);
    if (pos->seg < pc->seg_count && pos->off_bytes < CBD_PCACHE_DATA_BYTES)
        return true;
    if (pos->seg >= pc->seg_count)
        say_tail(pc, sink, CBD_PCACHE_TAIL_RANGE, what, (uint32_t)slot, t.off[slot], pos->seg,
                 pc->seg_count - 1);
    else
        say_tail(pc, sink, CBD_PCACHE_TAIL_RANGE, what, (uint32_t)slot, t.off[slot], pos->off_bytes,
                 CBD_PCACHE_DATA_BYTES - 1);
    return false;
}

int cbd_pcache_open(struct cbd_pmem *pm, struct cbd_env *env, struct cbd_pcache_sink *sink,
                    struct cbd_pcache *pc)
{
    uint8_t mark[PC_IMAGE_MAGIC_BYTES];
    int error;

    memset(pc, 0, sizeof(*pc));
    pc->pm = pm;
    pc->env = env;
    if (!cbd_pcache_probe(pm))
        return CBD_E_NOTCBD;
    pc->image = pm->ops->read(pm, 0, mark, sizeof(mark)) == 0 &&
                memcmp(mark, PC_IMAGE_MAGIC, sizeof(mark)) == 0;
    if (pc->image)
        pc_say(sink, CBD_PCACHE_IMAGE, NULL, CBD_CHECK_NONE, 0, 0, 0);
    error = load_super(pc, sink);
    if (error != 0)
        return error;
    load_info(pc, sink);
    error = load_segments(pc, sink);
    if (error != 0)
        return error;
    pc->key_tail_valid =
        load_tail(pc, sink, "key_tail", PC_KEY_TAIL_OFF, &pc->key_slots, &pc->driver_key_tail);
    pc->dirty_tail_valid = load_tail(pc, sink, "dirty_tail", PC_DIRTY_TAIL_OFF, &pc->dirty_slots,
                                     &pc->driver_dirty_tail);
    pc->key_tail = pc->driver_key_tail;
    pc->dirty_tail = pc->driver_dirty_tail;
    pc_judge_tails(pc, sink);
    return sink->stop;
}

void cbd_pcache_close(struct cbd_pcache *pc)
{
    if (pc->gen != NULL)
        pc->env->ops->free(pc->env, pc->gen, pc->arrays_bytes);
    pc->gen = NULL;
}

uint64_t cbd_pcache_pos_off(const struct cbd_pcache *pc, struct cbd_pcache_pos pos)
{
    return pc_segment_off(pc->device_seg[pos.seg]) + PC_SEG_DATA_OFF + pos.off_bytes;
}
