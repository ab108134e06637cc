/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment of a real process. */
#include "cbd/shim/env.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/random.h>
#include <time.h>

#include "arena.h"
#include "env_impl.h"
#include "run.h"
#include "shim_common.h"

#define NS_PER_S UINT64_C(1000000000)

struct shim_env {
    struct cbd_env env; /* first: the seam's pointer is ours */
    /* immutable after open */
    void (*report)(void *arg, const struct cbd_report *report);
    void *arg;
    struct shim_arena *arena;
    unsigned processors;
    /* held while report() runs */
    pthread_mutex_t report_lock;
    /* protected by wait_lock */
    pthread_mutex_t wait_lock;
    pthread_cond_t woken;
    uint64_t wakes;
};

static struct shim_env *impl(struct cbd_env *env)
{
    return (struct shim_env *)(void *)env;
}

static void *env_alloc(struct cbd_env *env, size_t len_bytes)
{
    return shim_arena_alloc(impl(env)->arena, len_bytes);
}

static void env_free(struct cbd_env *env, void *p, size_t len_bytes)
{
    shim_arena_free(impl(env)->arena, p, len_bytes);
}

static uint64_t env_now_ns(struct cbd_env *env)
{
    struct timespec now;

    (void)env;
    SHIM_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t env_random(struct cbd_env *env)
{
    uint64_t value;
    ssize_t got;

    (void)env;
    do {
        got = getrandom(&value, sizeof(value), 0);
    } while (got < 0 && errno == EINTR);
    SHIM_ASSERT(got == (ssize_t)sizeof(value));
    return value;
}

static void env_report(struct cbd_env *env, const struct cbd_report *report)
{
    struct shim_env *e = impl(env);

    if (e->report == NULL)
        return;
    pthread_mutex_lock(&e->report_lock);
    e->report(e->arg, report);
    pthread_mutex_unlock(&e->report_lock);
}

static struct timespec deadline_after(struct cbd_env *env, uint64_t timeout_ns)
{
    uint64_t now_ns = env_now_ns(env);
    uint64_t at_ns = timeout_ns > UINT64_MAX / 2 - now_ns ? UINT64_MAX / 2 : now_ns + timeout_ns;

    return (struct timespec){.tv_sec = (time_t)(at_ns / NS_PER_S),
                             .tv_nsec = (long)(at_ns % NS_PER_S)};
}

/*
 * ready() runs without the lock, because it may take locks under which others call wake(). Nothing
 * is lost: a wake() after the count was read changes it, and then there is no sleep.
 */
static int env_wait(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    struct shim_env *e = impl(env);
    struct timespec deadline = deadline_after(env, timeout_ns);
    bool late = false;
    uint64_t seen;

    for (;;) {
        pthread_mutex_lock(&e->wait_lock);
        seen = e->wakes;
        pthread_mutex_unlock(&e->wait_lock);
        if (ready(arg))
            return 0;
        if (late)
            return CBD_E_TIMEDOUT;
        pthread_mutex_lock(&e->wait_lock);
        while (e->wakes == seen && !late)
            late = pthread_cond_timedwait(&e->woken, &e->wait_lock, &deadline) == ETIMEDOUT;
        pthread_mutex_unlock(&e->wait_lock);
    }
}

static void env_wake(struct cbd_env *env)
{
    struct shim_env *e = impl(env);

    pthread_mutex_lock(&e->wait_lock);
    e->wakes++;
    pthread_cond_broadcast(&e->woken);
    pthread_mutex_unlock(&e->wait_lock);
}

uint64_t cbd_shim_env_wakes(struct cbd_env *env)
{
    struct shim_env *e = impl(env);
    uint64_t wakes;

    pthread_mutex_lock(&e->wait_lock);
    wakes = e->wakes;
    pthread_mutex_unlock(&e->wait_lock);
    return wakes;
}

static void env_yield(struct cbd_env *env, enum cbd_yield why)
{
    (void)env;
    if (why == CBD_YIELD_SPIN)
        sched_yield();
}

static void env_run(struct cbd_env *env, void (*job)(void *arg, unsigned n), void *arg,
                    unsigned count)
{
    shim_run(job, arg, count, impl(env)->processors);
}

/* With one processor there is nothing to run side by side. */
static const struct cbd_env_ops env_ops_one = {
    .alloc = env_alloc,
    .free = env_free,
    .now_ns = env_now_ns,
    .random = env_random,
    .report = env_report,
    .wait = env_wait,
    .wake = env_wake,
    .yield = env_yield,
};

static const struct cbd_env_ops env_ops = {
    .alloc = env_alloc,
    .free = env_free,
    .now_ns = env_now_ns,
    .random = env_random,
    .report = env_report,
    .wait = env_wait,
    .wake = env_wake,
    .yield = env_yield,
    .run = env_run,
};

void cbd_shim_env_processors(struct cbd_env *env, unsigned count)
{
    SHIM_ASSERT(count >= 1 && count <= CBD_SHIM_PROCESSORS_MAX);
    impl(env)->processors = count;
    env->ops = count > 1 ? &env_ops : &env_ops_one;
}

int shim_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);

    if (rc != 0)
        return rc;
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}

int cbd_shim_env_open(void (*report)(void *arg, const struct cbd_report *report), void *arg,
                      struct cbd_env **env, struct cbd_shim_error *err)
{
    struct shim_env *e = calloc(1, sizeof(*e));

    *env = NULL;
    if (e == NULL)
        return shim_fail(err, CBD_E_NOMEM, ENOMEM, "environment", "no memory");
    cbd_shim_env_processors(&e->env, shim_processors());
    e->report = report;
    e->arg = arg;
    e->arena = shim_arena_open();
    if (e->arena == NULL) {
        free(e);
        return shim_fail(err, CBD_E_NOMEM, ENOMEM, "environment", "no memory");
    }
    if (shim_cond_init(&e->woken) != 0) {
        shim_arena_close(e->arena);
        free(e);
        return shim_fail(err, CBD_E_SYSTEM, 0, "environment", "no condition variable");
    }
    /* Cannot fail with default attributes. */
    pthread_mutex_init(&e->report_lock, NULL);
    pthread_mutex_init(&e->wait_lock, NULL);
    shim_no_error(err);
    *env = &e->env;
    return 0;
}

void cbd_shim_env_close(struct cbd_env *env)
{
    struct shim_env *e = impl(env);

    if (e == NULL)
        return;
    pthread_cond_destroy(&e->woken);
    pthread_mutex_destroy(&e->wait_lock);
    pthread_mutex_destroy(&e->report_lock);
    shim_arena_close(e->arena);
    free(e);
}
