/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSR Cambridge CSV, no header line:
 *
 *   timestamp (100 ns since 1601), host, disk number, Read|Write, offset, size, response (100 ns)
 *
 * A volume is a host and a disk, named HOST_DISK. Time counts from the first row; the rows are not
 * strictly in order, and one that is older than the first has time 0. The response time is checked
 * to be a number and not used.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "trace/reader.h"

#define FIELDS 7u
#define HOST_BYTES_MAX 255u
#define TICKS_PER_US 10u

enum { TIME, HOST, DISK, TYPE, OFFSET, SIZE, RESPONSE };

struct msr_state {
    bool started;
    uint64_t first_ticks;
};

static int parse_type(struct sim_parse *p, const struct sim_field *type, enum sim_request_op *op)
{
    if (sim_field_is_any_case(type, "read")) {
        *op = SIM_REQUEST_READ;
    } else if (sim_field_is_any_case(type, "write")) {
        *op = SIM_REQUEST_WRITE;
    } else {
        return sim_parse_bad(p, TYPE + 1, "type", type, "Read or Write");
    }
    return 0;
}

static int parse_disk(struct sim_parse *p, const struct sim_field *fields, uint32_t *volume)
{
    const struct sim_field *host = &fields[HOST];
    char text[HOST_BYTES_MAX + sizeof("_18446744073709551615")];
    struct sim_field name = {text, 0};
    uint64_t disk;
    int rc = sim_parse_u64(p, DISK + 1, "disk", &fields[DISK], &disk);

    if (rc != 0) {
        return rc;
    }
    if (!sim_field_is_name(host) || host->len_bytes > HOST_BYTES_MAX) {
        return sim_parse_bad(p, HOST + 1, "host", host,
                             "a name of 1 to 255 bytes without blanks or control characters");
    }
    memcpy(text, host->text, host->len_bytes);
    snprintf(text + host->len_bytes, sizeof(text) - host->len_bytes, "_%" PRIu64, disk);
    name.len_bytes = strlen(text);
    return sim_parse_volume(p, HOST + 1, &name, volume);
}

static int parse_msr(struct sim_parse *p, const char *record, size_t len_bytes)
{
    struct msr_state *state = p->state;
    struct sim_request *req = &p->requests[0];
    struct sim_field fields[FIELDS];
    unsigned count = sim_fields_split_comma(record, len_bytes, fields, FIELDS);
    uint64_t ticks;
    uint64_t ignored;
    int rc;

    if (len_bytes == 0) {
        return 0;
    }
    if (count != FIELDS) {
        return sim_parse_bad_count(p, count,
                                   "7: timestamp, host, disk, type, offset, size, response");
    }
    rc = sim_parse_u64(p, TIME + 1, "timestamp", &fields[TIME], &ticks);
    if (rc == 0) {
        rc = parse_type(p, &fields[TYPE], &req->op);
    }
    if (rc == 0) {
        rc = sim_parse_range(p, OFFSET + 1, &fields[OFFSET], &req->off_bytes, &req->len_bytes);
    }
    if (rc == 0) {
        rc = sim_parse_u64(p, RESPONSE + 1, "response", &fields[RESPONSE], &ignored);
    }
    if (rc == 0) {
        rc = parse_disk(p, fields, &req->volume);
    }
    if (rc != 0) {
        return rc;
    }
    if (!state->started) {
        state->started = true;
        state->first_ticks = ticks;
    }
    if (ticks > state->first_ticks) {
        req->time_us = (ticks - state->first_ticks) / TICKS_PER_US;
    }
    return 1;
}

static bool probe_msr(const char *bytes, size_t len_bytes)
{
    struct sim_field line = sim_probe_line(bytes, len_bytes);
    struct sim_field fields[FIELDS];
    uint64_t ignored;

    return sim_fields_split_comma(line.text, line.len_bytes, fields, FIELDS) == FIELDS &&
           sim_field_u64(&fields[TIME], &ignored) && sim_field_u64(&fields[DISK], &ignored) &&
           (sim_field_is_any_case(&fields[TYPE], "read") ||
            sim_field_is_any_case(&fields[TYPE], "write"));
}

const struct sim_reader sim_reader_msr = {
    .name = "msr",
    .title = "MSR Cambridge CSV",
    .state_bytes = sizeof(struct msr_state),
    .probe = probe_msr,
    .frame = sim_stream_line,
    .parse = parse_msr,
};
