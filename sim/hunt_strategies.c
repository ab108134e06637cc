/* SPDX-License-Identifier: BSD-2-Clause */
/* The strategies that every bug is hunted with, cheap ones first. */
#include <string.h>

#include "admin.h"
#include "campaign.h"
#include "contract.h"
#include "generate.h"
#include "hunt.h"
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
    uint64_t space_bytes, trim_max_bytes;
    uint32_t len_max_bytes;
    struct sim_config config;
    /* of the administrative scenario */
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

static bool run_campaign(const struct strategy *s, uint64_t *states, char *failure,
                         size_t failure_bytes)
{
    struct sim_generator generator = {
        .seed = SEED,
        .requests = s->requests,
        .space_bytes = s->space_bytes,
        .volumes = s->config.backends,
        .len_max_bytes = s->len_max_bytes,
        .trim_max_bytes = s->trim_max_bytes,
    };
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

    SIM_REQUIRE(sim_campaign_run(&c, result) == 0);
    found = result->run_failed || result->failures != 0;
    if (found)
        sim_verdict_text(result->run_failed ? &result->run_verdict : &result->failed[0].verdict,
                         failure, failure_bytes);
    *states += result->judged.states + 1; /* the run itself is compared as well */
    free(result);
    return found;
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
        .name = "admin",
        .what = "format, add, attach, detach and remove, every step cut, every copy lost",
        .run = run_admin,
        .admin = {.seed = SEED, .subsets = 8, .model = SIM_ADR, .stop_at_first = true},
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
                   .disk_errors = 8},
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
        .name = "admin, page",
        .what = "the same as admin on a mapped file, without data checksums",
        .run = run_admin,
        .admin = {.seed = SEED,
                  .subsets = 16,
                  .model = SIM_PAGE,
                  .no_data_checksum = true,
                  .stop_at_first = true},
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

bool sim_hunt_try(uint32_t strategy, uint64_t *states, char *failure, size_t failure_bytes)
{
    const struct strategy *s = &strategies[strategy];

    return s->run(s, states, failure, failure_bytes);
}
