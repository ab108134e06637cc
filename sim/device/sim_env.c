/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated environment: an arena, a virtual clock, a scheduler that is asked to go on. */
#include "sim_env.h"

#include <string.h>

#include "sim_base.h"

#define BLOCK_BYTES (UINT64_C(4) << 20)
#define STEP_NS UINT64_C(1000)

struct sim_env_block {
    struct sim_env_block *next;
    size_t size, used;
    _Alignas(64) uint8_t bytes[];
};

static struct sim_env_block *new_block(size_t need)
{
    size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
    struct sim_env_block *block = aligned_alloc(64, (sizeof(*block) + size + 63) & ~(size_t)63);

    SIM_REQUIRE(block != NULL);
    block->next = NULL;
    block->size = size;
    block->used = 0;
    return block;
}

/* Memory of an ended process is handed out again as it was: core/ must not look at it. */
static void *env_alloc(struct cbd_env *base, size_t len_bytes)
{
    struct sim_env *env = (struct sim_env *)base;
    size_t need = (len_bytes + 63) & ~(size_t)63;
    struct sim_env_block *block = env->current;
    void *p;

    while (block->size - block->used < need) {
        if (block->next == NULL)
            block->next = new_block(need);
        block = block->next;
        block->used = 0;
    }
    env->current = block;
    p = block->bytes + block->used;
    block->used += need;
    return p;
}

static void env_free(struct cbd_env *base, void *p, size_t len_bytes)
{
    struct sim_env *env = (struct sim_env *)base;
    size_t need = (len_bytes + 63) & ~(size_t)63;

    /* Only the newest piece can be taken back; the others go with the process. */
    if (env->current->used >= need && env->current->bytes + env->current->used - need == p)
        env->current->used -= need;
}

static uint64_t env_now_ns(struct cbd_env *base)
{
    return ((struct sim_env *)base)->now_ns;
}

static uint64_t env_random(struct cbd_env *base)
{
    return sim_rng_u64(&((struct sim_env *)base)->rng);
}

static void env_report(struct cbd_env *base, const struct cbd_report *report)
{
    struct sim_env *env = (struct sim_env *)base;

    if (report->severity != CBD_ERROR)
        return;
    if (env->errors < SIM_ENV_REPORTS_KEPT)
        env->first[env->errors] = *report;
    env->errors++;
}

static int env_wait(struct cbd_env *base, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    struct sim_env *env = (struct sim_env *)base;
    uint64_t deadline =
        timeout_ns > UINT64_MAX - env->now_ns ? UINT64_MAX : env->now_ns + timeout_ns;
    uint64_t idle = 0;
    int error = 0;

    if (env->threads != NULL &&
        env->threads->wait(env->threads_arg, ready, arg, timeout_ns, &error))
        return error;
    for (;;) {
        if (ready(arg))
            return 0;
        if (env->now_ns >= deadline)
            return CBD_E_TIMEDOUT;
        env->now_ns += STEP_NS;
        if (env->progress != NULL && env->progress(env->progress_arg)) {
            idle = 0;
            continue;
        }
        /* Nobody can run any more: the rest of the time passes at once. */
        if (++idle > 64) {
            SIM_REQUIRE(timeout_ns != UINT64_MAX);
            env->now_ns = deadline;
            return CBD_E_TIMEDOUT;
        }
    }
}

static void env_wake(struct cbd_env *base)
{
    struct sim_env *env = (struct sim_env *)base;

    if (env->threads != NULL)
        env->threads->wake(env->threads_arg);
}

static void env_yield(struct cbd_env *base, enum cbd_yield why)
{
    struct sim_env *env = (struct sim_env *)base;

    if (env->threads != NULL && env->threads->yield(env->threads_arg, why))
        return;
    /* Nobody else will drop a lock that the only thread waits for. */
    SIM_REQUIRE(why != CBD_YIELD_SPIN);
}

static const struct cbd_env_ops ops = {
    .alloc = env_alloc,
    .free = env_free,
    .now_ns = env_now_ns,
    .random = env_random,
    .report = env_report,
    .wait = env_wait,
    .wake = env_wake,
    .yield = env_yield,
};

void sim_env_init(struct sim_env *env, uint64_t seed)
{
    memset(env, 0, sizeof(*env));
    env->env.ops = &ops;
    env->blocks = new_block(0);
    sim_env_reset(env, seed);
}

void sim_env_reset(struct sim_env *env, uint64_t seed)
{
    sim_rng_seed(&env->rng, seed);
    env->now_ns = 0;
    env->errors = 0;
    env->current = env->blocks;
    env->current->used = 0;
}

void sim_env_destroy(struct sim_env *env)
{
    while (env->blocks != NULL) {
        struct sim_env_block *next = env->blocks->next;

        free(env->blocks);
        env->blocks = next;
    }
}
