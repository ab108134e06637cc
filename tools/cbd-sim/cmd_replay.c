/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim replay: a trace with power cuts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    OPT_TRACE = 256,
    OPT_FORMAT,
    OPT_LENIENT,
    OPT_CRASHES,
    OPT_STRATEGY,
    OPT_CRASH_DEPTH,
    OPT_SUBSETS,
    OPT_RESTARTS,
    OPT_SEED,
    OPT_CACHE,
    OPT_SEGMENT,
    OPT_STREAMS,
    OPT_NO_CHECKSUM,
    OPT_DURABILITY,
    OPT_MODEL,
    OPT_SCHEDULE,
    OPT_THREADS,
    OPT_DEPTH,
    OPT_FAULTS,
    OPT_JOBS,
    OPT_IMAGE,
    OPT_REPORT,
    OPT_JSON,
};

static const struct cbd_tool_option options[] = {
    {OPT_TRACE, "trace", "FILE", "the trace: plain, gzip, bzip2 or zstd"},
    {OPT_FORMAT, "format", "NAME",
     "auto, fio2, fio3, blktrace, blktrace-d, blkparse,\n"
     "blkparse-d, msr, systor, libcachesim, spc, alibaba,\n"
     "tencent or mqsim (auto)"},
    {OPT_LENIENT, "lenient", NULL, "pass over lines that cannot be read, and count them"},
    {OPT_CRASHES, "crashes", "N", "power cuts (1000)"},
    {OPT_STRATEGY, "strategy", "NAME",
     "none: no power cut; each: at every step; random: at --crashes\n"
     "steps, all or nothing of what is pending survives; partial: at\n"
     "--crashes steps, --subsets parts of it; exhaustive: every state\n"
     "of every step, or of --crashes steps (partial)"},
    {OPT_CRASH_DEPTH, "crash-depth", "N",
     "exhaustive: power cuts in a row, those behind the first at every\n"
     "step of recovery (1)"},
    {OPT_SUBSETS, "subsets", "N", "crash states of each cut (16)"},
    {OPT_RESTARTS, "restarts", "N", "power cuts of the run itself, which then goes on (8)"},
    {OPT_SEED, "seed", "N", "of everything that is random (1)"},
    {OPT_CACHE, "cache-size", "SIZE",
     "of the simulated pmem, or N% of the different blocks that the\n"
     "trace touches (small enough that the trace fills it many\n"
     "times: 4M to 24M a disk)"},
    {OPT_SEGMENT, "segment-size", "SIZE", "a power of two (256K)"},
    {OPT_STREAMS, "streams", "N", "appenders of each backend (4)"},
    {OPT_NO_CHECKSUM, "no-data-checksum", NULL, "no checksums of data"},
    {OPT_DURABILITY, "durability", "NAME",
     "ack: what is acknowledged survives; flush: what is flushed does (ack)"},
    {OPT_MODEL, "model", "NAME", "adr, eadr or page: what a store needs to be durable (adr)"},
    {OPT_SCHEDULE, "schedule", "NAME",
     "serial: one request at a time; random, pct: logical threads that\n"
     "take turns at every store, flush, fence, lock, wait and disk\n"
     "request (serial; random with --threads)"},
    {OPT_THREADS, "threads", "N", "requests at a time, unless serial (4)"},
    {OPT_DEPTH, "depth", "N", "pct: how many events in some order a bug needs (3)"},
    {OPT_FAULTS, "faults", "LIST",
     "faults of the devices: all, or some of read-eio, write-eio,\n"
     "flush-eio, latent, gone, full, poison, flip, stale; lost-flush,\n"
     "lost-write, misplaced are disks that lie: violations (none)"},
    {OPT_JOBS, "jobs", "N", "processes; the report does not depend on it (all cores)"},
    {OPT_IMAGE, "image", "FILE",
     "leave the pmem of one last power cut in a new\n"
     "file, and each disk in FILE.diskN"},
    {OPT_REPORT, "report", "FILE", "write the report as JSON to a file, beside the text"},
    {OPT_JSON, "json", NULL, "the report as JSON"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "replay --trace FILE [OPTIONS]",
    .summary = "Replays a trace through the cache and takes the power away at numbered steps.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .footer =
        "Exit status: 0 no violation, 4 violations, 8 the simulation could not run, 16 usage.",
};

enum strategy {
    STRATEGY_NONE,
    STRATEGY_EACH,
    STRATEGY_RANDOM,
    STRATEGY_PARTIAL,
    STRATEGY_EXHAUSTIVE,
    STRATEGY_COUNT
};

struct parsed {
    struct cbd_sim_replay replay;
    enum strategy strategy;
    bool json;
    bool crashes_given;
    bool scheduled, threaded;
    char why[256];
};

static enum strategy find_strategy(const char *name)
{
    static const char *const names[STRATEGY_COUNT] = {"none", "each", "random", "partial",
                                                      "exhaustive"};
    unsigned s = 0;

    while (s < STRATEGY_COUNT && strcmp(name, names[s]) != 0)
        s++;
    return (enum strategy)s;
}

static void apply_strategy(struct parsed *p)
{
    if (p->strategy == STRATEGY_NONE)
        p->replay.crashes = 0;
    else if (p->strategy == STRATEGY_EACH)
        p->replay.crashes = UINT64_MAX / p->replay.subsets;
    else if (p->strategy == STRATEGY_EXHAUSTIVE && !p->crashes_given)
        p->replay.crashes = UINT64_MAX / p->replay.subsets;
    else if (p->strategy == STRATEGY_RANDOM)
        p->replay.subsets = 2; /* the first two: nothing, everything */
}

static int set_u32(const char *name, const char *text, uint64_t min, uint64_t max, uint32_t *value,
                   char *why, size_t n)
{
    uint64_t v;
    int error = cbd_tool_parse_number(name, text, min, max, &v, why, n);

    if (error == 0)
        *value = (uint32_t)v;
    return error;
}

/* A size, or N% of the footprint. */
static int parse_cache_size(const char *arg, struct cbd_sim_replay *r, char *why, size_t n)
{
    size_t len = strlen(arg);
    char number[24];
    uint64_t percent;
    int error;

    if (len == 0 || arg[len - 1] != '%' || len > sizeof(number))
        return cbd_tool_parse_size("--cache-size", arg, &r->cache_bytes, why, n);
    memcpy(number, arg, len - 1);
    number[len - 1] = '\0';
    error = cbd_tool_parse_number("--cache-size", number, 1, 1000, &percent, why, n);
    if (error == 0)
        r->cache_percent = (uint32_t)percent;
    return error;
}

static int set_option(struct parsed *p, int key, const char *arg)
{
    struct cbd_sim_replay *r = &p->replay;
    size_t n = sizeof(p->why);
    uint64_t size = 0;
    int error = 0;

    switch (key) {
    case OPT_TRACE:
        r->trace = arg;
        return 0;
    case OPT_FORMAT:
        error = sim_trace_format_parse(arg, &r->format);
        if (error != 0)
            snprintf(p->why, n, "--format: got '%.40s', limit a name that --help lists", arg);
        return error;
    case OPT_LENIENT:
        r->lenient = true;
        return 0;
    case OPT_CRASHES:
        p->crashes_given = true;
        return cbd_tool_parse_number("--crashes", arg, 0, 100000000, &r->crashes, p->why, n);
    case OPT_STRATEGY:
        p->strategy = find_strategy(arg);
        if (p->strategy != STRATEGY_COUNT)
            return 0;
        snprintf(p->why, n,
                 "--strategy: got '%.40s', limit none, each, random, partial or exhaustive", arg);
        return CBD_E_INVALID;
    case OPT_CRASH_DEPTH:
        return set_u32("--crash-depth", arg, 1, SIM_LAZY_DEPTH_MAX, &r->crash_depth, p->why, n);
    case OPT_SUBSETS:
        return set_u32("--subsets", arg, 1, 100000, &r->subsets, p->why, n);
    case OPT_RESTARTS:
        return set_u32("--restarts", arg, 0, 100000, &r->restarts, p->why, n);
    case OPT_SEED:
        return cbd_tool_parse_number("--seed", arg, 0, UINT64_MAX, &r->seed, p->why, n);
    case OPT_CACHE:
        return parse_cache_size(arg, r, p->why, n);
    case OPT_SEGMENT:
        error = cbd_tool_parse_size("--segment-size", arg, &size, p->why, n);
        r->segment_bytes = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
        return error;
    case OPT_STREAMS:
        return set_u32("--streams", arg, 1, CBD_STREAMS_MAX, &r->streams, p->why, n);
    case OPT_NO_CHECKSUM:
        r->no_data_checksum = true;
        return 0;
    case OPT_DURABILITY:
        r->durable_on_flush = strcmp(arg, "flush") == 0;
        if (r->durable_on_flush || strcmp(arg, "ack") == 0)
            return 0;
        snprintf(p->why, n, "--durability: got '%.40s', limit ack or flush", arg);
        return CBD_E_INVALID;
    case OPT_MODEL:
        if (cbd_sim_model_parse(arg, &r->model))
            return 0;
        snprintf(p->why, n, "--model: got '%.40s', limit adr, eadr or page", arg);
        return CBD_E_INVALID;
    case OPT_SCHEDULE:
        p->scheduled = true;
        if (sim_schedule_parse(arg, &r->schedule))
            return 0;
        snprintf(p->why, n, "--schedule: got '%.40s', limit serial, random or pct", arg);
        return CBD_E_INVALID;
    case OPT_THREADS:
        p->threaded = true;
        return set_u32("--threads", arg, 1, SIM_CLIENTS_MAX, &r->threads, p->why, n);
    case OPT_DEPTH:
        return set_u32("--depth", arg, 1, 1000, &r->depth, p->why, n);
    case OPT_FAULTS:
        if (sim_fault_parse(arg, &r->faults))
            return 0;
        snprintf(p->why, n, "--faults: got '%.80s', limit all, none or a list of names", arg);
        return CBD_E_INVALID;
    case OPT_JOBS:
        return set_u32("--jobs", arg, 1, SIM_WORKERS_MAX, &r->jobs, p->why, n);
    case OPT_IMAGE:
        r->image = arg;
        return 0;
    case OPT_REPORT:
        r->report = arg;
        return 0;
    case OPT_JSON:
    default:
        p->json = true;
        return 0;
    }
}

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
    struct cbd_tool_progress *progress = arg;

    progress->total = total;
    cbd_tool_progress_update(progress, done);
}

static bool write_report(const struct parsed *p, const struct cbd_sim_trace *t,
                         const struct sim_campaign *c, const struct sim_result *result)
{
    struct stat st;
    FILE *out = fopen(p->replay.report, "w");
    bool ok = out != NULL && cbd_sim_report_json(&p->replay, t, c, result, out) == 0;
    bool file = out != NULL && fstat(fileno(out), &st) == 0 && S_ISREG(st.st_mode);

    if (out != NULL && fclose(out) != 0)
        ok = false;
    if (ok)
        return true;
    cbd_tool_error(p->replay.report, "%s", strerror(errno));
    if (file)
        unlink(p->replay.report); /* half a report is none */
    return false;
}

static int run(struct parsed *p, const struct cbd_sim_trace *t, struct sim_campaign *c)
{
    struct sim_result *result = sim_zalloc(1, sizeof(*result));
    struct cbd_tool_progress progress;
    int exit_code, error;

    cbd_tool_progress_open(&progress, -1);
    cbd_tool_progress_begin(&progress, "power cuts", 0);
    c->progress = show_progress;
    c->progress_arg = &progress;
    error = sim_campaign_run(c, result);
    cbd_tool_progress_end(&progress);
    if (error != 0) {
        if (result->trace_error.text[0] != '\0')
            cbd_tool_error(NULL, "%s", result->trace_error.text);
        else
            cbd_tool_error_code(p->replay.trace, "replay", error);
        free(result);
        return CBD_EXIT_OPERATIONAL;
    }
    exit_code = result->failures != 0 || result->run_failed ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
    if (p->replay.report != NULL && !write_report(p, t, c, result))
        exit_code = CBD_EXIT_OPERATIONAL;
    if (!p->json)
        cbd_sim_report_text(&p->replay, t, c, result);
    else if (cbd_sim_report_json(&p->replay, t, c, result, stdout) != 0)
        exit_code = CBD_EXIT_OPERATIONAL;
    if (result->image_failed) {
        cbd_tool_error(p->replay.image,
                       "the image could not be written (FILE and FILE.diskN must not exist yet)");
        exit_code = CBD_EXIT_OPERATIONAL;
    }
    free(result);
    return exit_code;
}

int cbd_sim_cmd_replay(int argc, char **argv)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    struct parsed p = {.strategy = STRATEGY_PARTIAL};
    struct cbd_sim_trace t;
    struct sim_campaign c;
    int exit_code;

    cbd_sim_replay_defaults(&p.replay);
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION)
        if (set_option(&p, parser.key, parser.argument) != 0)
            return cbd_tool_usage_error(&usage, "%s", p.why);
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    if (p.replay.trace == NULL)
        return cbd_tool_usage_error(&usage, "--trace is missing");
    p.replay.exhaustive = p.strategy == STRATEGY_EXHAUSTIVE;
    if (p.replay.exhaustive && p.replay.faults != 0)
        return cbd_tool_usage_error(&usage, "--strategy exhaustive knows no --faults");
    if (!p.replay.exhaustive && p.replay.crash_depth != 1)
        return cbd_tool_usage_error(&usage, "--crash-depth is for --strategy exhaustive");
    apply_strategy(&p);
    if (p.threaded && !p.scheduled)
        p.replay.schedule = SIM_SCHEDULE_RANDOM;
    exit_code = cbd_sim_prepare(&p.replay, &t, &c);
    if (exit_code != 0)
        return exit_code;
    exit_code = CBD_EXIT_OPERATIONAL;
    if (cbd_sim_file_crc(p.replay.trace, &p.replay.trace_crc))
        exit_code = run(&p, &t, &c);
    cbd_sim_release(&t);
    return exit_code;
}
