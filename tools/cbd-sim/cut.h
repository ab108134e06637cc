/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cutting a record of a real server (cbd/shim/record.h): the devices as they were at a place of it,
 * what a power cut may leave of them, and what the clients had been promised by then.
 *
 * A place N is behind the first N events since BEGIN. A sector is 512 bytes, a page 8 sectors.
 */
#ifndef CBD_SIM_CUT_H
#define CBD_SIM_CUT_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/shim/record.h"
#include "sim_crash.h"
#include "sim_pmem.h"

#define CUT_SECTOR_BYTES CBD_RECORD_SECTOR_BYTES
#define CUT_PAGE_SECTORS 8u
#define CUT_PAGE_BYTES 4096u
#define CUT_NEVER UINT64_MAX
#define CUT_TEXT_BYTES 512u
#define CUT_DISK_BYTES_MAX (UINT64_C(1) << 40)
#define CUT_PMEM_BYTES_MAX (UINT64_C(1) << 36)
#define CUT_ENTRIES_MAX (UINT64_C(1) << 26) /* of a history: 4 KiB pages of all its requests */

/* ---- cut_disk.c: one disk with a volatile cache ---- */

struct cut_pending {
    uint64_t number; /* of the request in the record */
    uint64_t off, len;
    const uint8_t *data; /* NULL: zeroes */
    uint64_t done;       /* its place; CUT_NEVER: in flight */
    bool kept;           /* FUA, or a disk without a volatile cache: survives when done */
    bool failed;
};

struct cut_sync {
    uint64_t number, submitted;
};

struct cut_undo {
    uint64_t sector;
    bool first; /* nothing was written to its chunk before */
    uint8_t old[CUT_SECTOR_BYTES];
};

struct cut_disk {
    struct cbd_disk disk; /* what the cache gets when it recovers; first */
    char name[72];
    unsigned flags;              /* enum cbd_record_disk_flags */
    uint8_t *mem;                /* what the medium holds; most of it never touched */
    uint64_t *used;              /* bit c: chunk c of 64 KiB was written */
    uint64_t *hash;              /* of each sector; 0: not known */
    struct cut_pending *pending; /* in the order of submission */
    size_t pending_count, pending_cap;
    struct cut_sync syncs[64];
    unsigned sync_count;
    struct cut_undo *undo;
    size_t undo_count, undo_cap;
    bool logging;
    bool forgets; /* flushes do nothing */
};

bool cut_disk_init(struct cut_disk *d, const struct cbd_record_event *e, const void *name);
void cut_disk_destroy(struct cut_disk *d);
uint64_t cut_disk_hash(const struct cut_disk *d, uint64_t sector);
bool cut_disk_image(struct cut_disk *d, uint64_t off, const void *data, uint64_t len);

/* False: the event cannot be true. */
bool cut_disk_submit(struct cut_disk *d, const struct cbd_record_event *e, const void *data,
                     uint64_t place);
void cut_disk_done(struct cut_disk *d, const struct cbd_record_event *e, uint64_t place);

/* A power cut, until cut_disk_restore(). In between the disk may be written to. */
void cut_disk_crash(struct cut_disk *d, const struct sim_crash *crash);
void cut_disk_restore(struct cut_disk *d);

/* ---- cut_history.c: what was asked and answered ---- */

struct cut_request {
    uint64_t submit, end; /* places; end CUT_NEVER: no answer, or an error */
    uint64_t ordered;     /* place from which the disk alone may not be without it */
    uint64_t sector, sectors;
    const uint64_t *hashes; /* NULL: zeroes */
    bool sync;
};

struct cut_page {
    uint64_t page;
    size_t first, count; /* in entries */
};

/* A request that touches a page; those of a page stand together, by submission. */
struct cut_entry {
    uint64_t page;
    uint32_t request;
    uint64_t end_max; /* of this and all before it in the page */
};

/* A read has returned what a request wrote before that was answered: it may not be lost since. */
struct cut_seen {
    uint64_t sector, submit, since;
};

struct cut_history {
    struct cut_request *requests;
    size_t request_count, request_cap;
    struct cut_entry *entries;
    size_t entry_count, entry_cap;
    struct cut_page *pages;
    size_t page_count;
    uint32_t *wide; /* zeroes of more than 4 MiB: not in pages */
    size_t wide_count, wide_cap;
    struct cut_seen *seen; /* by sector */
    size_t seen_count, seen_cap;
    uint64_t *base; /* hash of each sector of each page at the beginning */
    uint64_t flushes;
    bool on_flush;
};

/* ---- cut_record.c: the whole record ---- */

struct cut_world {
    struct cbd_record_reader *reader;
    struct sim_pmem *pmem;
    struct cut_disk *disks;
    struct cut_history *history; /* one for each disk */
    unsigned disk_count;
    uint64_t places; /* events since BEGIN */
    uint64_t answers;
    uint64_t place, time_ns; /* where it is, of the last event */
    bool clean_end;
    bool full;           /* the bound of the record was reached */
    const char *end_why; /* static: what ended the record; NULL: it is whole */
    uint64_t end_bytes;  /* where it ended */
    /* threads of the record on the threads of the simulated pmem */
    uint32_t slot_thread[SIM_PEND_THREADS];
    uint64_t slot_used[SIM_PEND_THREADS];
    bool slot_open[SIM_PEND_THREADS]; /* has stored since its last fence */
};

/*
 * Reads the record once, for its history, and stands at place 0. False: a sentence in why. Close it
 * in both cases; the reader is closed with it.
 */
bool cut_world_open(struct cut_world *w, const char *path, enum sim_model model,
                    char why[CUT_TEXT_BYTES]);
bool cut_world_read(struct cut_world *w, struct cbd_record_reader *reader, enum sim_model model,
                    char why[CUT_TEXT_BYTES]);
void cut_world_close(struct cut_world *w);

/* Goes on to a place that is not before this one. */
bool cut_world_advance(struct cut_world *w, uint64_t place, char why[CUT_TEXT_BYTES]);

/* ---- cut_judge.c ---- */

/* What a device holds: the hash of each sector of each page of the history, in its order. */
uint64_t *cut_contents_alloc(const struct cut_history *h);

/* False: a sentence in why. P1-P3: what the cache serves after a cut at `place`. */
bool cut_judge_served(const struct cut_history *h, uint64_t place, const uint64_t *contents,
                      uint64_t piece_sectors, char why[CUT_TEXT_BYTES]);
/* P4: what the disk alone holds. */
bool cut_judge_disk(const struct cut_history *h, uint64_t place, const uint64_t *contents,
                    char why[CUT_TEXT_BYTES]);

/* ---- cut_history.c, used by cut_record.c ---- */

bool cut_history_request(struct cut_history *h, const struct cbd_record_event *e, const void *data,
                         uint64_t place, uint64_t disk_sectors, uint32_t *index);
/* Orders what was collected. `mem` is the disk at the beginning. False: too much, in why. */
bool cut_history_finish(struct cut_history *h, const uint8_t *mem, char why[CUT_TEXT_BYTES]);
/* What a read returned, when the rest is finished. */
void cut_history_read(struct cut_history *h, uint64_t sector, const uint64_t *hashes,
                      uint64_t sectors, uint64_t place);
void cut_history_destroy(struct cut_history *h);
const struct cut_page *cut_history_page(const struct cut_history *h, uint64_t page);
uint64_t cut_zero_hash(void);

/* Whether request r covers the sector, and with what. */
static inline bool cut_covers(const struct cut_request *r, uint64_t sector, uint64_t zero_hash,
                              uint64_t *hash)
{
    if (sector < r->sector || sector - r->sector >= r->sectors)
        return false;
    *hash = r->hashes != NULL ? r->hashes[sector - r->sector] : zero_hash;
    return true;
}

#endif
