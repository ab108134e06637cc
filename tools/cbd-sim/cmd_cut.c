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
    bool one, forget;
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

static int cut_all(const struct parsed *p, struct cut_world *w)
{
    uint64_t count, violations = 0, states = 0, *places = draw_places(p, w, &count);
    struct cbd_tool_progress progress;
    char why[CUT_TEXT_BYTES];
    int code = 0;

    cbd_tool_progress_open(&progress, -1);
    cbd_tool_progress_begin(&progress, "cutting", count);
    for (uint64_t i = 0; i < count && code == 0; i++) {
        if (!cut_world_advance(w, places[i], why)) {
            cbd_tool_error(p->path, "%s", why);
            code = CBD_EXIT_OPERATIONAL;
        }
        for (uint64_t s = p->out != NULL ? p->subsets - 1 : 0; s < p->subsets && code == 0; s++) {
            struct sim_crash crash = sim_crash_subset(s, sim_rng_mix(p->seed, places[i]));

            states++;
            if (p->out != NULL) {
                code = write_out(p, w, i, &crash);
            } else if (!cut_run(w, &crash, why)) {
                if (violations++ < SHOWN_MAX)
                    printf("violation at place %" PRIu64 ", subset %" PRIu64 ": %s\n", places[i], s,
                           why);
            }
        }
        cbd_tool_progress_update(&progress, i + 1);
    }
    cbd_tool_progress_end(&progress);
    free(places);
    if (code != 0)
        return code;
    printf("%" PRIu64 " places cut, %" PRIu64 " states %s, %" PRIu64 " violations\n", count, states,
           p->out != NULL ? "written" : "recovered and judged", violations);
    return violations != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
}

static void describe(const struct cut_world *w)
{
    printf("%" PRIu64 " events, %" PRIu64 " answers, %u disks, %s\n", w->places, w->answers,
           w->disk_count, w->clean_end ? "up to the end of the server" : "cut off");
}

static int run(const struct parsed *p)
{
    struct cut_world *w = sim_zalloc(1, sizeof(*w));
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
        describe(w);
        code = cut_all(p, w);
    }
    cut_world_close(w);
    free(w);
    if (fflush(stdout) != 0)
        code = CBD_EXIT_OPERATIONAL;
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
