/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader of workloads; internal to sim/workload/workload_parse*.c and workload_words.c. */
#ifndef SIM_WORKLOAD_PARSE_IMPL_H
#define SIM_WORKLOAD_PARSE_IMPL_H

#include "workload.h"

#define WORDS_MAX 64u

struct line {
    char text[SIM_WORK_LINE_BYTES_MAX + 1];
    char *word[WORDS_MAX + 1]; /* NULL behind the last */
    uint32_t words, at;
};

struct parser {
    struct sim_workload *w;
    const char *name;
    uint32_t number; /* of the line, from 1 */
    struct line line;
    char *why;
    size_t why_bytes;
    uint64_t seen; /* machine lines, by number in sim_work_fields */
    bool disks_seen, judge_seen;
};

/* All of these: false after a mistake, with p->why written. */

/* Writes p->why: "NAME:LINE: " and the sentence. Returns false. */
__attribute__((format(printf, 2, 3))) bool parse_bad(struct parser *p, const char *format, ...);

/* Takes apart one line without its end, into p->line. */
bool parse_split(struct parser *p, const char *text, size_t len);

/* The next word, or NULL. */
const char *parse_peek(const struct parser *p);

/* True: the next word was this one, and is passed over. No mistake otherwise. */
bool parse_take(struct parser *p, const char *word);

/* Nothing is left of the line. */
bool parse_done(struct parser *p);

/* The next word as a number from min to max; `size`: with K, M, G or T behind it. */
bool parse_number(struct parser *p, const char *what, bool size, uint64_t min, uint64_t max,
                  uint64_t *value);
bool parse_number32(struct parser *p, const char *what, uint32_t min, uint32_t max,
                    uint32_t *value);

/* "disk3", perhaps with more behind it: *rest. No mistake when it is something else. */
bool parse_disk_number(const char *word, uint32_t *disk, const char **rest);

/* workload_parse_crash.c: the words behind the first one of the line. */
bool parse_keep_words(struct parser *p, struct sim_crash *c);
bool parse_crash_line(struct parser *p);
bool parse_lose_line(struct parser *p);
bool parse_fault_line(struct parser *p);
bool parse_judge_line(struct parser *p);

#endif
