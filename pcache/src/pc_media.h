/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of dm-pcache: places, sizes, integers of either byte order, checksums, and records
 * that exist twice. The superblock is little-endian; all else has the byte order of the host that
 * wrote it. Pure functions but for pc_slots_read().
 */
#ifndef PC_MEDIA_H
#define PC_MEDIA_H

#include "cbd/pcache.h"

#define PC_CRC_SEED 0x0003B15Au
#define PC_SB_MAGIC UINT64_C(0x65B05EFA96C596EF)
#define PC_KSET_MAGIC UINT64_C(0x676894A64E164F1A)

#define PC_PAGE_BYTES 4096u
#define PC_SB_OFF 4096u
#define PC_SB_BYTES 24u
#define PC_SB_FLAG_BIG_ENDIAN 1u
#define PC_INFO_OFF 8192u /* slot 1: a page behind */
#define PC_INFO_BYTES 24u
#define PC_INFO_STRAY_OFF (PC_INFO_OFF + PC_INFO_BYTES) /* slot 1 of Linux 6.18.0 to 6.18.2 */
#define PC_INFO_FLAG_DATA_CRC 1u
#define PC_INFO_FLAG_INIT_DONE 2u
#define PC_INFO_FLAGS_KNOWN 0x1FFFu
#define PC_CTRL_OFF 16384u
#define PC_KEY_TAIL_OFF PC_CTRL_OFF
#define PC_DIRTY_TAIL_OFF (PC_CTRL_OFF + 32)
#define PC_TAIL_BYTES 16u
#define PC_TAIL_STRIDE 16u

/* In a segment. */
#define PC_SEG_INFO_BYTES 16u
#define PC_SEG_INFO_STRIDE PC_PAGE_BYTES
#define PC_SEG_FLAG_NEXT 1u
#define PC_SEG_TYPE_DATA 1u
#define PC_GEN_OFF 8192u
#define PC_GEN_BYTES 16u
#define PC_GEN_STRIDE 16u
#define PC_SEG_DATA_OFF 12288u

#define PC_KSET_HEADER_BYTES 24u
#define PC_KEY_BYTES 40u
#define PC_KSET_BYTES_MAX (PC_KSET_HEADER_BYTES + CBD_PCACHE_KEYS_MAX * PC_KEY_BYTES)
#define PC_KSET_FLAG_LAST 1u

/* At offset 0, which the driver never uses: a metadata image of cbd-dump. */
#define PC_IMAGE_MAGIC "CBD pcache image"
#define PC_IMAGE_MAGIC_BYTES 16u

uint32_t pc_get32(bool big_endian, const uint8_t *p);
uint64_t pc_get64(bool big_endian, const uint8_t *p);
void pc_put32(bool big_endian, uint8_t *p, uint32_t value);
void pc_put64(bool big_endian, uint8_t *p, uint64_t value);

/* The checksum of a record of len_bytes, whose first 4 bytes are for it. */
uint32_t pc_record_crc(const uint8_t *record, uint32_t len_bytes);
bool pc_record_valid(bool big_endian, const uint8_t *record, uint32_t len_bytes);

/* Header (sequence, and zeroes for what the driver leaves unset) and checksum; the rest is there. */
void pc_record_seal(bool big_endian, uint8_t *record, uint32_t len_bytes, uint8_t seq);

bool pc_zero(const uint8_t *p, uint32_t len_bytes);

/* Whether slot 1 is the newer of two valid ones. */
bool pc_seq_newer(uint8_t seq1, uint8_t seq0);

#define PC_SLOT_BYTES_MAX 24u

struct pc_twin {
    uint64_t off[2];
    uint32_t len_bytes;
    uint8_t bytes[2][PC_SLOT_BYTES_MAX];
    struct cbd_pcache_slots slots;
};

/* Reads both slots: the second lies stride_bytes behind the first. */
void pc_twin_read(const struct cbd_pcache *pc, uint64_t off, uint32_t stride_bytes,
                  uint32_t len_bytes, struct pc_twin *twin);

/* Encodes a record of each kind, sealed. */
void pc_tail_encode(bool big_endian, uint8_t record[PC_TAIL_BYTES], uint8_t seq,
                    struct cbd_pcache_pos pos);
void pc_info_encode(bool big_endian, uint8_t record[PC_INFO_BYTES], uint8_t seq, uint32_t seg_id,
                    uint32_t seg_count, uint32_t flags);
void pc_seg_info_encode(bool big_endian, uint8_t record[PC_SEG_INFO_BYTES], uint8_t seq,
                        uint32_t flags, uint32_t next_seg);
void pc_gen_encode(bool big_endian, uint8_t record[PC_GEN_BYTES], uint8_t seq, uint64_t gen);
/* `padding`: bytes 20..23, which the driver leaves as they were. */
void pc_super_encode(uint8_t record[PC_SB_BYTES], uint32_t flags, uint32_t seg_num,
                     const uint8_t padding[4]);

/* A key set of `count` keys; returns its bytes. `out` has room for PC_KSET_BYTES_MAX. */
uint32_t pc_kset_encode(bool big_endian, const struct cbd_pcache_key *keys, uint32_t count,
                        uint8_t *out);
void pc_last_encode(bool big_endian, uint32_t next_seg, uint8_t out[PC_KSET_HEADER_BYTES]);

struct cbd_pcache_pos pc_tail_decode(bool big_endian, const uint8_t record[PC_TAIL_BYTES]);
void pc_key_decode(bool big_endian, const uint8_t *p, struct cbd_pcache_key *key);

/* Where segment `device_seg` begins. */
uint64_t pc_segment_off(uint32_t device_seg);

bool pc_pos_equal(struct cbd_pcache_pos a, struct cbd_pcache_pos b);

#endif
