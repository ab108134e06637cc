/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of cbd-dump share. */
#ifndef CBD_DUMP_H
#define CBD_DUMP_H

#include <jansson.h>
#include <stdbool.h>

#include "cbd/check.h"
#include "fields.h"
#include "tool_device.h"

struct dump_map;

struct dump {
    const char *path;
    bool super, backends, segments, keys, map, hex, anonymize;
    const char *image;        /* file to make, or NULL */
    const char *backend_name; /* or NULL: all */
    uint32_t backend;         /* its id; CBD_CHECK_NONE: all */
    uint64_t range_first;     /* of --keys */
    uint64_t range_end;       /* 0: no range was given */
    struct cbd_tool_device device;
    json_t *document; /* NULL: text */
    json_t *json_segments;
    json_t *json_keys;
    json_t *json_damage;                        /* what --keys finds wrong with records */
    uint64_t json_omitted;                      /* records that the document has no room for */
    struct dump_map *map_data;                  /* NULL: no map */
    bool heading;                               /* of the segments was printed */
    uint32_t run_first, run_count, run_backend; /* segments that share the next line */
    struct cbd_check_summary *summary;
    /* what is wrong with superblocks and copies of entries; NULL: nothing */
    const struct cbd_problem *super_problem[CBD_SUPER_COPIES];
    const struct cbd_problem *backend_problem[CBD_BACKENDS][2];
    const struct cbd_problem *state_problem[CBD_BACKENDS][2];
};

/* Text is printed as it comes; a JSON document holds at most this many. */
#define DUMP_JSON_KEYS_MAX 1000000u

/* show.c: what stands on a CBD cache. The exit code of the tool; messages were printed. */
int dump_show(struct dump *d);

/* tables.c */
void dump_supers(struct dump *d);
void dump_backends(struct dump *d);

/* segments.c: callbacks of the check */
void dump_record_found(void *arg, const struct cbd_check_record *record);
void dump_segment_found(void *arg, const struct cbd_check_segment *segment);

/* Prints the line that dull segments at the end share. */
void dump_end_segments(struct dump *d);
int dump_finding(void *arg, const struct cbd_check_finding *finding);

/* map.c: collects segments, then draws them. 0 or CBD_E_NOMEM. */
int dump_map_begin(struct dump *d) CBD_MUST_CHECK;
void dump_map_segment(struct dump *d, const struct cbd_check_segment *segment);
void dump_map_end(struct dump *d);

/* pcache.c: all of it for a device of dm-pcache. The exit code of the tool. */
int dump_pcache(struct dump *d);

/* image.c: what --anonymize replaces things by. 0, or the exit code; messages were printed. */
int dump_hide_key(uint64_t key[2]);

/* image.c: writes d->image. The exit code of the tool. */
int dump_make_image(struct dump *d);

#endif
