/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of dm-pcache as a model: activation, its format, and what it would serve. */
#include <string.h>

#include "pc_media.h"
#include "pcache_driver.h"
#include "sector.h"
#include "sim_base.h"

static void put(struct sim_pcache *d, uint64_t off, const void *bytes, size_t len_bytes)
{
    struct cbd_pmem *pm = &d->pm->pm;

    pm->ops->copy(pm, off, bytes, len_bytes, CBD_PMEM_NT, CBD_STEP_NONE);
}

static void fence(struct sim_pcache *d)
{
    struct cbd_pmem *pm = &d->pm->pm;

    SIM_REQUIRE(pm->ops->fence(pm, CBD_STEP_NONE) == 0);
}

/* The superblock first, its areas before it: 8192 to 20479 are zeroed. */
static void format_super(struct sim_pcache *d)
{
    static const uint8_t padding[4];
    uint8_t super[PC_SB_BYTES];
    struct cbd_pmem *pm = &d->pm->pm;

    pm->ops->set(pm, PC_INFO_OFF, 0, CBD_PCACHE_SEGMENTS_OFF - PC_INFO_OFF, CBD_PMEM_NT,
                 CBD_STEP_NONE);
    fence(d);
    pc_super_encode(super, 0, d->seg_count, padding);
    put(d, PC_SB_OFF, super, sizeof(super));
    fence(d);
}

static void format_segment(struct sim_pcache *d, uint32_t seg)
{
    uint64_t off = pc_segment_off(seg);
    uint8_t record[PC_GEN_BYTES];
    struct cbd_pmem *pm = &d->pm->pm;

    pm->ops->set(pm, off, 0, PC_SEG_DATA_OFF + PC_KSET_HEADER_BYTES, CBD_PMEM_NT, CBD_STEP_NONE);
    fence(d);
    pc_gen_encode(false, record, 1, 0);
    put(d, off + PC_GEN_OFF + PC_GEN_STRIDE, record, sizeof(record));
    pc_seg_info_encode(false, record, 1, PC_SEG_TYPE_DATA << 1, 0);
    put(d, off + PC_SEG_INFO_STRIDE, record, sizeof(record));
    fence(d);
    if (seg + 1 == d->seg_count)
        return;
    pc_seg_info_encode(false, record, 2, PC_SEG_TYPE_DATA << 1 | PC_SEG_FLAG_NEXT, seg + 1);
    put(d, off, record, sizeof(record));
    fence(d);
}

/*
 * D4: also where only cache_info is lost. D5: slot 1 of the tails is not touched, nor is slot 0 of
 * cache_info.
 */
static void format_cache(struct sim_pcache *d)
{
    static const struct cbd_pcache_pos start = {0, 0};
    uint8_t tail[PC_TAIL_BYTES], info[PC_INFO_BYTES];

    for (uint32_t i = 0; i < d->seg_count; i++)
        format_segment(d, i);
    pc_tail_encode(false, tail, 1, start);
    put(d, PC_DIRTY_TAIL_OFF, tail, sizeof(tail));
    fence(d);
    put(d, PC_KEY_TAIL_OFF, tail, sizeof(tail));
    fence(d);
    pc_info_encode(false, info, 1, 0, d->seg_count,
                   CBD_PCACHE_GC_PERCENT << 6 | PC_INFO_FLAG_INIT_DONE |
                       (d->data_crc ? PC_INFO_FLAG_DATA_CRC : 0));
    put(d, PC_INFO_OFF + PC_PAGE_BYTES, info, sizeof(info));
    fence(d);
}

/* Stale keys are skipped without a reference; but with checksums these are verified before (D2). */
static int replay(struct sim_pcache *d, struct cbd_pcache *pc)
{
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;

    SIM_REQUIRE(cbd_pcache_walk_begin(&walk, pc, d->key_tail) == 0);
    d->used[d->key_tail.seg] = true;
    while (cbd_pcache_walk_next(&walk, &kset)) {
        d->used[kset.next.seg] = true;
        for (uint32_t i = 0; i < kset.key_count; i++) {
            const struct cbd_pcache_key *key = &kset.keys[i];
            uint32_t problem, crc;

            if (cbd_pcache_key_check(pc, key, 0, &problem) != 0 ||
                (d->data_crc && (cbd_pcache_key_crc(pc, key, &crc) != 0 || crc != key->data_crc))) {
                cbd_pcache_walk_end(&walk);
                return CBD_E_IO;
            }
            if (cbd_pcache_key_stale(pc, key))
                continue;
            d->used[key->seg] = true;
            d->refs[key->seg]++;
        }
    }
    d->head = walk.pos;
    cbd_pcache_walk_end(&walk);
    return 0;
}

static void load_gens(struct sim_pcache *d, struct cbd_pcache *pc)
{
    for (uint32_t i = 0; i < d->seg_count; i++) {
        struct pc_twin t;

        pc_twin_read(pc, pc_segment_off(i) + PC_GEN_OFF, PC_GEN_STRIDE, PC_GEN_BYTES, &t);
        d->gen[i] = pc->gen[i];
        d->gen_index[i] = t.slots.newest >= 0 ? (uint32_t)t.slots.newest : 0;
        d->gen_seq[i] = t.slots.newest >= 0 ? t.slots.seq[t.slots.newest] : 0;
    }
}

static int load(struct sim_pcache *d, struct cbd_pcache *pc, bool fresh)
{
    uint8_t info[PC_INFO_BYTES];
    int slot = pc->info_slots.newest;

    if (pc->key_slots.newest < 0 || pc->dirty_slots.newest < 0)
        return CBD_E_IO;
    d->key_tail = pc->driver_key_tail;
    d->dirty_tail = pc->driver_dirty_tail;
    d->key_index = (uint32_t)pc->key_slots.newest;
    d->dirty_index = (uint32_t)pc->dirty_slots.newest;
    d->key_seq = pc->key_slots.seq[d->key_index];
    d->dirty_seq = pc->dirty_slots.seq[d->dirty_index];
    load_gens(d, pc);
    if (replay(d, pc) != 0)
        return CBD_E_IO;
    if (fresh)
        return 0; /* the format has just written it */
    pc_info_encode(false, info, (uint8_t)(pc->info_slots.seq[slot] + 1), 0, d->seg_count,
                   pc->info_flags);
    put(d, PC_INFO_OFF + (slot == 0 ? PC_PAGE_BYTES : 0), info, sizeof(info));
    fence(d);
    return 0;
}

/* What the model's own format leaves is loaded as well: the slots are where it left them. */
int sim_pcache_activate(struct sim_pcache *d, bool data_crc)
{
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache pc;
    bool fresh = false;
    int error;

    SIM_REQUIRE(!d->active);
    d->data_crc = data_crc;
    d->data_seg = d->seg_count;
    if (!cbd_pcache_probe(&d->pm->pm)) {
        format_super(d);
        fresh = true;
    }
    error = cbd_pcache_open(&d->pm->pm, d->env, &sink, &pc);
    if (error == 0 && !pc.info_valid) {
        cbd_pcache_close(&pc);
        sink = (struct cbd_pcache_sink){0};
        format_cache(d);
        fresh = true;
        error = cbd_pcache_open(&d->pm->pm, d->env, &sink, &pc);
    }
    if (error == 0)
        error = load(d, &pc, fresh);
    cbd_pcache_close(&pc);
    /* In the activation that formatted, the index has moved on behind the first store. */
    if (error == 0 && fresh && d->key_seq == 1 && d->dirty_seq == 1)
        d->key_index = d->dirty_index = 1;
    d->active = error == 0;
    return error;
}

uint64_t sim_pcache_served(const struct cbd_pcache *pc, const struct cbd_pcache_view *view,
                           const struct sim_pcache *d, uint32_t sector)
{
    uint64_t addr = (uint64_t)sector * SIM_SECTOR_BYTES +
                    (sector >= SIM_PCACHE_SECTORS / 2 ? CBD_PCACHE_KEY_BYTES_MAX : 0);
    uint8_t bytes[SIM_SECTOR_BYTES];
    uint64_t version;

    for (uint64_t i = 0; i < view->extent_count; i++) {
        const struct cbd_pcache_extent *e = &view->extents[i];

        if (addr < e->addr_bytes || addr >= e->addr_bytes + e->len_bytes)
            continue;
        if (pc->pm->ops->read(pc->pm, e->media_off + (addr - e->addr_bytes), bytes,
                              sizeof(bytes)) != 0)
            return UINT64_MAX;
        version = sim_sector_decode(bytes, addr / SIM_SECTOR_BYTES);
        return version >= SIM_VERSION_LIMIT ? UINT64_MAX : version;
    }
    return sim_disk_peek((const struct sim_disk *)d->disk, addr / SIM_SECTOR_BYTES);
}
