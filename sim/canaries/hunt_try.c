/* SPDX-License-Identifier: BSD-2-Clause */
/* One strategy against the bug that is switched on, or as a workload. */
#include <string.h>

#include "campaign.h"
#include "contract.h"
#include "generate.h"
#include "hunt_small.h"
#include "hunt_strategies_impl.h"
#include "score.h"
#include "sim_base.h"

static bool run_contract(uint64_t *states, char *failure, size_t failure_bytes)
{
    char why[256];

    for (uint32_t i = 0; i < sim_contract_scenes(); i++) {
        ++*states;
        if (!sim_contract_play(i, why, sizeof(why))) {
            snprintf(failure, failure_bytes, "%s: %s", sim_contract_name(i), why);
            return true;
        }
    }
    return false;
}

static struct sim_generator generator_of(const struct hunt_strategy *s, uint64_t seed)
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

static bool run_seed(const struct hunt_strategy *s, uint64_t seed, uint64_t *states, char *failure,
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

static bool run_campaign(const struct hunt_strategy *s, uint64_t *states, char *failure,
                         size_t failure_bytes)
{
    for (uint64_t seed = 0; seed < s->seeds + (s->seeds == 0); seed++)
        if (run_seed(s, seed, states, failure, failure_bytes))
            return true;
    return false;
}

static bool run_damage(const struct hunt_strategy *s, uint64_t *states, char *failure,
                       size_t failure_bytes)
{
    return !sim_damage_run(&s->damage, states, failure, failure_bytes);
}

static bool run_admin(const struct hunt_strategy *s, uint64_t *states, char *failure,
                      size_t failure_bytes)
{
    struct sim_admin_result result;

    sim_admin_run(&s->admin, &result);
    *states += result.states;
    if (result.failures != 0)
        sim_admin_failure_text(&result.first, failure, failure_bytes);
    return result.failures != 0;
}

static bool run_mend(const struct hunt_strategy *s, uint64_t *states, char *failure,
                     size_t failure_bytes)
{
    bool good = true;

    for (uint32_t n = 0; n < s->seeds && good; n++) {
        struct sim_mend_config config = s->mend;
        struct sim_mend_counts counts = {0};

        config.world.seed += n;
        sim_mend_vary(&config.world, n);
        good = sim_mend_run(&config, &counts, failure, failure_bytes);
        *states += counts.states;
    }
    return !good;
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
    const struct hunt_strategy *s = &hunt_strategies[strategy];
    struct sim_generator g = generator_of(s, n);
    struct sim_source source = sim_generator_source(&g);
    struct sim_trace_error error;
    struct sim_request r;
    uint64_t requests = 0, restarts = 0;

    if (s->kind != HUNT_CAMPAIGN || n >= s->seeds + (s->seeds == 0))
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
    const struct hunt_strategy *s;

    if (strategy >= sim_hunt_strategies())
        return sim_score_try((enum sim_score_row)(strategy - sim_hunt_strategies()), states,
                             failure, failure_bytes);
    s = &hunt_strategies[strategy];
    switch (s->kind) {
    case HUNT_CONTRACT:
        return run_contract(states, failure, failure_bytes);
    case HUNT_CAMPAIGN:
        return run_campaign(s, states, failure, failure_bytes);
    case HUNT_DAMAGE:
        return run_damage(s, states, failure, failure_bytes);
    case HUNT_MEND:
        return run_mend(s, states, failure, failure_bytes);
    case HUNT_ADMIN:
    default:
        return run_admin(s, states, failure, failure_bytes);
    }
}
