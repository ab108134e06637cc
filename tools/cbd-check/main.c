/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-check: says what is wrong with a cache. Opens it for reading only. */
#include <stdlib.h>

#include "cbd/check.h"
#include "cbd/pcache.h"
#include "pcache.h"
#include "report.h"
#include "tool_device.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_progress.h"

enum { KEY_JSON = 256, KEY_DATA };

static const struct cbd_tool_option options[] = {
    {'f', "force", NULL, "check every record, even if the cache was detached cleanly"},
    {KEY_DATA, "data", NULL, "check every record, and all data against its checksums"},
    {'v', "verbose", NULL, "say what each repair would do and cost; count everything"},
    {'q', "quiet", NULL, "errors only"},
    {KEY_JSON, "json", NULL, "one JSON document on standard output"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-check",
    .synopsis = "[OPTIONS] DEVICE",
    .summary = "Checks a CBD cache, or a device of dm-pcache, that is not in use. Changes nothing.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .footer = "Exit codes: 0 clean, 4 problems were found, 8 the check could not be done,\n"
              "16 wrong usage. An unclean shutdown is not a problem: what the next attach will do\n"
              "about it is reported as a note.",
};

struct arguments {
    const char *path;
    bool force, data, verbose, quiet, json;
};

/* 0, or the exit code with *end set. */
static int parse(int argc, char **argv, struct arguments *a, bool *end)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;

    *end = true;
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        switch (parser.key) {
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
    if (a->verbose && a->quiet)
        return cbd_tool_usage_error(&usage, "-v and -q exclude each other");
    a->path = parser.operands[0];
    *end = false;
    return 0;
}

struct run {
    struct report report;
    struct cbd_tool_progress progress;
    bool passing;
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

    if (a->data)
        return all | CBD_CHECK_DATA;
    if (a->force || cbd_check_run(device->pm, device->env, &tables, NULL, NULL, summary) != 0 ||
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
    struct run run = {.passing = false};
    struct cbd_check_options check_options = {
        .flags = choose(device, a, summary),
        .progress = a->quiet ? NULL : progress,
    };
    int code = CBD_EXIT_CLEAN;
    int error;

    cbd_tool_progress_open(&run.progress, -1);
    report_open(&run.report, a->path, a->json, a->verbose, a->quiet);
    error = cbd_check_run(device->pm, device->env, &check_options, found, &run, summary);
    if (run.passing)
        cbd_tool_progress_end(&run.progress);
    if (error != 0) {
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

int main(int argc, char **argv)
{
    struct arguments a = {0};
    struct cbd_tool_device device;
    struct cbd_check_summary *summary;
    bool end;
    int code = parse(argc, argv, &a, &end);

    if (end)
        return code;
    code = cbd_tool_device_open(&device, a.path, CBD_SHIM_PMEM_READONLY, 0);
    if (code != 0)
        return code;
    if (cbd_pcache_probe(device.pm)) {
        code = pcache_check(&device, a.data, a.json, a.verbose, a.quiet);
        cbd_tool_device_close(&device);
        return code;
    }
    summary = malloc(sizeof(*summary));
    if (summary == NULL) {
        cbd_tool_error_code(a.path, "cannot be checked", CBD_E_NOMEM);
        code = CBD_EXIT_OPERATIONAL;
    } else {
        code = check(&device, &a, summary);
    }
    free(summary);
    cbd_tool_device_close(&device);
    return code;
}
