/* SPDX-License-Identifier: BSD-2-Clause */
/* One process for each step; in it one attempt after the other until something fails. */
#include "drops.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin.h"
#include "campaign.h"
#include "drops_damage.h"
#include "generate.h"
#include "mend.h"
#include "sim_base.h"

/* Cheap ones first. */
static const struct attempt {
    const char *name;
    enum { CAMPAIGN, ADMIN, DAMAGE, REPAIR } kind;
    bool no_data_checksum;
    enum sim_model model;
    uint32_t subsets;
    enum cbd_durability durability;
    uint64_t draw; /* with the seed; of each attempt another, in whatever order they are tried */
} attempts[] = {
    {"repair", REPAIR, false, SIM_ADR, 6, CBD_DURABLE_ON_ACK, 8},
    {"damage", DAMAGE, false, SIM_ADR, 0, CBD_DURABLE_ON_ACK, 7},
    {"campaign", CAMPAIGN, false, SIM_ADR, 16, CBD_DURABLE_ON_ACK, 0},
    {"campaign, durability=flush", CAMPAIGN, false, SIM_ADR, 16, CBD_DURABLE_ON_FLUSH, 1},
    {"campaign, no data checksums", CAMPAIGN, true, SIM_ADR, 16, CBD_DURABLE_ON_ACK, 2},
    {"campaign, page model", CAMPAIGN, false, SIM_PAGE, 16, CBD_DURABLE_ON_ACK, 3},
    {"admin", ADMIN, false, SIM_ADR, 16, CBD_DURABLE_ON_ACK, 4},
    {"admin, page model", ADMIN, true, SIM_PAGE, 32, CBD_DURABLE_ON_ACK, 5},
    {"admin, many subsets", ADMIN, true, SIM_ADR, 64, CBD_DURABLE_ON_ACK, 6},
};

#define ATTEMPTS (sizeof(attempts) / sizeof(attempts[0]))

/* A small cache and a small space, so that segments fill, epochs close and reclaim runs. */
static bool try_campaign(struct sim_drop *drop, const struct attempt *t, uint64_t seed)
{
    struct sim_generator generator = {
        .seed = seed,
        .requests = 2000,
        .space_bytes = UINT64_C(4) << 20,
        .volumes = 2,
        .len_max_bytes = 256u << 10,
    };
    struct sim_campaign c = {
        .config =
            {
                .seed = sim_rng_mix(seed, 1),
                .cache_bytes = UINT64_C(5) << 20,
                .segment_bytes = 128u << 10,
                .streams = 3,
                .backends = 2,
                .disk_bytes = {UINT64_C(8) << 20, UINT64_C(8) << 20},
                .logical_block_bytes = 512,
                .dirty_start_percent = 30,
                .no_data_checksum = t->no_data_checksum,
                .durability = t->durability,
                .model = t->model,
                .drop_step = drop->step,
            },
        .source = sim_generator_source(&generator),
        .crashes = 300,
        .subsets = t->subsets,
        .restarts = 8,
        .workers = 1,
        .stop_at_first = true,
        .only_step = UINT64_MAX,
    };
    struct sim_result *result = sim_zalloc(1, sizeof(*result));
    bool found;

    SIM_REQUIRE(sim_campaign_run(&c, result) == 0);
    found = result->run_failed || result->failures != 0;
    if (result->run_failed)
        sim_verdict_text(&result->run_verdict, drop->failure, sizeof(drop->failure));
    else if (found)
        sim_verdict_text(&result->failed[0].verdict, drop->failure, sizeof(drop->failure));
    drop->states += result->judged.states;
    free(result);
    return found;
}

static bool try_admin(struct sim_drop *drop, const struct attempt *t, uint64_t seed)
{
    struct sim_admin_config config = {
        .seed = seed,
        .subsets = t->subsets,
        .model = t->model,
        .no_data_checksum = t->no_data_checksum,
        .drop_step = drop->step,
        .stop_at_first = true,
    };
    struct sim_admin_result result;

    sim_admin_run(&config, &result);
    drop->states += result.states;
    drop->calls += result.drop_calls;
    if (result.failures != 0)
        sim_admin_failure_text(&result.first, drop->failure, sizeof(drop->failure));
    return result.failures != 0;
}

static bool try_damage(struct sim_drop *drop, const struct attempt *t, uint64_t seed)
{
    (void)t;
    return !sim_drops_damage(drop->step, seed, &drop->states, &drop->calls, drop->failure,
                             sizeof(drop->failure));
}

/* Of all models and both durabilities. */
static bool try_repair(struct sim_drop *drop, const struct attempt *t, uint64_t seed)
{
    bool good = true;

    for (uint32_t n = 0; n < 96 && good; n++) {
        struct sim_mend_config c = {
            .world =
                {
                    .seed = sim_rng_mix(seed, n),
                    .cache_bytes = UINT64_C(3) << 20,
                    .segment_bytes = 64u << 10,
                    .streams = 2,
                    .backends = 1,
                    .disk_bytes = {UINT64_C(1) << 20},
                    .logical_block_bytes = 512,
                    .drop_step = drop->step,
                },
            .requests = 300,
            .every = 200,
            .images = 6,
            .cuts = 8,
            .subsets = t->subsets,
            .space_bytes = UINT64_C(1) << 19,
            .len_max_bytes = 16u << 10,
        };
        struct sim_mend_counts counts = {0};

        sim_mend_vary(&c.world, n);
        good = sim_mend_run(&c, &counts, drop->failure, sizeof(drop->failure));
        drop->states += counts.states;
        drop->calls += counts.drop_calls;
    }
    return !good;
}

static bool (*const tries[])(struct sim_drop *drop, const struct attempt *t, uint64_t seed) = {
    [CAMPAIGN] = try_campaign,
    [ADMIN] = try_admin,
    [DAMAGE] = try_damage,
    [REPAIR] = try_repair,
};

/* No campaign formats or administers anything under the eyes of its judge; nothing else repairs. */
static bool worth_trying(enum cbd_phase phase, const struct attempt *t)
{
    if (phase == CBD_PHASE_REPAIR || t->kind == REPAIR)
        return phase == CBD_PHASE_REPAIR && t->kind == REPAIR;
    return t->kind != CAMPAIGN || (phase != CBD_PHASE_FORMAT && phase != CBD_PHASE_ADMIN);
}

static void try_step(struct sim_drop *drop, uint64_t seed)
{
    bool declared = cbd_step_redundant(drop->step)[0] != '\0';
    bool found = false;

    for (size_t i = 0; i < ATTEMPTS && !found; i++) {
        if (!worth_trying(cbd_step_phase(drop->step), &attempts[i]))
            continue;
        found = tries[attempts[i].kind](drop, &attempts[i], sim_rng_mix(seed, attempts[i].draw));
        if (found)
            snprintf(drop->by, sizeof(drop->by), "%s", attempts[i].name);
    }
    if (found)
        drop->verdict = declared ? SIM_DROP_WRONG : SIM_DROP_FOUND;
    else if (declared)
        drop->verdict = drop->calls != 0 ? SIM_DROP_REDUNDANT : SIM_DROP_UNCALLED;
    else
        drop->verdict = SIM_DROP_HOLE;
}

/* Children that run now; each owns one entry of the shared result. */
struct children {
    pid_t pid[SIM_DROPS_WORKERS_MAX];
    uint32_t running;
};

static bool start(struct children *c, struct sim_drop *drop, uint64_t seed)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0) {
        try_step(drop, seed);
        _exit(0);
    }
    c->pid[c->running++] = pid;
    return true;
}

/* Waits for any one of ours; other children of the process are not touched. */
static void reap_one(struct children *c)
{
    for (;;) {
        for (uint32_t i = 0; i < c->running; i++) {
            if (waitpid(c->pid[i], NULL, WNOHANG) == 0)
                continue;
            c->pid[i] = c->pid[--c->running];
            return;
        }
        usleep(5000);
    }
}

static int run_all(const struct sim_drops_config *config, struct sim_drops_result *r)
{
    struct children c = {.running = 0};
    uint32_t next = 0, done = 0;
    int error = 0;

    while (done < r->count && error == 0) {
        while (next < r->count && c.running < config->workers && error == 0) {
            if (start(&c, &r->drop[next], config->seed))
                next++;
            else
                error = CBD_E_SYSTEM;
        }
        if (c.running != 0 && error == 0) {
            reap_one(&c);
            done++;
            if (config->progress != NULL)
                config->progress(config->progress_arg, done, r->count);
        }
    }
    while (c.running != 0)
        reap_one(&c);
    return error;
}

int sim_drops_run(const struct sim_drops_config *config, struct sim_drops_result *result)
{
    struct sim_drops_result *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int error;

    if (shared == MAP_FAILED)
        return CBD_E_NOMEM;
    SIM_REQUIRE(config->workers >= 1 && config->workers <= SIM_DROPS_WORKERS_MAX);
    for (int step = CBD_STEP_NONE + 1; step < CBD_STEP_COUNT; step++)
        if (config->only == CBD_STEP_NONE || (int)config->only == step)
            shared->drop[shared->count++].step = (enum cbd_step)step;
    error = run_all(config, shared);
    *result = *shared;
    munmap(shared, sizeof(*shared));
    for (uint32_t i = 0; i < result->count; i++)
        result->verdicts[result->drop[i].verdict]++;
    return error;
}

bool sim_drops_good(const struct sim_drops_result *result)
{
    return result->verdicts[SIM_DROP_FOUND] + result->verdicts[SIM_DROP_REDUNDANT] == result->count;
}

const char *sim_drop_verdict_name(enum sim_drop_verdict verdict)
{
    static const char *const names[SIM_DROP_VERDICT_COUNT] = {
        [SIM_DROP_DIED] = "died", [SIM_DROP_FOUND] = "found", [SIM_DROP_REDUNDANT] = "redundant",
        [SIM_DROP_HOLE] = "hole", [SIM_DROP_WRONG] = "wrong", [SIM_DROP_UNCALLED] = "uncalled",
    };

    return (unsigned)verdict < SIM_DROP_VERDICT_COUNT ? names[verdict] : "unknown";
}
