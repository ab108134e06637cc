/* SPDX-License-Identifier: BSD-2-Clause */
/* What the exhaustive strategy has covered: for people, and for a file that says so. */
#include <inttypes.h>
#include <stdio.h>

#include "cbd/media_format.h"
#include "hunt.h"
#include "sim_tool.h"

#define COUNT_BYTES 48

static void line(const char *what, const char *value, const char *meaning)
{
    printf("    %-12s %12s   %s\n", what, value, meaning);
}

static void number(const char *what, uint64_t value, const char *meaning)
{
    char text[COUNT_BYTES];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    line(what, text, meaning);
}

/* What the states are of: the same with every compiler and sanitizer. */
void cbd_sim_build_json(json_t *object)
{
    json_t *o = cbd_tool_json_object(object, "build");

    cbd_tool_json_u64(o, "disk_version", CBD_DISK_VERSION);
    cbd_tool_json_u64(o, "persist_calls", CBD_STEP_COUNT - CBD_STEP_NONE - 1);
    cbd_tool_json_bool(o, "canaries", sim_hunt_possible());
}

void cbd_sim_certificate_text(const struct cbd_sim_replay *r, const struct sim_result *result)
{
    const struct sim_lazy_counts *c = &result->lazy;
    char text[COUNT_BYTES];

    printf("  every state of these cuts, model %s, depth %u\n", cbd_sim_model_name(r->model),
           r->crash_depth);
    number("executed", c->executed, "recoveries run to their end and judged");
    for (int class = 0; class < SIM_CLASS_COUNT; class ++)
        number(sim_class_name((enum sim_class) class), result->executed_by[class],
               class == 0 ? "of them, by what the engine was doing at the cut" : "");
    number("merged", c->merged, "ended as one of these: not judged again");
    line("represented", sim_lazy_count_text(c->represented, text, sizeof(text)),
         "states of memory and disks that they stand for");
    line("possible", sim_lazy_count_text(c->states, text, sizeof(text)),
         "states that the cuts can leave");
    number("checks", c->checks, "runs of core/check before recovery");
    number("nested cuts", c->nested_cuts, "inside of recoveries");
    number("choices", c->choices_max, "on one path at most");
    number("limited", c->limited, "cuts that were not explored to the end");
    number("imprecise", c->imprecise, "reads that a class of objects does not cover");
    number("bare disks", c->disks, "each judged for all its states at once");
    number("undecided", c->disks_open, "of them, with zeroes that leave the answer open");
    snprintf(text, sizeof(text), "%016" PRIx64, c->hash);
    printf("    %-12s %s\n", "hash", text);
}

void cbd_sim_certificate_json(json_t *doc, const struct cbd_sim_replay *r,
                              const struct sim_campaign *c, const struct sim_result *result)
{
    const struct sim_lazy_counts *n = &result->lazy;
    json_t *o = cbd_tool_json_object(doc, "certificate"), *by;
    char text[COUNT_BYTES];

    cbd_sim_build_json(o);
    cbd_tool_json_text(o, "model", cbd_sim_model_name(r->model));
    cbd_tool_json_u64(o, "depth", r->crash_depth);
    cbd_tool_json_bool(o, "data_checksums", !r->no_data_checksum);
    cbd_tool_json_u64(o, "seed", r->seed);
    cbd_tool_json_u64(o, "requests", result->requests_total);
    cbd_tool_json_u64(o, "steps", result->steps);
    cbd_tool_json_u64(o, "cuts", n->cuts);
    cbd_tool_json_u64(o, "nested_cuts", n->nested_cuts);
    cbd_tool_json_u64(o, "executed", n->executed);
    by = cbd_tool_json_object(o, "executed_inside");
    for (int class = 0; class < SIM_CLASS_COUNT; class ++)
        cbd_tool_json_u64(by, sim_class_name((enum sim_class) class), result->executed_by[class]);
    cbd_tool_json_u64(o, "merged", n->merged);
    cbd_tool_json_text(o, "represented", sim_lazy_count_text(n->represented, text, sizeof(text)));
    cbd_tool_json_text(o, "possible", sim_lazy_count_text(n->states, text, sizeof(text)));
    cbd_tool_json_u64(o, "checks", n->checks);
    cbd_tool_json_u64(o, "choices_max", n->choices_max);
    cbd_tool_json_u64(o, "paths_of_a_cut_max", n->paths_max);
    cbd_tool_json_u64(o, "paths_limit", c->lazy.paths_max);
    cbd_tool_json_u64(o, "cuts_limited", n->limited);
    cbd_tool_json_u64(o, "imprecise_reads", n->imprecise);
    cbd_tool_json_u64(o, "bare_disks", n->disks);
    cbd_tool_json_u64(o, "bare_disks_undecided", n->disks_open);
    cbd_tool_json_u64(o, "sectors_compared", n->sectors);
    snprintf(text, sizeof(text), "%016" PRIx64, n->hash);
    cbd_tool_json_text(o, "hash", text);
    snprintf(text, sizeof(text), "%016" PRIx64, result->hash);
    cbd_tool_json_text(o, "run_hash", text);
    cbd_tool_json_text(o, "assumed", "a torn object with a valid checksum: 2^-32 each");
}
