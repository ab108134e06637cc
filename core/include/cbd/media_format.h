/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes on the media, and nothing else. docs/format.md explains them; a test holds the two
 * against each other. All integers are little-endian; all reserved bytes are zero.
 *
 *   0        4 KiB    2 MiB    +4 KiB    +8 KiB                                data_off
 *   |--------|--------|--------|---------|---------|---------|--- ... ---------|----- segments ---- ... --|------|
 *    unused   super 0  unused   unused    super 1   table A   table B   pad     0, 1, 2, ...               super 2
 *
 *   table:    | backend entries | backend states | segment entries |
 *   segment:  | header | payload | header | payload | ...  free  ... | record 2 | record 1 | record 0 |
 */
#ifndef CBD_MEDIA_FORMAT_H
#define CBD_MEDIA_FORMAT_H

#include <stddef.h>

#include "cbd/le.h"

#define CBD_DISK_VERSION 1u

#define CBD_SECTOR_BYTES 512u /* unit of addresses on the backing device */
#define CBD_PAGE_BYTES 4096u
#define CBD_SUPER_COPIES 3u
#define CBD_SUPER0_OFF UINT64_C(4096)
#define CBD_SUPER1_OFF (UINT64_C(2097152) + 4096)
#define CBD_TABLES_OFF (UINT64_C(2097152) + 8192)

#define CBD_BACKENDS 32u
#define CBD_BACKEND_NAME_BYTES 64u
#define CBD_BACKEND_PATH_BYTES 256u
#define CBD_LABEL_BYTES 64u

#define CBD_SEGMENT_BYTES_MIN 65536u
#define CBD_SEGMENT_BYTES_MAX 67108864u
#define CBD_SEGMENTS_MAX 1048576u
#define CBD_STREAMS_MAX 16u

#define CBD_REGION_BYTES (UINT64_C(4) << 20) /* a payload never crosses a multiple of this address */
#define CBD_BLOCK_BYTES 4096u /* unit of a data checksum, aligned on the backing address */
#define CBD_HEADER_CRCS 8u    /* block checksums inside the payload header */
#define CBD_CRC_LINE_CRCS 16u /* block checksums in a line before the header */

/*
 * Counters never wrap: what media hold stays below these, and a count up from there takes longer
 * than any device lives. An order is an era (upper bits) and a count within it.
 */
#define CBD_ORDER_COUNT_BITS 20
#define CBD_ORDER_MAX (UINT64_C(1) << 62)
#define CBD_EPOCH_MAX (UINT64_C(1) << 48)
#define CBD_GENERATION_MAX (UINT64_C(1) << 62)

#define CBD_SUPER_MAGIC "\211CBDCACHE\r\n\032\n\0\0\0"

/* Feature masks: an unknown bit forbids writing (ro_compat) or opening (incompat). */
#define CBD_COMPAT_KNOWN UINT64_C(0)
#define CBD_RO_COMPAT_KNOWN UINT64_C(0)
#define CBD_INCOMPAT_DATA_CHECKSUMS (UINT64_C(1) << 0)
#define CBD_INCOMPAT_METADATA_ONLY (UINT64_C(1) << 1) /* an image: payloads are holes */
#define CBD_INCOMPAT_FORMATTING (UINT64_C(1) << 63) /* a format was begun: there is no cache */
#define CBD_INCOMPAT_KNOWN (CBD_INCOMPAT_DATA_CHECKSUMS | CBD_INCOMPAT_METADATA_ONLY)

/* Three copies; immutable after format. */
struct cbd_m_super {
    uint8_t magic[16];
    uint8_t uuid[16];
    struct cbd_le64 salt; /* new at each format; with uuid the seed of every checksum */
    struct cbd_le32 disk_version;
    struct cbd_le32 copy; /* 0..2: which of the three this is */
    struct cbd_le64 compat;
    struct cbd_le64 ro_compat;
    struct cbd_le64 incompat;
    struct cbd_le64 device_bytes;
    struct cbd_le32 segment_bytes;
    struct cbd_le32 segment_count;
    struct cbd_le64 table_a_off;
    struct cbd_le64 table_b_off;
    struct cbd_le64 table_bytes;
    struct cbd_le64 data_off;
    struct cbd_le64 super2_off;
    struct cbd_le64 generation_floor; /* every segment starts here: above any found before */
    struct cbd_le64 created_s;        /* seconds since 1970 */
    struct cbd_le32 backends_max;
    struct cbd_le32 atomic_bytes; /* P2: an aligned piece of this size is never torn */
    uint8_t label[CBD_LABEL_BYTES];
    uint8_t reserved[292];
    struct cbd_le32 crc; /* bytes 0..507 */
};

enum cbd_m_backend_used {
    CBD_M_BACKEND_FREE = 0,
    CBD_M_BACKEND_USED = 1,
};

/* Two copies, in table A and table B. */
struct cbd_m_backend {
    struct cbd_le32 crc; /* bytes 4..511 */
    struct cbd_le32 used;
    struct cbd_le64 seq;
    uint8_t uuid[16];
    uint8_t name[CBD_BACKEND_NAME_BYTES];
    struct cbd_le64 size_bytes;
    struct cbd_le32 logical_block_bytes;
    struct cbd_le32 streams;
    struct cbd_le32 segments; /* its share of the cache */
    struct cbd_le32 reserved0;
    struct cbd_le64 created_s;
    uint8_t path[CBD_BACKEND_PATH_BYTES]; /* a hint for people; identity is uuid, size and block */
    uint8_t reserved1[128];
};

#define CBD_M_STATE_ATTACHED 1u /* set while served: not set means a clean detach */
#define CBD_M_STATE_DROPPING 2u /* another disk was accepted: clean records do not count any more */

/* Two copies, in table A and table B. */
struct cbd_m_backend_state {
    struct cbd_le32 crc; /* bytes 4..63 */
    struct cbd_le32 flags;
    struct cbd_le64 seq;
    struct cbd_le64 epoch_written; /* E: dirty is what has a higher epoch */
    struct cbd_le64 horizon;       /* D: a record of lower order is forgotten */
    struct cbd_le64 attaches;      /* how often it was attached */
    struct cbd_le64 carried;       /* epoch whose dirty records below D were stored again above D */
    uint8_t reserved[16];
};

enum cbd_m_segment_status {
    CBD_M_SEGMENT_FREE = 0,
    CBD_M_SEGMENT_OPEN = 1,
    CBD_M_SEGMENT_CLOSED = 2,
};

#define CBD_M_SEGMENT_KIND_DATA 0u

/* Two copies, in table A and table B. */
struct cbd_m_segment {
    struct cbd_le32 crc; /* bytes 4..63 */
    struct cbd_le16 owner; /* 0: nobody, else backend + 1 */
    uint8_t status;
    uint8_t stream;
    struct cbd_le64 seq;
    struct cbd_le64 generation;
    struct cbd_le32 kind;
    struct cbd_le32 records;     /* CLOSED: slots 0..records-1 hold records */
    struct cbd_le64 order_max;   /* CLOSED: highest order of any record */
    struct cbd_le64 epoch_max;   /* CLOSED: highest epoch of any record */
    struct cbd_le32 detached;    /* slots 0..detached-1 held records at the last clean detach */
    uint8_t reserved[12];
};

/*
 * Before each payload. Says what a damaged record covered, and holds the checksums of the data.
 * Blocks 0..7 have their checksum here; the others in lines of sixteen before the header, the line
 * of blocks 8..23 nearest to it:  | 24..39 | 8..23 | header | payload |
 */
struct cbd_m_header {
    struct cbd_le32 crc;  /* bytes 4..63, then all lines before it from the nearest on */
    struct cbd_le32 slot; /* of the record that will name this payload */
    struct cbd_le64 addr_bytes;
    struct cbd_le32 len_bytes;
    uint8_t type;
    uint8_t behind[3]; /* slots from slot - behind on were not known to be durable */
    struct cbd_le64 epoch_floor; /* the epoch of the record is not lower */
    struct cbd_le32 block_crc[CBD_HEADER_CRCS];
};

struct cbd_m_crc_line {
    struct cbd_le32 block_crc[CBD_CRC_LINE_CRCS];
};

enum cbd_m_record_type {
    CBD_M_RECORD_WRITE = 1, /* data, dirty until its epoch is written back */
    CBD_M_RECORD_FILL = 2,  /* data that came from the backing device: always clean */
    CBD_M_RECORD_ZERO = 3,  /* discard or write-zeroes: no payload, dirty like a write */
    CBD_M_RECORD_VOID = 4,  /* nothing: fills the hole of an unfinished write */
};

#define CBD_M_RECORD_PUNCH 1u /* ZERO: came from a discard, the backing device may unmap */
#define CBD_M_RECORD_FLAGS_KNOWN CBD_M_RECORD_PUNCH

/* Slot n of a segment ends (n * 64) bytes before the end of the segment. */
struct cbd_m_record {
    struct cbd_le32 crc; /* bytes 4..63 */
    struct cbd_le32 generation_low;
    uint8_t type;
    uint8_t flags;
    struct cbd_le16 reserved0;
    struct cbd_le32 durable; /* slots below this one were durable when this was stored */
    struct cbd_le64 order;
    struct cbd_le64 epoch;
    struct cbd_le64 addr_bytes;
    struct cbd_le64 len_bytes;
    struct cbd_le32 payload_off; /* from the start of the segment to the payload */
    struct cbd_le32 header_crc;  /* the crc of its header: ties the two together */
    uint8_t reserved1[8];
};

_Static_assert(sizeof(struct cbd_m_super) == 512, "superblock");
_Static_assert(offsetof(struct cbd_m_super, crc) == 508, "superblock crc");
_Static_assert(sizeof(struct cbd_m_backend) == 512, "backend entry");
_Static_assert(sizeof(struct cbd_m_backend_state) == 64, "backend state");
_Static_assert(sizeof(struct cbd_m_segment) == 64, "segment entry");
_Static_assert(sizeof(struct cbd_m_header) == 64, "payload header");
_Static_assert(sizeof(struct cbd_m_crc_line) == 64, "checksum line");
_Static_assert(sizeof(struct cbd_m_record) == 64, "record");

#endif
