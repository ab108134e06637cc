/* SPDX-License-Identifier: BSD-2-Clause */
/* Workloads in a fixed sequence, tried in a process each so many, until one fails. */
#include "hunt_small.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit.h"
#include "scenario.h"
#include "sim_base.h"

#define SUBSETS 16u
#define TRIES 20000u
#define SEEDS_MAX 2u   /* campaigns of each strategy */
#define SECONDS_MAX 5u /* of processor time; a workload that takes longer is passed over */

/* Made-up workloads: so many units of each kind. Short ones first: they are soon made small. */
static const struct kind {
    const char *name;
    uint32_t units;
    const char *settings; /* "name=value:..." of a scenario */
} kinds[] = {
    {"explore, few", 60, "ops=6:restart=15:wait=10"},
    {"explore, tight few", 40, "ops=10:len-max=64K:space=256K:wait=15:restart=5:cache=2432K"},
    {"explore, tight", 12, "ops=40:len-max=64K:space=256K:wait=8:restart=8:cache=2432K"},
    {"explore, varied", 16, "ops=24:vary=1:restart=8"},
    {"explore, crowded", 8,
     "ops=40:vary=1:schedule=random:clients=6:space=16K:flush=4:discard=2:wait=1:restart=1"},
    {"explore, failing", 8, "ops=40:vary=1:faults=all:space-timeout-ns=1000000000:wait=10"},
    {"explore, page", 6, "ops=16:vary=1:model=page:restart=10"},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint64_t us_of(int who)
{
    struct rusage u;

    (void)getrusage(who, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Of this process and of those that it has waited for: one candidate is tried at a time. */
static uint64_t cpu_us(void)
{
    return us_of(RUSAGE_SELF) + us_of(RUSAGE_CHILDREN);
}

static void make_scenario(const struct kind *k, struct sim_scenario *s)
{
    char *copy = strdup(k->settings), *at = copy, *word;

    SIM_REQUIRE(copy != NULL);
    sim_scenario_init(s);
    while ((word = strsep(&at, ":")) != NULL) {
        char *value = strchr(word, '=');

        SIM_REQUIRE(value != NULL);
        *value++ = '\0';
        SIM_REQUIRE(sim_scenario_set(s, word, value));
    }
    free(copy);
}

/* Workload number i of the sequence, and how to try it. False: there are no more. */
static bool make(uint64_t i, struct sim_workload *w, struct sim_try *t, char *from, size_t n)
{
    uint64_t crashes;

    memset(&w->cut, 0, sizeof(w->cut));
    w->count = 0;
    for (size_t k = 0; k < KINDS; k++) {
        struct sim_scenario s;

        if (i >= kinds[k].units) {
            i -= kinds[k].units;
            continue;
        }
        make_scenario(&kinds[k], &s);
        SIM_REQUIRE(sim_scenario_make(&s, i, w));
        t->subsets = SUBSETS;
        t->cut_every = 3;
        snprintf(from, n, "%s %llu", kinds[k].name, (unsigned long long)i);
        return true;
    }
    for (uint32_t s = 0; s < sim_hunt_strategies(); s++) {
        uint64_t campaign = 0;

        for (; campaign < SEEDS_MAX && sim_hunt_workload(s, campaign, w, &crashes, &t->subsets);
             campaign++) {
            if (i-- != 0)
                continue;
            /* Of about so many steps is a request; the cuts are spread over all. */
            t->cut_every = (uint32_t)(w->count * 12 / crashes + 1);
            snprintf(from, n, "%s %llu", sim_hunt_strategy_name(s), (unsigned long long)campaign);
            return true;
        }
    }
    return false;
}

struct search {
    uint64_t at; /* the workload that is tried */
    bool ended;  /* nothing was found */
    bool failed; /* a verdict; else the process died */
    struct sim_tried tried;
};

/* In the child: from workload shared->at on; `one`: only that. */
static void search(struct search *shared, enum cbd_canary_id canary, bool one)
{
    struct sim_try t = {.strategy = SIM_STRATEGY_PARTIAL, .merge = true, .stop_at_first = true};
    struct sim_workload w;
    char from[48], why[256];

    sim_workload_init(&w);
    for (; make(shared->at, &w, &t, from, sizeof(from)); shared->at++) {
        w.config.canary = canary;
        SIM_REQUIRE(sim_workload_valid(&w, why, sizeof(why), NULL));
        sim_limit_seconds(SECONDS_MAX);
        sim_try_run(&w, &t, &shared->tried);
        shared->failed = shared->tried.failures != 0;
        if (shared->failed || one)
            break;
    }
    shared->ended = !shared->failed;
    sim_workload_free(&w);
}

/* False: the workload took too long, and says nothing. */
static bool run_search(struct search *shared, enum cbd_canary_id canary, bool one)
{
    static const struct rlimit no_core = {0, 0};
    pid_t pid;
    int status;

    fflush(NULL);
    pid = fork();
    SIM_REQUIRE(pid >= 0);
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        search(shared, canary, one);
        _exit(0);
    }
    SIM_REQUIRE(waitpid(pid, &status, 0) == pid);
    return !WIFSIGNALED(status) || WTERMSIG(status) != SIGPROF;
}

/* Without the bug the workload shows nothing: else it says nothing about the bug. */
static bool good_without(const struct search *found)
{
    struct search *clean =
        mmap(NULL, sizeof(*clean), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool good;

    SIM_REQUIRE(clean != MAP_FAILED);
    clean->at = found->at;
    (void)run_search(clean, CBD_CANARY_NONE, true);
    good = clean->ended;
    munmap(clean, sizeof(*clean));
    return good;
}

void sim_hunt_small(enum cbd_canary_id canary, struct sim_workload *w, struct sim_small *small)
{
    struct sim_minimize m = {.subsets = SUBSETS, .tries = TRIES};
    struct sim_try t = {.strategy = SIM_STRATEGY_PARTIAL};
    struct search *shared;
    uint64_t start = cpu_us();

    memset(small, 0, sizeof(*small));
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    SIM_REQUIRE(shared != MAP_FAILED);
    while (!run_search(shared, canary, false) || (!shared->ended && !good_without(shared)))
        shared->at++;
    small->tried = shared->at + 1;
    small->find_us = cpu_us() - start;
    if (!shared->ended) {
        SIM_REQUIRE(make(shared->at, w, &t, small->from, sizeof(small->from)));
        w->config.canary = canary;
        if (shared->failed && shared->tried.step != UINT64_MAX)
            w->cut = shared->tried.cut;
        start = cpu_us();
        sim_minimize_run(w, &m, &small->minimized);
        small->small_us = cpu_us() - start;
        small->found = small->minimized.failed;
    }
    munmap(shared, sizeof(*shared));
}
