/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that live as long as the jobs: recovery runs once. The caller takes part, so that it goes
 * on without any other thread when none can be started.
 */
#include "run.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "cbd/shim/env.h"
#include "shim_common.h"

#define PROCESSORS_MAX 16u /* that are taken without being told */

struct jobs {
    void (*job)(void *arg, unsigned n);
    void *arg;
    unsigned count;
    atomic_uint next;
};

static void *worker(void *arg)
{
    struct jobs *jobs = arg;
    unsigned n;

    while ((n = atomic_fetch_add(&jobs->next, 1)) < jobs->count)
        jobs->job(jobs->arg, n);
    return NULL;
}

unsigned shim_processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return n < 1 ? 1 : n > (int)PROCESSORS_MAX ? PROCESSORS_MAX : (unsigned)n;
}

void shim_run(void (*job)(void *arg, unsigned n), void *arg, unsigned count, unsigned threads)
{
    struct jobs jobs = {.job = job, .arg = arg, .count = count};
    unsigned started = 0;
    pthread_t id[CBD_SHIM_PROCESSORS_MAX];
    sigset_t all, before;

    /* Signals are the business of the program's own threads; faults still reach the worker. */
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started + 1 < threads && started + 1 < count &&
           pthread_create(&id[started], NULL, worker, &jobs) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker(&jobs);
    for (unsigned i = 0; i < started; i++)
        pthread_join(id[i], NULL);
}
