/* SPDX-License-Identifier: BSD-2-Clause */
/* The strategies that every bug is hunted with, cheap ones first. */
#include <string.h>

#include "admin.h"
#include "campaign.h"
#include "contract.h"
#include "damage.h"
#include "generate.h"
#include "hunt.h"
#include "hunt_small.h"
#include "score.h"
#include "sim_base.h"

#define MIB UINT64_C(1048576)
#define SEED UINT64_C(20)

struct strategy {
    const char *name;
    const char *what;
    bool (*run)(const struct strategy *s, uint64_t *states, char *failure, size_t failure_bytes);
    /* of a campaign */
    uint64_t requests, crashes;
    uint32_t subsets, restarts;
    uint32_t seeds; /* one campaign for each; 0: one */
    uint64_t space_bytes, trim_max_bytes;
    uint32_t len_max_bytes;
    uint64_t edge_bytes;
    bool no_flush;
    struct sim_config config;
    struct sim_damage_config damage;
    struct sim_admin_config admin;
};

static bool run_contract(const struct strategy *s, uint64_t *states, char *failure,
                         size_t failure_bytes)
{
    char why[256];

    (void)s;
    for (uint32_t i = 0; i < sim_contract_scenes(); i++) {
        ++*states;
        if (!sim_contract_play(i, why, sizeof(why))) {
            snprintf(failure, failure_bytes, "%s: %s", sim_contract_name(i), why);
            return true;
        }
    }
    return false;
}

static struct sim_generator generator_of(const struct strategy *s, uint64_t seed)
{
    return (struct sim_generator){
        .seed = sim_rng_mix(s->config.seed, seed),
        .requests = s->requests,
        .space_bytes = s->space_bytes,
        .volumes = s->config.backends,
        .len_max_bytes = s->len_max_bytes,
        .trim_max_bytes = s->trim_max_bytes,
        .edge_bytes = s->edge_bytes,
        .no_flush = s->no_flush,
    };
}

static bool run_seed(const struct strategy *s, uint64_t seed, uint64_t *states, char *failure,
                     size_t failure_bytes)
{
    struct sim_generator generator = generator_of(s, seed);
    struct sim_campaign c = {
        .config = s->config,
        .source = sim_generator_source(&generator),
        .crashes = s->crashes,
        .subsets = s->subsets,
        .restarts = s->restarts,
        .workers = 1,
        .stop_at_first = true,
        .only_step = UINT64_MAX,
    };
    struct sim_result *result = sim_zalloc(1, sizeof(*result));
    bool found;

    c.config.seed += seed;
    SIM_REQUIRE(sim_campaign_run(&c, result) == 0);
    found = result->run_failed || result->failures != 0;
    if (found)
        sim_verdict_text(result->run_failed ? &result->run_verdict : &result->failed[0].verdict,
                         failure, failure_bytes);
    *states += result->judged.states + 1; /* the run itself is compared as well */
    free(result);
    return found;
}

static bool run_campaign(const struct strategy *s, uint64_t *states, char *failure,
                         size_t failure_bytes)
{
    for (uint64_t seed = 0; seed < s->seeds + (s->seeds == 0); seed++)
        if (run_seed(s, seed, states, failure, failure_bytes))
            return true;
    return false;
}

static bool run_damage(const struct strategy *s, uint64_t *states, char *failure,
                       size_t failure_bytes)
{
    return !sim_damage_run(&s->damage, states, failure, failure_bytes);
}

static bool run_admin(const struct strategy *s, uint64_t *states, char *failure,
                      size_t failure_bytes)
{
    struct sim_admin_result result;

    sim_admin_run(&s->admin, &result);
    *states += result.states;
    if (result.failures != 0)
        sim_admin_failure_text(&result.first, failure, failure_bytes);
    return result.failures != 0;
}

static const struct strategy strategies[] = {
    {
        .name = "contract",
        .what = "short scenes: what has to be refused, to fail, to stay away",
        .run = run_contract,
    },
    {
        .name = "small",
        .what = "one disk, a cache of a few segments that is full at once",
        .run = run_campaign,
        .requests = 250,
        .crashes = 60,
        .subsets = 8,
        .restarts = 4,
        .space_bytes = 1 * MIB,
        .len_max_bytes = 64u << 10,
        .config = {.seed = SEED,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 2,
                   .backends = 1,
                   .disk_bytes = {2 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 20},
    },
    {
        .name = "damage",
        .what = "the medium is damaged in one place: what do check, recovery and reads say",
        .run = run_damage,
        .damage = {.world = {.seed = SEED + 10,
                             .cache_bytes = 3 * MIB,
                             .segment_bytes = 64u << 10,
                             .streams = 2,
                             .backends = 1,
                             .disk_bytes = {1 * MIB},
                             .logical_block_bytes = 512,
                             .dirty_start_percent = 20},
                   .requests = 300,
                   .every = 25,
                   .damages = 100,
                   .space_bytes = MIB / 2,
                   .len_max_bytes = 16u << 10},
    },
    {
        .name = "tiny",
        .what = "requests of a few sectors: records fill more of a segment than data",
        .run = run_campaign,
        .requests = 3000,
        .crashes = 40,
        .subsets = 8,
        .restarts = 4,
        .space_bytes = MIB / 2,
        .len_max_bytes = 1024,
        .config = {.seed = SEED + 8,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 1,
                   .backends = 1,
                   .disk_bytes = {2 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 20},
    },
    {
        .name = "large",
        .what = "requests of up to 1 MiB side by side",
        .run = run_campaign,
        .requests = 300,
        .crashes = 40,
        .subsets = 8,
        .restarts = 4,
        .space_bytes = 2 * MIB,
        .len_max_bytes = 1024u << 10,
        .no_flush = true,
        .config = {.seed = SEED + 9,
                   .cache_bytes = 6 * MIB,
                   .segment_bytes = 256u << 10,
                   .streams = 2,
                   .backends = 1,
                   .disk_bytes = {4 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 50},
    },
    {
        .name = "no flush",
        .what = "small writes, discards of many regions, and nobody flushes",
        .run = run_campaign,
        .requests = 1500,
        .crashes = 60,
        .subsets = 8,
        .restarts = 4,
        .space_bytes = 16 * MIB,
        .trim_max_bytes = 15 * MIB,
        .len_max_bytes = 32u << 10,
        .edge_bytes = 4 * MIB,
        .no_flush = true,
        .config = {.seed = SEED + 7,
                   .cache_bytes = 5 * MIB,
                   .segment_bytes = 128u << 10,
                   .streams = 2,
                   .trees = 2,
                   .backends = 1,
                   .disk_bytes = {16 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 30},
    },
    {
        .name = "errors",
        .what = "the disk fails writes, flushes and discards",
        .run = run_campaign,
        .requests = 400,
        .crashes = 100,
        .subsets = 16,
        .restarts = 4,
        .space_bytes = 2 * MIB,
        .len_max_bytes = 64u << 10,
        .config = {.seed = SEED + 2,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 2,
                   .backends = 1,
                   .disk_bytes = {2 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 20,
                   .space_timeout_ns = UINT64_C(1000000000),
                   .faults = SIM_FAULTS_HONEST},
    },
    {
        .name = "restless",
        .what = "the power fails every few requests, and the run goes on",
        .run = run_campaign,
        .requests = 600,
        .crashes = 100,
        .subsets = 16,
        .restarts = 100,
        .space_bytes = 1 * MIB,
        .len_max_bytes = 32u << 10,
        .config = {.seed = SEED + 3,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 2,
                   .backends = 1,
                   .disk_bytes = {1 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 60},
    },
    {
        .name = "plain",
        .what = "without data checksums, on a disk that keeps what is discarded",
        .run = run_campaign,
        .requests = 400,
        .crashes = 100,
        .subsets = 16,
        .restarts = 4,
        .space_bytes = 2 * MIB,
        .len_max_bytes = 128u << 10,
        .config = {.seed = SEED + 1,
                   .cache_bytes = 4 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 2,
                   .backends = 1,
                   .disk_bytes = {4 * MIB},
                   .logical_block_bytes = 4096,
                   .dirty_start_percent = 30,
                   .disk_keeps_discarded = true,
                   .no_data_checksum = true},
    },
    {
        .name = "page",
        .what = "a mapped file: pages reach the medium at any time, msync makes them durable",
        .run = run_campaign,
        .requests = 400,
        .crashes = 150,
        .subsets = 16,
        .restarts = 4,
        .space_bytes = 1 * MIB,
        .len_max_bytes = 64u << 10,
        .config = {.seed = SEED + 4,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 2,
                   .backends = 1,
                   .disk_bytes = {2 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 20,
                   .model = SIM_PAGE},
    },
    {
        .name = "mixed",
        .what = "two disks, three streams, four trees, large discards",
        .run = run_campaign,
        .requests = 600,
        .crashes = 100,
        .subsets = 16,
        .restarts = 8,
        .space_bytes = 24 * MIB,
        .trim_max_bytes = 20 * MIB,
        .len_max_bytes = 256u << 10,
        .config = {.seed = SEED,
                   .cache_bytes = 5 * MIB,
                   .segment_bytes = 128u << 10,
                   .streams = 3,
                   .trees = 4,
                   .backends = 2,
                   .disk_bytes = {32 * MIB, 32 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 30},
    },
    {
        .name = "reuse",
        .what = "six segments and one stream: space is used again while somebody looks",
        .run = run_campaign,
        .requests = 2000,
        .crashes = 20,
        .subsets = 4,
        .seeds = 10,
        .space_bytes = 192u << 10,
        .len_max_bytes = 16u << 10,
        .config = {.seed = SEED + 11,
                   .cache_bytes = 5 * MIB / 2,
                   .segment_bytes = 64u << 10,
                   .streams = 1,
                   .backends = 1,
                   .disk_bytes = {1 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 10,
                   .schedule = SIM_SCHEDULE_PCT,
                   .clients = 6,
                   .depth = 6},
    },
    {
        .name = "hot",
        .what = "five clients on four blocks, many power cuts: what was read must stay",
        .run = run_campaign,
        .requests = 400,
        .crashes = 600,
        .subsets = 2,
        .seeds = 2,
        .space_bytes = 16u << 10,
        .len_max_bytes = 4096,
        .config = {.seed = SEED + 12,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 4,
                   .backends = 1,
                   .disk_bytes = {MIB / 2},
                   .logical_block_bytes = 4096,
                   .dirty_start_percent = 50,
                   .schedule = SIM_SCHEDULE_RANDOM,
                   .clients = 5},
    },
    {
        .name = "crowd",
        .what = "eight clients, a cache that is always full, and nobody flushes",
        .run = run_campaign,
        .requests = 1500,
        .crashes = 10,
        .subsets = 4,
        .restarts = 2,
        .seeds = 4,
        .space_bytes = 256u << 10,
        .len_max_bytes = 16u << 10,
        .no_flush = true,
        .config = {.seed = SEED + 13,
                   .cache_bytes = 5 * MIB / 2,
                   .segment_bytes = 64u << 10,
                   .streams = 2,
                   .backends = 1,
                   .disk_bytes = {1 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 80,
                   .schedule = SIM_SCHEDULE_RANDOM,
                   .clients = 8},
    },
    {
        .name = "threads",
        .what = "eight clients on a few blocks, write-back and reclaim, interleaved at random",
        .run = run_campaign,
        .requests = 1500,
        .crashes = 40,
        .subsets = 8,
        .restarts = 2,
        .seeds = 6,
        .space_bytes = 128u << 10,
        .len_max_bytes = 16u << 10,
        .config = {.seed = SEED + 5,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 4,
                   .backends = 1,
                   .disk_bytes = {1 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 20,
                   .schedule = SIM_SCHEDULE_RANDOM,
                   .clients = 8},
    },
    {
        .name = "pct",
        .what = "the same with priorities that change at a few places",
        .run = run_campaign,
        .requests = 1500,
        .crashes = 40,
        .subsets = 8,
        .restarts = 2,
        .seeds = 6,
        .space_bytes = 256u << 10,
        .len_max_bytes = 16u << 10,
        .config = {.seed = SEED + 6,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 4,
                   .backends = 1,
                   .disk_bytes = {1 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 20,
                   .schedule = SIM_SCHEDULE_PCT,
                   .clients = 8,
                   .depth = 5},
    },
    {
        .name = "admin",
        .what = "format, add, attach, detach and remove, every step cut, every copy lost",
        .run = run_admin,
        .admin = {.seed = SEED, .subsets = 8, .model = SIM_ADR, .stop_at_first = true},
    },
    {
        .name = "admin, page",
        .what = "the same as admin on a mapped file, without data checksums",
        .run = run_admin,
        .admin = {.seed = SEED,
                  .subsets = 16,
                  .model = SIM_PAGE,
                  .no_data_checksum = true,
                  .stop_at_first = true},
    },
    {
        .name = "unread",
        .what = "reads of the disk fail, once or until the sector is written",
        .run = run_campaign,
        .requests = 400,
        .crashes = 60,
        .subsets = 16,
        .seeds = 2,
        .space_bytes = 1 * MIB,
        .len_max_bytes = 64u << 10,
        .config = {.seed = 2 * SEED,
                   .cache_bytes = 3 * MIB,
                   .segment_bytes = 64u << 10,
                   .streams = 2,
                   .backends = 1,
                   .disk_bytes = {2 * MIB},
                   .logical_block_bytes = 512,
                   .dirty_start_percent = 20,
                   .space_timeout_ns = UINT64_C(1000000000),
                   .faults = 1u << SIM_FAULT_READ_EIO | 1u << SIM_FAULT_LATENT},
    },
};

uint32_t sim_hunt_strategies(void)
{
    return sizeof(strategies) / sizeof(strategies[0]);
}

const char *sim_hunt_strategy_name(uint32_t strategy)
{
    return strategies[strategy].name;
}

const char *sim_hunt_strategy_what(uint32_t strategy)
{
    return strategies[strategy].what;
}

/* The power cuts of the run, as operations at the same places. */
static void add_restart(struct sim_workload *w, uint64_t n)
{
    uint64_t h = sim_rng_mix(w->config.seed, 1000 + n);
    struct sim_work_op *op = sim_workload_add(w, SIM_WORK_RESTART);

    op->steps = sim_rng_mix(w->config.seed, 500 + n) % 40;
    op->crash = sim_crash_subset(h % 16, h);
}

bool sim_hunt_workload(uint32_t strategy, uint64_t n, struct sim_workload *w, uint64_t *crashes,
                       uint32_t *subsets)
{
    static const enum sim_work_kind kinds[SIM_REQUEST_OP_COUNT] = {
        [SIM_REQUEST_READ] = SIM_WORK_READ,
        [SIM_REQUEST_WRITE] = SIM_WORK_WRITE,
        [SIM_REQUEST_TRIM] = SIM_WORK_DISCARD,
        [SIM_REQUEST_FLUSH] = SIM_WORK_FLUSH,
    };
    const struct strategy *s = &strategies[strategy];
    struct sim_generator g = generator_of(s, n);
    struct sim_source source = sim_generator_source(&g);
    struct sim_trace_error error;
    struct sim_request r;
    uint64_t requests = 0, restarts = 0;

    if (s->run != run_campaign || n >= s->seeds + (s->seeds == 0))
        return false;
    w->count = 0;
    w->config = s->config;
    w->config.seed += n;
    w->config.trees += w->config.trees == 0;
    w->config.clients += w->config.clients == 0;
    (void)source.rewind(source.arg, &error);
    for (; source.next(source.arg, &r, &error) == 1; requests++) {
        struct sim_work_op *op;

        if (restarts < s->restarts &&
            requests == source.requests * (restarts + 1) / (s->restarts + 1))
            add_restart(w, restarts++);
        op = sim_workload_add(w, r.zero ? SIM_WORK_ZERO : kinds[r.op]);
        op->disk = (uint8_t)r.volume;
        op->fua = r.fua;
        op->off_bytes = r.off_bytes / s->config.logical_block_bytes * s->config.logical_block_bytes;
        op->len_bytes =
            (r.off_bytes + r.len_bytes - op->off_bytes + s->config.logical_block_bytes - 1) /
            s->config.logical_block_bytes * s->config.logical_block_bytes;
    }
    *crashes = s->crashes;
    *subsets = s->subsets;
    return true;
}

bool sim_hunt_try(uint32_t strategy, uint64_t *states, char *failure, size_t failure_bytes)
{
    const struct strategy *s = &strategies[strategy];

    if (strategy >= sim_hunt_strategies())
        return sim_score_try((enum sim_score_row)(strategy - sim_hunt_strategies()), states,
                             failure, failure_bytes);
    return s->run(s, states, failure, failure_bytes);
}
