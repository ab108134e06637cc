/* SPDX-License-Identifier: BSD-2-Clause */
/* A trace from its file to requests: picks the reader, keeps the statistics, words the errors. */
#include "trace/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/reader.h"

#define PATH_SHOWN_BYTES_MAX 80 /* of a long path the end is shown: that is where files differ */

static const struct sim_reader *const readers[SIM_TRACE_FORMAT_COUNT] = {
    [SIM_TRACE_FIO2] = &sim_reader_fio2,
    [SIM_TRACE_FIO3] = &sim_reader_fio3,
    [SIM_TRACE_BLKTRACE] = &sim_reader_blktrace,
    [SIM_TRACE_BLKTRACE_D] = &sim_reader_blktrace_d,
    [SIM_TRACE_BLKPARSE] = &sim_reader_blkparse,
    [SIM_TRACE_BLKPARSE_D] = &sim_reader_blkparse_d,
    [SIM_TRACE_MSR] = &sim_reader_msr,
    [SIM_TRACE_SYSTOR] = &sim_reader_systor,
    [SIM_TRACE_LIBCACHESIM] = &sim_reader_libcachesim,
    [SIM_TRACE_SPC] = &sim_reader_spc,
    [SIM_TRACE_ALIBABA] = &sim_reader_alibaba,
    [SIM_TRACE_TENCENT] = &sim_reader_tencent,
    [SIM_TRACE_MQSIM] = &sim_reader_mqsim,
};

struct sim_trace {
    struct sim_stream *stream;
    const struct sim_reader *reader;
    enum sim_trace_format format;
    bool lenient;
    char *name;

    struct sim_volumes volumes;
    struct sim_parse parse;
    unsigned pending_next; /* requests of the last record that were not given out yet */
    unsigned pending_count;
    uint64_t blank; /* part of stats.lines_skipped */
    struct sim_trace_stats stats;

    int failed; /* repeated, with failure, by every later call */
    struct sim_trace_error failure;
};

const char *sim_trace_format_name(enum sim_trace_format format)
{
    if (format == SIM_TRACE_AUTO) {
        return "auto";
    }
    return (unsigned)format < SIM_TRACE_FORMAT_COUNT ? readers[format]->name : NULL;
}

int sim_trace_format_parse(const char *name, enum sim_trace_format *format)
{
    for (unsigned i = 0; i < SIM_TRACE_FORMAT_COUNT; i++) {
        if (strcmp(name, sim_trace_format_name((enum sim_trace_format)i)) == 0) {
            *format = (enum sim_trace_format)i;
            return 0;
        }
    }
    return CBD_E_INVALID;
}

/* Keeps the error in the trace: "NAME:LINE: text", "NAME: text" for line 0. Returns it. */
__attribute__((format(printf, 5, 6))) static int fail(struct sim_trace *t, int error, uint64_t line,
                                                      unsigned field, const char *format, ...)
{
    struct sim_trace_error *to = &t->failure;
    size_t len = strlen(t->name);
    bool cut = len > PATH_SHOWN_BYTES_MAX;
    const char *shown = cut ? t->name + len - PATH_SHOWN_BYTES_MAX : t->name;
    va_list args;
    int at;

    if (line == 0) {
        at = snprintf(to->text, sizeof(to->text), "%s%s: ", cut ? "..." : "", shown);
    } else {
        at = snprintf(to->text, sizeof(to->text), "%s%s:%" PRIu64 ": ", cut ? "..." : "", shown,
                      line);
    }
    va_start(args, format);
    vsnprintf(to->text + at, sizeof(to->text) - (size_t)at, format, args);
    va_end(args);
    to->line = line;
    to->field = field;
    t->failed = error;
    return error;
}

static int fail_stream(struct sim_trace *t, int error, uint64_t line)
{
    return fail(t, error, line, 0, "%s", sim_stream_why(t->stream));
}

static int recognise(struct sim_trace *t)
{
    struct sim_field line;
    const char *bytes;
    char quoted[64];
    size_t len;
    int rc = sim_stream_peek(t->stream, SIM_PROBE_BYTES, &bytes, &len);

    if (rc != 0) {
        return fail_stream(t, rc, 0);
    }
    if (len == 0) {
        return fail(t, CBD_E_INVALID, 0, 0, "is empty");
    }
    if (t->format != SIM_TRACE_AUTO) {
        return 0;
    }
    for (unsigned i = SIM_TRACE_AUTO + 1; i < SIM_TRACE_FORMAT_COUNT; i++) {
        if (readers[i]->probe(bytes, len)) {
            t->format = (enum sim_trace_format)i;
            return 0;
        }
    }
    line = sim_probe_line(bytes, len);
    sim_field_quote(&line, quoted, sizeof(quoted));
    return fail(t, CBD_E_INVALID, 1, 0,
                "no known trace format begins like this: %s (what is it? --format)", quoted);
}

static int prepare(struct sim_trace *t, const struct sim_trace_options *options, int opened)
{
    int rc;

    if (t->stream == NULL) {
        return fail(t, CBD_E_NOMEM, 0, 0, "no memory to open it");
    }
    if (opened != 0) {
        return fail_stream(t, opened, 0);
    }
    if ((unsigned)options->format >= SIM_TRACE_FORMAT_COUNT) {
        return fail(t, CBD_E_INVALID, 0, 0, "format %u was asked for, expected 0 to %u",
                    (unsigned)options->format, SIM_TRACE_FORMAT_COUNT - 1);
    }
    t->format = options->format;
    t->lenient = options->lenient;
    rc = recognise(t);
    if (rc != 0) {
        return rc;
    }
    t->reader = readers[t->format];
    t->parse.volumes = &t->volumes;
    t->parse.columns = t->reader->columns;
    if (t->reader->state_bytes > 0) {
        t->parse.state = calloc(1, t->reader->state_bytes);
        if (t->parse.state == NULL) {
            return fail(t, CBD_E_NOMEM, 0, 0, "no memory to open it");
        }
    }
    return 0;
}

static void set_error(struct sim_trace_error *error, const struct sim_trace_error *from)
{
    if (error != NULL) {
        *error = *from;
    }
}

static int open_any(const char *path, const void *bytes, size_t len_bytes, const char *name,
                    const struct sim_trace_options *options, struct sim_trace **trace,
                    struct sim_trace_error *error)
{
    static const struct sim_trace_options defaults = {.format = SIM_TRACE_AUTO};
    static const struct sim_trace_error none = {0};
    static const struct sim_trace_error nomem = {.text = "no memory to open a trace"};
    struct sim_trace *t = calloc(1, sizeof(*t));
    int rc;

    *trace = NULL;
    set_error(error, &none);
    options = options != NULL ? options : &defaults;
    if (t != NULL) {
        t->name = malloc(strlen(name) + 1);
    }
    if (t == NULL || t->name == NULL) {
        set_error(error, &nomem);
        free(t);
        return CBD_E_NOMEM;
    }
    memcpy(t->name, name, strlen(name) + 1);
    if (path != NULL) {
        rc = sim_stream_open(path, options->text_bytes_max, &t->stream);
    } else {
        rc = sim_stream_open_memory(bytes, len_bytes, options->text_bytes_max, &t->stream);
    }
    rc = prepare(t, options, rc);
    if (rc != 0) {
        set_error(error, &t->failure);
        sim_trace_close(t);
        return rc;
    }
    *trace = t;
    return 0;
}

int sim_trace_open(const char *path, const struct sim_trace_options *options,
                   struct sim_trace **trace, struct sim_trace_error *error)
{
    return open_any(path, NULL, 0, path, options, trace, error);
}

int sim_trace_open_memory(const void *bytes, size_t len_bytes, const char *name,
                          const struct sim_trace_options *options, struct sim_trace **trace,
                          struct sim_trace_error *error)
{
    return open_any(NULL, bytes, len_bytes, name, options, trace, error);
}

/* 0 when the trace goes on behind the bad line. */
static int bad_line(struct sim_trace *t)
{
    struct sim_trace_stats *stats = &t->stats;

    stats->lines_bad++;
    if (stats->bad_kept < SIM_TRACE_BAD_KEPT) {
        struct sim_trace_bad *bad = &stats->bad[stats->bad_kept++];

        bad->line = stats->lines;
        bad->field = t->parse.bad_field;
        snprintf(bad->text, sizeof(bad->text), "%s", t->parse.bad_text);
    }
    if (t->lenient) {
        return 0;
    }
    return fail(t, CBD_E_INVALID, stats->lines, t->parse.bad_field, "%s", t->parse.bad_text);
}

static bool is_blank(const char *record, size_t len)
{
    while (len > 0 && (record[len - 1] == ' ' || record[len - 1] == '\t')) {
        len--;
    }
    return len == 0;
}

/* One record: fills the pending requests, or counts why there are none. */
static int take_record(struct sim_trace *t, const char *record, size_t len)
{
    int rc;

    t->stats.lines++;
    if (is_blank(record, len)) {
        t->stats.lines_skipped++;
        t->blank++;
        return 0;
    }
    t->parse.record = t->stats.lines;
    memset(t->parse.requests, 0, sizeof(t->parse.requests));
    rc = t->reader->parse(&t->parse, record, len);
    if (rc == CBD_E_INVALID) {
        return bad_line(t);
    }
    if (rc < 0) {
        return fail(t, rc, t->stats.lines, 0, "no memory to go on");
    }
    if (rc == 0) {
        t->stats.lines_skipped++;
    }
    t->pending_next = 0;
    t->pending_count = (unsigned)rc;
    return 0;
}

/* 0, unless nothing in the whole file was of use: then it is hardly what it was taken for. */
static int at_end(struct sim_trace *t)
{
    const struct sim_trace_stats *stats = &t->stats;

    if (stats->requests == 0 && stats->lines_bad > 0) {
        return fail(t, CBD_E_INVALID, stats->bad[0].line, stats->bad[0].field,
                    "no request in %" PRIu64 " lines read as %s; the first bad one: %s",
                    stats->lines, t->reader->title, stats->bad[0].text);
    }
    if (t->blank == stats->lines) {
        return fail(t, CBD_E_INVALID, 0, 0, "holds nothing but blank lines");
    }
    return 0;
}

static int next(struct sim_trace *t, struct sim_request *request)
{
    while (t->failed == 0) {
        const char *record;
        size_t len;
        int rc;

        if (t->pending_next < t->pending_count) {
            *request = t->parse.requests[t->pending_next++];
            request->line = t->stats.lines;
            t->stats.requests++;
            return 1;
        }
        rc = t->reader->frame(t->stream, &record, &len);
        if (rc < 0) {
            return fail_stream(t, rc, t->stats.lines + 1);
        }
        if (rc == 0) {
            return at_end(t);
        }
        rc = take_record(t, record, len);
        if (rc != 0) {
            return rc;
        }
    }
    return t->failed;
}

int sim_trace_next(struct sim_trace *trace, struct sim_request *request,
                   struct sim_trace_error *error)
{
    int rc = next(trace, request);

    set_error(error, &trace->failure);
    return rc;
}

uint32_t sim_trace_volume_count(const struct sim_trace *trace)
{
    return trace->volumes.count;
}

const char *sim_trace_volume_name(const struct sim_trace *trace, uint32_t volume)
{
    return volume < trace->volumes.count ? trace->volumes.list[volume].name : NULL;
}

const struct sim_trace_stats *sim_trace_stats(const struct sim_trace *trace)
{
    return &trace->stats;
}

enum sim_trace_format sim_trace_format(const struct sim_trace *trace)
{
    return trace->format;
}

void sim_trace_close(struct sim_trace *trace)
{
    if (trace == NULL) {
        return;
    }
    sim_stream_close(trace->stream);
    sim_volumes_free(&trace->volumes);
    free(trace->parse.state);
    free(trace->name);
    free(trace);
}
