/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim explore: made-up workloads, as many as there is time for. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "explore_tool.h"
#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_interrupt.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    OPT_UNITS = 256,
    OPT_TIME,
    OPT_STATES,
    OPT_JOBS,
    OPT_SHARD,
    OPT_STATE,
    OPT_JSON,
    OPT_VARY,
    OPT_STOP,
    OPT_NAMED, /* the option's name and argument are a setting */
};

static const struct cbd_tool_option own[] = {
    {OPT_UNITS, "units", "N", "how many units, from 0 (all that there is time for; all of `all`)"},
    {OPT_TIME, "time", "SECONDS", "no unit begins later (60, unless --units or --states)"},
    {OPT_STATES, "states", "N", "end behind the unit that brings so many executed states"},
    {OPT_JOBS, "jobs", "N", "processes; the results do not depend on it (all cores)"},
    {OPT_SHARD, "shard", "I/N", "only the units I, I + N, I + 2N, ... (0/1)"},
    {OPT_STATE, "state", "FILE", "what is done; goes on there when called again, may be killed"},
    {OPT_JSON, "json", NULL, "one line of JSON for each unit, and a last one for all"},
    {OPT_STOP, "stop-at-first", NULL, "end behind the first unit that fails"},
    {OPT_NAMED, "strategy", "NAME", "none, each, random, partial or exhaustive (partial)"},
    {OPT_NAMED, "subsets", "N", "partial: crash states of each cut (16)"},
    {OPT_NAMED, "crash-depth", "N", "exhaustive: power cuts in a row (1)"},
    {OPT_NAMED, "cut-every", "N", "cut before one step in N, and before each of reclaim (1)"},
    {OPT_NAMED, "generator", "NAME", "random, sequential, zipf or all (random)"},
    {OPT_VARY, "vary", NULL, "each unit has another machine"},
};

#define OWN (sizeof(own) / sizeof(own[0]))

static const char *setting_names[CBD_TOOL_OPTIONS_MAX];
static struct cbd_tool_option options[CBD_TOOL_OPTIONS_MAX];

static struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "explore [OPTIONS]",
    .summary = "Makes workloads up and cuts the power before every step of them. A unit is a\n"
               "workload by number; what fails gets an ID for `cbd-sim rerun` and `minimize`.",
    .options = options,
    .footer = "The last options are the machine's, as docs/simulator.md has them for workloads.\n"
              "Exit status: 0 no violation, 4 violations, 8 it could not be run, 16 usage.",
};

/* The options: our own, the scenario's settings, the machine's lines. */
static void make_options(void)
{
    size_t n = 0;
    const char *name, *help;

    for (; n < OWN; n++) {
        options[n] = own[n];
        setting_names[n] = own[n].name;
    }
    for (size_t i = 0; (name = sim_scenario_setting(i, &help)) != NULL; i++) {
        options[n] = (struct cbd_tool_option){OPT_NAMED + (int)n, name, "N", help};
        setting_names[n++] = name;
    }
    for (const struct sim_work_field *f = sim_work_fields; f->name != NULL; f++) {
        bool threads = strcmp(f->name, "clients") == 0;

        if (strcmp(f->name, "seed") == 0)
            continue;
        options[n] =
            (struct cbd_tool_option){OPT_NAMED + (int)n, threads ? "threads" : f->name,
                                     f->kind == SIM_WORK_FLAG ? "on|off" : "VALUE",
                                     threads ? "clients, unless serial" : "of the machine"};
        setting_names[n++] = f->name;
    }
    options[n] =
        (struct cbd_tool_option){OPT_NAMED + (int)n, "disks", "SIZE,...", "one to four disks"};
    setting_names[n++] = "disks";
    for (size_t i = 0; i < OWN; i++)
        if (options[i].key == OPT_NAMED)
            options[i].key = OPT_NAMED + (int)i;
    usage.option_count = n;
}

struct explorer {
    struct cbd_explore e;
    const char *state;
    uint64_t states_max;
    bool json, stop_at_first;
    bool save_failed;
    uint64_t saved_ns, said_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void put_line(json_t *o)
{
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static void put_hash(json_t *o, uint64_t hash)
{
    char text[20];

    snprintf(text, sizeof(text), "%016" PRIx64, hash);
    cbd_tool_json_text(o, "hash", text);
}

static void put_unit(const struct explorer *p, const struct sim_explored *u)
{
    json_t *o = cbd_tool_json_document("cbd-sim-explore-unit", 1);
    char id[CBD_EXPLORE_ID_BYTES];

    cbd_tool_json_u64(o, "unit", u->unit);
    cbd_tool_json_u64(o, "steps", u->steps);
    cbd_tool_json_u64(o, "cuts", u->cuts);
    cbd_tool_json_u64(o, "executed", u->executed);
    cbd_tool_json_u64(o, "merged", u->merged);
    put_hash(o, u->hash);
    if (u->failures != 0) {
        cbd_explore_id(&p->e, u, id);
        cbd_tool_json_text(o, "violation", u->text);
        cbd_tool_json_text(o, "id", id);
    }
    put_line(o);
}

static bool unit_done(void *arg, const struct sim_explored *u)
{
    struct explorer *p = arg;
    char id[CBD_EXPLORE_ID_BYTES];

    cbd_explore_add(&p->e, u);
    if (p->json)
        put_unit(p, u);
    if (u->failures != 0 && !p->json) {
        cbd_explore_id(&p->e, u, id);
        printf("VIOLATION: %s\n  again with: cbd-sim rerun '%s'\n", u->text, id);
        fflush(stdout);
    }
    if (p->stop_at_first && u->failures != 0)
        return false;
    return p->states_max == 0 || p->e.totals.executed < p->states_max;
}

static bool tick(void *arg)
{
    struct explorer *p = arg;
    uint64_t now = now_ns();

    if (p->state != NULL && now - p->saved_ns > UINT64_C(1000000000)) {
        p->saved_ns = now;
        p->save_failed = !cbd_explore_save(&p->e, p->state);
    }
    if (!p->json && isatty(STDERR_FILENO) && now - p->said_ns > UINT64_C(500000000)) {
        p->said_ns = now;
        fprintf(stderr, "\r%" PRIu64 " units, %" PRIu64 " states, %" PRIu64 " merged\033[K",
                p->e.totals.done, p->e.totals.executed, p->e.totals.merged);
    }
    return !cbd_tool_interrupt_came() && !p->save_failed;
}

static char *settings_text(const struct cbd_explore *e)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    SIM_REQUIRE(out != NULL);
    cbd_explore_settings(e, out);
    fclose(out);
    return text;
}

/* The certificate: what was covered. */
static void put_summary(const struct explorer *p)
{
    const struct cbd_explore *e = &p->e;
    const struct cbd_explore_totals *t = &e->totals;
    json_t *o = cbd_tool_json_document("cbd-sim-explore", 1), *by, *list;
    char *settings = settings_text(e), count[64];

    cbd_tool_json_text(o, "settings", settings);
    cbd_tool_json_text(o, "model", sim_model_name(e->scenario.config.model));
    cbd_tool_json_text(o, "strategy", sim_strategy_name(e->x.t.strategy));
    cbd_tool_json_u64(o, "seed", e->scenario.seed);
    cbd_tool_json_u64(o, "operations", e->scenario.ops);
    cbd_tool_json_u64(o, "shard", e->x.shard);
    cbd_tool_json_u64(o, "shards", e->x.shards);
    cbd_tool_json_u64(o, "units", t->done);
    if (sim_scenario_units(&e->scenario) != UINT64_MAX)
        cbd_tool_json_bool(o, "complete",
                           t->done == sim_explore_units(&e->x) && e->x.units == UINT64_MAX);
    cbd_tool_json_u64(o, "steps", t->steps);
    cbd_tool_json_u64(o, "cuts", t->cuts);
    by = cbd_tool_json_object(o, "cuts_inside");
    for (int c = 0; c < SIM_CLASS_COUNT; c++)
        cbd_tool_json_u64(by, sim_class_name((enum sim_class)c), t->cuts_by[c]);
    by = cbd_tool_json_object(o, "executed_inside");
    for (int c = 0; c < SIM_CLASS_COUNT; c++)
        cbd_tool_json_u64(by, sim_class_name((enum sim_class)c), t->executed_by[c]);
    cbd_sim_build_json(o);
    cbd_tool_json_u64(o, "executed", t->executed);
    cbd_tool_json_u64(o, "merged", t->merged);
    cbd_tool_json_text(o, "represented", sim_lazy_count_text(t->represented, count, sizeof(count)));
    cbd_tool_json_u64(o, "cut_again_in_recovery", t->nested);
    cbd_tool_json_u64(o, "cut_later_in_writeback", t->later_writeback);
    cbd_tool_json_u64(o, "cut_later_in_reclaim", t->later_reclaim);
    cbd_tool_json_u64(o, "cut_later_at_rest", t->later_rest);
    cbd_tool_json_u64(o, "recovered_twice", t->twice);
    cbd_tool_json_u64(o, "killed", t->killed);
    cbd_tool_json_u64(o, "bare_disk", t->backing);
    cbd_tool_json_u64(o, "lost_copies", t->lost_copies);
    cbd_tool_json_u64(o, "faults", t->faults);
    cbd_tool_json_u64(o, "full", t->full);
    cbd_tool_json_u64(o, "sectors_compared", t->sectors);
    cbd_tool_json_u64(o, "violations", t->failed);
    list = cbd_tool_json_array(o, "ids");
    for (uint32_t i = 0; i < e->failures_kept; i++)
        json_array_append_new(list, json_string(e->failures[i]));
    put_hash(o, t->hash);
    put_line(o);
    free(settings);
}

/* Of the second power cuts; those inside work of the recovered cache include the ones at rest. */
static void print_second(const struct cbd_explore_totals *t)
{
    static const char *const names[] = {"recovery", "write-back", "reclaim"};
    const uint64_t n[] = {t->nested, t->later_writeback, t->later_reclaim};
    uint64_t sum = n[0] + n[1] + n[2];
    char percent[CBD_TOOL_SIZE_TEXT_BYTES];

    if (sum == 0)
        return;
    printf("  cut again   %15" PRIu64 "\n", sum);
    for (int i = 0; i < 3; i++)
        printf("    %-13s %11" PRIu64 "  %6s\n", names[i], n[i],
               cbd_tool_percent(n[i], sum, percent));
    printf("    %-13s %11" PRIu64 "  of these, when the work had ended\n", "at rest",
           t->later_rest);
}

static void print_summary(const struct explorer *p)
{
    const struct cbd_explore_totals *t = &p->e.totals;
    char percent[CBD_TOOL_SIZE_TEXT_BYTES];
    char *settings = settings_text(&p->e), count[64];

    printf("%s\n", settings);
    printf("  units       %15" PRIu64 "\n  steps       %15" PRIu64 "\n  cuts        %15" PRIu64
           "\n",
           t->done, t->steps, t->cuts);
    for (int c = 0; c < SIM_CLASS_COUNT; c++)
        printf("    %-13s %11" PRIu64 "  %6s %15" PRIu64 " states\n",
               sim_class_name((enum sim_class)c), t->cuts_by[c],
               cbd_tool_percent(t->cuts_by[c], t->cuts, percent), t->executed_by[c]);
    printf("  states\n    executed    %13" PRIu64 "  different ones: recovered, checked, compared\n"
           "    merged      %13" PRIu64 "  the same as one of them\n"
           "    represented %13s\n",
           t->executed, t->merged, sim_lazy_count_text(t->represented, count, sizeof(count)));
    print_second(t);
    printf("  hash         %016" PRIx64 "\n  violations  %15" PRIu64 "\n", t->hash, t->failed);
    free(settings);
}

static int run(struct explorer *p)
{
    int error;

    if (p->state != NULL && !cbd_explore_load(&p->e, p->state))
        return CBD_EXIT_OPERATIONAL;
    cbd_tool_interrupt_catch();
    p->e.x.done = unit_done;
    p->e.x.tick = tick;
    p->e.x.arg = p;
    p->saved_ns = p->said_ns = now_ns();
    error =
        p->states_max != 0 && p->e.totals.executed >= p->states_max ? 0 : sim_explore_run(&p->e.x);
    if (!p->json && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (error != 0) {
        cbd_tool_error_code(NULL, "explore", error);
        return CBD_EXIT_OPERATIONAL;
    }
    if (p->save_failed || (p->state != NULL && !cbd_explore_save(&p->e, p->state)))
        return CBD_EXIT_OPERATIONAL;
    if (p->json)
        put_summary(p);
    else
        print_summary(p);
    if (fflush(stdout) != 0)
        return CBD_EXIT_OPERATIONAL;
    return p->e.totals.failed != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
}

static bool parse_shard(const char *text, uint32_t *shard, uint32_t *shards)
{
    const char *slash = strchr(text, '/');
    char first[16];
    uint64_t i, n;

    if (slash == NULL || (size_t)(slash - text) >= sizeof(first))
        return false;
    memcpy(first, text, (size_t)(slash - text));
    first[slash - text] = '\0';
    if (!sim_work_number(first, false, &i) || !sim_work_number(slash + 1, false, &n) || i >= n ||
        n > 1000000)
        return false;
    *shard = (uint32_t)i;
    *shards = (uint32_t)n;
    return true;
}

/* 0, or a sentence in why. */
static int set_option(struct explorer *p, int key, const char *argument, uint64_t *seconds,
                      char *why, size_t n)
{
    struct sim_explore *x = &p->e.x;
    const char *name;
    uint64_t jobs;
    int error;

    switch (key) {
    case OPT_UNITS:
        return cbd_tool_parse_number("--units", argument, 0, UINT64_MAX - 1, &x->units, why, n);
    case OPT_TIME:
        return cbd_tool_parse_number("--time", argument, 1, 100000000, seconds, why, n);
    case OPT_STATES:
        return cbd_tool_parse_number("--states", argument, 1, UINT64_MAX, &p->states_max, why, n);
    case OPT_JOBS:
        error = cbd_tool_parse_number("--jobs", argument, 1, SIM_EXPLORE_JOBS_MAX, &jobs, why, n);
        if (error == 0)
            x->jobs = (uint32_t)jobs;
        return error;
    case OPT_SHARD:
        if (parse_shard(argument, &x->shard, &x->shards))
            return 0;
        snprintf(why, n, "--shard: got '%.40s', limit I/N with I below N", argument);
        return CBD_E_INVALID;
    case OPT_STATE:
        p->state = argument;
        return 0;
    case OPT_JSON:
        p->json = true;
        return 0;
    case OPT_STOP:
        p->stop_at_first = true;
        return 0;
    case OPT_VARY:
        p->e.scenario.vary = true;
        return 0;
    default:
        name = setting_names[key - OPT_NAMED];
        if (cbd_explore_set(&p->e, name, argument)) {
            if (strcmp(name, "clients") == 0 &&
                p->e.scenario.config.schedule == SIM_SCHEDULE_SERIAL)
                p->e.scenario.config.schedule = SIM_SCHEDULE_RANDOM;
            return 0;
        }
        snprintf(why, n, "--%s: got '%.60s', limit what docs/simulator.md says", name, argument);
        return CBD_E_INVALID;
    }
}

int cbd_sim_cmd_explore(int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct explorer p = {.json = false};
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    uint64_t seconds = 0;
    char why[512] = "";
    int error = 0, exit_code;

    make_options();
    cbd_explore_init(&p.e);
    p.e.x.jobs = cores < 1                            ? 1
                 : cores > (long)SIM_EXPLORE_JOBS_MAX ? SIM_EXPLORE_JOBS_MAX
                                                      : (uint32_t)cores;
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while (error == 0 && (next = cbd_tool_options_next(&parser)) != CBD_TOOL_OPERANDS) {
        if (next == CBD_TOOL_EXIT) {
            cbd_explore_free(&p.e);
            return parser.exit_code;
        }
        error = set_option(&p, parser.key, parser.argument, &seconds, why, sizeof(why));
    }
    if (error == 0 && !sim_scenario_valid(&p.e.scenario, why, sizeof(why)))
        error = CBD_E_INVALID;
    if (seconds == 0 && p.e.x.units == UINT64_MAX && p.states_max == 0 &&
        p.e.scenario.kind != SIM_SCENARIO_ALL)
        seconds = 60;
    if (seconds != 0)
        p.e.x.deadline_ns = now_ns() + seconds * UINT64_C(1000000000);
    exit_code = error != 0 ? cbd_tool_usage_error(&usage, "%s", why) : run(&p);
    cbd_explore_free(&p.e);
    return exit_code;
}
