/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An empty device.
 *
 * F1  The old superblock goes first: from then on the driver takes the device for a new one and
 *     formats it by itself.
 * F2  Everything else is durable before the new superblock: so with it the device is whole. All
 *     slots are written or zeroed, so nothing of an earlier life counts (D5).
 */
#include "pc_media.h"

uint32_t cbd_pcache_capacity(uint64_t device_bytes)
{
    uint64_t n;

    if (device_bytes < CBD_PCACHE_SEGMENTS_OFF)
        return 0;
    n = (device_bytes - CBD_PCACHE_SEGMENTS_OFF) / CBD_PCACHE_SEGMENT_BYTES;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void put(struct cbd_pmem *pm, uint64_t off, const void *bytes, size_t len_bytes)
{
    pm->ops->copy(pm, off, bytes, len_bytes, CBD_PMEM_NT, CBD_STEP_NONE);
}

static void zero(struct cbd_pmem *pm, uint64_t off, size_t len_bytes)
{
    pm->ops->set(pm, off, 0, len_bytes, CBD_PMEM_NT, CBD_STEP_NONE);
}

static int fence(struct cbd_pmem *pm)
{
    return pm->ops->fence(pm, CBD_STEP_NONE);
}

/* As the driver leaves it: generation in slot 1, the chain in slot 0 over an entry without one. */
static void put_segment(struct cbd_pmem *pm, bool be, uint32_t seg, uint32_t count)
{
    uint64_t off = pc_segment_off(seg);
    uint8_t record[PC_GEN_BYTES];

    pc_gen_encode(be, record, 1, 0);
    put(pm, off + PC_GEN_OFF + PC_GEN_STRIDE, record, sizeof(record));
    pc_seg_info_encode(be, record, 1, PC_SEG_TYPE_DATA << 1, 0);
    put(pm, off + PC_SEG_INFO_STRIDE, record, sizeof(record));
    if (seg + 1 == count)
        return;
    pc_seg_info_encode(be, record, 2, PC_SEG_TYPE_DATA << 1 | PC_SEG_FLAG_NEXT, seg + 1);
    put(pm, off, record, sizeof(record));
}

static void put_control(struct cbd_pmem *pm, const struct cbd_pcache_format_options *o,
                        uint32_t count)
{
    static const struct cbd_pcache_pos start = {0, 0};
    uint8_t tail[PC_TAIL_BYTES], info[PC_INFO_BYTES];

    pc_tail_encode(o->big_endian, tail, 1, start);
    put(pm, PC_DIRTY_TAIL_OFF, tail, sizeof(tail));
    put(pm, PC_KEY_TAIL_OFF, tail, sizeof(tail));
    pc_info_encode(o->big_endian, info, 1, 0, count,
                   o->gc_percent << 6 | PC_INFO_FLAG_INIT_DONE |
                       (o->data_crc ? PC_INFO_FLAG_DATA_CRC : 0));
    put(pm, PC_INFO_OFF + PC_PAGE_BYTES, info, sizeof(info));
}

int cbd_pcache_format(struct cbd_pmem *pm, const struct cbd_pcache_format_options *o)
{
    static const uint8_t padding[4];
    uint32_t count = cbd_pcache_capacity(pm->size_bytes);
    uint8_t super[PC_SB_BYTES];
    int error;

    if (o->gc_percent > CBD_PCACHE_GC_PERCENT_MAX)
        return CBD_E_INVALID;
    if (count == 0 || (!o->any_size && pm->size_bytes < CBD_PCACHE_DEVICE_BYTES_MIN))
        return CBD_E_NOSPACE;
    if (count > CBD_PCACHE_SEGMENTS_MAX)
        return CBD_E_RANGE;
    /* F1; with it goes the mark of a metadata image. */
    zero(pm, 0, (size_t)2 * PC_PAGE_BYTES);
    error = fence(pm);
    if (error != 0)
        return error;
    zero(pm, PC_INFO_OFF, CBD_PCACHE_SEGMENTS_OFF - PC_INFO_OFF);
    for (uint32_t i = 0; i < count; i++)
        zero(pm, pc_segment_off(i), PC_SEG_DATA_OFF + PC_KSET_HEADER_BYTES);
    error = fence(pm);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < count; i++)
        put_segment(pm, o->big_endian, i, count);
    put_control(pm, o, count);
    error = fence(pm);
    if (error != 0)
        return error;
    /* F2. */
    pc_super_encode(super, o->big_endian ? PC_SB_FLAG_BIG_ENDIAN : 0, count, padding);
    put(pm, PC_SB_OFF, super, sizeof(super));
    return fence(pm);
}
