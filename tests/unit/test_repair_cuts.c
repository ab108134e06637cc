/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=240 */
/*
 * The power is cut before each store, flush and fence of a repair, for each image, and after its
 * end. Then the same repair is run again: nothing more is lost than in the run that was not cut,
 * nothing more is left, and what is served is right or was named there.
 *
 * Each persist step is also left out in turn: that has to be noticed.
 */
#include <stdio.h>

#include "mend_rig.h"
#include "recipes.h"

struct cut {
    const struct recipe *recipe;
    enum sim_mend_policy policy;
    enum sim_model model;
    enum cbd_step drop; /* its persisting is left out */
    uint32_t subsets;   /* of what is pending at each cut */
    bool quiet;         /* failures are counted and not printed */
    struct rig *rig;
    jmp_buf env;
    uint64_t cut_at; /* operation of the repair */
    uint64_t base;   /* operations before it */
    uint64_t states, failures;
};

static struct sim_mender whole; /* the run that was not cut */

static void hook(void *arg, const struct sim_pm_event *ev)
{
    struct cut *c = arg;

    /* Before the first store nothing of the repair can have changed anything. */
    if (ev->number == c->base + c->cut_at &&
        (ev->kind == SIM_PM_FLUSH || ev->step == CBD_STEP_REPAIR_FLUSH_FENCE))
        c->cut_at++;
    else if (ev->number == c->base + c->cut_at)
        longjmp(c->env, 1);
}

static void failed(struct cut *c, uint64_t subset, const char *what)
{
    c->failures++;
    if (!c->quiet && c->failures < 8)
        print_error("%u %s, policy %d, model %d, cut before operation %u, subset %u: %s\n",
                    c->recipe->code, c->recipe->name, (int)c->policy, (int)c->model,
                    (unsigned)c->cut_at, (unsigned)subset, what);
}

static void judge(struct cut *c, uint64_t subset, bool ended)
{
    static struct sim_mender again;
    struct sim_crash crash = sim_crash_subset(subset, c->cut_at);
    struct rig *r = c->rig;
    char why[160];
    int error;

    c->states++;
    rig_kill(r);
    sim_pmem_crash(r->pmem, &crash);
    again.want = c->recipe->code;
    mend_run(r, c->policy, &again);
    if (again.error != whole.error)
        failed(c, subset, "the second repair ends with another error");
    if (ended && again.result.fixed != 0)
        failed(c, subset, "what was repaired was not durable");
    if (ended && again.result.summary.infos > whole.result.summary.infos)
        failed(c, subset, "a copy was not durable");
    if (again.result.summary.errors > whole.result.summary.errors)
        failed(c, subset, "more is left than without the cut");
    if (!sim_mender_names_no_more(&again, &whole))
        failed(c, subset, "something was lost that was not named before");
    error = mend_serve(r, &whole, why, sizeof(why));
    if (why[0] != '\0' && !c->recipe->forged)
        failed(c, subset, why);
    if (error != 0 && whole.error == 0 && whole.result.summary.errors == 0 &&
        !whole.gave_up_backend && c->recipe->code != CBD_PROBLEM_DROPPING &&
        c->recipe->code != CBD_PROBLEM_RECORD_ALIGNMENT)
        failed(c, subset, "cannot be attached");
    rig_kill(r);
}

/* True: the repair came to its end before the operation. */
static bool run_to(struct cut *c)
{
    static struct sim_mender cut_run;
    volatile bool ended = false;

    c->base = c->rig->pmem->ops_done;
    c->rig->pmem->hook = hook;
    c->rig->pmem->hook_arg = c;
    c->rig->pmem->drop_step = c->drop;
    if (setjmp(c->env) == 0) {
        mend_run(c->rig, c->policy, &cut_run);
        ended = true;
    }
    c->rig->pmem->hook = NULL;
    c->rig->pmem->drop_step = CBD_STEP_NONE;
    c->rig->pmem->thread = 0;
    return ended;
}

static void cuts(struct cut *c)
{
    bool ended = false;
    uint64_t calls;

    c->rig = recipe_base_make(c->recipe->base, c->model);
    c->recipe->damage(c->rig);
    sim_pmem_mark(c->rig->pmem);
    calls = c->rig->pmem->counts.by_step[c->drop];
    mend_run(c->rig, c->policy, &whole);
    calls = c->rig->pmem->counts.by_step[c->drop] - calls;
    sim_pmem_rollback(c->rig->pmem);
    if (c->drop != CBD_STEP_NONE && calls == 0)
        ended = true; /* nothing is left out */
    for (c->cut_at = 0; !ended && whole.result.fixed != 0; c->cut_at++) {
        sim_pmem_mark(c->rig->pmem);
        ended = run_to(c);
        for (uint64_t subset = 0;
             subset < c->subsets && (c->drop == CBD_STEP_NONE || c->failures == 0); subset++) {
            sim_pmem_mark(c->rig->pmem);
            judge(c, subset, ended);
            sim_pmem_rollback(c->rig->pmem);
        }
        sim_pmem_rollback(c->rig->pmem);
    }
    rig_kill(c->rig);
    rig_destroy(c->rig);
}

static uint64_t sweep(enum sim_model model, enum cbd_step drop, uint32_t subsets, uint64_t *states)
{
    uint64_t failures = 0;

    for (size_t i = 0; i < recipe_count && (drop == CBD_STEP_NONE || failures == 0); i++)
        for (enum sim_mend_policy policy = SIM_MEND_PREEN; policy <= SIM_MEND_LOSES; policy += 2) {
            struct cut c = {
                .recipe = &recipes[i],
                .policy = policy,
                .model = model,
                .drop = drop,
                .subsets = subsets,
                .quiet = drop != CBD_STEP_NONE,
            };

            bool asks = recipes[i].end == END_LOSES || recipes[i].end == END_DECIDE;

            if (asks != (policy == SIM_MEND_LOSES) || recipes[i].end == END_LEFT ||
                recipes[i].end == END_NOTE)
                continue;
            cuts(&c);
            failures += c.failures;
            *states += c.states;
        }
    return failures;
}

static uint32_t subsets(void)
{
    const char *text = getenv("CBD_REPAIR_SUBSETS");

    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 4;
}

static void nothing_more_is_lost(void **state)
{
    const enum sim_model models[] = {SIM_ADR, SIM_EADR, SIM_PAGE};
    uint64_t failures = 0, states = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        failures += sweep(models[i], CBD_STEP_NONE, subsets(), &states);
    print_message("%llu states\n", (unsigned long long)states);
    assert_int_equal(failures, 0);
}

static void each_step_is_needed(void **state)
{
    bool good = true;

    (void)state;
    for (enum cbd_step step = CBD_STEP_NONE + 1; step < CBD_STEP_COUNT; step++) {
        uint64_t states = 0;

        if (cbd_step_phase(step) != CBD_PHASE_REPAIR || cbd_step_redundant(step)[0] != '\0')
            continue;
        if (sweep(SIM_ADR, step, 16, &states) == 0 && sweep(SIM_PAGE, step, 8, &states) == 0) {
            print_error("%s can be left out: %llu states\n", cbd_step_name(step),
                        (unsigned long long)states);
            good = false;
        }
    }
    assert_true(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_more_is_lost),
        cmocka_unit_test(each_step_is_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
