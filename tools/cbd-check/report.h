/* SPDX-License-Identifier: BSD-2-Clause */
/* How findings and the summary of a check look: lines for people, or one JSON document. */
#ifndef CBD_CHECK_REPORT_H
#define CBD_CHECK_REPORT_H

#include <jansson.h>
#include <stdbool.h>

#include "cbd/repair.h"

/* The JSON document holds at most this many findings and counts the others. */
#define REPORT_FINDINGS_MAX 10000u

struct report {
    const char *path;
    bool verbose;
    bool quiet;
    json_t *document; /* NULL: text on standard output */
    json_t *findings;
    uint64_t findings_omitted;
    json_t *last; /* the finding that was added last, or NULL */
    bool repairing;
};

void report_open(struct report *r, const char *path, bool json, bool verbose, bool quiet);
void report_finding(struct report *r, const struct cbd_check_finding *f);
/* A problem with what a repair would do; what comes of it is said by report_answer(). */
void report_offer(struct report *r, const struct cbd_repair_offer *offer);
void report_answer(struct report *r, const struct cbd_repair_offer *offer, bool accepted);
void report_repairs(struct report *r, const struct cbd_repair_result *result);
void report_summary(struct report *r, const struct cbd_check_summary *s, unsigned flags);

/* Prints what is left; exit_code goes into the document. 0 or CBD_E_SYSTEM: the output is gone. */
int report_close(struct report *r, int exit_code) CBD_MUST_CHECK;

#endif
