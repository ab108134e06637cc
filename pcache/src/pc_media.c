/* SPDX-License-Identifier: BSD-2-Clause */
/* Integers, checksums and records of dm-pcache. */
#include "pc_media.h"

#include <string.h>

#include "crc.h"

uint32_t pc_get32(bool big_endian, const uint8_t *p)
{
    if (big_endian)
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

uint64_t pc_get64(bool big_endian, const uint8_t *p)
{
    uint64_t first = pc_get32(big_endian, p), second = pc_get32(big_endian, p + 4);

    return big_endian ? first << 32 | second : second << 32 | first;
}

void pc_put32(bool big_endian, uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * (big_endian ? 3 - i : i));
}

void pc_put64(bool big_endian, uint8_t *p, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(value >> 8 * (big_endian ? 7 - i : i));
}

uint32_t pc_record_crc(const uint8_t *record, uint32_t len_bytes)
{
    return cbd_crc32c(PC_CRC_SEED, record + 4, len_bytes - 4);
}

bool pc_record_valid(bool big_endian, const uint8_t *record, uint32_t len_bytes)
{
    return pc_get32(big_endian, record) == pc_record_crc(record, len_bytes);
}

void pc_record_seal(bool big_endian, uint8_t *record, uint32_t len_bytes, uint8_t seq)
{
    record[4] = seq;
    memset(record + 5, 0, 3);
    pc_put32(big_endian, record, pc_record_crc(record, len_bytes));
}

bool pc_zero(const uint8_t *p, uint32_t len_bytes)
{
    for (uint32_t i = 0; i < len_bytes; i++)
        if (p[i] != 0)
            return false;
    return true;
}

bool pc_seq_newer(uint8_t seq1, uint8_t seq0)
{
    uint8_t ahead = (uint8_t)(seq1 - seq0);

    return ahead != 0 && ahead < 128;
}

void pc_twin_read(const struct cbd_pcache *pc, uint64_t off, uint32_t stride_bytes,
                  uint32_t len_bytes, struct pc_twin *twin)
{
    struct cbd_pcache_slots *s = &twin->slots;

    memset(twin, 0, sizeof(*twin));
    twin->len_bytes = len_bytes;
    s->newest = -1;
    for (uint32_t i = 0; i < 2; i++) {
        twin->off[i] = off + (uint64_t)i * stride_bytes;
        if (pc->pm->ops->read(pc->pm, twin->off[i], twin->bytes[i], len_bytes) != 0) {
            memset(twin->bytes[i], 0, sizeof(twin->bytes[i]));
            s->media[i] = true;
            continue;
        }
        s->zero[i] = pc_zero(twin->bytes[i], len_bytes);
        s->valid[i] = pc_record_valid(pc->big_endian, twin->bytes[i], len_bytes);
        s->seq[i] = twin->bytes[i][4];
    }
    if (s->valid[0])
        s->newest = 0;
    if (s->valid[1] && (!s->valid[0] || pc_seq_newer(s->seq[1], s->seq[0])))
        s->newest = 1;
}

void pc_tail_encode(bool big_endian, uint8_t record[PC_TAIL_BYTES], uint8_t seq,
                    struct cbd_pcache_pos pos)
{
    pc_put32(big_endian, record + 8, pos.seg);
    pc_put32(big_endian, record + 12, pos.off_bytes);
    pc_record_seal(big_endian, record, PC_TAIL_BYTES, seq);
}

void pc_info_encode(bool big_endian, uint8_t record[PC_INFO_BYTES], uint8_t seq, uint32_t seg_id,
                    uint32_t seg_count, uint32_t flags)
{
    pc_put32(big_endian, record + 8, seg_id);
    pc_put32(big_endian, record + 12, seg_count);
    pc_put32(big_endian, record + 16, flags);
    pc_put32(big_endian, record + 20, 0);
    pc_record_seal(big_endian, record, PC_INFO_BYTES, seq);
}

void pc_seg_info_encode(bool big_endian, uint8_t record[PC_SEG_INFO_BYTES], uint8_t seq,
                        uint32_t flags, uint32_t next_seg)
{
    pc_put32(big_endian, record + 8, flags);
    pc_put32(big_endian, record + 12, next_seg);
    pc_record_seal(big_endian, record, PC_SEG_INFO_BYTES, seq);
}

void pc_gen_encode(bool big_endian, uint8_t record[PC_GEN_BYTES], uint8_t seq, uint64_t gen)
{
    pc_put64(big_endian, record + 8, gen);
    pc_record_seal(big_endian, record, PC_GEN_BYTES, seq);
}

void pc_super_encode(uint8_t record[PC_SB_BYTES], uint32_t flags, uint32_t seg_num,
                     const uint8_t padding[4])
{
    pc_put32(false, record + 4, flags);
    pc_put64(false, record + 8, PC_SB_MAGIC);
    pc_put32(false, record + 16, seg_num);
    memcpy(record + 20, padding, 4);
    pc_put32(false, record, pc_record_crc(record, PC_SB_BYTES));
}

static void key_encode(bool be, const struct cbd_pcache_key *key, uint8_t *p)
{
    pc_put64(be, p, key->addr_bytes);
    pc_put32(be, p + 8, key->len_bytes);
    pc_put32(be, p + 12, key->flags);
    pc_put32(be, p + 16, key->seg);
    pc_put32(be, p + 20, key->seg_off_bytes);
    pc_put64(be, p + 24, key->gen);
    pc_put32(be, p + 32, key->data_crc);
    pc_put32(be, p + 36, key->reserved);
}

void pc_key_decode(bool be, const uint8_t *p, struct cbd_pcache_key *key)
{
    key->addr_bytes = pc_get64(be, p);
    key->len_bytes = pc_get32(be, p + 8);
    key->flags = pc_get32(be, p + 12);
    key->seg = pc_get32(be, p + 16);
    key->seg_off_bytes = pc_get32(be, p + 20);
    key->gen = pc_get64(be, p + 24);
    key->data_crc = pc_get32(be, p + 32);
    key->reserved = pc_get32(be, p + 36);
}

uint32_t pc_kset_encode(bool be, const struct cbd_pcache_key *keys, uint32_t count, uint8_t *out)
{
    uint32_t len_bytes = PC_KSET_HEADER_BYTES + count * PC_KEY_BYTES;

    pc_put32(be, out + 4, count);
    pc_put64(be, out + 8, PC_KSET_MAGIC);
    pc_put64(be, out + 16, 0);
    for (uint32_t i = 0; i < count; i++)
        key_encode(be, &keys[i], out + PC_KSET_HEADER_BYTES + i * PC_KEY_BYTES);
    pc_put32(be, out, pc_record_crc(out, len_bytes));
    return len_bytes;
}

void pc_last_encode(bool be, uint32_t next_seg, uint8_t out[PC_KSET_HEADER_BYTES])
{
    pc_put32(be, out + 4, next_seg);
    pc_put64(be, out + 8, PC_KSET_MAGIC);
    pc_put64(be, out + 16, PC_KSET_FLAG_LAST);
    pc_put32(be, out, pc_record_crc(out, PC_KSET_HEADER_BYTES));
}

struct cbd_pcache_pos pc_tail_decode(bool be, const uint8_t record[PC_TAIL_BYTES])
{
    return (struct cbd_pcache_pos){pc_get32(be, record + 8), pc_get32(be, record + 12)};
}

uint64_t pc_segment_off(uint32_t device_seg)
{
    return CBD_PCACHE_SEGMENTS_OFF + (uint64_t)device_seg * CBD_PCACHE_SEGMENT_BYTES;
}

bool pc_pos_equal(struct cbd_pcache_pos a, struct cbd_pcache_pos b)
{
    return a.seg == b.seg && a.off_bytes == b.off_bytes;
}
