/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim writeback: what write-back makes of a trace, beside the best that could be made of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "best.h"
#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

/* As docs/design.md, Write-back, says: the largest requests. */
#define DATA_BYTES_MAX (UINT64_C(256) << 10)
#define ZERO_BYTES_MAX (UINT64_C(4) << 30)
#define REGION_BYTES (UINT64_C(4) << 20)
#define SECTOR UINT64_C(512)

enum {
    OPT_TRACE = 256,
    OPT_FORMAT,
    OPT_LENIENT,
    OPT_SEED,
    OPT_CACHE,
    OPT_SEGMENT,
    OPT_STREAMS,
    OPT_LIMIT,
};

static const struct cbd_tool_option options[] = {
    {OPT_TRACE, "trace", "FILE", "the trace: plain, gzip or zstd"},
    {OPT_FORMAT, "format", "NAME", "of the trace (auto)"},
    {OPT_LENIENT, "lenient", NULL, "pass over lines that cannot be read, and count them"},
    {OPT_SEED, "seed", "N", "of the scheduler (1)"},
    {OPT_CACHE, "cache-size", "SIZE", "of the simulated pmem (as for replay)"},
    {OPT_SEGMENT, "segment-size", "SIZE", "a power of two (256K)"},
    {OPT_STREAMS, "streams", "N", "appenders of each backend (4)"},
    {OPT_LIMIT, "limit", "PERCENT", "how much more than the best is allowed (5)"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "writeback --trace FILE [OPTIONS]",
    .summary =
        "Replays a trace without power cuts and compares the requests of write-back with the\n"
        "fewest that are possible: epochs end at the flushes and FUA writes of the trace and at\n"
        "the limits of the cache, what an epoch overwrote is skipped, neighbours are merged up\n"
        "to 256 KiB of data or a discard of 4 GiB, epochs are not merged.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .footer = "Exit status: 0 within the limit, 4 not, 8 the simulation could not run, 16 usage.",
};

struct parsed {
    struct cbd_sim_replay replay;
    uint64_t limit_percent;
    char why[256];
};

struct sums {
    struct sim_best_sums best, whole; /* whole: no epoch ends before it fills the cache */
    struct cbd_stats engine;
};

static int set_option(struct parsed *p, int key, const char *arg)
{
    struct cbd_sim_replay *r = &p->replay;
    size_t n = sizeof(p->why);
    uint64_t v = 0;
    int error = 0;

    switch (key) {
    case OPT_TRACE:
        r->trace = arg;
        return 0;
    case OPT_FORMAT:
        error = sim_trace_format_parse(arg, &r->format);
        if (error != 0)
            snprintf(p->why, n, "--format: got '%.40s', limit the formats of docs/simulator.md",
                     arg);
        return error;
    case OPT_LENIENT:
        r->lenient = true;
        return 0;
    case OPT_SEED:
        return cbd_tool_parse_number("--seed", arg, 0, UINT64_MAX, &r->seed, p->why, n);
    case OPT_CACHE:
        return cbd_tool_parse_size("--cache-size", arg, &r->cache_bytes, p->why, n);
    case OPT_SEGMENT:
        error = cbd_tool_parse_size("--segment-size", arg, &v, p->why, n);
        r->segment_bytes = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
        return error;
    case OPT_STREAMS:
        error = cbd_tool_parse_number("--streams", arg, 1, CBD_STREAMS_MAX, &v, p->why, n);
        r->streams = (uint32_t)v;
        return error;
    case OPT_LIMIT:
    default:
        return cbd_tool_parse_number("--limit", arg, 0, 1000000, &p->limit_percent, p->why, n);
    }
}

/* One request as the world gives it to the cache: whole blocks, inside the device. */
static void feed(const struct sim_config *c, const struct sim_request *r, struct sim_best **best)
{
    uint64_t lbs = c->logical_block_bytes;
    uint32_t n = r->volume % c->backends;
    uint64_t size = c->disk_bytes[n], off, end;

    if (r->op == SIM_REQUEST_FLUSH)
        sim_best_flush(best[n]);
    if ((r->op != SIM_REQUEST_WRITE && r->op != SIM_REQUEST_TRIM) || r->off_bytes >= size)
        return;
    off = r->off_bytes / lbs * lbs;
    end = r->len_bytes > size - r->off_bytes ? size : r->off_bytes + r->len_bytes;
    end = (end + lbs - 1) / lbs * lbs;
    sim_best_write(best[n], off / SECTOR, (end - off) / SECTOR, r->op == SIM_REQUEST_TRIM,
                   r->op == SIM_REQUEST_WRITE && r->fua);
}

static void add_best(struct sim_best_sums *to, struct sim_best *best)
{
    struct sim_best_sums s = sim_best_end(best);

    to->data_requests += s.data_requests;
    to->data_bytes += s.data_bytes;
    to->zero_requests += s.zero_requests;
    to->zero_bytes += s.zero_bytes;
    to->epochs += s.epochs;
    to->forced += s.forced;
    sim_best_destroy(best);
}

static void add_engine(struct cbd_stats *to, struct cbd_backend *b)
{
    struct cbd_stats s;

    cbd_backend_stats(b, &s);
    to->writeback_ios += s.writeback_ios;
    to->writeback_bytes += s.writeback_bytes;
    to->writeback_zero_bytes += s.writeback_zero_bytes;
    to->writeback_flushes += s.writeback_flushes;
    to->epochs_forced += s.epochs_forced;
    to->writes_paced += s.writes_paced;
}

static struct sim_best *best_for(struct sim_world *w, uint32_t n, bool whole)
{
    struct cbd_attach_options o;
    struct sim_best_config c;
    struct cbd_stats s;

    cbd_backend_options(w->main.backend[n], &o);
    cbd_backend_stats(w->main.backend[n], &s);
    c = (struct sim_best_config){
        .epoch_bytes_max = whole ? s.segments * w->config.segment_bytes : o.epoch_bytes_max,
        .epoch_records_max = whole ? 0 : o.epoch_records_max,
        .piece_bytes_max =
            w->config.segment_bytes / 4 < REGION_BYTES ? w->config.segment_bytes / 4 : REGION_BYTES,
        .data_bytes_max = DATA_BYTES_MAX,
        .zero_bytes_max = ZERO_BYTES_MAX,
    };
    return sim_best_create(&c);
}

/* 0 or an exit code; a message was printed. */
static int run_trace(struct sim_world *w, struct sim_source *source, struct sums *sums)
{
    struct sim_best *best[SIM_BACKENDS_MAX], *whole[SIM_BACKENDS_MAX];
    struct sim_trace_error error = {0};
    struct sim_request request;
    int got = source->rewind(source->arg, &error);

    for (uint32_t n = 0; n < w->config.backends; n++) {
        best[n] = best_for(w, n, false);
        whole[n] = best_for(w, n, true);
    }
    while (got == 0 && (got = source->next(source->arg, &request, &error)) == 1) {
        feed(&w->config, &request, best);
        feed(&w->config, &request, whole);
        got = sim_world_request(w, &request) ? 0 : CBD_E_IO;
    }
    if (got == 0)
        sim_world_drain(w);
    for (uint32_t n = 0; n < w->config.backends; n++) {
        add_best(&sums->best, best[n]);
        add_best(&sums->whole, whole[n]);
        if (w->main.backend[n] != NULL)
            add_engine(&sums->engine, w->main.backend[n]);
    }
    if (got == 0 && sim_world_finish(w))
        return 0;
    if (error.text[0] != '\0')
        cbd_tool_error(NULL, "%s", error.text);
    else
        cbd_tool_error(NULL, "the run failed: %s",
                       w->error_where != NULL ? w->error_where : "final compare");
    return CBD_EXIT_OPERATIONAL;
}

static double ratio(uint64_t got, uint64_t best)
{
    return best == 0 ? (got == 0 ? 1.0 : 1e9) : (double)got / (double)best;
}

static double mean_kib(uint64_t bytes, uint64_t requests)
{
    return requests == 0 ? 0 : (double)bytes / (double)requests / 1024;
}

static int report(const struct parsed *p, const struct sums *s)
{
    uint64_t requests = s->best.data_requests + s->best.zero_requests;
    uint64_t whole = s->whole.data_requests + s->whole.zero_requests;
    uint64_t moved = s->engine.writeback_bytes + s->engine.writeback_zero_bytes;
    double r[3] = {
        ratio(s->engine.writeback_ios, requests),
        ratio(s->engine.writeback_flushes, s->best.epochs),
        ratio(moved, s->best.data_bytes + s->best.zero_bytes),
    };
    double worst = r[0] > r[1] ? r[0] : r[1];

    worst = r[2] > worst ? r[2] : worst;
    printf("%s\n\n", p->replay.trace);
    printf("                        write-back          best     ratio   epochs as large as the "
           "cache\n");
    printf("  requests          %14" PRIu64 "%14" PRIu64 "%10.3f%14" PRIu64 "\n",
           s->engine.writeback_ios, requests, r[0], whole);
    printf("  flushes           %14" PRIu64 "%14" PRIu64 "%10.3f%14" PRIu64 "\n",
           s->engine.writeback_flushes, s->best.epochs, r[1], s->whole.epochs);
    printf("  bytes             %14" PRIu64 "%14" PRIu64 "%10.3f%14" PRIu64 "\n", moved,
           s->best.data_bytes + s->best.zero_bytes, r[2],
           s->whole.data_bytes + s->whole.zero_bytes);
    printf("  mean request, KiB %14.1f%14.1f\n", mean_kib(moved, s->engine.writeback_ios),
           mean_kib(s->best.data_bytes + s->best.zero_bytes, requests));
    printf("  forced epochs     %14" PRIu64 "%14" PRIu64 "\n", s->engine.epochs_forced,
           s->best.forced);
    printf("\n  the worst ratio is %.3f, the limit %.2f\n", worst,
           1 + (double)p->limit_percent / 100);
    if (fflush(stdout) != 0)
        return CBD_EXIT_OPERATIONAL;
    return worst <= 1 + (double)p->limit_percent / 100 ? CBD_EXIT_CLEAN : CBD_EXIT_LEFT;
}

int cbd_sim_cmd_writeback(int argc, char **argv)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    struct parsed p = {.limit_percent = 5};
    struct cbd_sim_trace t;
    struct sim_campaign c;
    struct sim_world *w;
    struct sums sums = {0};
    int exit_code, error;

    cbd_sim_replay_defaults(&p.replay);
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION)
        if (set_option(&p, parser.key, parser.argument) != 0)
            return cbd_tool_usage_error(&usage, "%s", p.why);
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    if (p.replay.trace == NULL)
        return cbd_tool_usage_error(&usage, "--trace is missing");
    exit_code = cbd_sim_prepare(&p.replay, &t, &c);
    if (exit_code != 0)
        return exit_code;
    w = sim_zalloc(1, sizeof(*w));
    error = sim_world_create(w, &c.config);
    if (error != 0) {
        cbd_tool_error_code(p.replay.trace, w->error_where, error);
        exit_code = CBD_EXIT_OPERATIONAL;
    } else {
        exit_code = run_trace(w, &c.source, &sums);
    }
    sim_world_destroy(w);
    free(w);
    cbd_sim_release(&t);
    return exit_code != 0 ? exit_code : report(&p, &sums);
}
