/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache: open a formatted device, add backends to it, attach one to its disk, read and write
 * through it. Addresses and lengths are bytes, multiples of the backend's logical block.
 *
 * Lanes: every call that moves data takes a lane, 0 .. CBD_LANES-1. A lane carries one call at a
 * time; two threads use two lanes. Calls on different lanes may run side by side. All other calls
 * on one cache are made by one thread at a time and not beside data calls, unless said otherwise.
 */
#ifndef CBD_CACHE_H
#define CBD_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/disk.h"
#include "cbd/env.h"
#include "cbd/format.h"
#include "cbd/pmem.h"

#define CBD_LANES 64u

/*
 * When a fence behind a table entry has failed, the cache stores nothing any more: every call that
 * would gives CBD_E_IO, until it is closed and opened again.
 */
struct cbd_cache;
struct cbd_backend;

enum cbd_open_flags {
    CBD_OPEN_READONLY = 1 << 0, /* nothing is ever stored; attach is refused */
};

/*
 * Reads superblock and tables; stores nothing. `pm` and `env` must outlive the cache.
 * CBD_E_NOTCBD, CBD_E_CORRUPT (both copies of some entry are bad), CBD_E_VERSION, CBD_E_NOMEM.
 * CBD_E_NODATA: a metadata image, which opens READONLY only.
 */
int cbd_cache_open(struct cbd_pmem *pm, struct cbd_env *env, unsigned flags,
                   struct cbd_cache **cache) CBD_MUST_CHECK;

/* Every backend must be detached. Stores nothing. */
void cbd_cache_close(struct cbd_cache *cache);

const struct cbd_super *cbd_cache_super(const struct cbd_cache *cache);

/* Segments that no backend owns. */
uint32_t cbd_cache_unowned(const struct cbd_cache *cache);

struct cbd_backend_info {
    uint32_t id;
    uint8_t uuid[16];
    char name[CBD_BACKEND_NAME_BYTES + 1];
    char path[CBD_BACKEND_PATH_BYTES + 1];
    uint64_t size_bytes;
    uint32_t logical_block_bytes;
    uint32_t streams;
    uint32_t segments;
    bool was_attached; /* not detached cleanly: recovery will run */
    uint64_t epoch_written;
    uint64_t horizon;
    uint64_t attaches;
    uint64_t created_s;
};

/*
 * Backend `id`; false when there is none. Ids are 0 .. CBD_BACKENDS-1 with gaps. Beside any call on
 * an attached backend; not beside add, remove, attach, detach and abandon, which change what there
 * is. The same holds for cbd_cache_super() and cbd_cache_unowned().
 */
bool cbd_backend_info(const struct cbd_cache *cache, uint32_t id, struct cbd_backend_info *info);

/* The id of a name. CBD_E_NOTFOUND. */
int cbd_backend_lookup(const struct cbd_cache *cache, const char *name,
                       uint32_t *id) CBD_MUST_CHECK;

struct cbd_backend_options {
    uint8_t uuid[16];
    const char *name; /* 1..64 bytes, no control characters */
    const char *path; /* a hint for people, may be NULL */
    uint64_t size_bytes;
    uint32_t logical_block_bytes;
    uint64_t cache_bytes; /* its share, rounded down to segments */
    uint32_t streams; /* how many writers can append side by side; 0: 4, fewer on a small share */
    uint64_t created_s;
};

/* A share must hold one segment per stream and this many more. */
#define CBD_SHARE_RESERVE 2u

/*
 * Durable when it returns 0; after a crash before that there is no such backend.
 * CBD_E_INVALID, CBD_E_EXISTS, CBD_E_NOSPACE (table full, or not enough segments free).
 */
int cbd_backend_add(struct cbd_cache *cache, const struct cbd_backend_options *options,
                    uint32_t *id) CBD_MUST_CHECK;

/*
 * Forgets a backend that is not attached and everything cached for it. Dirty data is lost: the
 * caller has written it back or asked the user. Durable when it returns 0.
 */
int cbd_backend_remove(struct cbd_cache *cache, uint32_t id) CBD_MUST_CHECK;

#define CBD_IDENTITY_NONE UINT32_MAX
#define CBD_QUEUE_DEPTH_MAX 64u
#define CBD_WRITEBACK_RATE_MAX (UINT64_C(1) << 40)
#define CBD_SCRUB_RATE_MAX (UINT64_C(1) << 40)
#define CBD_TIME_MAX_NS (UINT64_C(1) << 55) /* about a year */

/* When a write, discard or write-zeroes survives any later crash. */
enum cbd_durability {
    CBD_DURABLE_ON_ACK = 0, /* when the call returns */
    /*
     * When a later cbd_flush(), or one with CBD_WRITE_FUA, returns; until then it may be lost, each
     * aligned piece as a whole. Needs data checksums (else CBD_E_INVALID).
     */
    CBD_DURABLE_ON_FLUSH,
};

/* What leaves first when the cache is full. */
enum cbd_replacement {
    CBD_REPLACE_SECOND_CHANCE = 0, /* the oldest that was not read since it came */
    CBD_REPLACE_FIFO,              /* the oldest */
};

/*
 * Zero everywhere: the defaults. What is out of range is refused with CBD_E_INVALID. "Share" is the
 * backend's share of the cache, or max_dirty_bytes when that is less. "Space" is what a record, its
 * header and its payload take in the cache.
 */
struct cbd_attach_options {
    /* Fixed while attached. */
    uint32_t trees; /* power of two; 0: by the size of the share */
    bool no_fill;   /* read misses are not cached */
    enum cbd_replacement replacement;
    enum cbd_durability durability;
    /* So many places are compared with the disk, at most 64; 0: 64; CBD_IDENTITY_NONE: none. */
    uint32_t identity_places;
    /*
     * The disk is taken as it is although it is not as the cache left it: dirty data is written to
     * it before attach returns, everything else that is cached is given up. `conflict` (may be
     * NULL) is called for each dirty range before it is written. When some of it cannot be read,
     * the backend is attached and held, see cbd_backend_held(); until a detach succeeds, each
     * attach has to accept again.
     */
    bool accept_backing;
    void (*conflict)(void *arg, uint64_t addr_bytes, uint64_t len_bytes);
    void *conflict_arg;

    /* Changed by cbd_backend_tune() at any time. */

    /* T, ns: how long a write waits for space without progress; up to CBD_TIME_MAX_NS; 0: 30 s */
    uint64_t space_timeout_ns;
    /* Epochs are written back when this percentage of the share is dirty; 0..100; 0: at once */
    uint32_t dirty_start_percent;
    /*
     * From this percentage of the share on, the open epoch is written back too, writers are slowed
     * down step by step to the speed of the disk, and the rate is not limited; 1..100; 0: 50
     */
    uint32_t dirty_urgent_percent;
    /* An epoch with more records is closed, which costs a flush of the disk; 0: 65536 */
    uint32_t epoch_records_max;
    /* An epoch of more space is closed, which costs a flush of the disk; 0: 1/8 of the share */
    uint64_t epoch_bytes_max;
    /* Bytes a second of write-back below the urgent mark; ..CBD_WRITEBACK_RATE_MAX; 0: no limit */
    uint64_t writeback_rate_bytes;
    /* No request for so long: everything is written back; ..CBD_TIME_MAX_NS; 0: never */
    uint64_t idle_ns;
    /* Dirty data of this age is sent to the disk, whatever the marks say; ..CBD_TIME_MAX_NS; 0: no */
    uint64_t max_dirty_age_ns;
    /*
     * Dirty payload never exceeds this: writers wait. A single piece that is larger is let in when
     * nothing else is dirty. 0: no bound but the share
     */
    uint64_t max_dirty_bytes;
    /* Requests of write-back in flight; each holds 256 KiB; 1..CBD_QUEUE_DEPTH_MAX; 0: 8 */
    uint32_t queue_depth;
    /*
     * backend_consistency=off: many epochs are written as one, only the newest version of each
     * sector, with one flush. Without the cache the disk is then no state that a disk could show.
     */
    bool backend_consistency_off;
    /* Bytes a second of cached data that scrub verifies; ..CBD_SCRUB_RATE_MAX; 0: no scrub */
    uint64_t scrub_rate_bytes;
};

/*
 * Recovers the backend and makes it ready. `disk` must outlive the attachment, have the size and
 * logical block that the backend was added with, and hold what was written to it: places of which
 * the cache has clean data are read and compared.
 * CBD_E_INVALID (options), CBD_E_MISMATCH (another disk, or used without its cache), CBD_E_BUSY
 * (attached already), CBD_E_READONLY (the cache was opened so), CBD_E_CORRUPT (something that no
 * power cut and no single lost line leaves behind), CBD_E_MEDIA, CBD_E_NOMEM, CBD_E_IO. On error
 * nothing but repairs was stored. A record that was durable and is damaged is no error of this
 * call: see cbd_backend_lost().
 */
int cbd_backend_attach(struct cbd_cache *cache, uint32_t id, struct cbd_disk *disk,
                       const struct cbd_attach_options *options,
                       struct cbd_backend **backend) CBD_MUST_CHECK;

/*
 * Changes the options of an attached backend that can be changed; the others are not looked at.
 * From any thread, beside every other call. Writers and steps that are under way may still follow
 * the old ones. CBD_E_INVALID: nothing was changed.
 */
int cbd_backend_tune(struct cbd_backend *backend,
                     const struct cbd_attach_options *options) CBD_MUST_CHECK;

/* The options that hold, with the defaults filled in. From any thread. */
void cbd_backend_options(struct cbd_backend *backend, struct cbd_attach_options *options);

/*
 * Writes everything back, flushes the disk, marks the backend clean and frees it. On error it
 * stays attached and may be detached again, unless persistent memory failed: then every call fails
 * and only cbd_backend_abandon() is left. Not beside data calls.
 */
int cbd_backend_detach(struct cbd_backend *backend) CBD_MUST_CHECK;

/* Frees the memory and leaves the media as they are: as after a crash. No I/O may be in flight. */
void cbd_backend_abandon(struct cbd_backend *backend);

enum cbd_write_flags {
    CBD_WRITE_FUA = 1 << 0,   /* the backing device alone will not show a later write without it */
    CBD_WRITE_PUNCH = 1 << 1, /* zero only: the backing device may unmap the range */
};

/*
 * 0: durable (unless attached with CBD_DURABLE_ON_FLUSH), and readers see it. Each aligned piece of atomic_bytes is there as a whole or not at
 * all, also when the call fails or power is cut. On error nothing or a part of whole pieces is
 * there. CBD_E_RANGE, CBD_E_INVALID (alignment, lane), CBD_E_NOSPACE (no write-back progress for
 * T), CBD_E_IO (persistent memory or write-back failed), CBD_E_NOMEM.
 */
int cbd_write(struct cbd_backend *b, unsigned lane, uint64_t off, const void *buf, uint64_t len,
              unsigned flags) CBD_MUST_CHECK;

/* Write zeroes or, with CBD_WRITE_PUNCH, discard: the range reads as zeroes. Errors as cbd_write. */
int cbd_zero(struct cbd_backend *b, unsigned lane, uint64_t off, uint64_t len,
             unsigned flags) CBD_MUST_CHECK;

/*
 * What was acknowledged before this call reaches the backing device before anything submitted
 * after its return. With CBD_DURABLE_ON_FLUSH it is durable when this returns 0; otherwise it was
 * before, and nothing is stored.
 */
int cbd_flush(struct cbd_backend *b, unsigned lane) CBD_MUST_CHECK;

/*
 * CBD_E_CORRUPT: a checksum is wrong and the data is dirty. CBD_E_MEDIA: the data cannot be read
 * and is dirty. CBD_E_IO: the disk failed. Clean data that is damaged is read from the disk.
 */
int cbd_read(struct cbd_backend *b, unsigned lane, uint64_t off, void *buf,
             uint64_t len) CBD_MUST_CHECK;

enum cbd_map_kind {
    CBD_MAP_DISK = 0, /* not cached: the disk has it, flushed */
    CBD_MAP_DATA,     /* cached */
    CBD_MAP_ZERO,     /* reads as zeroes */
    CBD_MAP_LOST,     /* reads of it fail */
};

struct cbd_map_view {
    uint64_t addr_bytes, len_bytes;
    enum cbd_map_kind kind;
};

/*
 * What stands at `off`, and how far it goes, at most `len` (not 0). A data call: takes a lane. Stores
 * nothing, reads no data. What it says was true at a moment of the call. For DISK the backing device
 * may be asked after this call: it then shows what was acknowledged before, or something newer.
 * CBD_E_RANGE, CBD_E_INVALID.
 */
int cbd_map(struct cbd_backend *b, unsigned lane, uint64_t off, uint64_t len,
            struct cbd_map_view *view) CBD_MUST_CHECK;

enum cbd_work {
    CBD_WORK_WRITEBACK, /* move dirty data to the disk, one bounded step */
    /* Make segments free; after a clean detach also bring what they hold back into the index. */
    CBD_WORK_RECLAIM,
    /*
     * Verify what is cached, at scrub_rate_bytes: what is damaged and clean is read from the disk
     * and stored again, what is damaged and dirty is reported with its range, once in each pass.
     * Waits for the disk as cbd_read() does. Damage is no error of the step.
     */
    CBD_WORK_SCRUB,
};

/*
 * One step of background work. 1: something was done, call again; 0: nothing to do now; negative:
 * an error that a later step may overcome. One thread at a time for each kind; may run beside
 * data calls and beside the other kinds.
 */
int cbd_backend_step(struct cbd_backend *b, enum cbd_work work) CBD_MUST_CHECK;

/* Asks write-back to go on until nothing is dirty (true) or as the options say (false). */
void cbd_backend_drain(struct cbd_backend *b, bool drain);

/*
 * When a step that has returned 0 would find something to do because time has passed: by the clock
 * of the environment, UINT64_MAX when only an event can bring work. Every such event calls wake().
 * From any thread.
 */
uint64_t cbd_backend_due_ns(const struct cbd_backend *b);

/* The same for CBD_WORK_SCRUB; cbd_backend_due_ns() is for the others. */
uint64_t cbd_backend_scrub_due_ns(const struct cbd_backend *b);

#define CBD_HELD_MAX 256u

struct cbd_range {
    uint64_t addr_bytes; /* of the backing device */
    uint64_t len_bytes;
};

/*
 * Dirty data that cannot be read (wrong checksum, poison) holds its epoch: the rest of it is on the
 * disk, later epochs wait, steps and detach return CBD_E_CORRUPT or CBD_E_MEDIA, and when the cache
 * is full writes fail with CBD_E_NOSPACE after T. Copies up to `max` ranges, by address, and returns
 * how many; *more: there are others. 0: nothing is held. From any thread.
 */
uint32_t cbd_backend_held(struct cbd_backend *b, struct cbd_range *ranges, uint32_t max,
                          bool *more) CBD_MUST_CHECK;

/*
 * Gives up the versions in this range that cannot be read: the disk keeps what it has there, and
 * reads show that. What can be read is not given up. When everything that holds the epoch is given
 * up, write-back goes on and the calls are used up. Not durable: after a crash the epoch is held
 * again. From any thread. CBD_E_INVALID (not sectors, or empty), CBD_E_RANGE, CBD_E_NOSPACE (more
 * than CBD_HELD_MAX ranges; the whole disk always has room).
 */
int cbd_backend_forgo(struct cbd_backend *b, uint64_t addr_bytes,
                      uint64_t len_bytes) CBD_MUST_CHECK;

struct cbd_stats {
    uint64_t reads, writes, zeroes, flushes, fua;
    uint64_t read_bytes, hit_bytes, miss_bytes, write_bytes, zero_bytes, fill_bytes;
    uint64_t writeback_bytes, writeback_ios, writeback_zero_bytes, writeback_flushes;
    uint64_t writeback_epochs, writeback_errors;
    uint64_t writeback_held_bytes;    /* dirty, cannot be read, hold their epoch; 0: none */
    uint64_t writeback_forgone_bytes; /* given up by cbd_backend_forgo() since attach */
    uint64_t epochs_forced; /* closed by write-back or by their size: each costs a flush */
    uint64_t writes_paced; /* waited for write-back above the urgent mark, or for max_dirty_bytes */
    uint64_t records, segments_opened, segments_reclaimed, reclaims;
    uint64_t kept_bytes;    /* copied forward instead of forgotten */
    uint64_t carried_bytes; /* dirty, copied forward instead of ending the epoch */
    uint64_t dirty_bytes, dirty_space_bytes, segments_free, segments;
    uint64_t epoch, epoch_written;
    uint64_t recovered_records, recovered_dirty_bytes, recovered_suspects;
    uint64_t index_extents, index_bytes;
    bool degraded;                     /* served for reading only: see cbd_backend_lost() */
    uint64_t lost_records, lost_bytes; /* bytes: where the place is known */

    uint64_t scrub_bytes;          /* verified, good or damaged; what follows is a part of it */
    uint64_t scrub_healed_bytes;   /* damaged and clean: stored again */
    uint64_t scrub_left_bytes;     /* the same, but the disk failed or there was no room */
    uint64_t scrub_damaged_bytes;  /* damaged and dirty; counted in each pass */
    uint64_t scrub_passes;         /* that have ended */
    uint64_t scrub_position_bytes; /* how far the pass is, of the size of the backend */
};

/*
 * From any thread, beside data calls and steps, while attached. Each number is one that it had
 * during the call; of different numbers it need not be the same moment.
 */
void cbd_backend_stats(const struct cbd_backend *b, struct cbd_stats *stats);

/*
 * What the attach found lost: records that were durable, may have been dirty, and are damaged. With
 * any of them the backend is degraded: it is served for reading only (every call that stores gives
 * CBD_E_READONLY, so does a detach: abandon it), nothing is written back, and the media stay as they
 * are. A read of a lost range whose place is known gives CBD_E_CORRUPT, unless something certainly
 * newer covers it. Where the place is not known, anything that the backend serves may be older than
 * what was acknowledged. Returns how many there are; `visit` may be NULL.
 */
struct cbd_lost_view {
    bool range_known;
    uint64_t addr_bytes, len_bytes; /* 0 when not known */
    uint32_t segment, slot;
    uint64_t off_bytes; /* of the record on the media */
};
uint32_t cbd_backend_lost(const struct cbd_backend *b,
                          void (*visit)(void *arg, const struct cbd_lost_view *lost), void *arg);

/* Calls `visit` for each extent of the index, tree by tree. Not beside data calls. */
struct cbd_extent_view {
    uint64_t addr_bytes, len_bytes, order;
    bool zero;
    bool lost;         /* reads of it fail */
    uint64_t pmem_off; /* of the data, 0 for zero and lost */
};
void cbd_backend_extents(struct cbd_backend *b,
                         void (*visit)(void *arg, const struct cbd_extent_view *extent), void *arg);

enum cbd_salvage_kind {
    CBD_SALVAGE_DATA, /* read, and whole by its checksums where the cache has them */
    CBD_SALVAGE_ZERO, /* reads as zeroes */
    CBD_SALVAGE_LOST, /* dirty, and cannot be read or gone: `error` says why */
};

/* A part of the dirty data. Valid during the call only. */
struct cbd_salvage_piece {
    enum cbd_salvage_kind kind;
    bool suspect; /* a lost record, nobody knows where, may have been newer */
    int error;
    uint64_t addr_bytes, len_bytes; /* of the backing device; DATA: at most 64 KiB */
    const void *data;               /* DATA: len_bytes */
};

/* Not 0 ends the salvage with that. */
typedef int cbd_salvage_visit(void *arg, const struct cbd_salvage_piece *piece);

/*
 * Goes through everything that is dirty, newest versions only, each place once, in no order of
 * places. It is for a backend that cannot write back any more: degraded, or held by data that
 * cannot be read. Stores nothing; what cbd_backend_lost() has without a range is not told again.
 * Uses lane 0. Not beside other calls on the backend. CBD_E_NOMEM.
 */
int cbd_backend_salvage(struct cbd_backend *b, cbd_salvage_visit *visit, void *arg) CBD_MUST_CHECK;

#endif
