/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-check: says what is wrong with a cache, and repairs it when it is told to. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backing.h"
#include "cbd/check.h"
#include "cbd/pcache.h"
#include "cbd/shim/env.h"
#include "tool_interrupt.h"
#include "mend.h"
#include "pcache.h"
#include "report.h"
#include "tool_device.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_progress.h"
#include "tool_size.h"
#include "undo.h"

enum { KEY_JSON = 256, KEY_DATA, KEY_LOSS, KEY_UNDO, KEY_APPLY, KEY_PASS, KEY_BACKING };

static const struct cbd_tool_option options[] = {
    {'n', "no", NULL, "change nothing; the default where nobody can be asked"},
    {'p', "preen", NULL, "repair what needs no decision"},
    {'y', "yes", NULL, "repair everything that can be repaired"},
    {KEY_LOSS, "allow-data-loss", NULL, "with -y or prompts: also repairs that give up dirty data"},
    {KEY_UNDO, "undo", "FILE", "save in a new FILE what repairs replace"},
    {KEY_APPLY, "apply-undo", "FILE", "put back what FILE holds, and nothing else"},
    {'f', "force", NULL, "check every record, even if the cache was detached cleanly"},
    {KEY_DATA, "data", NULL, "check every record, and all data against its checksums"},
    {KEY_BACKING, "backing", "NAME=PATH",
     "compare the disk of backend NAME with what is cached of it;\n"
     "it is only read. May be given for each backend"},
    {KEY_PASS, "pass", "NAME",
     "only this pass and what it needs: tables, records, headers,\n"
     "orders, data or identity (needs --backing)"},
    {'v', "verbose", NULL, "notes say what becomes of them; count everything"},
    {'q', "quiet", NULL, "errors only"},
    {KEY_JSON, "json", NULL, "one JSON document on standard output; no prompts"},
    {'j', "jobs", "N", "look at N segments at a time; as it is, one for each processor"},
    {'C', "progress-fd", "FD", "lines of progress on this descriptor"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-check",
    .synopsis = "[OPTIONS] DEVICE",
    .summary = "Checks a CBD cache, or a device of dm-pcache, that is not in use. Repairs it when\n"
               "it is told to: with -p, -y, or by answers on a terminal, after all of the check.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .footer =
        "Exit codes, added up: 0 clean, 1 problems were repaired, 4 problems are left, 8 the\n"
        "check could not be done, 16 wrong usage, 32 cancelled. An unclean shutdown is not a\n"
        "problem: what the next attach will do about it is reported as a note.",
};

struct arguments {
    const char *path;
    const struct cbd_check_pass *pass; /* NULL: all that are worth it */
    const char *undo, *apply;
    struct backings *backings;
    bool no, preen, yes, loss;
    bool force, data, verbose, quiet, json;
    int progress_fd;
    unsigned jobs; /* 0: not told */
};

static const struct cbd_check_pass *find_pass(const char *name)
{
    const struct cbd_check_pass *pass;

    for (uint32_t n = 0; (pass = cbd_check_pass_row(n)) != NULL; n++)
        if (strcmp(pass->name, name) == 0)
            return pass;
    return NULL;
}

/* What does not go together. 0 or CBD_EXIT_USAGE. */
static int judge(const struct arguments *a)
{
    if (a->no + a->preen + a->yes > 1)
        return cbd_tool_usage_error(&usage, "-n, -p and -y exclude each other");
    if (a->verbose && a->quiet)
        return cbd_tool_usage_error(&usage, "-v and -q exclude each other");
    if (a->loss && (a->no || a->preen))
        return cbd_tool_usage_error(&usage, "--allow-data-loss needs -y or a terminal");
    if (a->undo != NULL && a->no)
        return cbd_tool_usage_error(&usage, "--undo and -n exclude each other");
    if (a->pass != NULL && (a->force || a->data))
        return cbd_tool_usage_error(&usage, "--pass and -f or --data exclude each other");
    if (a->pass != NULL && strcmp(a->pass->name, "identity") == 0 && a->backings->count == 0)
        return cbd_tool_usage_error(&usage, "--pass identity needs --backing");
    if (a->apply != NULL && a->backings->count != 0)
        return cbd_tool_usage_error(&usage, "--apply-undo and --backing exclude each other");
    if (a->apply != NULL && (a->no || a->preen || a->yes || a->loss || a->undo != NULL ||
                             a->pass != NULL || a->force || a->data || a->json))
        return cbd_tool_usage_error(&usage, "--apply-undo goes with -q and -v only");
    return 0;
}

/* A descriptor that is open and is not one of the standard ones. */
static int parse_fd(const char *text, int *fd)
{
    char why[256];
    uint64_t n;

    if (cbd_tool_parse_number("-C", text, 3, 1u << 20, &n, why, sizeof(why)) != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    if (fcntl((int)n, F_GETFD) < 0)
        return cbd_tool_usage_error(&usage, "-C: descriptor %s is not open", text);
    *fd = (int)n;
    return 0;
}

static int parse_jobs(const char *text, unsigned *jobs)
{
    char why[256];
    uint64_t n;

    if (cbd_tool_parse_number("-j", text, 1, CBD_SHIM_PROCESSORS_MAX, &n, why, sizeof(why)) != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    *jobs = (unsigned)n;
    return 0;
}

/* 0, or the exit code with *end set. */
static int parse(int argc, char **argv, struct arguments *a, bool *end)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    const char *why;
    int code;

    *end = true;
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        switch (parser.key) {
        case 'n':
            a->no = true;
            break;
        case 'p':
            a->preen = true;
            break;
        case 'y':
            a->yes = true;
            break;
        case KEY_LOSS:
            a->loss = true;
            break;
        case KEY_UNDO:
            a->undo = parser.argument;
            break;
        case KEY_APPLY:
            a->apply = parser.argument;
            break;
        case KEY_PASS:
            a->pass = find_pass(parser.argument);
            if (a->pass == NULL)
                return cbd_tool_usage_error(
                    &usage,
                    "--pass: got '%.40s', limit tables, records, headers, orders, data, identity",
                    parser.argument);
            break;
        case KEY_BACKING:
            why = backing_add(a->backings, parser.argument);
            if (why != NULL)
                return cbd_tool_usage_error(&usage, "--backing: got '%.40s', %s", parser.argument,
                                            why);
            break;
        case 'C':
            code = parse_fd(parser.argument, &a->progress_fd);
            if (code != 0)
                return code;
            break;
        case 'j':
            code = parse_jobs(parser.argument, &a->jobs);
            if (code != 0)
                return code;
            break;
        case 'f':
            a->force = true;
            break;
        case KEY_DATA:
            a->data = true;
            break;
        case 'v':
            a->verbose = true;
            break;
        case 'q':
            a->quiet = true;
            break;
        case KEY_JSON:
            a->json = true;
            break;
        default:
            abort();
        }
    }
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    code = judge(a);
    if (code != 0)
        return code;
    a->path = parser.operands[0];
    *end = false;
    return 0;
}

struct run {
    struct report report;
    struct cbd_tool_progress progress;
    bool passing;
    bool quiet;
    bool cancelled;
};

static int found(void *arg, const struct cbd_check_finding *finding)
{
    struct run *run = arg;

    report_finding(&run->report, finding);
    return 0;
}

static int progress(void *arg, uint64_t done, uint64_t total)
{
    struct run *run = arg;

    if (cbd_tool_interrupt_came()) {
        run->cancelled = true;
        return CBD_E_TIMEDOUT;
    }
    if (run->quiet)
        return 0;
    if (!run->passing)
        cbd_tool_progress_begin(&run->progress, "segments", total);
    run->passing = true;
    cbd_tool_progress_update(&run->progress, done);
    return 0;
}

/* A cache that is whole at first sight and was detached cleanly needs no more than that. */
static unsigned choose(const struct cbd_tool_device *device, const struct arguments *a,
                       struct cbd_check_summary *summary)
{
    unsigned all = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS;
    struct cbd_check_options tables = {.flags = 0};

    if (a->pass != NULL)
        return a->pass->flags;
    if (a->data)
        return all | CBD_CHECK_DATA;
    if (a->force || a->backings->count != 0 ||
        cbd_check_run(device->pm, device->env, &tables, NULL, NULL, summary) != 0 ||
        summary->errors != 0)
        return all;
    for (uint32_t i = 0; i < CBD_BACKENDS; i++)
        if (summary->backends[i].unclean)
            return all;
    return 0;
}

static int check(const struct cbd_tool_device *device, const struct arguments *a,
                 struct cbd_check_summary *summary)
{
    struct run run = {.quiet = a->quiet};
    struct cbd_check_options check_options = {
        .flags = choose(device, a, summary),
        .disks = a->backings->disks,
        .progress = progress,
    };
    int code = CBD_EXIT_CLEAN;
    int error;

    cbd_tool_interrupt_catch();
    cbd_tool_progress_open(&run.progress, a->progress_fd);
    report_open(&run.report, a->path, a->json, a->verbose, a->quiet);
    error = cbd_check_run(device->pm, device->env, &check_options, found, &run, summary);
    if (run.passing)
        cbd_tool_progress_end(&run.progress);
    if (run.cancelled) {
        code = CBD_EXIT_CANCELLED | (summary->errors != 0 ? CBD_EXIT_LEFT : 0);
    } else if (error != 0) {
        cbd_tool_error_code(a->path, "cannot be checked", error);
        code = CBD_EXIT_OPERATIONAL;
    } else if (summary->errors != 0) {
        code = CBD_EXIT_LEFT;
    }
    if (error == 0 || a->json)
        report_summary(&run.report, summary, check_options.flags);
    if (report_close(&run.report, code) != 0) {
        cbd_tool_error(NULL, "standard output: cannot be written");
        code |= CBD_EXIT_OPERATIONAL;
    }
    return code;
}

static int repair(const struct cbd_tool_device *device, const struct arguments *a,
                  struct cbd_check_summary *summary)
{
    struct mend_options m = {
        .path = a->path,
        .undo_path = a->undo,
        .flags = choose(device, a, summary),
        .disks = a->backings->disks,
        .policy = a->preen ? MEND_PREEN
                  : a->yes ? MEND_YES
                           : MEND_ASK,
        .allow_data_loss = a->loss,
        .json = a->json,
        .verbose = a->verbose,
        .quiet = a->quiet,
        .progress_fd = a->progress_fd,
    };

    return mend_run(device->pm, device->env, &m);
}

/* On a terminal problems are asked about, elsewhere nothing is changed without being told. */
static bool repairs(const struct arguments *a)
{
    if (a->no)
        return false;
    return a->preen || a->yes || (!a->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
}

static int check_pcache(const struct cbd_tool_device *device, const struct arguments *a)
{
    const struct pcache_options o = {
        .policy = !repairs(a)            ? PCACHE_LOOK
                  : (a->preen || a->yes) ? PCACHE_FIX
                                         : PCACHE_ASK,
        .undo_path = a->undo,
        .data = a->data,
        .json = a->json,
        .verbose = a->verbose,
        .quiet = a->quiet,
        .progress_fd = a->progress_fd,
    };

    return pcache_check(device, &o);
}

int main(int argc, char **argv)
{
    static struct backings backings;
    struct arguments a = {.progress_fd = -1, .backings = &backings};
    struct cbd_tool_device device;
    struct cbd_check_summary *summary;
    bool end;
    int code = parse(argc, argv, &a, &end);

    if (end)
        return code;
    if (a.loss && !repairs(&a))
        return cbd_tool_usage_error(&usage, "--allow-data-loss needs -y or a terminal");
    if (a.undo != NULL && !repairs(&a))
        return cbd_tool_usage_error(&usage, "--undo needs -p, -y or a terminal");
    code = cbd_tool_device_open(&device, a.path,
                                repairs(&a) || a.apply != NULL ? 0 : CBD_SHIM_PMEM_READONLY, 0);
    if (code != 0)
        return code;
    if (a.jobs != 0)
        cbd_shim_env_processors(device.env, a.jobs);
    if (a.apply == NULL && cbd_pcache_probe(device.pm) && backings.count != 0) {
        cbd_tool_error(a.path, "is of dm-pcache, which does not say what its disk has to hold: "
                               "no --backing");
        cbd_tool_device_close(&device);
        return CBD_EXIT_USAGE;
    }
    if (a.apply == NULL && cbd_pcache_probe(device.pm)) {
        code = check_pcache(&device, &a);
        cbd_tool_device_close(&device);
        return code;
    }
    summary = malloc(sizeof(*summary));
    if (summary == NULL) {
        cbd_tool_error_code(a.path, "cannot be checked", CBD_E_NOMEM);
        code = CBD_EXIT_OPERATIONAL;
    } else if (a.apply != NULL) {
        code = undo_apply(a.apply, a.path, device.pm, device.env, a.quiet);
    } else {
        code = backing_open(&backings, &device, summary);
        if (code == 0)
            code = repairs(&a) ? repair(&device, &a, summary) : check(&device, &a, summary);
        backing_close(&backings);
    }
    free(summary);
    cbd_tool_device_close(&device);
    return code;
}
