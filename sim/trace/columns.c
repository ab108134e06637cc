/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text formats with one request a line and the same columns in each, one table row a format:
 *
 *   msr       timestamp (100 ns), host, disk number, Read|Write, offset, size, response
 *   spc       ASU, LBA (512 bytes), size, r|w, timestamp (s) [, more]
 *   systor    header; timestamp (s), response (s), R|W, LUN, offset, size
 *   alibaba   device, R|W, offset, length, timestamp (us)
 *   tencent   timestamp (s), offset and size (512 bytes), 0 read | 1 write, volume
 *   libcachesim  header; version, time (s), SCSI opcode, size, LBN (512 bytes)
 *   mqsim     time (ns), device, LBA and size (512 bytes), 0 write | 1 read; also of DiskSim
 *
 * Sizes are bytes unless said otherwise. Time counts from the first row; the rows of most are not
 * strictly in order, and one that is older than the first has time 0. None of them records flushes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "trace/reader.h"

#define FIELDS_MAX 8u
#define WORDS_MAX 4u
#define HOST_BYTES_MAX 255u
#define VOLUME_BYTES_MAX (HOST_BYTES_MAX + sizeof("_18446744073709551615"))

enum separator { COMMA, BLANK };

enum time_unit {
    TIME_TICKS, /* 100 ns */
    TIME_NS,
    TIME_US,
    TIME_SECONDS, /* with or without a fraction */
};

struct word {
    const char *text; /* in either case */
    enum sim_request_op op;
};

/* Columns count from 1; 0: there is none. */
struct columns {
    const char *header; /* the first line, or NULL */
    const char *list;   /* of the columns, for messages */
    const char *expected_type;
    enum separator separator;
    unsigned count;
    bool more; /* further columns are not looked at */
    unsigned time, type, off, size, host, disk, response;
    enum time_unit unit;
    unsigned off_unit_bytes, size_unit_bytes;
    struct word words[WORDS_MAX];
};

struct columns_state {
    bool started;
    uint64_t first_ns;
};

static unsigned split(const struct columns *c, const char *record, size_t len_bytes,
                      struct sim_field *fields)
{
    return c->separator == COMMA ? sim_fields_split_comma(record, len_bytes, fields, FIELDS_MAX)
                                 : sim_fields_split_blank(record, len_bytes, fields, FIELDS_MAX);
}

static const struct word *find_word(const struct columns *c, const struct sim_field *field)
{
    for (unsigned i = 0; i < WORDS_MAX && c->words[i].text != NULL; i++) {
        if (sim_field_is_any_case(field, c->words[i].text)) {
            return &c->words[i];
        }
    }
    return NULL;
}

static bool count_fits(const struct columns *c, unsigned count)
{
    return count == c->count || (c->more && count > c->count);
}

static int parse_time(struct sim_parse *p, const struct columns *c, const struct sim_field *fields,
                      uint64_t *ns)
{
    const struct sim_field *field = &fields[c->time - 1];
    uint64_t unit_ns = c->unit == TIME_TICKS ? 100 : c->unit == TIME_US ? 1000 : 1;
    int rc;

    if (c->unit == TIME_SECONDS) {
        if (!sim_field_seconds(field, ns)) {
            return sim_parse_bad(p, c->time, "timestamp", field,
                                 "seconds, with or without a fraction, below 18446744073");
        }
        return 0;
    }
    rc = sim_parse_u64(p, c->time, "timestamp", field, ns);
    /* Above half a millennium only a difference counts, and it is far below. */
    *ns = rc == 0 ? *ns * unit_ns : 0;
    return rc;
}

static int parse_scaled(struct sim_parse *p, unsigned column, const char *what,
                        const struct sim_field *field, unsigned unit_bytes, uint64_t *bytes)
{
    int rc = sim_parse_u64(p, column, what, field, bytes);

    if (rc == 0 && *bytes > UINT64_MAX / unit_bytes) {
        return sim_parse_bad(p, column, what, field, "fewer than 2^55 blocks of 512 bytes");
    }
    *bytes *= unit_bytes;
    return rc;
}

static int parse_place(struct sim_parse *p, const struct columns *c, const struct sim_field *fields,
                       struct sim_request *req)
{
    const struct sim_field *size = &fields[c->size - 1];
    int rc =
        parse_scaled(p, c->off, "offset", &fields[c->off - 1], c->off_unit_bytes, &req->off_bytes);

    if (rc == 0) {
        rc = parse_scaled(p, c->size, "length", size, c->size_unit_bytes, &req->len_bytes);
    }
    if (rc != 0) {
        return rc;
    }
    if (req->len_bytes == 0) {
        return sim_parse_bad(p, c->size, "length", size, "at least 1 byte");
    }
    if (req->len_bytes > UINT64_MAX - req->off_bytes) {
        return sim_parse_bad(p, c->size, "length", size,
                             "offset + length below 18446744073709551616");
    }
    return 0;
}

/* HOST, DISK, or HOST_DISK; "0" where the format knows one volume only. */
static int parse_volume(struct sim_parse *p, const struct columns *c,
                        const struct sim_field *fields, uint32_t *volume)
{
    static const struct sim_field no_host = {"", 0};
    const struct sim_field *host = c->host != 0 ? &fields[c->host - 1] : &no_host;
    char text[VOLUME_BYTES_MAX];
    struct sim_field name = {text, 0};
    uint64_t disk = 0;
    int rc = c->disk != 0 ? sim_parse_u64(p, c->disk, "disk", &fields[c->disk - 1], &disk) : 0;

    if (rc != 0) {
        return rc;
    }
    if (c->host != 0 && (!sim_field_is_name(host) || host->len_bytes > HOST_BYTES_MAX)) {
        return sim_parse_bad(p, c->host, "host", host,
                             "a name of 1 to 255 bytes without blanks or control characters");
    }
    snprintf(text, sizeof(text), "%.*s%s%" PRIu64, (int)host->len_bytes, host->text,
             c->host != 0 ? "_" : "", disk);
    name.len_bytes = strlen(text);
    return sim_parse_volume(p, c->host != 0 ? c->host : c->disk, &name, volume);
}

static int parse_row(struct sim_parse *p, const struct columns *c, const struct sim_field *fields)
{
    struct columns_state *state = p->state;
    struct sim_request *req = &p->requests[0];
    const struct word *word;
    uint64_t ns = 0, ignored;
    int rc = parse_time(p, c, fields, &ns);

    if (rc != 0) {
        return rc;
    }
    word = find_word(c, &fields[c->type - 1]);
    if (word == NULL) {
        return sim_parse_bad(p, c->type, "type", &fields[c->type - 1], c->expected_type);
    }
    req->op = word->op;
    rc = parse_place(p, c, fields, req);
    if (rc == 0 && c->response != 0) {
        rc = c->unit == TIME_SECONDS
                 ? (sim_field_seconds(&fields[c->response - 1], &ignored)
                        ? 0
                        : sim_parse_bad(p, c->response, "response", &fields[c->response - 1],
                                        "seconds, with or without a fraction"))
                 : sim_parse_u64(p, c->response, "response", &fields[c->response - 1], &ignored);
    }
    if (rc == 0) {
        rc = parse_volume(p, c, fields, &req->volume);
    }
    if (rc != 0) {
        return rc;
    }
    if (!state->started) {
        state->started = true;
        state->first_ns = ns;
    }
    req->time_us = ns > state->first_ns ? (ns - state->first_ns) / 1000 : 0;
    return 1;
}

static int parse_columns(struct sim_parse *p, const char *record, size_t len_bytes)
{
    const struct columns *c = p->columns;
    struct sim_field fields[FIELDS_MAX];
    unsigned count = split(c, record, len_bytes, fields);

    if (len_bytes == 0) {
        return 0;
    }
    if (p->record == 1 && c->header != NULL) {
        struct sim_field line = {record, len_bytes};

        return sim_field_is_any_case(&line, c->header)
                   ? 0
                   : sim_parse_bad(p, 0, "got", &line, c->header);
    }
    if (!count_fits(c, count)) {
        return sim_parse_bad_count(p, count, c->list);
    }
    return parse_row(p, c, fields);
}

/* The header, or a first row whose type and numbers are what they should be. */
static bool probe(const struct columns *c, const char *bytes, size_t len_bytes)
{
    struct sim_field line = sim_probe_line(bytes, len_bytes);
    struct sim_field fields[FIELDS_MAX];
    uint64_t ignored;

    if (c->header != NULL) {
        return sim_field_is_any_case(&line, c->header);
    }
    return count_fits(c, split(c, line.text, line.len_bytes, fields)) &&
           find_word(c, &fields[c->type - 1]) != NULL &&
           sim_field_u64(&fields[c->off - 1], &ignored) &&
           (c->disk == 0 || sim_field_u64(&fields[c->disk - 1], &ignored)) &&
           (c->unit == TIME_SECONDS ? sim_field_seconds(&fields[c->time - 1], &ignored)
                                    : sim_field_u64(&fields[c->time - 1], &ignored));
}

/* One reader: its columns, a probe that knows them, and what all of them share. */
#define FORMAT(id, title_, ...)                                                                    \
    static const struct columns id##_columns = {__VA_ARGS__};                                      \
    static bool probe_##id(const char *bytes, size_t len_bytes)                                    \
    {                                                                                              \
        return probe(&id##_columns, bytes, len_bytes);                                             \
    }                                                                                              \
    const struct sim_reader sim_reader_##id = {                                                    \
        .name = #id,                                                                               \
        .title = title_,                                                                           \
        .state_bytes = sizeof(struct columns_state),                                               \
        .columns = &id##_columns,                                                                  \
        .probe = probe_##id,                                                                       \
        .frame = sim_stream_line,                                                                  \
        .parse = parse_columns,                                                                    \
    }

#define LETTERS                                                                                    \
    .expected_type = "R or W", .words = {{"R", SIM_REQUEST_READ}, {"W", SIM_REQUEST_WRITE}}

FORMAT(msr, "MSR Cambridge CSV", .separator = COMMA, .count = 7,
       .list = "7: timestamp, host, disk, type, offset, size, response",
       .expected_type = "Read or Write", .time = 1, .host = 2, .disk = 3, .type = 4, .off = 5,
       .size = 6, .response = 7, .unit = TIME_TICKS, .off_unit_bytes = 1, .size_unit_bytes = 1,
       .words = {{"Read", SIM_REQUEST_READ}, {"Write", SIM_REQUEST_WRITE}});

FORMAT(spc, "SPC trace", .separator = COMMA, .count = 5, .more = true,
       .list = "5 or more: ASU, LBA, size, opcode, timestamp", .disk = 1, .off = 2, .size = 3,
       .type = 4, .time = 5, .unit = TIME_SECONDS, .off_unit_bytes = 512, .size_unit_bytes = 1,
       LETTERS);

FORMAT(systor, "SYSTOR '17 CSV", .separator = COMMA, .count = 6,
       .header = "Timestamp,Response,IOType,LUN,Offset,Size",
       .list = "6: timestamp, response, type, LUN, offset, size", .time = 1, .response = 2,
       .type = 3, .disk = 4, .off = 5, .size = 6, .unit = TIME_SECONDS, .off_unit_bytes = 1,
       .size_unit_bytes = 1, LETTERS);

FORMAT(alibaba, "Alibaba block trace CSV", .separator = COMMA, .count = 5,
       .list = "5: device, type, offset, length, timestamp", .disk = 1, .type = 2, .off = 3,
       .size = 4, .time = 5, .unit = TIME_US, .off_unit_bytes = 1, .size_unit_bytes = 1, LETTERS);

FORMAT(tencent, "Tencent CBS CSV", .separator = COMMA, .count = 5,
       .list = "5: timestamp, offset, size, type, volume", .expected_type = "0 (read) or 1 (write)",
       .time = 1, .off = 2, .size = 3, .type = 4, .disk = 5, .unit = TIME_SECONDS,
       .off_unit_bytes = 512, .size_unit_bytes = 512,
       .words = {{"0", SIM_REQUEST_READ}, {"1", SIM_REQUEST_WRITE}});

FORMAT(libcachesim, "libCacheSim CSV", .separator = COMMA, .count = 5,
       .header = "version,time,op,size,lbn", .list = "5: version, time, opcode, size, LBN",
       .expected_type = "28 or 88 (READ), 2a or 8a (WRITE), hexadecimal", .time = 2, .type = 3,
       .size = 4, .off = 5, .unit = TIME_SECONDS, .off_unit_bytes = 512, .size_unit_bytes = 1,
       .words = {{"28", SIM_REQUEST_READ},
                 {"2a", SIM_REQUEST_WRITE},
                 {"88", SIM_REQUEST_READ},
                 {"8a", SIM_REQUEST_WRITE}});

FORMAT(mqsim, "MQSim or DiskSim ASCII trace", .separator = BLANK, .count = 5,
       .list = "5: time, device, LBA, size, type", .expected_type = "0 (write) or 1 (read)",
       .time = 1, .disk = 2, .off = 3, .size = 4, .type = 5, .unit = TIME_NS, .off_unit_bytes = 512,
       .size_unit_bytes = 512, .words = {{"0", SIM_REQUEST_WRITE}, {"1", SIM_REQUEST_READ}});
