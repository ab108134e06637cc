/* SPDX-License-Identifier: BSD-2-Clause */
/* A second power cut: inside recovery, or inside what the recovered cache does. */
#include <setjmp.h>

#include "judge_impl.h"

/* More than any recovered cache has to do; then it counts as done. */
#define PROGRESS_MAX 1000000u

/* Power fails at a step: the hook leaves the process from there. */
struct again {
    jmp_buf out;
    const struct sim_world *world;
    uint64_t left;
    unsigned kind;
    enum sim_later later; /* NONE: every step counts, else only those of it */
};

static void again_step(struct again *a, unsigned kind)
{
    if (a->left-- == 0) {
        a->kind = kind;
        longjmp(a->out, 1);
    }
}

/* Work of the background is told by its thread: reclaim uses the write path, too. */
static bool counts(const struct again *a)
{
    uint32_t thread = a->world->pmem->thread;
    bool reclaim = thread >= SIM_THREAD_RECLAIM && thread < SIM_THREAD_START;

    return a->later == SIM_LATER_NONE || reclaim == (a->later == SIM_LATER_RECLAIM);
}

static void again_pm(void *arg, const struct sim_pm_event *ev)
{
    struct again *a = arg;

    if (counts(a))
        again_step(a, ev->kind == SIM_PM_FLUSH ? 1 : ev->kind == SIM_PM_FENCE ? 2 : 0);
}

static void again_disk(void *arg, const struct sim_disk_event *ev)
{
    struct again *a = arg;

    (void)ev;
    if (counts(a))
        again_step(a, 3);
}

void judge_hooks(struct sim_world *w, void (*pm)(void *, const struct sim_pm_event *),
                 void (*disk)(void *, const struct sim_disk_event *), void *arg)
{
    w->pmem->hook = pm;
    w->pmem->hook_arg = arg;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        w->disk[n]->hook = disk;
        w->disk[n]->hook_arg = arg;
    }
}

bool judge_nested(struct sim_judge *j, const struct sim_state_plan *plan, struct sim_verdict *v)
{
    struct sim_world *w = j->world;
    struct again a = {.world = w, .left = plan->nested_at};
    volatile bool ok = true;

    judge_hooks(w, again_pm, again_disk, &a);
    if (setjmp(a.out) == 0) {
        ok = judge_start(j, v);
        a.kind = 2; /* recovery ended first: its last step is a fence */
    }
    judge_hooks(w, NULL, NULL, NULL);
    if (!ok)
        return false;
    j->counts.nested++;
    j->counts.nested_at[a.kind]++;
    sim_world_power_cut(w, &plan->nested_crash);
    return true;
}

/* Everything is written back, and reclaim goes on until it has nothing to do. */
static void work(struct sim_judge *j)
{
    for (uint32_t n = 0; n < j->world->config.backends; n++)
        cbd_backend_drain(j->process.backend[n], true);
    j->process.background = true;
    for (uint32_t i = 0; i < PROGRESS_MAX && sim_process_progress(&j->process); i++)
        ;
}

bool judge_later(struct sim_judge *j, const struct sim_state_plan *plan, uint64_t seen,
                 struct sim_verdict *v)
{
    struct sim_world *w = j->world;
    struct again a = {.world = w, .left = plan->later_at, .later = plan->later};
    uint64_t shown = 0;

    j->counts.later[plan->later]++;
    judge_hooks(w, again_pm, again_disk, &a);
    if (setjmp(a.out) == 0) {
        work(j);
        j->counts.later_rest[plan->later]++;
    } else {
        j->counts.later_at[plan->later][a.kind]++;
    }
    judge_hooks(w, NULL, NULL, NULL);
    j->process.background = false;
    sim_world_power_cut(w, &plan->later_crash);
    if (!judge_backing(j, v) || !judge_check(j, v, "check after a later power cut") ||
        !judge_start(j, v) || !judge_open(j, &shown, v))
        return false;
    if (shown != seen)
        return judge_bad(v, SIM_FAILURE_UNSTABLE, 0, "recovery from a later power cut");
    return judge_cached(j, v);
}
