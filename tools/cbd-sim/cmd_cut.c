/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim cut: takes the power away from a real server, in its record. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cut_run.h"
#include "rng.h"
#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

#define SHOWN_MAX 20u

enum {
    OPT_AT = 256,
    OPT_RANDOM,
    OPT_SEED,
    OPT_SUBSETS,
    OPT_MODEL,
    OPT_OUT,
    OPT_DROP,
    OPT_FORGET,
    OPT_JSON,
};

static const struct cbd_tool_option options[] = {
    {OPT_AT, "at", "N", "cut behind the first N events"},
    {OPT_RANDOM, "random", "K", "cut at K places that the seed draws (100)"},
    {OPT_SEED, "seed", "N", "for the places, and for what survives (1)"},
    {OPT_SUBSETS, "subsets", "N",
     "crash states of each place: nothing survives, everything, draws (2)"},
    {OPT_MODEL, "model", "NAME", "adr, eadr or page: what a power cut keeps of stores (adr)"},
    {OPT_OUT, "out", "DIR",
     "judge nothing: write pmem and disks of the last crash state of each place\n"
     "to DIR/1, DIR/2, ..., for other tools"},
    {OPT_DROP, "drop", "STEP",
     "leave out this persist call (a name of 'cbd-sim drops'): shows that the\n"
     "judge sees it"},
    {OPT_FORGET, "forget-flushes", NULL, "the disks answer flushes and do nothing: the same"},
    {OPT_JSON, "json", NULL, "the result as JSON"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "cut [OPTIONS] FILE",
    .summary =
        "Cuts the power in a record that a front-end made (record=FILE), recovers, and judges\n"
        "whether everything is there that the clients were promised.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .footer = "Exit status: 0 as promised, 4 violations, 8 it could not be run, 16 usage.",
};

struct parsed {
    const char *path, *out;
    uint64_t at, random, seed, subsets;
    bool one, forget, json;
    enum cbd_step drop;
    enum sim_model model;
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Places, ascending; some twice when there are few. */
static uint64_t *draw_places(const struct parsed *p, const struct cut_world *w, uint64_t *count)
{
    uint64_t *places;
    struct sim_rng rng;

    *count = p->one ? 1 : p->random;
    places = sim_zalloc(*count, sizeof(*places));
    sim_rng_seed(&rng, p->seed);
    for (uint64_t i = 0; i < *count; i++)
        places[i] = p->one ? p->at : sim_rng_below(&rng, w->places + 1);
    qsort(places, *count, sizeof(*places), by_value);
    return places;
}

static int write_out(const struct parsed *p, struct cut_world *w, uint64_t n,
                     const struct sim_crash *crash)
{
    char dir[4096];

    snprintf(dir, sizeof(dir), "%s/%" PRIu64, p->out, n + 1);
    if (cut_write(w, crash, dir))
        return 0;
    cbd_tool_error(dir, "cannot be written: %s", strerror(errno));
    return CBD_EXIT_OPERATIONAL;
}

/* Why the record has no more events. */
static const char *end_of(const struct cut_world *w)
{
    return w->clean_end         ? "the end of the server"
           : w->end_why != NULL ? w->end_why
           : w->full            ? "its bound was reached"
                                : "nothing was recorded behind it";
}

struct violation {
    uint64_t place, subset;
    char why[CUT_TEXT_BYTES];
};

struct result {
    uint64_t places, states, violations;
    struct violation shown[SHOWN_MAX]; /* the first ones */
};

static void judge(struct cut_world *w, uint64_t place, uint64_t subset,
                  const struct sim_crash *crash, struct result *r)
{
    struct violation v = {place, subset, ""};

    if (!cut_run(w, crash, v.why) && r->violations++ < SHOWN_MAX)
        r->shown[r->violations - 1] = v;
}

static int cut_all(const struct parsed *p, struct cut_world *w, struct result *r)
{
    uint64_t *places = draw_places(p, w, &r->places);
    struct cbd_tool_progress progress;
    char why[CUT_TEXT_BYTES];
    int code = 0;

    cbd_tool_progress_open(&progress, -1);
    cbd_tool_progress_begin(&progress, "cutting", r->places);
    for (uint64_t i = 0; i < r->places && code == 0; i++) {
        if (!cut_world_advance(w, places[i], why)) {
            cbd_tool_error(p->path, "%s", why);
            code = CBD_EXIT_OPERATIONAL;
        }
        for (uint64_t s = p->out != NULL ? p->subsets - 1 : 0; s < p->subsets && code == 0; s++) {
            struct sim_crash crash = sim_crash_subset(s, sim_rng_mix(p->seed, places[i]));

            r->states++;
            if (p->out != NULL)
                code = write_out(p, w, i, &crash);
            else
                judge(w, places[i], s, &crash, r);
        }
        cbd_tool_progress_update(&progress, i + 1);
    }
    cbd_tool_progress_end(&progress);
    free(places);
    return code;
}

static int print_text(const struct parsed *p, const struct cut_world *w, const struct result *r)
{
    printf("%" PRIu64 " events, %" PRIu64 " answers, %u disk%s, ", w->places, w->answers,
           w->disk_count, w->disk_count == 1 ? "" : "s");
    if (w->clean_end)
        printf("up to the end of the server\n");
    else
        printf("cut off at byte %" PRIu64 ": %s\n", w->end_bytes, end_of(w));
    for (uint64_t i = 0; i < r->violations && i < SHOWN_MAX; i++)
        printf("violation at place %" PRIu64 ", subset %" PRIu64 ": %s\n", r->shown[i].place,
               r->shown[i].subset, r->shown[i].why);
    printf("%" PRIu64 " place%s cut, %" PRIu64 " states %s, %" PRIu64 " violations\n", r->places,
           r->places == 1 ? "" : "s", r->states,
           p->out != NULL ? "written" : "recovered and judged", r->violations);
    return fflush(stdout) == 0 ? 0 : CBD_E_SYSTEM;
}

static int print_json(const struct parsed *p, const struct cut_world *w, const struct result *r)
{
    json_t *document = cbd_tool_json_document("cbd-sim-cut", 1), *o, *rows;
    int error;

    cbd_tool_json_bool(document, "good", r->violations == 0);
    o = cbd_tool_json_object(document, "record");
    cbd_tool_json_u64(o, "pmem_bytes", w->pmem->pm.size_bytes);
    cbd_tool_json_u64(o, "events", w->places);
    cbd_tool_json_u64(o, "answers", w->answers);
    cbd_tool_json_bool(o, "complete", w->clean_end);
    cbd_tool_json_u64(o, "end_bytes", w->end_bytes);
    cbd_tool_json_text(o, "end", end_of(w));
    rows = cbd_tool_json_array(document, "disks");
    for (unsigned i = 0; i < w->disk_count; i++) {
        o = cbd_tool_json_append_object(rows);
        cbd_tool_json_text(o, "name", w->disks[i].name);
        cbd_tool_json_u64(o, "size_bytes", w->disks[i].disk.size_bytes);
        cbd_tool_json_bool(o, "durable_at_flush", w->history[i].on_flush);
        cbd_tool_json_u64(o, "requests", w->history[i].request_count);
    }
    cbd_tool_json_text(document, "model", cbd_sim_model_name(p->model));
    cbd_tool_json_u64(document, "seed", p->seed);
    cbd_tool_json_u64(document, "places", r->places);
    cbd_tool_json_u64(document, "states", r->states);
    cbd_tool_json_bool(document, "judged", p->out == NULL);
    cbd_tool_json_u64(document, "violations", r->violations);
    rows = cbd_tool_json_array(document, "first_violations");
    for (uint64_t i = 0; i < r->violations && i < SHOWN_MAX; i++) {
        o = cbd_tool_json_append_object(rows);
        cbd_tool_json_u64(o, "place", r->shown[i].place);
        cbd_tool_json_u64(o, "subset", r->shown[i].subset);
        cbd_tool_json_text(o, "what", r->shown[i].why);
    }
    error = cbd_tool_json_print(document, stdout);
    json_decref(document);
    return error;
}

static int run(const struct parsed *p)
{
    struct cut_world *w = sim_zalloc(1, sizeof(*w));
    struct result *result = sim_zalloc(1, sizeof(*result));
    char why[CUT_TEXT_BYTES];
    int code = CBD_EXIT_OPERATIONAL;

    if (!cut_world_open(w, p->path, p->model, why)) {
        cbd_tool_error(p->path, "%s", why);
    } else if (p->one && p->at > w->places) {
        cbd_tool_error(p->path, "--at: got %" PRIu64 ", limit %" PRIu64, p->at, w->places);
    } else if (p->out != NULL && mkdir(p->out, 0700) != 0) {
        cbd_tool_error(p->out, "cannot be made: %s", strerror(errno));
    } else {
        w->pmem->drop_step = p->drop;
        for (unsigned i = 0; i < w->disk_count; i++)
            w->disks[i].forgets = p->forget;
        code = cut_all(p, w, result);
        if (code == 0 && (p->json ? print_json(p, w, result) : print_text(p, w, result)) != 0)
            code = CBD_EXIT_OPERATIONAL;
        if (code == 0)
            code = result->violations != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
    }
    cut_world_close(w);
    free(w);
    free(result);
    return code;
}

static int take(struct parsed *p, const struct cbd_tool_parser *parser)
{
    char why[256] = "", name[32];
    uint64_t *number = NULL, min = 0, max = UINT64_MAX;

    switch (parser->key) {
    case OPT_OUT:
        p->out = parser->argument;
        return 0;
    case OPT_FORGET:
        p->forget = true;
        return 0;
    case OPT_JSON:
        p->json = true;
        return 0;
    case OPT_DROP:
        for (p->drop = (enum cbd_step)1; p->drop < CBD_STEP_COUNT; p->drop++)
            if (strcmp(cbd_step_name(p->drop), parser->argument) == 0)
                return 0;
        return cbd_tool_usage_error(&usage, "--drop: got '%.40s', limit a persist call",
                                    parser->argument);
    case OPT_MODEL:
        if (cbd_sim_model_parse(parser->argument, &p->model))
            return 0;
        return cbd_tool_usage_error(&usage, "--model: got '%.40s', limit adr, eadr or page",
                                    parser->argument);
    case OPT_AT:
        number = &p->at;
        p->one = true;
        break;
    case OPT_RANDOM:
        number = &p->random;
        min = 1;
        max = 1000000000;
        break;
    case OPT_SUBSETS:
        number = &p->subsets;
        min = 1;
        max = 100000;
        break;
    default:
        number = &p->seed;
        break;
    }
    snprintf(name, sizeof(name), "--%s",
             parser->key == OPT_AT        ? "at"
             : parser->key == OPT_RANDOM  ? "random"
             : parser->key == OPT_SUBSETS ? "subsets"
                                          : "seed");
    if (cbd_tool_parse_number(name, parser->argument, min, max, number, why, sizeof(why)) != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    return 0;
}

int cbd_sim_cmd_cut(int argc, char **argv)
{
    struct parsed p = {.random = 100, .seed = 1, .subsets = 2, .model = SIM_ADR};
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    int code;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        code = take(&p, &parser);
        if (code != 0)
            return code;
    }
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    p.path = parser.operands[0];
    return run(&p);
}
