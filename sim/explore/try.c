/* SPDX-License-Identifier: BSD-2-Clause */
/* One run of a workload with its cuts. */
#include "try.h"

#include <setjmp.h>
#include <string.h>

#include "restart.h"
#include "sim_base.h"

#define DISK_OPS (CBD_DISK_ZERO + 1)

struct run {
    const struct sim_workload *work;
    const struct sim_try *t;
    struct sim_tried *result;
    struct sim_world world;
    struct sim_judge judge;
    struct sim_lazy *lazy; /* NULL unless exhaustive */
    struct sim_seen seen;
    uint32_t *request_op; /* the number of the operation, for each request */
    size_t at;            /* operations that the feed has given out */
    uint32_t machine_op;  /* the last one that was no request */
    bool recovering;
    /* names of steps */
    uint32_t op;                       /* that the counts belong to */
    uint32_t of_store[CBD_STEP_COUNT]; /* steps since it began */
    uint32_t of_disk[DISK_OPS];
    uint32_t matched; /* steps that the workload's cut may mean */
    /* restarts */
    bool armed;
    uint64_t left;
    struct sim_crash crash;
    uint64_t restarts;
    jmp_buf died;
};

static void stop(struct run *r)
{
    r->world.stop = true;
}

static void keep_first(struct run *r, uint64_t step, uint64_t subset,
                       const struct sim_work_cut *cut, const struct sim_verdict *verdict)
{
    struct sim_tried *t = r->result;

    if (r->t->like != NULL && !sim_try_alike(r->t->like, verdict))
        return;
    if (t->failures++ != 0)
        return;
    t->step = step;
    t->subset = subset;
    t->cut = *cut;
    t->verdict = *verdict;
}

/* The number of the operation that began last. */
static uint32_t op_now(const struct run *r)
{
    uint64_t begun = 0;
    uint32_t op;

    for (int i = 0; i < SIM_REQUEST_OP_COUNT; i++)
        begun += r->world.requests[i];
    op = begun == 0 ? 0 : r->request_op[begun - 1];
    return op > r->machine_op ? op : r->machine_op;
}

/* What a plan does, without its place. */
static void cut_of_plan(const struct sim_state_plan *plan, struct sim_work_cut *cut)
{
    if (!plan->kill)
        cut->survive.crash = plan->crash;
    cut->kill = plan->kill;
    cut->again = plan->nested;
    if (plan->nested) {
        cut->again_at = plan->nested_at;
        cut->again_crash = plan->nested_crash;
    }
    cut->lost_copy = plan->lost_copy;
    cut->lost_draw = plan->lost_copy ? plan->lost_draw : 0;
    cut->twice = plan->twice;
    cut->backing = plan->backing;
    cut->full = plan->full;
    cut->written = plan->written;
    cut->later = plan->later;
    cut->later_at = plan->later_at;
    cut->later_crash = plan->later_crash;
    cut->faulty = plan->faulty;
    if (plan->faulty) {
        cut->fault = plan->fault;
        cut->fault_draw = plan->fault_draw;
    }
}

static void judge_plan(struct run *r, const struct sim_state_plan *plan, uint64_t step,
                       uint64_t subset, const struct sim_work_cut *place)
{
    struct sim_work_cut cut = *place;
    struct sim_verdict verdict;

    sim_judge_state(&r->judge, plan, &verdict);
    if (r->t->states_max != 0 && r->judge.counts.states >= r->t->states_max)
        stop(r);
    if (verdict.failure == SIM_FAILURE_NONE)
        return;
    if (plan->survive == NULL)
        cut_of_plan(plan, &cut);
    keep_first(r, step, subset, &cut, &verdict);
    if (r->t->stop_at_first && r->result->failures != 0)
        stop(r);
}

static void judge_subset(struct run *r, uint64_t step, uint64_t subset,
                         const struct sim_work_cut *place)
{
    struct sim_state_plan plan;
    uint64_t number = sim_rng_mix(sim_rng_mix(r->work->config.seed, step), subset + 100);

    sim_plan_state(&r->judge, step, subset, number, &plan);
    judge_plan(r, &plan, step, subset, place);
}

/* A power cut in words, at the place where the run is now. */
static void judge_words(struct run *r, uint64_t step, const struct sim_work_cut *c,
                        const struct sim_work_cut *place)
{
    struct sim_work_cut cut = *c;
    struct sim_state_plan plan = {
        .survive = &c->survive,
        .kill = c->kill,
        .nested = c->again,
        .nested_at = c->again_at,
        .nested_crash = c->again_crash,
        .lost_copy = c->lost_copy,
        .lost_draw = c->lost_draw,
        .twice = c->twice,
        .backing = c->backing,
        .full = c->full,
        .written = c->written,
        .faulty = c->faulty,
        .fault = c->fault,
        .fault_draw = c->fault_draw,
        .later = c->later,
        .later_at = c->later_at,
        .later_crash = c->later_crash,
    };

    cut.where = place->where;
    cut.step = 0;
    cut.store = place->store;
    cut.disk_op = place->disk_op;
    cut.op = place->op;
    cut.nth = place->nth;
    judge_plan(r, &plan, step, 0, &cut);
}

/* The power cut that the workload names. */
static void judge_named(struct run *r, uint64_t step, const struct sim_work_cut *place)
{
    const struct sim_try *t = r->t;

    r->result->reached = true;
    if (t->pending != NULL)
        r->result->pendings = sim_survive_list(&r->world, t->pending, t->pending_cap);
    judge_words(r, step, &r->work->cut, place);
    stop(r);
}

/* All states of the cut before this step; or the one that is run again. */
static void judge_lazy(struct run *r, uint64_t step, const struct sim_work_cut *place)
{
    uint32_t thread = r->world.pmem->thread;
    uint64_t failures = r->result->failures;
    char trail[SIM_LAZY_TRAIL_BYTES] = "";
    struct sim_verdict verdict;
    bool ok;

    if (r->t->only_trail != NULL) {
        snprintf(trail, sizeof(trail), "%s", r->t->only_trail);
        ok = sim_lazy_rerun(r->lazy, trail, &verdict);
    } else {
        ok = sim_lazy_cut(r->lazy, &r->result->lazy, &verdict, trail);
    }
    r->world.pmem->thread = thread;
    if (r->t->states_max != 0 && r->result->lazy.executed >= r->t->states_max)
        stop(r);
    if (ok)
        return;
    keep_first(r, step, 0, place, &verdict);
    if (failures == 0 && r->result->failures != 0)
        memcpy(r->result->trail, trail, sizeof(trail));
    if (r->t->stop_at_first && r->result->failures != 0)
        stop(r);
}

static bool same_name(const struct sim_work_cut *a, const struct sim_work_cut *b)
{
    return a->where == b->where && (a->where != SIM_WORK_AT_STORE || a->store == b->store) &&
           (a->where != SIM_WORK_AT_DISK || a->disk_op == b->disk_op);
}

static bool is_named(struct run *r, uint64_t step, const struct sim_work_cut *place)
{
    const struct sim_work_cut *c = &r->work->cut;

    if (c->where == SIM_WORK_AT_STEP)
        return c->step == step;
    if (!same_name(c, place) || (c->op != 0 && c->op != place->op))
        return false;
    return ++r->matched == c->nth;
}

static uint64_t subsets(const struct run *r)
{
    switch (r->t->strategy) {
    case SIM_STRATEGY_EACH:
        return 2;
    case SIM_STRATEGY_RANDOM:
        return 1;
    case SIM_STRATEGY_PARTIAL:
        return r->t->subsets;
    case SIM_STRATEGY_EXHAUSTIVE:
        return 1;
    case SIM_STRATEGY_NONE:
    default:
        return 0;
    }
}

/* The power may fail here. */
static void at_place(struct run *r, uint64_t step, enum sim_class class,
                     const struct sim_work_cut *place)
{
    const struct sim_try *t = r->t;
    uint64_t count, draw = sim_rng_mix(sim_rng_mix(r->work->config.seed, 77), step);

    if (r->world.stop)
        return;
    if (r->work->cut.where != SIM_WORK_NOWHERE) {
        if (!is_named(r, step, place))
            return;
        r->result->cuts++;
        r->result->cuts_by[class]++;
        judge_named(r, step, place);
        return;
    }
    if (t->only ? step != t->only_step
                : (t->cut_every > 1 && class != SIM_CLASS_RECLAIM && draw % t->cut_every != 0) ||
                      (t->near != NULL && !same_name(t->near, place)))
        return;
    count = subsets(r);
    if (count == 0 && !t->only)
        return;
    r->result->cuts++;
    r->result->cuts_by[class]++;
    if (t->only) {
        r->result->reached = true;
        if (r->lazy != NULL)
            judge_lazy(r, step, place);
        else
            judge_subset(r, step, t->only_subset, place);
        stop(r);
        return;
    }
    if (r->lazy != NULL) {
        judge_lazy(r, step, place);
        return;
    }
    if (t->near != NULL)
        judge_words(r, step, t->near, place);
    if (t->strategy == SIM_STRATEGY_RANDOM && !r->world.stop)
        judge_subset(r, step, 2 + sim_rng_mix(draw, 1) % 62, place);
    for (uint64_t s = 0; s < count && t->strategy != SIM_STRATEGY_RANDOM && !r->world.stop; s++)
        judge_subset(r, step, s, place);
}

static uint64_t executed(const struct run *r)
{
    return r->judge.counts.states + r->result->lazy.executed;
}

static void at_step(struct run *r, enum sim_class class, struct sim_work_cut *place)
{
    uint64_t step = r->result->steps++, before = executed(r);
    uint32_t op = op_now(r);

    if (op != r->op) {
        r->op = op;
        memset(r->of_store, 0, sizeof(r->of_store));
        memset(r->of_disk, 0, sizeof(r->of_disk));
    }
    place->op = op;
    place->nth = place->where == SIM_WORK_AT_STORE ? ++r->of_store[place->store]
                                                   : ++r->of_disk[place->disk_op];
    r->result->steps_by[class]++;
    at_place(r, step, class, place);
    r->result->executed_by[class] += executed(r) - before;
    if (r->armed && r->left-- == 0)
        longjmp(r->died, 1);
}

static void on_pm(void *arg, const struct sim_pm_event *ev)
{
    struct run *r = arg;
    struct sim_work_cut place = {.where = SIM_WORK_AT_STORE, .store = ev->step};

    r->result->hash =
        sim_rng_mix(r->result->hash, (uint64_t)ev->step << 56 ^ ev->off << 8 ^ ev->len_bytes);
    at_step(r, sim_class_of(ev->step, r->recovering), &place);
}

static void on_disk(void *arg, const struct sim_disk_event *ev)
{
    struct run *r = arg;
    struct sim_work_cut place = {.where = SIM_WORK_AT_DISK, .disk_op = ev->op};

    r->result->hash =
        sim_rng_mix(r->result->hash, (uint64_t)ev->op << 56 ^ ev->off_bytes << 8 ^ ev->len_bytes);
    at_step(r,
            r->recovering             ? SIM_CLASS_RECOVERY
            : ev->op == CBD_DISK_READ ? SIM_CLASS_READ
                                      : SIM_CLASS_WRITEBACK,
            &place);
}

static void set_hooks(struct run *r, bool on)
{
    struct sim_world *w = &r->world;

    w->pmem->hook = on ? on_pm : NULL;
    w->pmem->hook_arg = r;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        w->disk[n]->hook = on ? on_disk : NULL;
        w->disk[n]->hook_arg = r;
    }
}

static bool run_failed(struct run *r, int error, const char *where)
{
    struct sim_verdict v = {
        .failure = SIM_FAILURE_RUN,
        .violation = r->world.violation,
        .backend = r->world.violation_backend,
        .error = error,
        .where = where,
    };
    struct sim_work_cut nowhere = {.where = SIM_WORK_NOWHERE};

    memcpy(v.stuck, r->world.stuck, sizeof(v.stuck));
    if (r->world.main.env.errors > 0)
        v.report = r->world.main.env.first[0];
    keep_first(r, UINT64_MAX, 0, &nowhere, &v);
    stop(r);
    return false;
}

static bool restart(struct run *r)
{
    struct sim_world *w = &r->world;
    uint64_t seed = sim_rng_mix(w->config.seed, 1000 + r->restarts++);
    const char *where;
    int error;

    r->armed = false;
    set_hooks(r, false);
    sim_restart_cut(w, &r->crash);
    sim_fault_end(w);
    set_hooks(r, true);
    r->recovering = true;
    error = sim_process_start(&w->main, w, seed, true, &where);
    r->recovering = false;
    if (error == 0)
        error = sim_restart_adopt(w, &where);
    return (error == 0 && where == NULL) || run_failed(r, error, where);
}

/* ---- operations ---- */

static bool is_request(const struct sim_work_op *op)
{
    return op->kind <= SIM_WORK_FLUSH;
}

static int next_request(void *arg, struct sim_request *request)
{
    static const enum sim_request_op ops[] = {
        [SIM_WORK_READ] = SIM_REQUEST_READ,   [SIM_WORK_WRITE] = SIM_REQUEST_WRITE,
        [SIM_WORK_ZERO] = SIM_REQUEST_TRIM,   [SIM_WORK_DISCARD] = SIM_REQUEST_TRIM,
        [SIM_WORK_FLUSH] = SIM_REQUEST_FLUSH,
    };
    struct run *r = arg;
    const struct sim_work_op *op;

    if (r->at == r->work->count || !is_request(&r->work->ops[r->at]))
        return 0;
    op = &r->work->ops[r->at++];
    sim_fault_request(&r->world);
    memset(request, 0, sizeof(*request));
    request->op = ops[op->kind];
    request->zero = op->kind == SIM_WORK_ZERO;
    request->fua = op->fua;
    request->client = op->client;
    request->volume = op->disk;
    request->off_bytes = op->off_bytes;
    request->len_bytes = op->len_bytes;
    return 1;
}

/* Everything is written back, and reclaim has nothing to do. */
static void wait_for_background(struct sim_world *w)
{
    bool background = w->main.background;

    w->main.background = true;
    sim_world_drain(w);
    while (sim_process_progress(&w->main))
        ;
    for (uint32_t n = 0; n < w->config.backends; n++)
        if (w->main.backend[n] != NULL)
            cbd_backend_drain(w->main.backend[n], false);
    w->main.background = background;
}

static bool machine_op(struct run *r)
{
    const struct sim_work_op *op = &r->work->ops[r->at++];
    struct sim_world *w = &r->world;
    struct cbd_backend *b = w->main.backend[op->disk];
    uint64_t failed = sim_fault_failed(w);
    int error = 0;

    r->machine_op = (uint32_t)r->at;
    w->pmem->thread = SIM_THREAD_START;
    if (op->kind == SIM_WORK_RESTART) {
        r->armed = true;
        r->left = op->steps;
        r->crash = op->crash;
    } else if (op->kind == SIM_WORK_WAIT) {
        wait_for_background(w);
    } else if (op->kind == SIM_WORK_DETACH && b != NULL) {
        error = cbd_backend_detach(b);
        if (sim_fault_excuses(error) && sim_fault_failed(w) == failed)
            error = cbd_backend_detach(b); /* what had failed before it began is told once */
        if (error == 0)
            w->main.backend[op->disk] = NULL;
    } else if (op->kind == SIM_WORK_ATTACH && b == NULL) {
        error = sim_process_attach(&w->main, op->disk, true);
    }
    if (sim_fault_excuses(error) && sim_fault_failed(w) != failed)
        error = 0; /* it stays as it was */
    return error == 0 || run_failed(r, error, sim_work_kind_name((enum sim_work_kind)op->kind));
}

/* To the end of the workload, through all restarts. */
static void run_ops(struct run *r)
{
    struct sim_feed feed = {next_request, r};
    struct sim_world *w = &r->world;

    if (setjmp(r->died) != 0 && !restart(r))
        return;
    while (!w->stop) {
        int error = sim_world_run(w, &feed);

        if (error != 0 || sim_world_failed(w)) {
            (void)run_failed(r, w->error, w->error_where != NULL ? w->error_where : "read");
            return;
        }
        if (w->stop)
            return;
        if (r->at < r->work->count && r->work->ops[r->at].kind == SIM_WORK_RESTART && !r->armed) {
            (void)machine_op(r);
            continue;
        }
        /* The power fails at rest, when the steps did not come. */
        if (r->armed && !restart(r))
            return;
        if (r->at == r->work->count)
            return;
        if (!machine_op(r))
            return;
    }
}

static void at_end(struct run *r)
{
    static const struct sim_work_cut end = {.where = SIM_WORK_AT_END};
    const struct sim_work_cut *near = r->t->near;

    if (r->world.stop)
        return;
    if (near != NULL && near->where == SIM_WORK_AT_END)
        judge_words(r, r->result->steps, near, &end);
    if (r->work->cut.where != SIM_WORK_AT_END)
        return;
    r->result->cuts++;
    judge_named(r, r->result->steps, &end);
}

static void run_world(struct run *r)
{
    struct sim_world *w = &r->world;
    int error = sim_world_create(w, &r->work->config);

    if (error != 0) {
        (void)run_failed(r, error, w->error_where);
        sim_world_destroy(w);
        return;
    }
    sim_judge_init(&r->judge, w);
    if (r->t->strategy == SIM_STRATEGY_EXHAUSTIVE && r->work->cut.where == SIM_WORK_NOWHERE)
        r->lazy = sim_lazy_create(w, &r->t->lazy);
    else if (r->t->merge) {
        r->judge.seen = &r->seen;
        w->pmem->hashed = true;
    }
    set_hooks(r, true);
    run_ops(r);
    at_end(r);
    sim_fault_end(w);
    if (!w->stop)
        sim_world_drain(w);
    if (!w->stop && !sim_world_finish(w) && !w->stop)
        (void)run_failed(r, w->error, w->error_where != NULL ? w->error_where : "final compare");
    r->result->judged = r->judge.counts;
    if (r->lazy != NULL)
        sim_lazy_destroy(r->lazy);
    sim_judge_destroy(&r->judge);
    sim_world_destroy(w);
    sim_seen_free(&r->seen);
}

void sim_try_run(const struct sim_workload *w, const struct sim_try *t, struct sim_tried *result)
{
    struct run *r = sim_zalloc(1, sizeof(*r));
    size_t requests = 0;

    memset(result, 0, sizeof(*result));
    r->work = w;
    r->t = t;
    r->result = result;
    r->request_op = sim_zalloc(w->count, sizeof(*r->request_op));
    for (size_t i = 0; i < w->count; i++)
        if (is_request(&w->ops[i]))
            r->request_op[requests++] = (uint32_t)i + 1;
#ifdef CBD_CANARIES
    cbd_canary = w->config.canary;
#endif
    run_world(r);
#ifdef CBD_CANARIES
    cbd_canary = CBD_CANARY_NONE;
#endif
    free(r->request_op);
    free(r);
}

bool sim_try_alike(const struct sim_verdict *a, const struct sim_verdict *b)
{
    return a->failure == b->failure && a->violation.promise == b->violation.promise &&
           a->problem == b->problem && (a->stuck[0] == '\0') == (b->stuck[0] == '\0');
}

static const char *const strategies[SIM_STRATEGY_COUNT] = {"none", "each", "random", "partial",
                                                           "exhaustive"};

const char *sim_strategy_name(enum sim_strategy strategy)
{
    return (unsigned)strategy < SIM_STRATEGY_COUNT ? strategies[strategy] : "unknown";
}

bool sim_strategy_parse(const char *name, enum sim_strategy *strategy)
{
    for (int s = 0; s < SIM_STRATEGY_COUNT; s++) {
        if (strcmp(name, strategies[s]) == 0) {
            *strategy = (enum sim_strategy)s;
            return true;
        }
    }
    return false;
}
