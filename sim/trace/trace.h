/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block I/O traces as a stream of requests. The file may be plain, gzip, bzip2 or zstd (told by its
 * first bytes, not by its name) and is read once, front to back, with bounded memory.
 *
 * Errors: 0 or more is success; CBD_E_INVALID is about what the file holds, CBD_E_SYSTEM about the
 * operating system, CBD_E_NOMEM about memory. Nothing is ever printed: the text is in the
 * sim_trace_error that the caller passes (NULL is allowed everywhere).
 * Ownership: strings that a call returns belong to the trace and live until sim_trace_close().
 * Threads: one trace is used by one thread at a time; different traces are independent.
 */
#ifndef SIM_TRACE_TRACE_H
#define SIM_TRACE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbd/errors.h"

#define SIM_TRACE_LINE_BYTES_MAX 65536u     /* a longer line ends the trace with an error */
#define SIM_TRACE_VOLUMES_MAX 65536u        /* a line that names one more is a bad line */
#define SIM_TRACE_NAMES_BYTES_MAX 16777216u /* all volume names together; then as above */
#define SIM_TRACE_BAD_KEPT 8u               /* bad lines remembered; the others are only counted */

enum sim_trace_format {
    SIM_TRACE_AUTO,       /* told by the first bytes of the text */
    SIM_TRACE_FIO2,       /* fio iolog version 2; `wait` is relative microseconds */
    SIM_TRACE_FIO3,       /* fio iolog version 3 */
    SIM_TRACE_BLKTRACE,   /* binary, of one CPU; requests as they were queued */
    SIM_TRACE_BLKTRACE_D, /* ... as they were issued to the driver */
    SIM_TRACE_BLKPARSE,   /* its text */
    SIM_TRACE_BLKPARSE_D,
    SIM_TRACE_MSR, /* MSR Cambridge CSV */
    SIM_TRACE_SYSTOR,
    SIM_TRACE_LIBCACHESIM,
    SIM_TRACE_SPC, /* UMass */
    SIM_TRACE_ALIBABA,
    SIM_TRACE_TENCENT,
    SIM_TRACE_MQSIM, /* also DiskSim */
    SIM_TRACE_FORMAT_COUNT,
};

enum sim_request_op {
    SIM_REQUEST_READ,
    SIM_REQUEST_WRITE,
    SIM_REQUEST_TRIM,
    SIM_REQUEST_FLUSH, /* everything completed before is durable; off and len are 0 */
    SIM_REQUEST_OP_COUNT,
};

/*
 * One request, in bytes exactly as recorded: neither aligned nor inside any device. The reader
 * guarantees that off + len does not overflow, and len > 0 for everything but FLUSH.
 *
 * fio iologs have no FUA. A log converted from block level says `sync` before a write that had
 * PREFLUSH and `datasync` after a write that had FUA; both are given as FLUSH, which is at least
 * as strong as what the application asked for.
 */
struct sim_request {
    enum sim_request_op op;
    bool fua;        /* WRITE: durable when acknowledged; set only by formats that record it */
    bool zero;       /* TRIM: zeroes are written; never set by a trace */
    uint32_t client; /* 1 and up: of the simulator's clients; 0: whoever is free, as of a trace */
    uint32_t volume; /* file or disk: dense from 0, in order of first appearance */
    uint64_t off_bytes;
    uint64_t len_bytes;
    uint64_t time_us; /* since the start of the trace; may go backwards from line to line */
    uint64_t line;    /* where it stands in the (decompressed) file, from 1 */
};

struct sim_trace_error {
    uint64_t line;  /* 0: the file as a whole */
    unsigned field; /* from 1; 0: the line as a whole */
    char text[256]; /* a full sentence with file, line and field; "" when there was no error */
};

struct sim_trace_options {
    enum sim_trace_format format;
    /*
     * false: the first bad line ends the trace with CBD_E_INVALID. true: bad lines are counted and
     * the first few remembered (sim_trace_stats), and the trace goes on behind them. Damage that
     * is not about one line (truncated file, line too long) ends the trace in both modes.
     */
    bool lenient;
    uint64_t text_bytes_max; /* more decompressed bytes than this is an error; 0: no limit */
};

struct sim_trace_bad {
    uint64_t line;
    unsigned field;
    char text[160]; /* what was got and what was expected */
};

/* What was read so far. lines = lines that gave requests + lines_skipped + lines_bad. */
struct sim_trace_stats {
    uint64_t lines;
    uint64_t requests;
    uint64_t lines_skipped; /* valid, but no request: header, blank, add, open, close, wait */
    uint64_t lines_bad;
    uint32_t bad_kept;
    struct sim_trace_bad bad[SIM_TRACE_BAD_KEPT];
};

struct sim_trace;

/*
 * options NULL: SIM_TRACE_AUTO, strict, no limit. 0 and *trace, or an error and *trace is NULL.
 * An empty file, a directory and a file that no format recognises are CBD_E_INVALID here.
 */
CBD_MUST_CHECK int sim_trace_open(const char *path, const struct sim_trace_options *options,
                                  struct sim_trace **trace, struct sim_trace_error *error);

/* The same over bytes that stay the caller's until close; name stands in for the path in errors. */
CBD_MUST_CHECK int sim_trace_open_memory(const void *bytes, size_t len_bytes, const char *name,
                                         const struct sim_trace_options *options,
                                         struct sim_trace **trace, struct sim_trace_error *error);

/*
 * 1: *request is the next one. 0: the end. Else an error, which every later call repeats.
 * A lenient trace that gave bad lines and not one request ends with CBD_E_INVALID, not with 0.
 */
CBD_MUST_CHECK int sim_trace_next(struct sim_trace *trace, struct sim_request *request,
                                  struct sim_trace_error *error);

/* Volumes seen so far. A name is NULL for an index that is not below the count. */
uint32_t sim_trace_volume_count(const struct sim_trace *trace);
const char *sim_trace_volume_name(const struct sim_trace *trace, uint32_t volume);

const struct sim_trace_stats *sim_trace_stats(const struct sim_trace *trace);
enum sim_trace_format sim_trace_format(const struct sim_trace *trace); /* never AUTO */

void sim_trace_close(struct sim_trace *trace); /* NULL is allowed */

/* "auto", "fio2", "blkparse-d", ...; NULL for a value outside the enum. */
const char *sim_trace_format_name(enum sim_trace_format format);
/* 0, or CBD_E_INVALID for a name that is none of the above. */
CBD_MUST_CHECK int sim_trace_format_parse(const char *name, enum sim_trace_format *format);

struct sim_trace_volume_totals {
    char *name;
    uint64_t requests;
    uint64_t end_bytes; /* highest off + len of any READ, WRITE or TRIM */
};

/* Sums stop at UINT64_MAX instead of wrapping. */
struct sim_trace_totals {
    enum sim_trace_format format;
    uint64_t requests[SIM_REQUEST_OP_COUNT];
    uint64_t bytes[SIM_REQUEST_OP_COUNT];
    uint64_t time_us_max;
    uint64_t align_bytes; /* largest power of two that divides every off and len; 0: no data */
    uint32_t volume_count;
    struct sim_trace_volume_totals *volumes;
    struct sim_trace_stats stats;
};

/* One full pass. 0 and totals for the caller to free, or an error and totals is all zeroes. */
CBD_MUST_CHECK int sim_trace_scan(const char *path, const struct sim_trace_options *options,
                                  struct sim_trace_totals *totals, struct sim_trace_error *error);

/*
 * One full pass: the different 4 KiB blocks that are read or written, in bytes. Counting stops at
 * 64 GiB, and at a request above 4 GiB: then it is at least so much. Memory: up to 256 MiB.
 */
CBD_MUST_CHECK int sim_trace_footprint(const char *path, const struct sim_trace_options *options,
                                       uint64_t *footprint_bytes, struct sim_trace_error *error);

void sim_trace_totals_free(struct sim_trace_totals *totals);

#endif
