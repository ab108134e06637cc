/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim rerun: one crash state of an earlier replay again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "explore_tool.h"
#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"

enum { OPT_TRACE = 256 };

static const struct cbd_tool_option options[] = {
    {OPT_TRACE, "trace", "FILE", "where the trace is now, if not where the ID says"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "rerun [--trace FILE] ID",
    .summary = "Runs one crash state again, from the ID that replay printed for it.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .footer =
        "Exit status: 0 the state is as promised, 4 it is not, 8 it could not be run, 16 usage.",
};

static void describe_plan(const struct sim_state_plan *plan)
{
    static const char *const kinds[] = {
        [SIM_CRASH_NONE] = "nothing pending survives",
        [SIM_CRASH_ALL] = "everything pending survives",
        [SIM_CRASH_RANDOM] = "a random part of what is pending survives",
        [SIM_CRASH_ONE_LOST] = "all that is pending survives but one word",
        [SIM_CRASH_ONE_KEPT] = "one word of what is pending survives",
        [SIM_CRASH_PREFIX] = "the first stores of what is pending survive",
    };

    printf("crash:    %s\n",
           plan->kill ? "the process dies, the power stays" : kinds[plan->crash.kind]);
    if (plan->lost_copy)
        printf("          one of two equal copies of a table entry or a superblock is lost\n");
    if (plan->nested)
        printf("          and the power fails again at step %llu of recovery: %s\n",
               (unsigned long long)plan->nested_at, kinds[plan->nested_crash.kind]);
    if (plan->later != SIM_LATER_NONE)
        printf("          later the power fails at step %llu of %s of the recovered cache: %s\n",
               (unsigned long long)plan->later_at, sim_later_name(plan->later),
               kinds[plan->later_crash.kind]);
    if (plan->twice || plan->kill)
        printf("          and once more after recovery has been read\n");
}

static void describe_state(const struct cbd_sim_replay *r, const struct sim_campaign *c)
{
    struct sim_judge judge;
    struct sim_world world = {.config = c->config};
    struct sim_state_plan plan;

    judge.world = &world;
    sim_plan_state(&judge, r->step, r->subset, r->number, &plan);
    describe_plan(&plan);
}

static int show(const struct cbd_sim_replay *r, const struct sim_campaign *c,
                const struct sim_result *result)
{
    char text[2048];

    printf("trace:    %s, %llu requests\n", r->trace, (unsigned long long)c->source.requests);
    printf("step:     %llu of %llu\n", (unsigned long long)r->step,
           (unsigned long long)result->steps);
    for (int class = 0; class < SIM_CLASS_COUNT; class ++)
        for (int kind = 0; kind < SIM_STEP_KIND_COUNT; kind++)
            if (result->cuts_by[class][kind] != 0)
                printf("          a %s in the %s\n", sim_step_kind_name(kind),
                       sim_class_name(class));
    if (r->trail != NULL)
        printf("crash:    %s\n", r->trail);
    else
        describe_state(r, c);
    if (result->run_failed) {
        printf("verdict:  %s\n", sim_verdict_text(&result->run_verdict, text, sizeof(text)));
        return CBD_EXIT_LEFT;
    }
    if (result->cuts == 0) {
        cbd_tool_error_limit(r->trace, "step", r->step, result->steps);
        return CBD_EXIT_OPERATIONAL;
    }
    if (result->failures == 0) {
        printf("verdict:  as promised\n");
        return CBD_EXIT_CLEAN;
    }
    printf("verdict:  %s\n", sim_verdict_text(&result->failed[0].verdict, text, sizeof(text)));
    return CBD_EXIT_LEFT;
}

static int rerun(struct cbd_sim_replay *r)
{
    struct sim_result *result;
    struct cbd_sim_trace t;
    struct sim_campaign c;
    uint32_t crc;
    int exit_code = cbd_sim_prepare(r, &t, &c);

    if (exit_code != 0)
        return exit_code;
    if (!cbd_sim_file_crc(r->trace, &crc) || crc != r->trace_crc) {
        cbd_tool_error(r->trace,
                       "is another trace than the ID was made from: checksum got %08x, "
                       "expected %08x",
                       crc, r->trace_crc);
        cbd_sim_release(&t);
        return CBD_EXIT_OPERATIONAL;
    }
    c.workers = 1;
    c.only_step = r->step;
    c.only_subset = r->subset;
    c.only_number = r->number;
    result = sim_zalloc(1, sizeof(*result));
    exit_code = CBD_EXIT_OPERATIONAL;
    if (sim_campaign_run(&c, result) != 0)
        cbd_tool_error(r->trace, "%s", result->trace_error.text);
    else
        exit_code = show(r, &c, result);
    free(result);
    cbd_sim_release(&t);
    return exit_code;
}

/* An ID of explore. */
static int rerun_unit(const char *id)
{
    struct sim_tried *tried = sim_zalloc(1, sizeof(*tried));
    int exit_code = CBD_EXIT_USAGE;
    struct cbd_explore_case c;
    struct cbd_explore e;
    struct sim_workload w;
    char why[512];

    cbd_explore_init(&e);
    sim_workload_init(&w);
    if (!cbd_explore_parse(id, &e, &c, why, sizeof(why))) {
        (void)cbd_tool_usage_error(&usage, "%s", why);
    } else {
        SIM_REQUIRE(sim_scenario_make(&e.scenario, c.unit, &w));
        e.x.t.only = !c.whole;
        e.x.t.only_step = c.step;
        e.x.t.only_subset = c.subset;
        e.x.t.only_trail = c.trail[0] != '\0' ? c.trail : NULL;
        sim_workload_print(&w, stdout);
        fflush(stdout);
        sim_try_run(&w, &e.x.t, tried);
        exit_code = tried->failures != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
        if (tried->failures != 0) {
            cbd_sim_case_show(&w, tried);
        } else if (!c.whole && !tried->reached) {
            cbd_tool_error_limit(NULL, "ID: step", c.step, tried->steps);
            exit_code = CBD_EXIT_OPERATIONAL;
        } else {
            printf("as promised\n");
        }
    }
    sim_workload_free(&w);
    cbd_explore_free(&e);
    free(tried);
    return exit_code;
}

int cbd_sim_cmd_rerun(int argc, char **argv)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    struct cbd_sim_replay r;
    const char *trace = NULL;
    char why[256], *id;
    int exit_code;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION)
        trace = parser.argument;
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    if (cbd_explore_is_id(parser.operands[0]))
        return rerun_unit(parser.operands[0]);
    id = strdup(parser.operands[0]);
    SIM_REQUIRE(id != NULL);
    if (cbd_sim_id_parse(id, &r, why, sizeof(why)) != 0) {
        exit_code = cbd_tool_usage_error(&usage, "%s", why);
    } else {
        if (trace != NULL)
            r.trace = trace;
        exit_code = rerun(&r);
    }
    free(id);
    return exit_code;
}
