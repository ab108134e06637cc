/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim minimize: the smallest workload that fails like this one. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "case.h"
#include "explore_tool.h"
#include "minimize.h"
#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    OPT_SUBSETS = 256,
    OPT_TRIES,
};

static const struct cbd_tool_option options[] = {
    {OPT_SUBSETS, "subsets", "N", "crash states that are tried at each step (16)"},
    {OPT_TRIES, "tries", "N", "candidates at most (20000)"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "minimize [OPTIONS] FILE|ID",
    .summary = "Prints the smallest workload and power cut that fail like this one, as text that\n"
               "`run` and `minimize` read.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .footer =
        "FILE may be - for standard input; an ID is one of `explore`. Exit status: 4 it fails\n"
        "and was made small, 0 it does not fail, 8 it could not be run, 16 usage.",
};

static void show_progress(void *arg, uint64_t tries, size_t lines)
{
    (void)arg;
    fprintf(stderr, "\r%llu tries, %zu lines\033[K", (unsigned long long)tries, lines);
}

/* An ID is its unit, cut where it failed. False: a message was printed. */
static bool read_id(const char *id, struct sim_workload *w)
{
    struct cbd_explore e;
    struct cbd_explore_case c;
    struct sim_tried *tried = sim_zalloc(1, sizeof(*tried));
    char why[512];
    bool ok;

    cbd_explore_init(&e);
    ok = cbd_explore_parse(id, &e, &c, why, sizeof(why));
    if (!ok) {
        cbd_tool_error(NULL, "%s", why);
    } else {
        SIM_REQUIRE(sim_scenario_make(&e.scenario, c.unit, w));
        if (!c.whole) {
            e.x.t.only = true;
            e.x.t.only_step = c.step;
            e.x.t.only_subset = c.subset;
            e.x.t.only_trail = c.trail[0] != '\0' ? c.trail : NULL;
            sim_try_run(w, &e.x.t, tried);
            w->cut = tried->cut;
        }
    }
    cbd_explore_free(&e);
    free(tried);
    return ok;
}

static int minimize(struct sim_workload *w, const struct sim_minimize *m)
{
    struct sim_minimized *r = sim_zalloc(1, sizeof(*r));
    char text[2048];
    int exit_code = CBD_EXIT_LEFT;

    sim_minimize_run(w, m, r);
    if (m->progress != NULL)
        fputs("\r\033[K", stderr);
    if (!r->failed) {
        printf("# as promised: there is nothing to make smaller\n");
        exit_code = CBD_EXIT_CLEAN;
    } else {
        printf("# %s\n# %zu lines were %zu, %llu tries%s\n",
               r->died ? "the simulator died: an assertion of core/ does not hold"
                       : sim_verdict_text(&r->verdict, text, sizeof(text)),
               r->lines, r->lines_before, (unsigned long long)r->tries,
               r->exhausted ? ": more of them might make it smaller" : "");
        sim_workload_print(w, stdout);
    }
    free(r);
    return fflush(stdout) == 0 ? exit_code : CBD_EXIT_OPERATIONAL;
}

int cbd_sim_cmd_minimize(int argc, char **argv)
{
    struct sim_minimize m = {.subsets = 16, .tries = 20000};
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    struct sim_workload w;
    uint64_t subsets = m.subsets;
    char why[256] = "";
    int exit_code = CBD_EXIT_OPERATIONAL, error = 0;
    bool ok;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while (error == 0 && (next = cbd_tool_options_next(&parser)) != CBD_TOOL_OPERANDS) {
        if (next == CBD_TOOL_EXIT)
            return parser.exit_code;
        if (parser.key == OPT_SUBSETS)
            error = cbd_tool_parse_number("--subsets", parser.argument, 1, 100000, &subsets, why,
                                          sizeof(why));
        else
            error = cbd_tool_parse_number("--tries", parser.argument, 1, UINT64_MAX, &m.tries, why,
                                          sizeof(why));
    }
    if (error != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    m.subsets = (uint32_t)subsets;
    if (isatty(STDERR_FILENO))
        m.progress = show_progress;
    sim_workload_init(&w);
    ok = cbd_explore_is_id(parser.operands[0]) ? read_id(parser.operands[0], &w)
                                               : cbd_sim_case_read(parser.operands[0], &w);
    if (ok)
        exit_code = minimize(&w, &m);
    sim_workload_free(&w);
    return exit_code;
}
