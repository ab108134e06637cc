/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fio iolog, versions 2 and 3.
 *
 *   v2  FILE add|open|close               v3  TIME FILE add|open|close
 *       FILE read|write|trim OFF LEN          TIME FILE read|write|trim OFF LEN
 *       FILE sync|datasync [OFF LEN]          TIME FILE sync|datasync [OFF LEN]
 *       FILE wait US IGNORED
 *
 * TIME is microseconds since the start of the log. `wait` is taken as fio's documentation has it:
 * relative microseconds, added up to the time of what follows. sync and datasync are FLUSH; their
 * numbers mean nothing (fio writes the offset of the last write) but have to be numbers.
 */
#include "trace/reader.h"

#define FIELDS_MAX 5u

enum action_kind { ACTION_NOTE, ACTION_DATA, ACTION_FLUSH, ACTION_WAIT };

struct action {
    const char *word;
    enum action_kind kind;
    enum sim_request_op op; /* of ACTION_DATA and ACTION_FLUSH */
};

static const struct action actions[] = {
    {"add", ACTION_NOTE, SIM_REQUEST_READ},    {"open", ACTION_NOTE, SIM_REQUEST_READ},
    {"close", ACTION_NOTE, SIM_REQUEST_READ},  {"read", ACTION_DATA, SIM_REQUEST_READ},
    {"write", ACTION_DATA, SIM_REQUEST_WRITE}, {"trim", ACTION_DATA, SIM_REQUEST_TRIM},
    {"sync", ACTION_FLUSH, SIM_REQUEST_FLUSH}, {"datasync", ACTION_FLUSH, SIM_REQUEST_FLUSH},
    {"wait", ACTION_WAIT, SIM_REQUEST_READ},
};

struct fio_state {
    uint64_t time_us; /* v2: sum of the waits so far */
};

/* first: the field where FILE stands, 0 in v2, 1 in v3. */
static const struct action *find_action(const struct sim_field *word, unsigned first)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (sim_field_is(word, actions[i].word) && (actions[i].kind != ACTION_WAIT || first == 0)) {
            return &actions[i];
        }
    }
    return NULL;
}

static int parse_wait(struct sim_parse *p, const struct sim_field *numbers)
{
    struct fio_state *state = p->state;
    uint64_t gap_us;
    uint64_t ignored;
    int rc = sim_parse_u64(p, 3, "wait", &numbers[0], &gap_us);

    if (rc != 0) {
        return rc;
    }
    rc = sim_parse_u64(p, 4, "length", &numbers[1], &ignored);
    if (rc != 0) {
        return rc;
    }
    if (gap_us > UINT64_MAX - state->time_us) {
        return sim_parse_bad(p, 3, "wait", &numbers[0], "a sum of all waits below 2^64");
    }
    state->time_us += gap_us;
    return 0;
}

/* The fields from FILE on are known to be there in the right number. */
static int parse_action(struct sim_parse *p, const struct action *action, unsigned first,
                        const struct sim_field *fields, bool numbers, uint64_t time_us)
{
    struct sim_request *req = &p->requests[0];
    const struct sim_field *name = &fields[first];
    int rc = 0;

    if (action->kind == ACTION_DATA) {
        rc = sim_parse_range(p, first + 3, &fields[first + 2], &req->off_bytes, &req->len_bytes);
    } else if (action->kind == ACTION_FLUSH && numbers) {
        uint64_t ignored;

        rc = sim_parse_u64(p, first + 3, "offset", &fields[first + 2], &ignored);
        if (rc == 0) {
            rc = sim_parse_u64(p, first + 4, "length", &fields[first + 3], &ignored);
        }
    }
    if (rc != 0) {
        return rc;
    }
    if (!sim_field_is_name(name)) {
        return sim_parse_bad(p, first + 1, "file", name, "a name without control characters");
    }
    rc = sim_parse_volume(p, first + 1, name, &req->volume);
    if (rc != 0) {
        return rc;
    }
    req->op = action->op;
    req->time_us = time_us;
    return action->kind == ACTION_NOTE ? 0 : 1;
}

static int parse_line(struct sim_parse *p, const char *line, size_t len, unsigned first)
{
    struct fio_state *state = p->state;
    struct sim_field fields[FIELDS_MAX];
    unsigned count = sim_fields_split_blank(line, len, fields, FIELDS_MAX);
    const struct action *action;
    uint64_t time_us = state->time_us;
    bool numbers = count == first + 4;

    if (count == 0) {
        return 0;
    }
    if (count != first + 2 && !numbers) {
        return sim_parse_bad_count(p, count,
                                   first == 0 ? "2 or 4: file, action [, offset, length]"
                                              : "3 or 5: time, file, action [, offset, length]");
    }
    if (first == 1) {
        int rc = sim_parse_u64(p, 1, "time", &fields[0], &time_us);

        if (rc != 0) {
            return rc;
        }
    }
    action = find_action(&fields[first + 1], first);
    if (action == NULL) {
        return sim_parse_bad(p, first + 2, "action", &fields[first + 1],
                             first == 0
                                 ? "add, open, close, read, write, trim, sync, datasync or wait"
                                 : "add, open, close, read, write, trim, sync or datasync");
    }
    if (action->kind != ACTION_FLUSH && numbers != (action->kind != ACTION_NOTE)) {
        return sim_parse_bad(p, first + 2, "action", &fields[first + 1],
                             numbers ? "no numbers behind this action"
                                     : "two numbers behind this action");
    }
    if (action->kind == ACTION_WAIT) {
        return parse_wait(p, &fields[first + 2]);
    }
    return parse_action(p, action, first, fields, numbers, time_us);
}

static bool is_header(const char *line, size_t len, const char *version)
{
    struct sim_field fields[4];

    return sim_fields_split_blank(line, len, fields, 4) == 4 && sim_field_is(&fields[0], "fio") &&
           sim_field_is(&fields[1], "version") && sim_field_is(&fields[2], version) &&
           sim_field_is(&fields[3], "iolog");
}

static int parse_fio2(struct sim_parse *p, const char *record, size_t len_bytes)
{
    if (p->record > 1) {
        return parse_line(p, record, len_bytes, 0);
    }
    if (!is_header(record, len_bytes, "2")) {
        struct sim_field line = {record, len_bytes};

        return sim_parse_bad(p, 0, "got", &line, "'fio version 2 iolog' in the first line");
    }
    return 0;
}

static int parse_fio3(struct sim_parse *p, const char *record, size_t len_bytes)
{
    if (p->record > 1) {
        return parse_line(p, record, len_bytes, 1);
    }
    if (!is_header(record, len_bytes, "3")) {
        struct sim_field line = {record, len_bytes};

        return sim_parse_bad(p, 0, "got", &line, "'fio version 3 iolog' in the first line");
    }
    return 0;
}

static bool probe_fio2(const char *bytes, size_t len_bytes)
{
    struct sim_field line = sim_probe_line(bytes, len_bytes);

    return is_header(line.text, line.len_bytes, "2");
}

static bool probe_fio3(const char *bytes, size_t len_bytes)
{
    struct sim_field line = sim_probe_line(bytes, len_bytes);

    return is_header(line.text, line.len_bytes, "3");
}

const struct sim_reader sim_reader_fio2 = {
    .name = "fio2",
    .title = "fio iolog version 2",
    .state_bytes = sizeof(struct fio_state),
    .probe = probe_fio2,
    .frame = sim_stream_line,
    .parse = parse_fio2,
};

const struct sim_reader sim_reader_fio3 = {
    .name = "fio3",
    .title = "fio iolog version 3",
    .state_bytes = sizeof(struct fio_state),
    .probe = probe_fio3,
    .frame = sim_stream_line,
    .parse = parse_fio3,
};
