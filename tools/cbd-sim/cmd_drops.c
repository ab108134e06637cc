/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim drops: every persist call of the core left out in turn. */
#include <string.h>
#include <unistd.h>

#include "drops.h"
#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    OPT_JSON = 256,
    OPT_SEED,
    OPT_STEP,
    OPT_JOBS,
};

static const struct cbd_tool_option options[] = {
    {OPT_STEP, "step", "NAME", "this step only, as INSERT_RECORD_FENCE (all)"},
    {OPT_SEED, "seed", "N", "of everything that is random (1)"},
    {OPT_JOBS, "jobs", "N", "processes; the result does not depend on it (all cores)"},
    {OPT_JSON, "json", NULL, "the result as JSON"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "drops [OPTIONS]",
    .summary = "Leaves out each store, flush and fence of the cache in turn. The simulator must\n"
               "notice it, or the table of steps says why the call is redundant.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .footer = "Exit status: 0 every step is found or redundant, 4 some is not, 8 the simulation\n"
              "could not run, 16 usage.",
};

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
    (void)total;
    cbd_tool_progress_update(arg, done);
}

static bool parse_step(const char *name, enum cbd_step *step)
{
    for (int i = CBD_STEP_NONE + 1; i < CBD_STEP_COUNT; i++) {
        if (strcmp(cbd_step_name((enum cbd_step)i), name) == 0) {
            *step = (enum cbd_step)i;
            return true;
        }
    }
    return false;
}

static int print_text(const struct sim_drops_result *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct sim_drop *d = &r->drop[i];

        printf("%-27s %-13s %8llu states", cbd_step_name(d->step),
               sim_drop_verdict_name(d->verdict), (unsigned long long)d->states);
        if (d->by[0] != '\0')
            printf("  %s: %s", d->by, d->failure);
        if (d->verdict != SIM_DROP_FOUND && cbd_step_redundant(d->step)[0] != '\0')
            printf("  %s", cbd_step_redundant(d->step));
        putchar('\n');
    }
    printf("\n%u steps:", r->count);
    for (int v = 0; v < SIM_DROP_VERDICT_COUNT; v++)
        if (r->verdicts[v] != 0)
            printf(" %u %s", r->verdicts[v], sim_drop_verdict_name((enum sim_drop_verdict)v));
    putchar('\n');
    return fflush(stdout) == 0 ? 0 : CBD_E_SYSTEM;
}

static int print_json(const struct sim_drops_result *r, uint64_t seed)
{
    json_t *document = cbd_tool_json_document("cbd-sim-drops", 1), *steps, *totals;
    int error;

    cbd_tool_json_u64(document, "seed", seed);
    cbd_tool_json_bool(document, "good", sim_drops_good(r));
    totals = cbd_tool_json_object(document, "verdicts");
    for (int v = 0; v < SIM_DROP_VERDICT_COUNT; v++)
        cbd_tool_json_u64(totals, sim_drop_verdict_name((enum sim_drop_verdict)v), r->verdicts[v]);
    steps = cbd_tool_json_array(document, "steps");
    for (uint32_t i = 0; i < r->count; i++) {
        const struct sim_drop *d = &r->drop[i];
        json_t *o = cbd_tool_json_append_object(steps);

        cbd_tool_json_text(o, "step", cbd_step_name(d->step));
        cbd_tool_json_text(o, "phase", cbd_phase_name(cbd_step_phase(d->step)));
        cbd_tool_json_text(o, "what", cbd_step_sentence(d->step));
        cbd_tool_json_text(o, "verdict", sim_drop_verdict_name(d->verdict));
        cbd_tool_json_u64(o, "states", d->states);
        cbd_tool_json_text(o, "by", d->by);
        cbd_tool_json_text(o, "failure", d->failure);
        cbd_tool_json_text(o, "why_redundant", cbd_step_redundant(d->step));
    }
    error = cbd_tool_json_print(document, stdout);
    json_decref(document);
    return error;
}

static int run(struct sim_drops_config *config, bool json)
{
    struct sim_drops_result *result = sim_zalloc(1, sizeof(*result));
    struct cbd_tool_progress progress;
    int error, exit_code;

    cbd_tool_progress_open(&progress, -1);
    cbd_tool_progress_begin(&progress, "steps left out",
                            config->only == CBD_STEP_NONE ? CBD_STEP_COUNT - 1 : 1);
    config->progress = show_progress;
    config->progress_arg = &progress;
    error = sim_drops_run(config, result);
    cbd_tool_progress_end(&progress);
    if (error != 0)
        cbd_tool_error_code(NULL, "drops", error);
    else
        error = json ? print_json(result, config->seed) : print_text(result);
    exit_code = error != 0               ? CBD_EXIT_OPERATIONAL
                : sim_drops_good(result) ? CBD_EXIT_CLEAN
                                         : CBD_EXIT_LEFT;
    free(result);
    return exit_code;
}

int cbd_sim_drops(int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t jobs = cores < 1                             ? 1
                    : cores > (long)SIM_DROPS_WORKERS_MAX ? SIM_DROPS_WORKERS_MAX
                                                          : (uint64_t)cores;
    struct sim_drops_config config = {.seed = 1};
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    char why[256] = "";
    bool json = false;
    int error = 0;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while (error == 0 && (next = cbd_tool_options_next(&parser)) != CBD_TOOL_OPERANDS) {
        if (next == CBD_TOOL_EXIT)
            return parser.exit_code;
        if (parser.key == OPT_JSON)
            json = true;
        else if (parser.key == OPT_SEED)
            error = cbd_tool_parse_number("--seed", parser.argument, 0, UINT64_MAX, &config.seed,
                                          why, sizeof(why));
        else if (parser.key == OPT_JOBS)
            error = cbd_tool_parse_number("--jobs", parser.argument, 1, SIM_DROPS_WORKERS_MAX,
                                          &jobs, why, sizeof(why));
        else if (!parse_step(parser.argument, &config.only))
            return cbd_tool_usage_error(&usage, "--step: got '%.40s', limit a name of steps.def",
                                        parser.argument);
    }
    if (error != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    config.workers = (uint32_t)jobs;
    return run(&config, json);
}
