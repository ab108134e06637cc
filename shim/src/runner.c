/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that do the background work of a backend. */
#include "cbd/shim/runner.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "env_impl.h"
#include "shim_common.h"

#define NS_PER_S UINT64_C(1000000000)
#define RETRY_MIN_NS UINT64_C(10000000)
#define RETRY_MAX_NS UINT64_C(1000000000)
#define REST_MAX_NS UINT64_C(1000000000) /* so late a changed rate of scrub may be seen */

struct worker {
    struct cbd_shim_runner *runner;
    enum cbd_work work;
    pthread_t thread;
    atomic_ullong steps, sleeps, failures;
    atomic_int last_error;
};

struct cbd_shim_runner {
    /* immutable while it runs */
    struct cbd_env *env;
    struct cbd_backend *backend;
    uint64_t retry_min_ns;
    uint64_t retry_max_ns;
    atomic_bool stop;
    /* Scrub rests here: no write and no write-back brings work for it, only time and a new rate. */
    pthread_mutex_t rest_lock;
    pthread_cond_t rest_over;
    struct worker worker[CBD_SHIM_WORKS];
};

/* What a sleeping worker waits for. */
struct nap {
    struct cbd_shim_runner *runner;
    uint64_t wakes; /* counted before the step that found nothing to do */
    bool deaf;      /* a step failed: only time and a stop count */
};

static bool is_over(void *arg)
{
    const struct nap *nap = arg;

    if (atomic_load(&nap->runner->stop))
        return true;
    return !nap->deaf && cbd_shim_env_wakes(nap->runner->env) != nap->wakes;
}

static uint64_t sleep_ns(const struct worker *w)
{
    struct cbd_env *env = w->runner->env;
    uint64_t due = UINT64_MAX;
    uint64_t now;

    if (w->work == CBD_WORK_WRITEBACK)
        due = cbd_backend_due_ns(w->runner->backend);
    else if (w->work == CBD_WORK_SCRUB)
        due = cbd_backend_scrub_due_ns(w->runner->backend);
    if (due == UINT64_MAX)
        return UINT64_MAX;
    now = env->ops->now_ns(env);
    return due > now ? due - now : 0;
}

static void rest(struct cbd_shim_runner *r, uint64_t ns)
{
    uint64_t at_ns = r->env->ops->now_ns(r->env) + (ns < REST_MAX_NS ? ns : REST_MAX_NS);
    struct timespec at = {.tv_sec = (time_t)(at_ns / NS_PER_S),
                          .tv_nsec = (long)(at_ns % NS_PER_S)};
    int rc = 0;

    pthread_mutex_lock(&r->rest_lock);
    while (!atomic_load(&r->stop) && rc == 0)
        rc = pthread_cond_timedwait(&r->rest_over, &r->rest_lock, &at);
    pthread_mutex_unlock(&r->rest_lock);
}

static void *work_loop(void *arg)
{
    static const char *const names[CBD_SHIM_WORKS] = {
        [CBD_WORK_WRITEBACK] = "cbd-writeback",
        [CBD_WORK_RECLAIM] = "cbd-reclaim",
        [CBD_WORK_SCRUB] = "cbd-scrub",
    };
    struct worker *w = arg;
    struct cbd_shim_runner *r = w->runner;
    struct cbd_env *env = r->env;
    uint64_t retry_ns = 0;

    (void)pthread_setname_np(pthread_self(), names[w->work]); /* what top -H and gdb show */
    while (!atomic_load(&r->stop)) {
        struct nap nap = {.runner = r, .wakes = cbd_shim_env_wakes(env)};
        int did = cbd_backend_step(r->backend, w->work);

        atomic_store(&w->last_error, did < 0 ? did : 0);
        if (did > 0) {
            atomic_fetch_add(&w->steps, 1);
            retry_ns = 0;
            continue;
        }
        if (did < 0) {
            atomic_fetch_add(&w->failures, 1);
            retry_ns = retry_ns == 0 ? r->retry_min_ns : 2 * retry_ns;
            retry_ns = retry_ns > r->retry_max_ns ? r->retry_max_ns : retry_ns;
            nap.deaf = true;
        }
        atomic_fetch_add(&w->sleeps, 1);
        if (w->work == CBD_WORK_SCRUB)
            rest(r, did < 0 ? retry_ns : sleep_ns(w));
        else
            (void)env->ops->wait(env, is_over, &nap, did < 0 ? retry_ns : sleep_ns(w));
    }
    return NULL;
}

static void join(struct cbd_shim_runner *r, unsigned count)
{
    atomic_store(&r->stop, true);
    r->env->ops->wake(r->env);
    pthread_mutex_lock(&r->rest_lock);
    pthread_cond_broadcast(&r->rest_over);
    pthread_mutex_unlock(&r->rest_lock);
    for (unsigned i = 0; i < count; i++)
        pthread_join(r->worker[i].thread, NULL);
}

static void destroy(struct cbd_shim_runner *r)
{
    pthread_cond_destroy(&r->rest_over);
    pthread_mutex_destroy(&r->rest_lock);
    free(r);
}

int cbd_shim_runner_start(struct cbd_env *env, struct cbd_backend *backend,
                          const struct cbd_shim_runner_options *options,
                          struct cbd_shim_runner **runner, struct cbd_shim_error *err)
{
    struct cbd_shim_runner *r = calloc(1, sizeof(*r));
    sigset_t all, before;
    int rc = 0;

    *runner = NULL;
    if (r == NULL)
        return shim_fail(err, CBD_E_NOMEM, ENOMEM, "background runner", "no memory");
    r->env = env;
    r->backend = backend;
    r->retry_min_ns = options != NULL ? options->retry_min_ns : 0;
    r->retry_max_ns = options != NULL ? options->retry_max_ns : 0;
    if (r->retry_min_ns == 0)
        r->retry_min_ns = RETRY_MIN_NS;
    if (r->retry_max_ns == 0)
        r->retry_max_ns = RETRY_MAX_NS;
    if (r->retry_max_ns < r->retry_min_ns)
        r->retry_max_ns = r->retry_min_ns;
    pthread_mutex_init(&r->rest_lock, NULL); /* cannot fail with default attributes */
    rc = shim_cond_init(&r->rest_over);
    if (rc != 0) {
        pthread_mutex_destroy(&r->rest_lock);
        free(r);
        return shim_fail(err, CBD_E_SYSTEM, rc, "background runner", "no condition variable");
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < CBD_SHIM_WORKS && rc == 0; i++) {
        r->worker[i].runner = r;
        r->worker[i].work = (enum cbd_work)i;
        rc = pthread_create(&r->worker[i].thread, NULL, work_loop, &r->worker[i]);
        if (rc != 0)
            join(r, i);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        destroy(r);
        return shim_fail(err, CBD_E_SYSTEM, rc, "background runner", "no thread");
    }
    shim_no_error(err);
    *runner = r;
    return 0;
}

void cbd_shim_runner_stop(struct cbd_shim_runner *r)
{
    if (r == NULL)
        return;
    join(r, CBD_SHIM_WORKS);
    destroy(r);
}

void cbd_shim_runner_stats(const struct cbd_shim_runner *r, struct cbd_shim_runner_stats *stats)
{
    for (unsigned i = 0; i < CBD_SHIM_WORKS; i++) {
        stats->steps[i] = atomic_load(&r->worker[i].steps);
        stats->sleeps[i] = atomic_load(&r->worker[i].sleeps);
        stats->failures[i] = atomic_load(&r->worker[i].failures);
        stats->last_error[i] = atomic_load(&r->worker[i].last_error);
    }
}
