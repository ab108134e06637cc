/* SPDX-License-Identifier: BSD-2-Clause */
/* Two passes over a workload: one that numbers the steps, one that cuts the power at some. */
#include "campaign.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "campaign_plan.h"
#include "world_image.h"
#include "restart.h"
#include "sim_base.h"

/* After a restart is due the process dies within this many steps, in the middle of something. */
#define RESTART_STEPS 40u

/* One pass. */
struct pass {
    const struct sim_campaign *c;
    struct sim_world world;
    struct sim_judge judge;
    struct sim_lazy *lazy; /* NULL: subsets */
    struct sim_result *result;
    struct sim_step_log *log; /* first pass: filled; else NULL */
    const struct sim_cut *cuts;
    size_t cut_count, cut_next;
    uint64_t step;
    bool recovering;
    uint64_t requests, restarts_due;
    bool die_armed;
    uint64_t die_left;
    jmp_buf died;
    uint64_t *states_done; /* shared with the parent */
    bool stop;
};

static void keep_failure(struct sim_result *r, const struct sim_failed *f)
{
    uint32_t at = r->failed_kept;

    r->failures++;
    while (at > 0 && (r->failed[at - 1].step > f->step ||
                      (r->failed[at - 1].step == f->step && r->failed[at - 1].subset > f->subset)))
        at--;
    if (at >= SIM_FAILURES_KEPT)
        return;
    if (r->failed_kept < SIM_FAILURES_KEPT)
        r->failed_kept++;
    memmove(&r->failed[at + 1], &r->failed[at], (r->failed_kept - 1 - at) * sizeof(r->failed[0]));
    r->failed[at] = *f;
}

static void judge_one(struct pass *p, uint64_t step, uint64_t subset, uint64_t number)
{
    struct sim_failed failed = {.step = step, .subset = subset, .number = number};
    struct sim_state_plan plan;

    sim_plan_state(&p->judge, step, subset, number, &plan);
    sim_judge_state(&p->judge, &plan, &failed.verdict);
    if (p->states_done != NULL)
        __atomic_add_fetch(p->states_done, 1, __ATOMIC_RELAXED);
    if (failed.verdict.failure == SIM_FAILURE_NONE)
        return;
    keep_failure(p->result, &failed);
    p->stop = p->world.stop = p->c->stop_at_first;
}

/* All states of the cut before this step; or the one that is run again. */
static void judge_all(struct pass *p, uint64_t step, uint64_t number)
{
    struct sim_failed failed = {.step = step, .number = number};
    uint32_t thread = p->world.pmem->thread;
    bool ok;

    if (p->c->only_trail != NULL) {
        snprintf(failed.trail, sizeof(failed.trail), "%s", p->c->only_trail);
        ok = sim_lazy_rerun(p->lazy, p->c->only_trail, &failed.verdict);
    } else {
        ok = sim_lazy_cut(p->lazy, &p->result->lazy, &failed.verdict, failed.trail);
    }
    p->world.pmem->thread = thread;
    if (p->states_done != NULL)
        __atomic_add_fetch(p->states_done, 1, __ATOMIC_RELAXED);
    if (ok)
        return;
    keep_failure(p->result, &failed);
    p->stop = p->world.stop = p->c->stop_at_first;
}

static uint64_t executed(const struct pass *p)
{
    return p->lazy != NULL ? p->result->lazy.executed : p->judge.counts.states;
}

static void at_step(struct pass *p, enum sim_class class, enum sim_step_kind kind)
{
    uint64_t step = p->step++, before = executed(p);

    if (p->log != NULL) {
        p->log->bytes = sim_grow(p->log->bytes, &p->log->cap, p->log->count + 1, 1);
        p->log->bytes[p->log->count++] = sim_step_byte(class, kind);
        p->result->steps_by[class][kind]++;
    }
    if (p->cut_next < p->cut_count && p->cuts[p->cut_next].step == step) {
        uint64_t number = p->cuts[p->cut_next++].number;

        p->result->cuts++;
        p->result->cuts_by[class][kind]++;
        if (p->lazy != NULL)
            judge_all(p, step, number);
        for (uint64_t s = 0; p->lazy == NULL && s < p->c->subsets && !p->stop; s++)
            judge_one(p, step, s, number * p->c->subsets + s);
    }
    if (step == p->c->only_step && p->log == NULL) {
        p->result->cuts++;
        p->result->cuts_by[class][kind]++;
        if (p->lazy != NULL)
            judge_all(p, step, p->c->only_number);
        else
            judge_one(p, step, p->c->only_subset, p->c->only_number);
        p->stop = p->world.stop = true;
    }
    p->result->executed_by[class] += executed(p) - before;
    if (p->die_armed && p->die_left-- == 0)
        longjmp(p->died, 1);
}

static void on_pm(void *arg, const struct sim_pm_event *ev)
{
    struct pass *p = arg;
    enum sim_step_kind kind = ev->kind == SIM_PM_FLUSH   ? SIM_STEP_FLUSH
                              : ev->kind == SIM_PM_FENCE ? SIM_STEP_FENCE
                                                         : SIM_STEP_STORE;

    p->result->hash =
        sim_rng_mix(p->result->hash, (uint64_t)ev->step << 56 ^ ev->off << 8 ^ ev->len_bytes);
    at_step(p, sim_class_of(ev->step, p->recovering), kind);
}

static void on_disk(void *arg, const struct sim_disk_event *ev)
{
    struct pass *p = arg;

    p->result->hash =
        sim_rng_mix(p->result->hash, (uint64_t)ev->op << 56 ^ ev->off_bytes << 8 ^ ev->len_bytes);
    at_step(p, ev->op == CBD_DISK_READ ? SIM_CLASS_READ : SIM_CLASS_WRITEBACK, SIM_STEP_DISK);
}

static void hook(struct pass *p)
{
    struct sim_world *w = &p->world;

    w->pmem->hook = on_pm;
    w->pmem->hook_arg = p;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        w->disk[n]->hook = on_disk;
        w->disk[n]->hook_arg = p;
    }
}

static void unhook(struct pass *p)
{
    struct sim_world *w = &p->world;

    w->pmem->hook = NULL;
    for (uint32_t n = 0; n < w->config.backends; n++)
        w->disk[n]->hook = NULL;
}

static void add_stats(struct pass *p)
{
    const uint64_t *from;
    uint64_t *to = (uint64_t *)&p->result->total;

    _Static_assert(sizeof(struct cbd_stats) % sizeof(uint64_t) == 0, "all counters");
    for (uint32_t n = 0; n < p->world.config.backends; n++) {
        if (p->world.main.backend[n] == NULL)
            continue;
        cbd_backend_stats(p->world.main.backend[n], &p->result->stats[n]);
        from = (const uint64_t *)&p->result->stats[n];
        for (size_t i = 0; i < sizeof(struct cbd_stats) / sizeof(uint64_t); i++)
            to[i] += from[i];
    }
}

static bool run_failed(struct pass *p, int error, const char *where)
{
    struct sim_verdict *v = &p->result->run_verdict;

    p->result->run_failed = true;
    v->failure = SIM_FAILURE_RUN;
    v->violation = p->world.violation;
    v->backend = p->world.violation_backend;
    v->error = error;
    v->where = where;
    memcpy(v->stuck, p->world.stuck, sizeof(v->stuck));
    if (p->world.main.env.errors > 0)
        v->report = p->world.main.env.first[0];
    return false;
}

/* The power fails for good; the machine comes back and the run goes on. */
static bool restart(struct pass *p)
{
    struct sim_world *w = &p->world;
    uint64_t h = sim_rng_mix(w->config.seed, 1000 + p->result->restarts++);
    struct sim_crash crash = sim_crash_subset(h % 16, h);
    const char *where;
    int error;

    unhook(p);
    add_stats(p);
    sim_restart_cut(w, &crash);
    sim_fault_end(w);
    hook(p);
    p->recovering = true;
    error = sim_process_start(&w->main, w, sim_rng_mix(h, 1), true, &where);
    p->recovering = false;
    if (error == 0)
        error = sim_restart_adopt(w, &where);
    return (error == 0 && where == NULL) || run_failed(p, error, where);
}

/* The next request of the workload; where a restart is due, the process will die soon. */
static int next_request(void *arg, struct sim_request *r)
{
    struct pass *p = arg;
    const struct sim_campaign *c = p->c;
    int got = c->source.next(c->source.arg, r, &p->result->trace_error);

    if (got != 1)
        return got;
    if (p->restarts_due < c->restarts &&
        p->requests == c->source.requests * (p->restarts_due + 1) / (c->restarts + 1)) {
        p->die_armed = true;
        p->die_left = sim_rng_mix(c->config.seed, 500 + p->restarts_due++) % RESTART_STEPS;
    }
    p->requests++;
    sim_fault_request(&p->world);
    return 1;
}

/* Runs until the workload ends, through all restarts. */
static int run_requests(struct pass *p)
{
    struct sim_feed feed = {next_request, p};
    struct sim_world *w = &p->world;
    int got = p->c->source.rewind(p->c->source.arg, &p->result->trace_error);

    if (got < 0)
        return got;
    if (setjmp(p->died) != 0) {
        p->die_armed = false;
        if (!restart(p))
            return 0;
    }
    got = sim_world_run(w, &feed);
    if (got == 0 && sim_world_failed(w))
        (void)run_failed(p, w->error, w->error_where != NULL ? w->error_where : "read");
    p->die_armed = false;
    p->result->requests_total = p->requests;
    return got;
}

/* The end of the run as a power cut would leave it, for the offline tools to look at. */
static void write_image(struct pass *p)
{
    struct sim_crash crash = sim_crash_subset(7, p->c->config.seed);

    unhook(p);
    p->result->image_failed = !sim_image_write(&p->world, &crash, p->c->image);
    hook(p);
}

static int run_pass(struct pass *p)
{
    struct sim_world *w = &p->world;
    int error = sim_world_create(w, &p->c->config);

    if (error != 0) {
        (void)run_failed(p, error, w->error_where);
        sim_world_destroy(w);
        return 0;
    }
    sim_judge_init(&p->judge, w);
    if (p->c->exhaustive && p->log == NULL)
        p->lazy = sim_lazy_create(w, &p->c->lazy);
    hook(p);
    error = run_requests(p);
    sim_fault_end(w);
    if (error == 0 && !p->result->run_failed && p->log != NULL && p->c->image != NULL)
        write_image(p);
    if (error == 0 && !p->result->run_failed && !p->stop)
        sim_world_drain(w);
    add_stats(p);
    if (error == 0 && !p->result->run_failed && !p->stop && !sim_world_finish(w))
        (void)run_failed(p, w->error, w->error_where != NULL ? w->error_where : "final compare");
    for (int op = 0; op < SIM_REQUEST_OP_COUNT; op++) {
        p->result->requests[op] = w->requests[op];
        p->result->bytes[op] = w->bytes[op];
    }
    p->result->requests_failed = w->requests_failed;
    memcpy(p->result->faults, w->faults.struck, sizeof(p->result->faults));
    p->result->steps = p->step;
    p->result->segments = (uint32_t)p->result->stats[0].segments;
    p->result->judged = p->judge.counts;
    sim_judge_destroy(&p->judge);
    if (p->lazy != NULL)
        sim_lazy_destroy(p->lazy);
    sim_world_destroy(w);
    return error;
}

/* What the workers write and the parent reads. */
struct shared {
    uint64_t states_done;
    struct {
        int error;
        bool finished;
        struct sim_result result;
    } worker[SIM_WORKERS_MAX];
};

static void run_worker(const struct sim_campaign *c, struct shared *shared, uint32_t worker,
                       const struct sim_cut *cuts, size_t count)
{
    struct pass *p = sim_zalloc(1, sizeof(*p));
    struct sim_cut *mine = sim_zalloc(count, sizeof(*mine));

    p->c = c;
    p->result = &shared->worker[worker].result;
    p->states_done = &shared->states_done;
    for (size_t i = 0; i < count; i++)
        if (i % c->workers == worker)
            mine[p->cut_count++] = cuts[i];
    p->cuts = mine;
    shared->worker[worker].error = run_pass(p);
    shared->worker[worker].finished = true;
    free(mine);
    free(p);
}

static void merge(struct sim_result *to, const struct sim_result *from)
{
    const uint64_t *f = (const uint64_t *)&from->judged;
    uint64_t *t = (uint64_t *)&to->judged;

    for (size_t i = 0; i < sizeof(struct sim_judged) / sizeof(uint64_t); i++)
        t[i] += f[i];
    to->judged.recovery_steps = from->judged.recovery_steps > to->judged.recovery_steps
                                    ? from->judged.recovery_steps
                                    : to->judged.recovery_steps;
    sim_lazy_counts_add(&to->lazy, &from->lazy);
    to->cuts += from->cuts;
    for (int c = 0; c < SIM_CLASS_COUNT; c++)
        to->executed_by[c] += from->executed_by[c];
    for (int c = 0; c < SIM_CLASS_COUNT; c++)
        for (int k = 0; k < SIM_STEP_KIND_COUNT; k++)
            to->cuts_by[c][k] += from->cuts_by[c][k];
    for (uint32_t i = 0; i < from->failed_kept; i++)
        keep_failure(to, &from->failed[i]);
    to->failures += from->failures - from->failed_kept;
    if (from->run_failed && !to->run_failed) {
        to->run_failed = true;
        to->run_verdict = from->run_verdict;
    }
}

static bool all_gone(const pid_t *pid, uint32_t workers)
{
    for (uint32_t i = 0; i < workers; i++)
        if (pid[i] != 0)
            return false;
    return true;
}

/* Waits for the workers and shows how far they are. */
static void watch(const struct sim_campaign *c, struct shared *shared, pid_t *pid, uint64_t total)
{
    while (!all_gone(pid, c->workers)) {
        for (uint32_t i = 0; i < c->workers; i++)
            if (pid[i] != 0 && waitpid(pid[i], NULL, WNOHANG) != 0)
                pid[i] = 0;
        if (c->progress != NULL)
            c->progress(c->progress_arg, __atomic_load_n(&shared->states_done, __ATOMIC_RELAXED),
                        total);
        usleep(20000);
    }
}

static int run_workers(const struct sim_campaign *c, const struct sim_cut *cuts, size_t count,
                       struct sim_result *result)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid[SIM_WORKERS_MAX] = {0};
    int error = 0;

    if (shared == MAP_FAILED)
        return CBD_E_NOMEM;
    for (uint32_t i = 0; i < c->workers; i++) {
        fflush(NULL);
        pid[i] = c->workers == 1 ? 0 : fork();
        if (pid[i] == 0) {
            run_worker(c, shared, i, cuts, count);
            if (c->workers > 1)
                _exit(0);
        }
    }
    if (c->workers > 1)
        watch(c, shared, pid, count * (c->exhaustive ? 1 : c->subsets));
    for (uint32_t i = 0; i < c->workers && error == 0; i++) {
        error = shared->worker[i].error;
        if (!shared->worker[i].finished) {
            result->run_failed = true;
            result->run_verdict =
                (struct sim_verdict){.failure = SIM_FAILURE_RUN, .where = "a worker died"};
        }
        merge(result, &shared->worker[i].result);
    }
    munmap(shared, sizeof(*shared));
    return error;
}

int sim_campaign_run(const struct sim_campaign *c, struct sim_result *result)
{
    struct sim_step_log log = {0};
    struct sim_cut *cuts = NULL;
    struct pass *first = sim_zalloc(1, sizeof(*first));
    size_t count = 0;
    int error;

    memset(result, 0, sizeof(*result));
    first->c = c;
    first->result = result;
    first->log = &log;
    error = run_pass(first);
    free(first);
    if (error == 0 && !result->run_failed) {
        if (c->only_step == UINT64_MAX)
            count = sim_plan_cuts(&log, c->crashes, c->config.seed, &cuts);
        if (count != 0 || c->only_step != UINT64_MAX)
            error = run_workers(c, cuts, count, result);
    }
    free(cuts);
    free(log.bytes);
    return error;
}

const char *sim_class_name(enum sim_class class)
{
    static const char *const names[SIM_CLASS_COUNT] = {
        [SIM_CLASS_WRITE_PATH] = "write path", [SIM_CLASS_WRITEBACK] = "write-back",
        [SIM_CLASS_RECLAIM] = "reclaim",       [SIM_CLASS_RECOVERY] = "recovery",
        [SIM_CLASS_READ] = "read miss",
    };

    return (unsigned)class < SIM_CLASS_COUNT ? names[class] : "unknown";
}

const char *sim_step_kind_name(enum sim_step_kind kind)
{
    static const char *const names[SIM_STEP_KIND_COUNT] = {
        [SIM_STEP_STORE] = "store",
        [SIM_STEP_FLUSH] = "flush",
        [SIM_STEP_FENCE] = "fence",
        [SIM_STEP_DISK] = "disk",
    };

    return (unsigned)kind < SIM_STEP_KIND_COUNT ? names[kind] : "unknown";
}
