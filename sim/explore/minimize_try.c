/* SPDX-License-Identifier: BSD-2-Clause */
/* One candidate: in a process of its own, with some seeds. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit.h"
#include "minimize_impl.h"
#include "sim_base.h"

#define SEEDS 4u
#define SEEDS_OF_CHANCE 16u /* where the schedule has to go one way of many */
#define SMALL_OPS 8u
#define NEAR_SUBSETS 4u /* at most, beside the crash that there was */
/* A candidate that runs longer than this is taken for one that hangs. */
#define SECONDS_MAX 30u

static struct sim_try settings(const struct minimizer *z)
{
    return (struct sim_try){
        .strategy = SIM_STRATEGY_PARTIAL,
        .subsets = z->m->subsets,
        .merge = true,
        .stop_at_first = true,
        .like = z->like.failure != SIM_FAILURE_NONE ? &z->like : NULL,
    };
}

/* In the child. */
static void try_seeds(struct minimizer *z, const struct sim_try *t, uint32_t seeds)
{
    struct trial *trial = z->shared;
    uint64_t first = z->next.config.seed;

    for (uint32_t i = 0; i < seeds; i++) {
        z->next.config.seed = i == 0 ? first : i;
        trial->seed = z->next.config.seed;
        sim_try_run(&z->next, t, &trial->tried);
        if (trial->tried.failures != 0)
            break;
    }
    trial->done = true;
}

/* Returns the signal that it died by, 0: none. */
static int run_child(struct minimizer *z, const struct sim_try *t, uint32_t seeds)
{
    static const struct rlimit no_core = {0, 0};
    int status = 0;
    pid_t pid;

    memset(z->shared, 0, sizeof(*z->shared));
    fflush(NULL);
    pid = fork();
    SIM_REQUIRE(pid >= 0);
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        sim_limit_seconds(SECONDS_MAX);
        try_seeds(z, t, seeds);
        _exit(0);
    }
    SIM_REQUIRE(waitpid(pid, &status, 0) == pid);
    z->result->tries++;
    if (z->shared->done)
        return 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : SIGABRT;
}

static void adopt(struct minimizer *z)
{
    struct trial *trial = z->shared;

    z->next.config.seed = trial->seed;
    if (trial->done && trial->tried.step != UINT64_MAX)
        z->next.cut = trial->tried.cut;
    sim_workload_copy(&z->w, &z->next);
    if (z->m->progress != NULL)
        z->m->progress(z->m->progress_arg, z->result->tries, sim_workload_lines(&z->w));
}

bool minimize_find(struct minimizer *z)
{
    struct sim_try t = settings(z);
    struct sim_work_cut near = z->next.cut;

    if (near.where == SIM_WORK_NOWHERE) {
        t.strategy = SIM_STRATEGY_NONE; /* what fails without a power cut needs no other run */
        z->signal = run_child(z, &t, 1);
        t = settings(z);
    }
    if (z->signal == 0 && z->shared->tried.failures == 0)
        z->signal = run_child(z, &t, 1);
    if (z->signal == 0 && z->shared->tried.failures == 0 && near.where != SIM_WORK_NOWHERE) {
        /* Its own cut does not show it; what was seen there once may have no words. */
        memset(&z->next.cut, 0, sizeof(z->next.cut));
        t.near = &near;
        z->signal = run_child(z, &t, 1);
    }
    if (z->signal == 0 && z->shared->tried.failures == 0)
        return false;
    z->like = z->shared->tried.verdict;
    adopt(z);
    return true;
}

/* The power cut where it was: most of what can be left out has nothing to do with it. */
static bool accept_in_place(struct minimizer *z)
{
    struct sim_try t = settings(z);

    if (run_child(z, &t, 1) != 0 || z->shared->tried.failures == 0)
        return false;
    adopt(z);
    return true;
}

static uint32_t seeds_of(const struct minimizer *z)
{
    if (z->next.count > SMALL_OPS || z->one_seed)
        return 1;
    return z->next.config.schedule == SIM_SCHEDULE_SERIAL ? SEEDS : SEEDS_OF_CHANCE;
}

bool minimize_accept(struct minimizer *z, bool exact)
{
    struct sim_try t = settings(z);
    struct sim_work_cut near = z->next.cut;
    uint32_t seeds = seeds_of(z);
    char why[256];
    int died;

    if (z->result->tries >= z->m->tries) {
        z->result->exhausted = true;
        return false;
    }
    if (!sim_workload_valid(&z->next, why, sizeof(why), NULL))
        return false;
    if (!exact && z->signal == 0 && near.where != SIM_WORK_NOWHERE) {
        if (accept_in_place(z))
            return true;
        if (z->in_place)
            return false;
    }
    if (exact) {
        seeds = 1;
        t.pending = z->shared->pending;
        t.pending_cap = MINIMIZE_NAMES_MAX;
    } else if (z->signal != 0) {
        memset(&z->next.cut, 0, sizeof(z->next.cut));
    } else if (near.where == SIM_WORK_NOWHERE) {
        t.strategy = SIM_STRATEGY_NONE;
    } else {
        memset(&z->next.cut, 0, sizeof(z->next.cut));
        t.near = &near;
        t.subsets = t.subsets < NEAR_SUBSETS ? t.subsets : NEAR_SUBSETS;
    }
    died = run_child(z, &t, seeds);
    if (died != z->signal || (died == 0 && z->shared->tried.failures == 0))
        return false;
    adopt(z);
    return true;
}
