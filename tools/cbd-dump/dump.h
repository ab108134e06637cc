/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of cbd-dump share. */
#ifndef CBD_DUMP_H
#define CBD_DUMP_H

#include <jansson.h>
#include <stdbool.h>

#include "cbd/check.h"
#include "fields.h"
#include "tool_device.h"

struct dump {
    const char *path;
    bool super, backends, segments, keys;
    struct cbd_tool_device device;
    json_t *document;     /* NULL: text */
    json_t *json_segments;
    json_t *json_keys;
    json_t *json_damage;  /* what --keys finds wrong with records */
    bool heading;         /* of the segments was printed */
    uint32_t run_first, run_count, run_backend; /* segments that share the next line */
    struct cbd_check_summary *summary;
    /* what is wrong with superblocks and copies of entries; NULL: nothing */
    const struct cbd_problem *super_problem[CBD_SUPER_COPIES];
    const struct cbd_problem *backend_problem[CBD_BACKENDS][2];
    const struct cbd_problem *state_problem[CBD_BACKENDS][2];
};

/* Text is printed as it comes; a JSON document holds at most this many. */
#define DUMP_JSON_KEYS_MAX 1000000u

/* tables.c */
void dump_supers(struct dump *d);
void dump_backends(struct dump *d);

/* segments.c: callbacks of the check */
void dump_record_found(void *arg, const struct cbd_check_record *record);
void dump_segment_found(void *arg, const struct cbd_check_segment *segment);

/* Prints the line that dull segments at the end share. */
void dump_end_segments(struct dump *d);
int dump_finding(void *arg, const struct cbd_check_finding *finding);

#endif
