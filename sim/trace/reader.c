/* SPDX-License-Identifier: BSD-2-Clause */
/* What the readers of all formats share: checks that explain themselves. */
#include "trace/reader.h"

#include <stdio.h>
#include <string.h>

#define RANGE_U64 "a number from 0 to 18446744073709551615"

int sim_parse_bad(struct sim_parse *parse, unsigned field, const char *what,
                  const struct sim_field *got, const char *expected)
{
    char quoted[64] = "";

    if (got != NULL) {
        sim_field_quote(got, quoted, sizeof(quoted));
    }
    parse->bad_field = field;
    if (field == 0) {
        snprintf(parse->bad_text, sizeof(parse->bad_text), "%s%s%s, expected %s", what,
                 got != NULL ? " " : "", quoted, expected);
    } else {
        snprintf(parse->bad_text, sizeof(parse->bad_text), "field %u (%s): got %s, expected %s",
                 field, what, got != NULL ? quoted : "nothing", expected);
    }
    return CBD_E_INVALID;
}

int sim_parse_bad_count(struct sim_parse *parse, unsigned got, const char *expected)
{
    parse->bad_field = 0;
    snprintf(parse->bad_text, sizeof(parse->bad_text), "got %u field%s, expected %s", got,
             got == 1 ? "" : "s", expected);
    return CBD_E_INVALID;
}

int sim_parse_u64(struct sim_parse *parse, unsigned field, const char *what,
                  const struct sim_field *got, uint64_t *value)
{
    if (!sim_field_u64(got, value)) {
        return sim_parse_bad(parse, field, what, got, RANGE_U64);
    }
    return 0;
}

int sim_parse_range(struct sim_parse *parse, unsigned field, const struct sim_field *off_and_len,
                    uint64_t *off_bytes, uint64_t *len_bytes)
{
    uint64_t off = 0;
    uint64_t len = 0;
    int rc = sim_parse_u64(parse, field, "offset", &off_and_len[0], &off);

    if (rc != 0) {
        return rc;
    }
    rc = sim_parse_u64(parse, field + 1, "length", &off_and_len[1], &len);
    if (rc != 0) {
        return rc;
    }
    if (len == 0) {
        return sim_parse_bad(parse, field + 1, "length", &off_and_len[1], "at least 1 byte");
    }
    if (len > UINT64_MAX - off) {
        return sim_parse_bad(parse, field + 1, "length", &off_and_len[1],
                             "offset + length below 18446744073709551616");
    }
    *off_bytes = off;
    *len_bytes = len;
    return 0;
}

int sim_parse_volume(struct sim_parse *parse, unsigned field, const struct sim_field *name,
                     uint32_t *volume)
{
    int rc = sim_volumes_index(parse->volumes, name->text, name->len_bytes, volume);

    if (rc == CBD_E_NOSPACE) {
        char expected[96];

        snprintf(expected, sizeof(expected), "at most %u files or disks, %u bytes of names",
                 SIM_TRACE_VOLUMES_MAX, SIM_TRACE_NAMES_BYTES_MAX);
        return sim_parse_bad(parse, field, "file or disk", name, expected);
    }
    return rc;
}

struct sim_field sim_probe_line(const char *bytes, size_t len_bytes)
{
    const char *lf = memchr(bytes, '\n', len_bytes);
    size_t len = lf != NULL ? (size_t)(lf - bytes) : len_bytes;

    if (len > 0 && bytes[len - 1] == '\r') {
        len--;
    }
    return (struct sim_field){bytes, len};
}
