/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim run: one workload from a file. */
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    OPT_STRATEGY = 256,
    OPT_SUBSETS,
    OPT_PRINT,
};

static const struct cbd_tool_option options[] = {
    {OPT_STRATEGY, "strategy", "NAME",
     "none, each, random, partial or exhaustive: which crash states are judged\n"
     "when the file names none (partial)"},
    {OPT_SUBSETS, "subsets", "N", "partial: crash states of each cut (16)"},
    {OPT_PRINT, "print", NULL, "print the workload as it was understood, and stop"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "run [OPTIONS] FILE",
    .summary = "Runs a workload and judges the power cut that it names; when it names none, cuts\n"
               "before every step.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .footer = "FILE may be - for standard input. Exit status: 0 as promised, 4 a violation, 8 it\n"
              "could not be run, 16 usage.",
};

static int show(const char *path, const struct sim_workload *w, const struct sim_tried *r)
{
    bool named = w->cut.where != SIM_WORK_NOWHERE;

    if (r->failures != 0) {
        cbd_sim_case_show(w, r);
        return CBD_EXIT_LEFT;
    }
    if (named && !r->reached) {
        cbd_tool_error(path, "crash: the run of %llu steps does not come there",
                       (unsigned long long)r->steps);
        return CBD_EXIT_OPERATIONAL;
    }
    printf("as promised: %llu steps, %llu cuts, %llu states executed, %llu merged\n",
           (unsigned long long)r->steps, (unsigned long long)r->cuts,
           (unsigned long long)(r->judged.states + r->lazy.executed),
           (unsigned long long)(r->judged.merged + r->lazy.merged));
    return CBD_EXIT_CLEAN;
}

static int run(const char *path, const struct sim_try *t, bool print)
{
    struct sim_tried *result = sim_zalloc(1, sizeof(*result));
    struct sim_workload w;
    int exit_code = CBD_EXIT_OPERATIONAL;

    sim_workload_init(&w);
    if (cbd_sim_case_read(path, &w)) {
        if (print) {
            sim_workload_print(&w, stdout);
            exit_code = CBD_EXIT_CLEAN;
        } else {
            sim_try_run(&w, t, result);
            exit_code = show(path, &w, result);
        }
        if (fflush(stdout) != 0)
            exit_code = CBD_EXIT_OPERATIONAL;
    }
    sim_workload_free(&w);
    free(result);
    return exit_code;
}

int cbd_sim_cmd_run(int argc, char **argv)
{
    struct sim_try t = {.strategy = SIM_STRATEGY_PARTIAL, .subsets = 16, .merge = true};
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    char why[256] = "";
    bool print = false;
    uint64_t number;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        if (parser.key == OPT_PRINT) {
            print = true;
        } else if (parser.key == OPT_SUBSETS) {
            if (cbd_tool_parse_number("--subsets", parser.argument, 1, 100000, &number, why,
                                      sizeof(why)) != 0)
                return cbd_tool_usage_error(&usage, "%s", why);
            t.subsets = (uint32_t)number;
        } else if (!sim_strategy_parse(parser.argument, &t.strategy)) {
            return cbd_tool_usage_error(
                &usage, "--strategy: got '%.40s', limit none, each, random, partial or exhaustive",
                parser.argument);
        }
    }
    return next == CBD_TOOL_EXIT ? parser.exit_code : run(parser.operands[0], &t, print);
}
