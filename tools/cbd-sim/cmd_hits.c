/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim hits: how many of the bytes that are read come from the cache, by replacement policy. */
#include <string.h>

#include "sim_base.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"
#include "zipf.h"

enum {
    OPT_TRACE = 256,
    OPT_SYNTHETIC,
    OPT_POLICY,
    OPT_CACHE,
    OPT_SEGMENT,
    OPT_STREAMS,
    OPT_SEED,
};

static const struct cbd_tool_option options[] = {
    {OPT_TRACE, "trace", "FILE", "the requests: a trace, plain, gzip or zstd"},
    {OPT_SYNTHETIC, "synthetic", "PERCENT",
     "instead of a trace: reads of a hot set after Zipf's law, and so\n"
     "many percent reads of a scan that reads each block once"},
    {OPT_POLICY, "policy", "NAME", "fifo or second-chance (both)"},
    {OPT_CACHE, "cache-size", "SIZE", "of the simulated pmem (8M)"},
    {OPT_SEGMENT, "segment-size", "SIZE", "a power of two (64K)"},
    {OPT_STREAMS, "streams", "N", "appenders of each backend (2)"},
    {OPT_SEED, "seed", "N", "of everything that is random (1)"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "hits --trace FILE | --synthetic PERCENT [OPTIONS]",
    .summary = "Runs requests through the cache, without power cuts, and prints how many of the\n"
               "bytes that were read came from it. What the reads return is compared.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .footer = "Exit status: 0 done, 4 a read was wrong, 8 the simulation could not run, 16 usage.",
};

#define POLICIES 2u

static const char *const policy_names[POLICIES] = {
    [CBD_REPLACE_SECOND_CHANCE] = "second-chance",
    [CBD_REPLACE_FIFO] = "fifo",
};

struct parsed {
    struct cbd_sim_replay replay;
    bool synthetic;
    uint64_t scan_percent;
    bool policy[POLICIES];
    char why[256];
};

static int parse_policy(struct parsed *p, const char *name)
{
    for (uint32_t i = 0; i < POLICIES; i++) {
        if (strcmp(name, policy_names[i]) == 0) {
            p->policy[i] = true;
            return 0;
        }
    }
    snprintf(p->why, sizeof(p->why), "--policy: got '%.40s', limit fifo or second-chance", name);
    return CBD_E_INVALID;
}

static int set_option(struct parsed *p, int key, const char *arg)
{
    struct cbd_sim_replay *r = &p->replay;
    size_t n = sizeof(p->why);
    uint64_t value = 0;
    int error;

    switch (key) {
    case OPT_TRACE:
        r->trace = arg;
        return 0;
    case OPT_SYNTHETIC:
        p->synthetic = true;
        return cbd_tool_parse_number("--synthetic", arg, 0, 100, &p->scan_percent, p->why, n);
    case OPT_POLICY:
        return parse_policy(p, arg);
    case OPT_CACHE:
        return cbd_tool_parse_size("--cache-size", arg, &r->cache_bytes, p->why, n);
    case OPT_SEGMENT:
        error = cbd_tool_parse_size("--segment-size", arg, &value, p->why, n);
        r->segment_bytes = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
        return error;
    case OPT_STREAMS:
        error = cbd_tool_parse_number("--streams", arg, 1, CBD_STREAMS_MAX, &value, p->why, n);
        r->streams = (uint32_t)value;
        return error;
    case OPT_SEED:
    default:
        return cbd_tool_parse_number("--seed", arg, 0, UINT64_MAX, &r->seed, p->why, n);
    }
}

/* Bytes read and found; [1] is the scan's part. */
struct tally {
    uint64_t read[2];
    uint64_t hit[2];
    uint64_t kept;
    uint64_t reclaimed;
};

static void sum_stats(const struct sim_world *w, struct cbd_stats *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct cbd_stats s;

        cbd_backend_stats(w->main.backend[n], &s);
        sum->read_bytes += s.read_bytes;
        sum->hit_bytes += s.hit_bytes;
        sum->kept_bytes += s.kept_bytes;
        sum->segments_reclaimed += s.segments_reclaimed;
    }
}

struct feed {
    const struct sim_source *source; /* or */
    struct sim_zipf *zipf;
};

static int next_request(const struct feed *feed, struct sim_request *request, unsigned *part)
{
    int got;

    *part = 0;
    if (feed->zipf == NULL)
        return feed->source->next(feed->source->arg, request, NULL);
    got = sim_zipf_next(feed->zipf, request);
    *part = request->volume;
    request->volume = 0;
    return got;
}

/* An exit code. */
static int run(const struct sim_config *config, const struct feed *feed, struct tally *tally)
{
    struct sim_world w;
    struct cbd_stats before, after;
    struct sim_request request;
    unsigned part;
    int error = sim_world_create(&w, config);
    int got = 0;

    memset(tally, 0, sizeof(*tally));
    if (error == 0)
        sum_stats(&w, &before);
    while (error == 0 && (got = next_request(feed, &request, &part)) == 1) {
        if (!sim_world_request(&w, &request))
            break;
        sum_stats(&w, &after);
        tally->read[part] += after.read_bytes - before.read_bytes;
        tally->hit[part] += after.hit_bytes - before.hit_bytes;
        tally->kept = after.kept_bytes;
        tally->reclaimed = after.segments_reclaimed;
        before = after;
    }
    if (error != 0 || got < 0 || w.error != 0)
        cbd_tool_error_code(NULL, "hits", error != 0 ? error : got < 0 ? got : w.error);
    error = error != 0 || got < 0                    ? CBD_EXIT_OPERATIONAL
            : w.violation.promise != SIM_ORACLE_NONE ? CBD_EXIT_LEFT
            : w.error != 0                           ? CBD_EXIT_OPERATIONAL
                                                     : CBD_EXIT_CLEAN;
    sim_world_destroy(&w);
    return error;
}

static void print(const struct parsed *p, uint32_t policy, const struct tally *t)
{
    uint64_t read = t->read[0] + t->read[1], hit = t->hit[0] + t->hit[1];

    printf("%-14s %12llu read %12llu hit %6.2f %%", policy_names[policy], (unsigned long long)read,
           (unsigned long long)hit, read == 0 ? 0.0 : 100.0 * (double)hit / (double)read);
    if (p->synthetic && t->read[0] != 0)
        printf(", of the hot set %6.2f %%", 100.0 * (double)t->hit[0] / (double)t->read[0]);
    printf(", %llu copied forward, %llu segments reclaimed\n", (unsigned long long)t->kept,
           (unsigned long long)t->reclaimed);
}

/* A hot set of four times the cache, each block of it read ten times in the mean. */
static void make_synthetic(const struct parsed *p, struct sim_config *config, struct sim_zipf *z)
{
    const struct cbd_sim_replay *r = &p->replay;

    *z = (struct sim_zipf){
        .seed = r->seed,
        .blocks = (uint32_t)(r->cache_bytes / SIM_ZIPF_BLOCK_BYTES) * 4,
        .scan_percent = (uint32_t)p->scan_percent,
    };
    z->scan_blocks = UINT64_C(10) * z->blocks;
    z->requests = UINT64_C(10) * z->blocks;
    *config = (struct sim_config){
        .seed = r->seed,
        .cache_bytes = r->cache_bytes,
        .segment_bytes = r->segment_bytes,
        .streams = r->streams,
        .backends = 1,
        .disk_bytes = {(z->blocks + z->scan_blocks) * SIM_ZIPF_BLOCK_BYTES},
        .logical_block_bytes = 512,
    };
}

static int run_policies(struct parsed *p)
{
    struct cbd_sim_trace t;
    struct sim_campaign c;
    struct sim_zipf z;
    struct feed feed = {0};
    int exit_code = 0;

    memset(&c, 0, sizeof(c));
    if (p->synthetic)
        make_synthetic(p, &c.config, &z);
    else
        exit_code = cbd_sim_prepare(&p->replay, &t, &c);
    if (exit_code != 0)
        return exit_code;
    for (uint32_t i = 0; i < POLICIES && exit_code == 0; i++) {
        struct tally tally;

        if (!p->policy[i])
            continue;
        c.config.replacement = (enum cbd_replacement)i;
        if (p->synthetic) {
            sim_zipf_begin(&z);
            feed.zipf = &z;
        } else {
            feed.source = &c.source;
            if (c.source.rewind(c.source.arg, NULL) != 0)
                exit_code = CBD_EXIT_OPERATIONAL;
        }
        if (exit_code == 0)
            exit_code = run(&c.config, &feed, &tally);
        if (exit_code == 0)
            print(p, i, &tally);
        if (p->synthetic)
            sim_zipf_end(&z);
    }
    if (!p->synthetic)
        cbd_sim_release(&t);
    return exit_code;
}

int cbd_sim_hits(int argc, char **argv)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    struct parsed p = {0};

    cbd_sim_replay_defaults(&p.replay);
    p.replay.cache_bytes = UINT64_C(8) << 20;
    p.replay.segment_bytes = 64u << 10;
    p.replay.streams = 2;
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION)
        if (set_option(&p, parser.key, parser.argument) != 0)
            return cbd_tool_usage_error(&usage, "%s", p.why);
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    if (p.synthetic == (p.replay.trace != NULL))
        return cbd_tool_usage_error(&usage, "one of --trace and --synthetic is needed");
    if (p.replay.cache_bytes > UINT64_C(1) << 30)
        return cbd_tool_usage_error(&usage, "--cache-size: got %llu, limit %llu",
                                    (unsigned long long)p.replay.cache_bytes, 1ULL << 30);
    if (!p.policy[0] && !p.policy[1])
        p.policy[0] = p.policy[1] = true;
    return run_policies(&p);
}
