/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices of dm-pcache, the cache target of Linux 6.18 and later: read, check, recover, drain,
 * repair and format them without the driver. docs/dm-pcache.md says what lies where.
 *
 * Nothing here prints, prompts, or trusts a byte of the media. Every load goes through the guarded
 * read of the pmem seam. Nothing else may use the device meanwhile. One thread at a time for each
 * struct. Memory comes from the environment (alloc and free only).
 *
 * Limits: the layout of 64-bit kernels, of either byte order; segments of 16 MiB; at most 1048576
 * of them. The format has no version number on the media, so none can be checked.
 */
#ifndef CBD_PCACHE_H
#define CBD_PCACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/check.h"
#include "cbd/disk.h"
#include "cbd/env.h"
#include "cbd/pmem.h"

struct cbd_backend;

#define CBD_PCACHE_SEGMENT_BYTES 16777216u
#define CBD_PCACHE_DATA_BYTES 16764928u /* of a segment, behind its 12 KiB of headers */
#define CBD_PCACHE_SEGMENTS_OFF 20480u
#define CBD_PCACHE_SEGMENTS_MAX 1048576u
#define CBD_PCACHE_DEVICE_BYTES_MIN 536870912u /* the driver refuses less */
#define CBD_PCACHE_KEYS_MAX 128u               /* in a key set */
#define CBD_PCACHE_KEY_BYTES_MAX 4194304u      /* a key covers no more, and crosses no multiple */
#define CBD_PCACHE_SECTOR_BYTES 512u
#define CBD_PCACHE_GC_PERCENT_MAX 90u
#define CBD_PCACHE_GC_PERCENT 70u /* what the driver starts with */

enum cbd_pcache_problem_code {
#define X(code, name, severity, hole, what, sentence, repair, cost) CBD_PCACHE_##name = (code),
#include "cbd/pcache_problems.def"
#undef X
};

/* One row of pcache_problems.def as a row of problems.def; NULL: there is no such code. Static. */
const struct cbd_problem *cbd_pcache_problem_find(uint32_t code);

/* Row n of the table, for n = 0, 1, 2, ... until NULL. */
const struct cbd_problem *cbd_pcache_problem_row(uint32_t n);

/* "D1", ...: the fault of the driver that leaves this behind, or "". Static. */
const char *cbd_pcache_problem_hole(uint32_t code);

/* A place in the log: a segment by its number in the cache, and bytes into its data area. */
struct cbd_pcache_pos {
    uint32_t seg;
    uint32_t off_bytes;
};

/* What the two slots of a record that exists twice hold. */
struct cbd_pcache_slots {
    bool valid[2]; /* checksum right */
    bool zero[2];  /* all bytes zero */
    bool media[2]; /* could not be read */
    uint8_t seq[2];
    int newest; /* the slot that the driver takes, or -1 */
};

/* Where findings go. found() may be NULL; what it returns, if not 0, ends the work. */
struct cbd_pcache_sink {
    int (*found)(void *arg, const struct cbd_check_finding *finding);
    void *arg;
    /* results */
    uint64_t errors, infos;
    int stop; /* what found() returned */
};

struct cbd_pcache {
    struct cbd_pmem *pm;
    struct cbd_env *env;

    /* superblock */
    bool big_endian;
    bool image; /* metadata only, made by cbd-dump: there is no data */
    uint32_t sb_flags;
    uint32_t seg_num;

    /* cache_info: the newest slot, or a guess (info_valid false) */
    bool info_valid;
    struct cbd_pcache_slots info_slots;
    uint32_t info_flags;
    uint32_t first_seg; /* device segment */
    uint32_t seg_count; /* cache segments: n_segs */
    uint32_t gc_percent;
    uint32_t mode; /* 0: write-back, the only one that there is */
    bool data_crc;

    /* segments of the cache by their number in it; seg_count members each */
    uint32_t *device_seg;
    uint64_t *gen;
    uint8_t *gen_valid;    /* bool */
    uint64_t arrays_bytes; /* private: of the allocation behind them */

    /* tails */
    struct cbd_pcache_slots key_slots, dirty_slots;
    bool key_tail_valid, dirty_tail_valid;
    struct cbd_pcache_pos key_tail, dirty_tail; /* where the log is, by all that is known */
    struct cbd_pcache_pos driver_key_tail, driver_dirty_tail; /* what the driver would take */

    /* The driver would refuse to activate it. */
    bool driver_refuses;
};

/*
 * Whether this is a dm-pcache device: the superblock has the magic, or, if that is damaged or
 * unreadable, there is a whole cache_info that fits the device.
 */
bool cbd_pcache_probe(struct cbd_pmem *pm);

/*
 * Loads superblock, cache_info, the chain of segments, generations and tails; findings go to
 * `sink`, which must not be NULL. 0: *pc can be walked, perhaps with damage (see *_valid).
 * CBD_E_NOTCBD: no magic. CBD_E_CORRUPT: too little is whole to go on. CBD_E_NOMEM, or what
 * found() returned. *pc is to be closed in any case.
 */
int cbd_pcache_open(struct cbd_pmem *pm, struct cbd_env *env, struct cbd_pcache_sink *sink,
                    struct cbd_pcache *pc) CBD_MUST_CHECK;
void cbd_pcache_close(struct cbd_pcache *pc);

/* Bytes from the start of the device. pos.seg < seg_count, off_bytes <= CBD_PCACHE_DATA_BYTES. */
uint64_t cbd_pcache_pos_off(const struct cbd_pcache *pc, struct cbd_pcache_pos pos);

/* --- the log --- */

struct cbd_pcache_key {
    uint64_t addr_bytes; /* on the backing device */
    uint32_t len_bytes;
    uint32_t flags;
    uint32_t seg; /* number in the cache; may be out of range on damaged media */
    uint32_t seg_off_bytes;
    uint64_t gen;
    uint32_t data_crc;
    uint32_t reserved;
};

#define CBD_PCACHE_KEY_EMPTY 1u /* never on sound media */
#define CBD_PCACHE_KEY_CLEAN 2u /* came from the backing device */

enum cbd_pcache_end {
    CBD_PCACHE_END_NONE,     /* not at the end */
    CBD_PCACHE_END_ZERO,     /* a zeroed header, as the driver leaves it */
    CBD_PCACHE_END_NO_MAGIC, /* something that is no key set */
    CBD_PCACHE_END_TORN,     /* magic, but the checksum or the number of keys is wrong */
    CBD_PCACHE_END_OVERRUN,  /* a key set that would reach beyond its segment */
    CBD_PCACHE_END_LAST,     /* the next segment that it names does not exist */
    CBD_PCACHE_END_LOOP,     /* more segments than there are */
    CBD_PCACHE_END_MEDIA,    /* cannot be read */
    CBD_PCACHE_END_LIMIT,    /* where the caller wanted it to end */
};

/* One key set, decoded. */
struct cbd_pcache_kset {
    struct cbd_pcache_pos pos;
    struct cbd_pcache_pos next; /* where the log goes on */
    bool last;                  /* no keys: the log goes on in another segment */
    bool skipped_damage;        /* something that is no key set lies before it */
    uint64_t flags;
    uint32_t key_count;
    struct cbd_pcache_key keys[CBD_PCACHE_KEYS_MAX];
};

/* Walks the log as the driver's replay does. */
struct cbd_pcache_walk {
    const struct cbd_pcache *pc;
    struct cbd_pcache_pos pos; /* of the next key set; at the end: of the end */
    enum cbd_pcache_end end;
    bool past_damage; /* goes on at the next newer key set behind damage */
    bool limited;     /* ends at `limit` */
    struct cbd_pcache_pos limit;
    uint64_t ksets; /* that were returned */
    /* private */
    uint8_t *seen;   /* a bit for each segment */
    uint32_t *reach; /* of each segment: where the keys of its generation that were met end */
    uint64_t alloc_bytes;
};

/* CBD_E_RANGE: there is no such place. CBD_E_NOMEM. To be ended in any case. */
int cbd_pcache_walk_begin(struct cbd_pcache_walk *walk, const struct cbd_pcache *pc,
                          struct cbd_pcache_pos from) CBD_MUST_CHECK;

/* True: *kset is the next one. False: the end, walk->end says which. */
bool cbd_pcache_walk_next(struct cbd_pcache_walk *walk, struct cbd_pcache_kset *kset);
void cbd_pcache_walk_end(struct cbd_pcache_walk *walk);

/*
 * At the end of a walk: whether whole key sets lie behind it that are newer than all that it met.
 * The driver takes space in a segment from low to high, so a key set with a key beyond all others
 * of its segment is newer; one without is of an earlier life of the log. *found: the first of the
 * next 128 KiB.
 */
bool cbd_pcache_log_search(const struct cbd_pcache_walk *walk, struct cbd_pcache_pos *found);

/*
 * The same where the log ended at something that is no end: not at a zeroed header. Behind that a
 * format by the driver leaves the key sets of an earlier life, whose generations count again.
 */
bool cbd_pcache_log_resume(const struct cbd_pcache_walk *walk, struct cbd_pcache_pos *found);

/* CORRUPT, with the code of the first rule that `key` breaks; 0: it can be used. */
int cbd_pcache_key_check(const struct cbd_pcache *pc, const struct cbd_pcache_key *key,
                         uint64_t backing_bytes, uint32_t *problem) CBD_MUST_CHECK;

/* Replay does not use it: its segment has a newer generation. The key is in range. */
bool cbd_pcache_key_stale(const struct cbd_pcache *pc, const struct cbd_pcache_key *key);

/* Checksum of the data of a key in range. CBD_E_MEDIA: it cannot be read. */
int cbd_pcache_key_crc(const struct cbd_pcache *pc, const struct cbd_pcache_key *key,
                       uint32_t *crc) CBD_MUST_CHECK;

/* --- what is in the cache --- */

/* A range of the backing device and where its newest data lies. */
struct cbd_pcache_extent {
    uint64_t addr_bytes;
    uint64_t media_off; /* of the data, bytes from the start of the device */
    uint32_t len_bytes;
    bool dirty;     /* at or behind dirty_tail, and not CLEAN */
    uint64_t order; /* of its key in the log: 0, 1, 2, ... */
};

/* What the driver would serve after its recovery: everything else comes from the backing device. */
struct cbd_pcache_view {
    struct cbd_pcache_extent *extents; /* by address, without overlap */
    uint64_t extent_count;
    uint64_t alloc_bytes; /* private */

    struct cbd_pcache_pos head; /* where the log ends */
    enum cbd_pcache_end end;
    uint64_t kset_count, key_count; /* from key_tail */
    uint64_t stale_count;           /* keys of an older generation */
    uint64_t refused_count;         /* keys that break a rule: the driver would refuse them all */
    uint64_t clean_key_count;
    uint64_t dirty_kset_count, dirty_key_count, dirty_bytes; /* from dirty_tail, overwritten too */
    uint32_t used_segments; /* what the driver counts as used: with a key, or with log */
};

/*
 * Replays the log from key_tail. Both tails must be valid (else CBD_E_CORRUPT). backing_bytes 0:
 * not known. Keys that break a rule are left out and counted. CBD_E_NOMEM. To be freed in any case.
 */
int cbd_pcache_view(const struct cbd_pcache *pc, uint64_t backing_bytes,
                    struct cbd_pcache_view *view) CBD_MUST_CHECK;
void cbd_pcache_view_free(const struct cbd_pcache *pc, struct cbd_pcache_view *view);

/* --- check --- */

struct cbd_pcache_check_options {
    uint64_t backing_bytes; /* size of the backing device, 0: not known */
    bool data;              /* verify the checksums of all data */
    int (*progress)(void *arg, uint64_t done, uint64_t total); /* may be NULL; not 0: ends it */
    void *progress_arg;
};

struct cbd_pcache_summary {
    bool loaded; /* `pc` was filled; the counts of the view need both tails */
    bool walked;
    bool info_valid; /* else gc_percent, info_flags and data_crc are guesses */
    uint32_t seg_num, seg_count, gc_percent, info_flags;
    bool big_endian, data_crc, image;
    bool driver_refuses;
    bool drain_doubtful; /* see enum cbd_pcache_drain_flags */
    struct cbd_pcache_pos key_tail, dirty_tail, head;
    bool log_end_known; /* from log_end on the log is of an earlier life: see LOG_STALE */
    struct cbd_pcache_pos log_end;
    struct cbd_pcache_view view; /* its extents are freed */
    uint64_t errors, infos;
    uint64_t data_bytes; /* whose checksums were verified */
};

/*
 * Every rule of docs/dm-pcache.md. Reads only. 0: it ran to its end. Errors as of
 * cbd_pcache_open(); *out is always filled with what was seen.
 */
int cbd_pcache_check(struct cbd_pmem *pm, struct cbd_env *env,
                     const struct cbd_pcache_check_options *options, struct cbd_pcache_sink *sink,
                     struct cbd_pcache_summary *out) CBD_MUST_CHECK;

/* --- writing back --- */

enum cbd_pcache_drain_flags {
    CBD_PCACHE_DRAIN_DRY = 1 << 0,           /* write nothing, count and call range() */
    CBD_PCACHE_DRAIN_DISK_ONLY = 1 << 1,     /* the cache stays as it is: the disk is a copy */
    CBD_PCACHE_DRAIN_EMPTY = 1 << 2,         /* afterwards nothing is cached, clean data neither */
    CBD_PCACHE_DRAIN_FROM_KEY_TAIL = 1 << 3, /* all that is in the log, not only what is dirty */
    CBD_PCACHE_DRAIN_PAST_DAMAGE = 1 << 4,   /* goes on behind damage in the log */
    CBD_PCACHE_DRAIN_ALLOW_LOSS = 1 << 5,    /* leaves out keys whose data is lost */
    CBD_PCACHE_DRAIN_LOG_END = 1 << 6,       /* the log ends at log_end */
};

struct cbd_pcache_drain_options {
    unsigned flags;
    struct cbd_pcache_pos log_end;
    /* What is written, in that order; may be NULL. lost: it is left out. */
    void (*range)(void *arg, uint64_t addr_bytes, uint64_t len_bytes, bool lost);
    void (*progress)(void *arg, uint64_t ksets_done);
    /*
     * Both or none. The data goes to take() instead of the disk, in the order of the log, and commit()
     * stands for the flush: when it returns 0, all that was taken is durable. Errors end the work.
     */
    int (*take)(void *arg, uint64_t addr_bytes, uint64_t media_off, uint64_t len_bytes);
    int (*commit)(void *arg);
    void *arg;
};

struct cbd_pcache_drained {
    uint64_t ksets, keys;
    uint64_t bytes;   /* written: what a key set overwrites itself is not */
    uint64_t flushes; /* of the disk */
    uint64_t lost_keys, lost_bytes;
    uint64_t stale_keys;
    bool emptied;
    struct cbd_pcache_pos head;
    enum cbd_pcache_end end;
};

/*
 * Writes dirty data to `disk` in the order of the log, with a flush of the disk behind each key set
 * and dirty_tail moved behind each flush; see the top of pc_drain.c. The device is then clean for
 * the driver. When it is interrupted anywhere, the next call goes on. `disk` may be NULL with DRY.
 *
 * CBD_E_CORRUPT: a key or its data is damaged, or the log is, and the flags do not say what to do
 * about it; what stands before it is drained. CBD_E_MEDIA: the same, unreadable. CBD_E_IO: the disk,
 * or a fence. CBD_E_RANGE: a key is beyond the end of the disk. CBD_E_READONLY: a metadata image.
 * CBD_E_NOMEM. *out is filled in any case.
 */
int cbd_pcache_drain(struct cbd_pcache *pc, struct cbd_disk *disk,
                     const struct cbd_pcache_drain_options *options,
                     struct cbd_pcache_drained *out) CBD_MUST_CHECK;

/*
 * Whether `disk` may be the backing device: what is clean in the cache is compared at up to 64
 * places. CBD_E_MISMATCH: *addr_bytes differs. CBD_E_RANGE: *addr_bytes is beyond its end.
 */
int cbd_pcache_identify(const struct cbd_pcache *pc, const struct cbd_pcache_view *view,
                        struct cbd_disk *disk, uint64_t *addr_bytes) CBD_MUST_CHECK;

/*
 * Moves what is dirty into an attached backend of a CBD cache, in the order of the log, with a
 * cbd_flush() behind each key set; then nothing is cached on this device. `disk` is the disk behind
 * both, block_bytes the logical block of the backend. On lane 0. When it is interrupted anywhere, the
 * next call goes on; until it has returned 0 neither of the two shows all of it.
 *
 * Errors of cbd_pcache_drain(), cbd_write(), cbd_flush() and cbd_read(). Nothing has been moved when
 * it is one of these: CBD_E_MISMATCH or CBD_E_RANGE, what is clean here is not what the backend serves
 * at *differs_at; CBD_E_INVALID, something dirty is no multiple of block_bytes.
 */
int cbd_pcache_import(struct cbd_pcache *pc, struct cbd_disk *disk, uint32_t block_bytes,
                      struct cbd_backend *backend, uint64_t *differs_at,
                      struct cbd_pcache_drained *out) CBD_MUST_CHECK;

/* --- repair --- */

enum cbd_pcache_repair_flags {
    CBD_PCACHE_REPAIR_SUPER = 1 << 0,
    CBD_PCACHE_REPAIR_INFO = 1 << 1,
    CBD_PCACHE_REPAIR_SEGMENTS = 1 << 2, /* segment_info: the chain in order */
    CBD_PCACHE_REPAIR_GEN = 1 << 3,      /* generations that are lost */
    CBD_PCACHE_REPAIR_TAILS = 1 << 4,    /* torn or stale slots */
};

/*
 * What has to be written again so that the driver takes the device and finds what is on it: a mask
 * of the flags above. Nothing of log or payload is touched; what is wrong there is for
 * cbd_pcache_drain(). 0 as well where a repair would not help: a tail is lost, or the device is shorter
 * than it was and the log names segments behind its end.
 */
unsigned cbd_pcache_repairs(const struct cbd_pcache *pc);

/* What the n-th bit of that mask is, for n = 0, 1, 2, ... until NULL. Static. */
const char *cbd_pcache_repair_name(unsigned n);

/*
 * Does it; the superblock comes last. May be interrupted and called again. *pc is as of
 * cbd_pcache_open(), and to be closed and opened again afterwards. CBD_E_CORRUPT: a tail is lost, so
 * the driver would not take it. CBD_E_READONLY: a metadata image. CBD_E_NOMEM. CBD_E_IO.
 */
int cbd_pcache_repair(struct cbd_pcache *pc) CBD_MUST_CHECK;

/* --- a new device --- */

struct cbd_pcache_format_options {
    bool data_crc;
    bool big_endian;
    bool any_size;       /* also what the driver refuses: for tests */
    uint32_t gc_percent; /* 0..90; CBD_PCACHE_GC_PERCENT is the driver's default */
};

/* Segments on a device of this size. */
uint32_t cbd_pcache_capacity(uint64_t device_bytes);

/*
 * Writes an empty cache as the driver does, but in an order that leaves, after a crash, either the
 * old cache or a device that the driver formats by itself. CBD_E_NOSPACE: below 512 MiB, or no
 * segment. CBD_E_RANGE: above 16 TiB, which the driver refuses. CBD_E_INVALID. CBD_E_IO.
 */
int cbd_pcache_format(struct cbd_pmem *pm,
                      const struct cbd_pcache_format_options *options) CBD_MUST_CHECK;

/* --- showing it --- */

#define CBD_PCACHE_FIELDS_MAX 8u

struct cbd_pcache_field {
    const char *name; /* static */
    uint64_t value;
};

/* One record of the metadata; valid during the callback only. */
struct cbd_pcache_record {
    const char *what; /* "superblock", "cache_info", "key", ...; static */
    uint32_t segment; /* of the cache, or CBD_CHECK_NONE */
    uint32_t copy;    /* slot, or number of a key, or CBD_CHECK_NONE */
    uint64_t off_bytes;
    const uint8_t *bytes;
    uint32_t len_bytes;
    bool readable, zero, valid;
    bool newest; /* the slot that counts */
    bool is_key, stale, dirty;
    uint32_t field_count;
    struct cbd_pcache_field fields[CBD_PCACHE_FIELDS_MAX];
};

enum cbd_pcache_list_flags {
    CBD_PCACHE_LIST_SUPER = 1 << 0,    /* superblock, cache_info, tails */
    CBD_PCACHE_LIST_SEGMENTS = 1 << 1, /* segment_info and generation of each */
    CBD_PCACHE_LIST_LOG = 1 << 2,      /* key sets and keys from key_tail, also behind damage */
};

/* found() is called for each, in the order above; what it returns, if not 0, ends it. CBD_E_NOMEM. */
int cbd_pcache_records(const struct cbd_pcache *pc, unsigned which,
                       int (*found)(void *arg, const struct cbd_pcache_record *record),
                       void *arg) CBD_MUST_CHECK;

/* No record has more bytes. */
#define CBD_PCACHE_RECORD_BYTES_MAX 5144u

/*
 * The bytes of a record, but for keys, as an image has them that is given to others: checksums of
 * data are replaced by others that `key` decides, the same for the same; what the driver left unset,
 * and what is no record, is 0xff where it is not zero. Checksums of metadata are made again.
 * `bytes` has room for CBD_PCACHE_RECORD_BYTES_MAX.
 */
void cbd_pcache_hide(const struct cbd_pcache *pc, const uint64_t key[2],
                     const struct cbd_pcache_record *record, uint8_t *bytes);

/* What a metadata image has at its start. Static. */
const uint8_t *cbd_pcache_image_mark(uint32_t *len_bytes);

#endif
