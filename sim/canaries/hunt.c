/* SPDX-License-Identifier: BSD-2-Clause */
/* One process for each bug; in it one strategy after the other until something is wrong. */
#include "hunt.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim_base.h"

/* A bug that makes the core loop for ever is found when this much processor time is gone. */
#define CPU_SECONDS_MAX 60u

struct canary_row {
    const char *name, *area, *rules, *sentence;
};

static const struct canary_row rows[CBD_CANARY_COUNT] = {
    [CBD_CANARY_NONE] = {"none", "", "", "no bug: nothing may be found"},
#define X(id, area, rules, sentence) [CBD_CANARY_##id] = {#id, #area, rules, sentence},
#include "cbd/canaries.def"
#undef X
};

const char *sim_canary_name(enum cbd_canary_id id)
{
    return rows[id].name;
}

const char *sim_canary_area(enum cbd_canary_id id)
{
    return rows[id].area;
}

const char *sim_canary_rules(enum cbd_canary_id id)
{
    return rows[id].rules;
}

const char *sim_canary_sentence(enum cbd_canary_id id)
{
    return rows[id].sentence;
}

bool sim_canary_fast(enum cbd_canary_id id)
{
    return id < CBD_CANARY_NONE + 3 || strcmp(rows[id].area, rows[id - 2].area) != 0;
}

bool sim_hunt_possible(void)
{
#ifdef CBD_CANARIES
    return true;
#else
    return false;
#endif
}

static void switch_on(enum cbd_canary_id id)
{
#ifdef CBD_CANARIES
    cbd_canary = id;
#else
    (void)id;
#endif
}

static uint64_t cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void hunt_one(struct sim_hunt *h, int32_t only)
{
    uint64_t start = cpu_us();

    uint32_t from = only >= 0 ? (uint32_t)only : 0;
    uint32_t end = only >= 0 ? from + 1 : sim_hunt_strategies();

    switch_on(h->canary);
    for (uint32_t s = from; s < end; s++) {
        h->strategy = s;
        if (sim_hunt_try(s, &h->states, h->failure, sizeof(h->failure))) {
            h->cpu_us = cpu_us() - start;
            h->verdict = SIM_HUNT_FOUND;
            return;
        }
    }
    h->cpu_us = cpu_us() - start;
    h->verdict = SIM_HUNT_QUIET;
}

struct child {
    pid_t pid;
    struct sim_hunt *hunt;
};

struct children {
    struct child child[SIM_HUNT_WORKERS_MAX];
    uint32_t running;
};

static bool start(struct children *c, struct sim_hunt *h, int32_t only)
{
    struct rlimit cpu = {CPU_SECONDS_MAX, CPU_SECONDS_MAX + 1}, core = {0, 0};
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        setrlimit(RLIMIT_CPU, &cpu);
        setrlimit(RLIMIT_CORE, &core);
        if (null >= 0)
            dup2(null, STDERR_FILENO); /* what an assertion says */
        hunt_one(h, only);
        _exit(0);
    }
    c->child[c->running++] = (struct child){pid, h};
    return true;
}

/* An assertion, a wild access or an endless loop under a bug is an alarm as well. */
static void ended(struct sim_hunt *h, int status, const struct rusage *used)
{
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    if (h->verdict != SIM_HUNT_DIED || signal == 0 || signal == SIGKILL)
        return;
    h->verdict = SIM_HUNT_FOUND;
    h->cpu_us = (uint64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000 +
                (uint64_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
    snprintf(h->failure, sizeof(h->failure), "%s",
             signal == SIGXCPU   ? "an endless loop"
             : signal == SIGABRT ? "an assertion failed"
                                 : "a wild memory access");
}

static void reap_one(struct children *c)
{
    for (;;) {
        for (uint32_t i = 0; i < c->running; i++) {
            struct rusage used;
            int status;

            if (wait4(c->child[i].pid, &status, WNOHANG, &used) == 0)
                continue;
            ended(c->child[i].hunt, status, &used);
            c->child[i] = c->child[--c->running];
            return;
        }
        usleep(2000);
    }
}

static int run_all(const struct sim_hunt_config *config, struct sim_hunt_result *r)
{
    struct children c = {.running = 0};
    uint32_t next = 0, done = 0;
    int error = 0;

    while (done < r->count && error == 0) {
        while (next < r->count && c.running < config->workers && error == 0) {
            if (start(&c, &r->hunt[next], config->only))
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

int sim_hunt_run(const struct sim_hunt_config *config, struct sim_hunt_result *result)
{
    struct sim_hunt_result *shared;
    int error;

    if (!sim_hunt_possible())
        return CBD_E_INVALID;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return CBD_E_NOMEM;
    SIM_REQUIRE(config->workers >= 1 && config->workers <= SIM_HUNT_WORKERS_MAX);
    for (int id = CBD_CANARY_NONE; id < CBD_CANARY_COUNT; id++)
        if (config->wanted[id])
            shared->hunt[shared->count++].canary = (enum cbd_canary_id)id;
    error = run_all(config, shared);
    *result = *shared;
    munmap(shared, sizeof(*shared));
    for (uint32_t i = 0; i < result->count; i++)
        result->verdicts[result->hunt[i].verdict]++;
    return error;
}

bool sim_hunt_good(const struct sim_hunt_result *result)
{
    for (uint32_t i = 0; i < result->count; i++) {
        bool clean = result->hunt[i].canary == CBD_CANARY_NONE;

        if (result->hunt[i].verdict != (clean ? SIM_HUNT_QUIET : SIM_HUNT_FOUND))
            return false;
    }
    return true;
}
