/* SPDX-License-Identifier: BSD-2-Clause */
/* From settings to a campaign: looks at the trace, sizes the disks, opens the source. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"

#define DISK_BYTES_MAX (UINT64_C(16) << 40)
#define DISK_BYTES_MIN (UINT64_C(1) << 20)
#define PATHS_MAX 1000000u /* of one cut */
#define LOGICAL_BLOCK 512u
#define FAULTY_TIMEOUT_NS UINT64_C(1000000000) /* of a write that waits for space */

bool cbd_sim_file_crc(const char *path, uint32_t *crc)
{
    FILE *f = fopen(path, "rb");
    unsigned char buf[65536];
    size_t n;

    if (f == NULL) {
        cbd_tool_error(path, "%s", strerror(errno));
        return false;
    }
    *crc = (uint32_t)crc32(0, NULL, 0);
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        *crc = (uint32_t)crc32(*crc, buf, (uInt)n);
    if (ferror(f)) {
        cbd_tool_error(path, "%s", strerror(errno));
        fclose(f);
        return false;
    }
    fclose(f);
    return true;
}

static int source_rewind(void *arg, struct sim_trace_error *error)
{
    struct cbd_sim_trace *t = arg;
    struct sim_trace_options options = {.format = t->replay->format, .lenient = t->replay->lenient};

    sim_trace_close(t->trace);
    t->trace = NULL;
    return sim_trace_open(t->replay->trace, &options, &t->trace, error);
}

static int source_next(void *arg, struct sim_request *request, struct sim_trace_error *error)
{
    struct cbd_sim_trace *t = arg;

    return sim_trace_next(t->trace, request, error);
}

/* Volumes become backends; a trace with more volumes than backends shares them. */
static int size_disks(const struct cbd_sim_replay *r, const struct cbd_sim_trace *t,
                      struct sim_config *config)
{
    uint32_t volumes = t->totals.volume_count;

    config->backends = volumes == 0 ? 1 : volumes > SIM_BACKENDS_MAX ? SIM_BACKENDS_MAX : volumes;
    for (uint32_t n = 0; n < config->backends; n++)
        config->disk_bytes[n] = DISK_BYTES_MIN;
    for (uint32_t v = 0; v < volumes; v++) {
        uint64_t end = t->totals.volumes[v].end_bytes;
        uint64_t *disk = &config->disk_bytes[v % config->backends];

        if (end > DISK_BYTES_MAX) {
            cbd_tool_error_limit(r->trace, "end of a volume in bytes", end, DISK_BYTES_MAX);
            return CBD_EXIT_OPERATIONAL;
        }
        end = (end + CBD_BLOCK_BYTES - 1) / CBD_BLOCK_BYTES * CBD_BLOCK_BYTES;
        *disk = end > *disk ? end : *disk;
    }
    return 0;
}

/* The smallest pmem that a replay with so many backends can work in. */
static uint64_t least_bytes(const struct cbd_sim_replay *r, uint32_t backends)
{
    return cbd_geometry_minimum(r->segment_bytes) +
           (uint64_t)backends * (1 + CBD_SHARE_RESERVE) * r->segment_bytes;
}

static int check_cache(const struct cbd_sim_replay *r, struct sim_config *config)
{
    struct cbd_geometry geo;
    uint32_t each;
    int error = cbd_geometry_plan(&geo, r->cache_bytes, r->segment_bytes);

    if (error == CBD_E_INVALID) {
        cbd_tool_error_limit(NULL, "--segment-size (a power of two)", r->segment_bytes,
                             CBD_SEGMENT_BYTES_MAX);
        return CBD_EXIT_USAGE;
    }
    each = error != 0 ? 0 : geo.segment_count / config->backends;
    if (each < 1 + CBD_SHARE_RESERVE) {
        cbd_tool_error(NULL, "--cache-size: got %llu, limit at least %llu for %u backends",
                       (unsigned long long)r->cache_bytes,
                       (unsigned long long)least_bytes(r, config->backends), config->backends);
        return CBD_EXIT_USAGE;
    }
    config->streams = r->streams;
    if (config->streams + CBD_SHARE_RESERVE > each)
        config->streams = each - CBD_SHARE_RESERVE;
    return 0;
}

/* A sixth of what is written and read, within limits: reclaim has to work for its living. */
static uint64_t cache_bytes(const struct cbd_sim_trace *t, uint32_t backends)
{
    uint64_t moved = t->totals.bytes[SIM_REQUEST_WRITE] + t->totals.bytes[SIM_REQUEST_READ];
    uint64_t least = (UINT64_C(4) << 20) * backends, most = (UINT64_C(24) << 20) * backends;
    uint64_t size = moved / 6 / CBD_REGION_BYTES * CBD_REGION_BYTES;

    return size < least ? least : size > most ? most : size;
}

/* A share of the blocks that the trace touches, beside the tables; never less than what works. */
static int size_by_footprint(struct cbd_sim_replay *r, uint32_t backends)
{
    struct sim_trace_options options = {.format = r->format, .lenient = r->lenient};
    struct sim_trace_error error = {.line = 0};
    uint64_t footprint, least = least_bytes(r, backends);

    if (sim_trace_footprint(r->trace, &options, &footprint, &error) != 0) {
        cbd_tool_error(NULL, "%s", error.text);
        return CBD_EXIT_OPERATIONAL;
    }
    r->cache_bytes = cbd_geometry_minimum(r->segment_bytes) + footprint / 100 * r->cache_percent;
    r->cache_bytes = r->cache_bytes > least ? r->cache_bytes : least;
    return 0;
}

int cbd_sim_prepare(struct cbd_sim_replay *r, struct cbd_sim_trace *t, struct sim_campaign *c)
{
    struct sim_trace_options options = {.format = r->format, .lenient = r->lenient};
    struct sim_trace_error error;
    int exit_code;

    memset(t, 0, sizeof(*t));
    memset(c, 0, sizeof(*c));
    t->replay = r;
    if (sim_trace_scan(r->trace, &options, &t->totals, &error) != 0) {
        cbd_tool_error(NULL, "%s", error.text);
        return CBD_EXIT_OPERATIONAL;
    }
    c->config = (struct sim_config){
        .seed = r->seed,
        .segment_bytes = r->segment_bytes,
        .logical_block_bytes = LOGICAL_BLOCK,
        .dirty_start_percent = 30,
        .no_data_checksum = r->no_data_checksum,
        .durability = r->durable_on_flush ? CBD_DURABLE_ON_FLUSH : CBD_DURABLE_ON_ACK,
        .model = r->model,
        .schedule = r->schedule,
        .clients = r->threads,
        .depth = r->depth,
        .faults = r->faults,
        .space_timeout_ns = r->faults != 0 ? FAULTY_TIMEOUT_NS : 0,
    };
    exit_code = size_disks(r, t, &c->config);
    if (exit_code == 0 && r->cache_percent != 0)
        exit_code = size_by_footprint(r, c->config.backends);
    if (r->cache_bytes == 0)
        r->cache_bytes = cache_bytes(t, c->config.backends);
    c->config.cache_bytes = r->cache_bytes / CBD_PAGE_BYTES * CBD_PAGE_BYTES;
    if (exit_code == 0)
        exit_code = check_cache(r, &c->config);
    if (exit_code != 0) {
        cbd_sim_release(t);
        return exit_code;
    }
    c->source = (struct sim_source){source_rewind, source_next, t, t->totals.stats.requests};
    c->crashes = r->crashes;
    c->subsets = r->subsets;
    c->restarts = r->restarts;
    c->workers = r->jobs;
    c->only_step = UINT64_MAX;
    c->image = r->image;
    c->exhaustive = r->exhaustive;
    c->lazy.depth = r->crash_depth;
    c->lazy.paths_max = PATHS_MAX;
    c->only_trail = r->trail;
    return 0;
}

void cbd_sim_release(struct cbd_sim_trace *t)
{
    sim_trace_close(t->trace);
    sim_trace_totals_free(&t->totals);
}
