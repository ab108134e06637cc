/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes out of a record's bytes what somebody could tell data from: checksums of data, bytes that
 * the driver never set (they are of its stack, or of what was on the device before), and bytes that
 * are no record. What a check goes by stays, and the checksum is made again, so that it finds the
 * same in the image.
 */
#include <string.h>

#include "pc_media.h"

#define HIDDEN 0xffu /* like nothing that is a record; what is zero stays zero */

static void hide_bytes(uint8_t *p, uint32_t len_bytes)
{
    for (uint32_t i = 0; i < len_bytes; i++)
        p[i] = p[i] != 0 ? HIDDEN : 0;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdull;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

/* A permutation of all 32-bit numbers: rounds that change one half by what the key makes of the other. */
static uint32_t permute(const uint64_t key[2], uint32_t value)
{
    uint16_t left = (uint16_t)(value >> 16), right = (uint16_t)value;

    for (uint64_t round = 0; round < 8; round++) {
        uint16_t next = left ^ (uint16_t)mix(mix(key[0] + (round << 16 | right)) ^ key[1]);

        left = right;
        right = next;
    }
    return (uint32_t)left << 16 | right;
}

/* 0 is what stands there when data has no checksums. */
static uint32_t hide_crc(const uint64_t key[2], uint32_t crc)
{
    uint32_t hidden = crc != 0 ? permute(key, crc) : 0;

    return crc != 0 && hidden == 0 ? permute(key, 0) : hidden;
}

static void hide_kset(bool be, const uint64_t key[2], uint8_t *p, uint32_t len_bytes)
{
    for (uint32_t at = PC_KSET_HEADER_BYTES; at + PC_KEY_BYTES <= len_bytes; at += PC_KEY_BYTES) {
        pc_put32(be, p + at + 32, hide_crc(key, pc_get32(be, p + at + 32)));
        hide_bytes(p + at + 36, 4);
    }
    pc_put32(be, p, pc_record_crc(p, len_bytes));
}

static void hide_super(const struct cbd_pcache_record *r, uint8_t *p)
{
    if (pc_get64(false, p + 8) != PC_SB_MAGIC) {
        hide_bytes(p, PC_SB_BYTES);
        return;
    }
    hide_bytes(p + 20, PC_SB_BYTES - 20);
    if (r->valid)
        pc_put32(false, p, pc_record_crc(p, PC_SB_BYTES));
}

/* Of a tail that was torn both halves have the form of a tail; a check tells its place from them. */
static bool tail_form(const struct cbd_pcache *pc, const struct cbd_pcache_record *r,
                      const uint8_t *p)
{
    struct cbd_pcache_pos pos = pc_tail_decode(pc->big_endian, p);

    return r->len_bytes == PC_TAIL_BYTES && strstr(r->what, "_tail") != NULL &&
           pos.seg < pc->seg_count && pos.off_bytes < CBD_PCACHE_DATA_BYTES && pc_zero(p + 5, 3);
}

static void hide_twin(const struct cbd_pcache *pc, const struct cbd_pcache_record *r, uint8_t *p)
{
    if (!r->valid && tail_form(pc, r, p))
        return;
    hide_bytes(p + (r->valid ? 5 : 0), r->valid ? 3 : r->len_bytes);
    if (r->valid && r->len_bytes == PC_INFO_BYTES)
        hide_bytes(p + 20, 4);
    if (r->valid)
        pc_put32(pc->big_endian, p, pc_record_crc(p, r->len_bytes));
}

void cbd_pcache_hide(const struct cbd_pcache *pc, const uint64_t key[2],
                     const struct cbd_pcache_record *r, uint8_t *bytes)
{
    memcpy(bytes, r->bytes, r->len_bytes);
    if (strcmp(r->what, "key set") == 0)
        hide_kset(pc->big_endian, key, bytes, r->len_bytes);
    else if (strcmp(r->what, "superblock") == 0)
        hide_super(r, bytes);
    else if (strcmp(r->what, "end of log") != 0)
        hide_twin(pc, r, bytes);
    else if (pc_get64(pc->big_endian, bytes + 8) != PC_KSET_MAGIC)
        hide_bytes(bytes, r->len_bytes);
}
