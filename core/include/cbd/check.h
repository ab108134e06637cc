/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checking a cache that nobody uses: a library that never prints, never prompts and never stores.
 * Everything it finds goes to a callback, in an order that depends on the media only.
 */
#ifndef CBD_CHECK_H
#define CBD_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/disk.h"
#include "cbd/env.h"
#include "cbd/format.h"
#include "cbd/media_format.h"
#include "cbd/pmem.h"

enum cbd_check_severity {
    CBD_CHECK_INFO,  /* no damage; the next attach deals with it */
    CBD_CHECK_ERROR, /* no power cut leaves this behind */
};

enum cbd_problem_code {
#define X(code, name, severity, preen, what, sentence, repair, cost) CBD_PROBLEM_##name = (code),
#include "cbd/problems.def"
#undef X
};

/* One row of problems.def. Static. */
struct cbd_problem {
    uint32_t code;
    const char *name;
    enum cbd_check_severity severity;
    bool preen; /* its repair needs no decision, unless it would lose something dirty */
    const char *what;
    const char *sentence;
    const char *repair; /* what repair.h does about it, or why nothing */
    const char *cost;
};

/* NULL: there is no such code. */
const struct cbd_problem *cbd_problem_find(uint32_t code);

/* Row n of the table, for n = 0, 1, 2, ... until NULL. */
const struct cbd_problem *cbd_problem_row(uint32_t n);

#define CBD_CHECK_NONE UINT32_MAX /* the finding has no such place */
#define CBD_CHECK_NOWHERE UINT64_MAX

/* One finding. Valid during the callback only. */
struct cbd_check_finding {
    const struct cbd_problem *problem;
    const char *what; /* "backend entry", ...: what it is about; static */
    uint32_t copy;    /* of a superblock or a table entry */
    uint32_t segment;
    uint32_t slot;
    uint32_t backend;
    uint64_t off_bytes; /* where on the media, or CBD_CHECK_NOWHERE */
    uint64_t got;
    uint64_t limit;      /* or the expected value; got == limit == 0: nothing to compare */
    uint8_t record_type; /* enum cbd_m_record_type of the record that it is about; 0: not known */
    uint64_t order_max;  /* RECORD_DAMAGED: the highest order that the record can have had */
    bool range_known;    /* addr_bytes and len_bytes say what it covers on the backing device */
    bool dirty;          /* the range is not on the backing device yet, or may not be */
    uint64_t addr_bytes;
    uint64_t len_bytes;
};

enum cbd_check_flags {
    CBD_CHECK_SCAN = 1 << 0,    /* the records of every live segment; else superblocks and tables */
    CBD_CHECK_HEADERS = 1 << 1, /* with SCAN: each live record against its payload header */
    CBD_CHECK_ORDERS = 1 << 2,  /* with SCAN: overlapping records differ in order */
    CBD_CHECK_DATA = 1 << 3,    /* with SCAN: data of live records against its checksums */
};

/*
 * The passes of a check in their order. Each needs all those whose flags it has. Row n for
 * n = 0, 1, 2, ... until NULL. Static.
 */
struct cbd_check_pass {
    const char *name;
    const char *sentence;
    unsigned flags; /* that run it, and what it needs, and nothing else */
};

const struct cbd_check_pass *cbd_check_pass_row(uint32_t n);

/* One record that was scanned, damaged ones left out. */
struct cbd_check_record {
    uint32_t segment;
    uint32_t slot;
    uint32_t backend;
    uint64_t off_bytes; /* of the struct cbd_m_record on the media */
    bool live;          /* not forgotten */
    bool dirty;         /* not written back */
};

/* One segment, after its records. */
struct cbd_check_segment {
    uint32_t id;
    const struct cbd_problem *problem; /* with its entry, or NULL; static */
    uint64_t entry_off_bytes;          /* of the copy that counts; if both are bad, of the first */
    bool entry_valid;                  /* else all that follows is 0 */
    uint32_t backend;                  /* or CBD_CHECK_NONE */
    uint8_t status;                    /* enum cbd_m_segment_status */
    uint8_t stream;
    uint64_t generation;
    bool scanned; /* may hold live records; else all that follows is 0 */
    bool suspect; /* the last record is an unfinished write */
    uint32_t records;
    uint32_t damaged; /* of these */
    uint64_t live_bytes;
    uint64_t dirty_bytes;
};

/* Everything but flags may be NULL. All callbacks get the argument of cbd_check_run(). */
struct cbd_check_options {
    unsigned flags;
    /*
     * ORDERS holds 4 bytes for each record and 40 for each 64 slots, of at most so many records; 0:
     * 2^27, which is 0.6 GiB. With more it goes through the segments again, once for each so many.
     * Records whose order another one may have too, as few of a cache do, take up to 64 bytes more.
     */
    uint64_t orders_max;
    /*
     * The backing devices, by the number of their backend, each NULL when it is not there; read, and
     * nothing else. With SCAN up to 512 places of each are compared with what is cached. May be NULL.
     */
    struct cbd_disk *const *disks;
    /* Called between segments, done <= total. Not 0: ends the check. */
    int (*progress)(void *arg, uint64_t done, uint64_t total);
    /* With SCAN: what a dump shows. Segments in order, each after its records. */
    void (*record)(void *arg, const struct cbd_check_record *record);
    void (*segment)(void *arg, const struct cbd_check_segment *segment);
};

/* Of one backend; counts of records need CBD_CHECK_SCAN. */
struct cbd_check_backend {
    bool used;
    bool unclean; /* not detached cleanly */
    char name[CBD_BACKEND_NAME_BYTES + 1];
    char path[CBD_BACKEND_PATH_BYTES + 1];
    uint32_t segments;
    uint32_t logical_block_bytes;
    uint64_t records;       /* at or above the horizon */
    uint64_t live_bytes;    /* their payload, overwritten versions too */
    uint64_t dirty_records; /* not written back */
    uint64_t dirty_bytes;   /* their payload, overwritten versions too */
    uint64_t dirty_zero_bytes;
    uint64_t suspects; /* unfinished writes */
};

struct cbd_check_summary {
    bool super_valid; /* `super` holds something */
    struct cbd_super super;
    uint64_t infos;
    uint64_t errors;
    uint32_t segments_unowned;
    uint32_t segments_free; /* owned, and empty or forgotten */
    uint32_t segments_open;
    uint32_t segments_closed;
    uint64_t records_damaged;
    uint64_t data_bytes; /* whose checksums were verified */
    struct cbd_check_backend backends[CBD_BACKENDS];
};

/*
 * Checks the cache on `pm`. options NULL: SCAN, HEADERS and ORDERS. `found` is called for each
 * finding, errors and infos; what it returns, if not 0, ends the check and is returned. *out is
 * always filled with what was seen so far; it may not be NULL.
 *
 * 0: the check ran to its end, and out->errors tells whether anything is wrong. CBD_E_NOTCBD,
 * CBD_E_CORRUPT, CBD_E_VERSION: there is no usable superblock (this is a finding as well, but for
 * NOTCBD). CBD_E_NOMEM. Uses alloc, free and run of `env` only, with disks
 * also wait and wake. Nothing else may use the device.
 *
 * Where env has run, records of several segments are read at a time, and read() of `pm` is called by
 * several threads. Callbacks are called by the caller's thread only, and nothing of what they get, of
 * their order, or of *out depends on run; but with options.record or options.segment it is not used.
 */
int cbd_check_run(struct cbd_pmem *pm, struct cbd_env *env, const struct cbd_check_options *options,
                  int (*found)(void *arg, const struct cbd_check_finding *finding), void *arg,
                  struct cbd_check_summary *out) CBD_MUST_CHECK;

#endif
