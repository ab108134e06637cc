/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One trace format: how it is told, how it is cut into records, what a record says. A new format
 * is one file that defines a struct sim_reader, one value of enum sim_trace_format, and one row in
 * the table in trace.c. Readers keep no state but the one declared here.
 */
#ifndef SIM_TRACE_READER_H
#define SIM_TRACE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/fields.h"
#include "trace/stream.h"
#include "trace/trace.h"
#include "trace/volumes.h"

#define SIM_PROBE_BYTES 4096u
#define SIM_PARSE_REQUESTS_MAX 2u /* one record may be a FLUSH and a WRITE */

/* What parse() works on. Positions in the file are filled in by the caller. */
struct sim_parse {
    uint64_t record;     /* number of this record, from 1 */
    void *state;         /* state_bytes, zeroed when the trace was opened */
    const void *columns; /* as in the reader */
    struct sim_volumes *volumes;
    struct sim_request requests[SIM_PARSE_REQUESTS_MAX]; /* all zeroes at each call */
    unsigned bad_field;
    char bad_text[160];
};

struct sim_reader {
    const char *name;  /* as sim_trace_format_name() */
    const char *title; /* for messages */
    size_t state_bytes;
    const void *columns; /* what parse() wants to know of its format; may be NULL */

    /* The file may be of this format. bytes: its beginning, at most SIM_PROBE_BYTES. */
    bool (*probe)(const char *bytes, size_t len_bytes);

    /* The next record; contract of sim_stream_line(), which is what text formats put here. */
    int (*frame)(struct sim_stream *stream, const char **record, size_t *len_bytes);

    /*
     * The number of requests in the record, 0 for one that is valid but holds none;
     * CBD_E_INVALID for a bad record, by sim_parse_bad(); CBD_E_NOMEM. A bad record changes
     * neither the state nor the volumes.
     */
    int (*parse)(struct sim_parse *parse, const char *record, size_t len_bytes);
};

extern const struct sim_reader sim_reader_fio2;
extern const struct sim_reader sim_reader_fio3;
extern const struct sim_reader sim_reader_blktrace;
extern const struct sim_reader sim_reader_blktrace_d;
extern const struct sim_reader sim_reader_blkparse;
extern const struct sim_reader sim_reader_blkparse_d;
extern const struct sim_reader sim_reader_msr;
extern const struct sim_reader sim_reader_spc;
extern const struct sim_reader sim_reader_systor;
extern const struct sim_reader sim_reader_alibaba;
extern const struct sim_reader sim_reader_tencent;
extern const struct sim_reader sim_reader_libcachesim;
extern const struct sim_reader sim_reader_mqsim;

/*
 * Helpers for parse(). The bad ones describe the problem and return CBD_E_INVALID. Field numbers
 * count from 1; 0 and got NULL speak about the whole record.
 */
int sim_parse_bad(struct sim_parse *parse, unsigned field, const char *what,
                  const struct sim_field *got, const char *expected);

int sim_parse_bad_count(struct sim_parse *parse, unsigned got, const char *expected);

CBD_MUST_CHECK int sim_parse_u64(struct sim_parse *parse, unsigned field, const char *what,
                                 const struct sim_field *got, uint64_t *value);

/* off, then len in the next field: two numbers, len not 0, their sum below 2^64. */
CBD_MUST_CHECK int sim_parse_range(struct sim_parse *parse, unsigned field,
                                   const struct sim_field *off_and_len, uint64_t *off_bytes,
                                   uint64_t *len_bytes);

/* Looks the volume up; without room for a new one the record is bad. Call it last. */
CBD_MUST_CHECK int sim_parse_volume(struct sim_parse *parse, unsigned field,
                                    const struct sim_field *name, uint32_t *volume);

/* The first line of a probe, without its line end. */
struct sim_field sim_probe_line(const char *bytes, size_t len_bytes);

#endif
