/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim canaries: every bug of the catalogue in turn, and whether it is found. */
#include <string.h>
#include <unistd.h>

#include "canaries_tool.h"
#include "hunt.h"
#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    OPT_JSON = 256,
    OPT_CANARY,
    OPT_STRATEGY,
    OPT_FAST,
    OPT_LIST,
    OPT_JOBS,
    OPT_MARKDOWN,
    OPT_SCORE,
    OPT_MINIMIZE,
};

static const struct cbd_tool_option options[] = {
    {OPT_CANARY, "canary", "NAME",
     "this bug only, as GENERATION_KEPT; 'none': the clean run (all)"},
    {OPT_STRATEGY, "strategy", "NAME", "this strategy only, as contract (all)"},
    {OPT_FAST, "fast", NULL,
     "two bugs of each area, and the clean run; with --score one bug for each fault model"},
    {OPT_SCORE, "score", NULL, "which bugs each fault model finds, and which no other does"},
    {OPT_MINIMIZE, "minimize", NULL,
     "the smallest workload that shows each bug, with its lines and seconds"},
    {OPT_LIST, "list", NULL, "print the catalogue, hunt nothing"},
    {OPT_JOBS, "jobs", "N", "processes; the result does not depend on it (all cores)"},
    {OPT_JSON, "json", NULL, "the result as JSON"},
    {OPT_MARKDOWN, "markdown", NULL, "the result as docs/canaries.md has it"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "canaries [OPTIONS]",
    .summary = "Switches on one bug of the catalogue after the other and hunts it with a fixed\n"
               "list of strategies. Needs a build with CBD_CANARIES=ON:\n"
               "  cmake --preset canaries && cmake --build --preset canaries --target cbd-sim\n"
               "  build/canaries/bin/cbd-sim canaries",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .footer =
        "Exit status: 0 every bug was found and the clean run is clean (--score: every fault\n"
        "model finds a bug that no other does, or has a reason why not), 4 not so, 8 the\n"
        "simulation could not run or this build has no canaries, 16 usage.",
};

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
    (void)total;
    cbd_tool_progress_update(arg, done);
}

static bool parse_canary(const char *name, bool wanted[CBD_CANARY_COUNT])
{
    for (int id = CBD_CANARY_NONE; id < CBD_CANARY_COUNT; id++) {
        if (strcmp(sim_canary_name((enum cbd_canary_id)id), name) == 0) {
            memset(wanted, 0, CBD_CANARY_COUNT * sizeof(*wanted));
            wanted[id] = true;
            return true;
        }
    }
    return false;
}

static bool parse_strategy(const char *name, int32_t *strategy)
{
    for (uint32_t s = 0; s < sim_hunt_strategies(); s++) {
        if (strcmp(sim_hunt_strategy_name(s), name) == 0) {
            *strategy = (int32_t)s;
            return true;
        }
    }
    return false;
}

static const char *verdict_name(const struct sim_hunt *h)
{
    switch (h->verdict) {
    case SIM_HUNT_FOUND:
        return h->canary == CBD_CANARY_NONE ? "FALSE ALARM" : "found";
    case SIM_HUNT_QUIET:
        return h->canary == CBD_CANARY_NONE ? "clean" : "NOT FOUND";
    default:
        return "DIED";
    }
}

static int print_list(void)
{
    for (int id = CBD_CANARY_NONE + 1; id < CBD_CANARY_COUNT; id++) {
        enum cbd_canary_id canary = (enum cbd_canary_id)id;

        printf("%-10s %-27s %-12s %s\n", sim_canary_area(canary), sim_canary_name(canary),
               sim_canary_rules(canary), sim_canary_sentence(canary));
    }
    return fflush(stdout) == 0 ? CBD_EXIT_CLEAN : CBD_EXIT_OPERATIONAL;
}

static int compare_us(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Of the bugs, not of the clean run. */
static void print_score(const struct sim_hunt_result *r)
{
    uint64_t us[CBD_CANARY_COUNT], all = 0;
    uint32_t found = 0, bugs = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        all += r->hunt[i].cpu_us;
        if (r->hunt[i].canary == CBD_CANARY_NONE)
            continue;
        bugs++;
        if (r->hunt[i].verdict == SIM_HUNT_FOUND)
            us[found++] = r->hunt[i].cpu_us;
    }
    qsort(us, found, sizeof(us[0]), compare_us);
    printf("\n%u of %u bugs found", found, bugs);
    if (found != 0)
        printf("; median %.2f s, longest %.2f s", (double)us[found / 2] / 1e6,
               (double)us[found - 1] / 1e6);
    printf("; %.1f s of processor time\n", (double)all / 1e6);
}

static int print_text(const struct sim_hunt_result *r)
{
    printf("%-10s %-27s %-12s %-11s %-12s %7s %6s  %s\n", "area", "canary", "breaks", "",
           "strategy", "states", "s", "what was seen");
    for (uint32_t i = 0; i < r->count; i++) {
        const struct sim_hunt *h = &r->hunt[i];

        printf("%-10s %-27s %-12s %-11s %-12s %7llu %6.2f  %s\n", sim_canary_area(h->canary),
               sim_canary_name(h->canary), sim_canary_rules(h->canary), verdict_name(h),
               h->verdict == SIM_HUNT_QUIET ? "all" : sim_hunt_strategy_name(h->strategy),
               (unsigned long long)h->states, (double)h->cpu_us / 1e6, h->failure);
    }
    print_score(r);
    return fflush(stdout) == 0 ? 0 : CBD_E_SYSTEM;
}

/* The tables of docs/canaries.md. */
static int print_markdown(const struct sim_hunt_result *r)
{
    printf("| strategy | what | finds |\n| --- | --- | ---: |\n");
    for (uint32_t s = 0; s < sim_hunt_strategies(); s++) {
        uint32_t finds = 0;

        for (uint32_t i = 0; i < r->count; i++)
            finds += r->hunt[i].verdict == SIM_HUNT_FOUND && r->hunt[i].strategy == s;
        printf("| %s | %s | %u |\n", sim_hunt_strategy_name(s), sim_hunt_strategy_what(s), finds);
    }
    printf("\n| area | canary | breaks | the bug | | by | states | s |\n"
           "| --- | --- | --- | --- | --- | --- | ---: | ---: |\n");
    for (uint32_t i = 0; i < r->count; i++) {
        const struct sim_hunt *h = &r->hunt[i];

        printf("| %s | %s | %s | %s | %s | %s | %llu | %.2f |\n", sim_canary_area(h->canary),
               sim_canary_name(h->canary), sim_canary_rules(h->canary),
               sim_canary_sentence(h->canary), verdict_name(h),
               h->verdict == SIM_HUNT_QUIET ? "all" : sim_hunt_strategy_name(h->strategy),
               (unsigned long long)h->states, (double)h->cpu_us / 1e6);
    }
    print_score(r);
    return fflush(stdout) == 0 ? 0 : CBD_E_SYSTEM;
}

static int print_json(const struct sim_hunt_result *r)
{
    json_t *document = cbd_tool_json_document("cbd-sim-canaries", 1), *rows;
    int error;

    cbd_tool_json_bool(document, "good", sim_hunt_good(r));
    rows = cbd_tool_json_array(document, "canaries");
    for (uint32_t i = 0; i < r->count; i++) {
        const struct sim_hunt *h = &r->hunt[i];
        json_t *o = cbd_tool_json_append_object(rows);

        cbd_tool_json_text(o, "canary", sim_canary_name(h->canary));
        cbd_tool_json_text(o, "area", sim_canary_area(h->canary));
        cbd_tool_json_text(o, "breaks", sim_canary_rules(h->canary));
        cbd_tool_json_text(o, "sentence", sim_canary_sentence(h->canary));
        cbd_tool_json_text(o, "verdict", verdict_name(h));
        cbd_tool_json_text(o, "strategy",
                           h->verdict == SIM_HUNT_QUIET ? "" : sim_hunt_strategy_name(h->strategy));
        cbd_tool_json_u64(o, "states", h->states);
        cbd_tool_json_u64(o, "cpu_us", h->cpu_us);
        cbd_tool_json_text(o, "failure", h->failure);
    }
    error = cbd_tool_json_print(document, stdout);
    json_decref(document);
    return error;
}

static int run(struct sim_hunt_config *config, int (*print)(const struct sim_hunt_result *r))
{
    struct sim_hunt_result *result = sim_zalloc(1, sizeof(*result));
    struct cbd_tool_progress progress;
    uint64_t total = 0;
    int error, exit_code;

    for (int id = CBD_CANARY_NONE; id < CBD_CANARY_COUNT; id++)
        total += config->wanted[id];
    cbd_tool_progress_open(&progress, -1);
    cbd_tool_progress_begin(&progress, "canaries", total);
    config->progress = show_progress;
    config->progress_arg = &progress;
    error = sim_hunt_run(config, result);
    cbd_tool_progress_end(&progress);
    if (error != 0)
        cbd_tool_error_code(NULL, "canaries", error);
    else
        error = print(result);
    exit_code = error != 0              ? CBD_EXIT_OPERATIONAL
                : sim_hunt_good(result) ? CBD_EXIT_CLEAN
                                        : CBD_EXIT_LEFT;
    free(result);
    return exit_code;
}

int cbd_sim_canaries(int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t jobs = cores < 1                            ? 1
                    : cores > (long)SIM_HUNT_WORKERS_MAX ? SIM_HUNT_WORKERS_MAX
                                                         : (uint64_t)cores;
    struct sim_hunt_config config = {.only = -1};
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    char why[256] = "";
    int (*print)(const struct sim_hunt_result *r) = print_text;
    int (*print_score_as)(const struct sim_score *s) = cbd_sim_score_text;
    bool list = false, score = false, small = false, fast = false;
    int error = 0;

    memset(config.wanted, true, sizeof(config.wanted));
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while (error == 0 && (next = cbd_tool_options_next(&parser)) != CBD_TOOL_OPERANDS) {
        if (next == CBD_TOOL_EXIT)
            return parser.exit_code;
        if (parser.key == OPT_JSON)
            print = print_json, print_score_as = cbd_sim_score_json;
        else if (parser.key == OPT_MARKDOWN)
            print = print_markdown, print_score_as = cbd_sim_score_markdown;
        else if (parser.key == OPT_SCORE)
            score = true;
        else if (parser.key == OPT_MINIMIZE)
            small = true;
        else if (parser.key == OPT_LIST)
            list = true;
        else if (parser.key == OPT_FAST)
            fast = true;
        else if (parser.key == OPT_JOBS)
            error = cbd_tool_parse_number("--jobs", parser.argument, 1, SIM_HUNT_WORKERS_MAX, &jobs,
                                          why, sizeof(why));
        else if (parser.key == OPT_CANARY && !parse_canary(parser.argument, config.wanted))
            return cbd_tool_usage_error(&usage, "--canary: got '%.40s', limit a name of --list",
                                        parser.argument);
        else if (parser.key == OPT_STRATEGY && !parse_strategy(parser.argument, &config.only))
            return cbd_tool_usage_error(&usage, "--strategy: got '%.40s', limit a known strategy",
                                        parser.argument);
    }
    if (error != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    if (list)
        return print_list();
    if (!sim_hunt_possible()) {
        cbd_tool_error(NULL, "this build has no canaries: see cbd-sim canaries --help");
        return CBD_EXIT_OPERATIONAL;
    }
    config.workers = (uint32_t)jobs;
    if (score)
        return cbd_sim_score(&config, fast, print_score_as);
    for (int id = CBD_CANARY_NONE; id < CBD_CANARY_COUNT && fast; id++)
        config.wanted[id] = config.wanted[id] && sim_canary_fast((enum cbd_canary_id)id);
    if (small)
        return cbd_sim_canaries_small(&config, print == print_markdown);
    return run(&config, print);
}
