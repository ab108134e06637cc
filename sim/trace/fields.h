/* SPDX-License-Identifier: BSD-2-Clause */
/* A line cut into fields, and what a field may say. Nothing is copied, nothing is terminated. */
#ifndef SIM_TRACE_FIELDS_H
#define SIM_TRACE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_field {
    const char *text;
    size_t len_bytes;
};

/*
 * Cut at runs of blanks and tabs, or at each comma. The number of fields is returned, and the
 * first max of them are stored: a result above max means that there are more.
 */
unsigned sim_fields_split_blank(const char *line, size_t len_bytes, struct sim_field *fields,
                                unsigned max);
unsigned sim_fields_split_comma(const char *line, size_t len_bytes, struct sim_field *fields,
                                unsigned max);

/* Whole field, decimal digits only: no sign, no blank. False when it is not, or above 2^64-1. */
bool sim_field_u64(const struct sim_field *field, uint64_t *value);

/* Whole field: seconds, or seconds.fraction with 1 to 9 digits; in ns. False when it is not. */
bool sim_field_seconds(const struct sim_field *field, uint64_t *ns);

bool sim_field_is(const struct sim_field *field, const char *word);
bool sim_field_is_any_case(const struct sim_field *field, const char *word); /* ASCII */

/* Not empty, without blanks and control characters. */
bool sim_field_is_name(const struct sim_field *field);

/* "'text'" for a message: printable ASCII as it is, other bytes as \xNN, cut when it is long. */
void sim_field_quote(const struct sim_field *field, char *dst, size_t dst_bytes);

#endif
