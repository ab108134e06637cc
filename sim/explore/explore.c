/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes that try units, and one that puts their results in order. All share a ring of results:
 *
 *   given out (next)            ..... 12 13 14 15
 *   handed out in order (head)  ..... 12            12 is not ready: 13 and 14 wait in the ring
 */
#include "explore.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "limit.h"
#include "rng.h"
#include "sim_base.h"

#define RING 1024u
#define IDLE UINT64_MAX
#define UNIT_SECONDS_MAX 600u

struct shared {
    uint64_t next;                     /* unit of the shard that is given out next */
    uint64_t head;                     /* below: handed out */
    uint64_t end;                      /* no unit from here on; the parent lowers it to stop */
    uint64_t at[SIM_EXPLORE_JOBS_MAX]; /* what each process tries, or IDLE */
    uint32_t ready[RING];
    struct sim_explored result[RING];
};

struct explorer {
    const struct sim_explore *x;
    struct shared *shared;
    pid_t pid[SIM_EXPLORE_JOBS_MAX];
};

uint64_t sim_explore_units(const struct sim_explore *x)
{
    uint64_t units = sim_scenario_units(x->scenario);

    if (units != UINT64_MAX)
        units = units > x->shard ? (units - x->shard + x->shards - 1) / x->shards : 0;
    return units < x->units ? units : x->units;
}

static uint64_t unit_of(const struct sim_explore *x, uint64_t k)
{
    return x->shard + k * x->shards;
}

void sim_explore_one(const struct sim_explore *x, uint64_t unit, struct sim_explored *e)
{
    struct sim_tried *r = sim_zalloc(1, sizeof(*r));
    struct sim_workload w;
    char text[2048];

    memset(e, 0, sizeof(*e));
    e->unit = unit;
    sim_workload_init(&w);
    SIM_REQUIRE(sim_scenario_make(x->scenario, unit, &w));
    sim_try_run(&w, &x->t, r);
    e->steps = r->steps;
    e->cuts = r->cuts;
    memcpy(e->cuts_by, r->cuts_by, sizeof(e->cuts_by));
    memcpy(e->executed_by, r->executed_by, sizeof(e->executed_by));
    e->judged = r->judged;
    e->executed = r->judged.states + r->lazy.executed;
    e->merged = r->judged.merged + r->lazy.merged;
    e->represented = x->t.strategy == SIM_STRATEGY_EXHAUSTIVE
                         ? r->lazy.represented
                         : sim_lazy_count_of(e->executed + e->merged);
    memcpy(e->trail, r->trail, sizeof(e->trail));
    e->hash = sim_rng_mix(sim_rng_mix(r->hash, e->executed), r->judged.sectors ^ r->lazy.hash);
    e->failures = r->failures;
    e->step = r->step;
    e->subset = r->subset;
    if (r->failures != 0)
        snprintf(e->text, sizeof(e->text), "%s", sim_verdict_text(&r->verdict, text, sizeof(text)));
    sim_workload_free(&w);
    free(r);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* The next unit for a process; false: there is none. Waits while the ring is full. */
static bool claim(struct explorer *e, uint32_t job, uint64_t *k)
{
    struct shared *s = e->shared;

    if (e->x->deadline_ns != 0 && now_ns() >= e->x->deadline_ns)
        return false;
    *k = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&s->at[job], *k, __ATOMIC_RELEASE);
    while (*k >= __atomic_load_n(&s->head, __ATOMIC_ACQUIRE) + RING) {
        if (*k >= __atomic_load_n(&s->end, __ATOMIC_ACQUIRE) || getppid() == 1)
            return false;
        usleep(1000);
    }
    return *k < __atomic_load_n(&s->end, __ATOMIC_ACQUIRE);
}

static void work(struct explorer *e, uint32_t job)
{
    struct shared *s = e->shared;
    uint64_t k;

    while (claim(e, job, &k)) {
        sim_limit_seconds(UNIT_SECONDS_MAX);
        sim_explore_one(e->x, unit_of(e->x, k), &s->result[k % RING]);
        sim_limit_seconds(0);
        __atomic_store_n(&s->ready[k % RING], 1, __ATOMIC_RELEASE);
        __atomic_store_n(&s->at[job], IDLE, __ATOMIC_RELEASE);
    }
}

static int start(struct explorer *e, uint32_t job)
{
    static const struct rlimit no_core = {0, 0};

    e->shared->at[job] = IDLE;
    fflush(NULL);
    e->pid[job] = fork();
    if (e->pid[job] < 0)
        return CBD_E_SYSTEM;
    if (e->pid[job] == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGINT, SIG_IGN);
        work(e, job);
        _exit(0);
    }
    return 0;
}

/* The process has died in the middle of a unit. */
static void bury(struct explorer *e, uint32_t job, int status)
{
    struct shared *s = e->shared;
    uint64_t k = s->at[job];
    struct sim_explored *r = &s->result[k % RING];

    memset(r, 0, sizeof(*r));
    r->unit = unit_of(e->x, k);
    r->died = true;
    r->failures = 1;
    r->step = UINT64_MAX;
    snprintf(r->text, sizeof(r->text), "the simulator died by signal %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    s->ready[k % RING] = 1;
}

static int reap(struct explorer *e, uint32_t *running)
{
    struct shared *s = e->shared;

    for (uint32_t job = 0; job < e->x->jobs; job++) {
        int status;

        if (e->pid[job] == 0 || waitpid(e->pid[job], &status, WNOHANG) == 0)
            continue;
        e->pid[job] = 0;
        --*running;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        if (s->at[job] == IDLE || s->at[job] >= s->end)
            return CBD_E_SYSTEM;
        bury(e, job, status);
        if (start(e, job) != 0)
            return CBD_E_SYSTEM;
        ++*running;
    }
    return 0;
}

/* Hands out what is ready, in order. */
static void hand_out(struct explorer *e)
{
    struct shared *s = e->shared;

    while (s->head < s->end && __atomic_load_n(&s->ready[s->head % RING], __ATOMIC_ACQUIRE) != 0) {
        struct sim_explored r = s->result[s->head % RING];

        s->ready[s->head % RING] = 0;
        __atomic_store_n(&s->head, s->head + 1, __ATOMIC_RELEASE);
        if (!e->x->done(e->x->arg, &r))
            __atomic_store_n(&s->end, s->head, __ATOMIC_RELEASE);
    }
}

static int watch(struct explorer *e)
{
    uint32_t running = e->x->jobs;
    int error = 0;

    while (running != 0 && error == 0) {
        error = reap(e, &running);
        hand_out(e);
        if (e->x->tick != NULL && !e->x->tick(e->x->arg))
            __atomic_store_n(&e->shared->end, e->shared->head, __ATOMIC_RELEASE);
        if (running != 0)
            usleep(5000);
    }
    hand_out(e);
    for (uint32_t job = 0; job < e->x->jobs; job++) {
        if (e->pid[job] <= 0)
            continue;
        kill(e->pid[job], SIGKILL);
        waitpid(e->pid[job], NULL, 0);
    }
    return error;
}

int sim_explore_run(const struct sim_explore *x)
{
    struct explorer e = {.x = x};
    int error = 0;

    SIM_REQUIRE(x->jobs >= 1 && x->jobs <= SIM_EXPLORE_JOBS_MAX && x->shard < x->shards);
    e.shared =
        mmap(NULL, sizeof(*e.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (e.shared == MAP_FAILED)
        return CBD_E_NOMEM;
    e.shared->next = e.shared->head = x->first;
    e.shared->end = sim_explore_units(x);
    for (uint32_t job = 0; job < x->jobs && error == 0; job++)
        error = start(&e, job);
    if (error == 0)
        error = watch(&e);
    munmap(e.shared, sizeof(*e.shared));
    return error;
}
