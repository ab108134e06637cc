/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=240 */
/*
 * A damaged image for each problem: it is named, it is repaired or not, as its recipe says. The same
 * repair once more stores nothing, and who accepts everything is offered nothing to accept.
 */
#include <stdio.h>

#include "mend_rig.h"
#include "recipes.h"

static struct rig *make(const struct recipe *recipe)
{
    struct rig *r = recipe_base_make(recipe->base, SIM_ADR);

    recipe->damage(r);
    return r;
}

static void every_row_has_an_image(void **state)
{
    const struct cbd_problem *row;

    (void)state;
    for (uint32_t n = 0; (row = cbd_problem_row(n)) != NULL; n++) {
        bool found = false;

        for (size_t i = 0; i < recipe_count; i++)
            found = found || recipes[i].code == row->code;
        if (!found)
            fail_msg("no image for problem %u %s", row->code, row->name);
    }
}

static bool opens(const struct recipe *recipe)
{
    return !recipe_of_disk(recipe->code) && recipe->code != CBD_PROBLEM_SUPER_NO_DATA &&
           recipe->code != CBD_PROBLEM_DROPPING &&
           recipe->code != CBD_PROBLEM_RECORD_ALIGNMENT; /* now another block size than the disk */
}

/* What a policy is to make of it. */
static bool repaired_by(enum recipe_end end, enum sim_mend_policy policy)
{
    switch (end) {
    case END_PREEN:
        return policy >= SIM_MEND_PREEN;
    case END_DECIDE:
        return policy >= SIM_MEND_YES;
    case END_LOSES:
        return policy >= SIM_MEND_LOSES;
    default:
        return false;
    }
}

struct look {
    uint32_t code;
    bool found;
};

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct look *look = arg;

    look->found = look->found || f->problem->code == look->code;
    return 0;
}

static bool named_now(struct rig *r, uint32_t code, uint64_t *errors)
{
    struct cbd_disk *disks[CBD_BACKENDS] = {&r->disk[0]->disk};
    struct cbd_check_options options = {
        .disks = recipe_of_disk(code) ? disks : NULL,
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA,
    };
    struct look look = {.code = code};
    struct cbd_check_summary sum;
    uint64_t ops = r->pmem->ops_done;
    int error = cbd_check_run(&r->pmem->pm, &r->env.env, &options, on_finding, &look, &sum);

    assert_int_equal(r->pmem->ops_done, ops);
    *errors = error != 0 ? 1 : sum.errors;
    return look.found;
}

static int bad;

static void complain(const struct recipe *recipe, enum sim_mend_policy policy, const char *what)
{
    print_error("%u %s (base %d), policy %d: %s\n", recipe->code, recipe->name, (int)recipe->base,
                (int)policy, what);
    bad++;
}

static void repair_again(struct rig *r, const struct recipe *recipe, const struct sim_mender *first)
{
    static struct sim_mender again;
    uint64_t ops = r->pmem->ops_done;

    again.want = recipe->code;
    mend_run(r, first->policy, &again);
    if (again.error != first->error)
        complain(recipe, first->policy, "the second repair ends with another error");
    if (again.result.summary.errors != first->result.summary.errors)
        complain(recipe, first->policy, "the second repair leaves something else");
    if (recipe->code == CBD_PROBLEM_COPY_MEDIA)
        return; /* the page stays unreadable: it is tried again */
    if (r->pmem->ops_done != ops)
        complain(recipe, first->policy, "the second repair stored something");
    if (first->policy != SIM_MEND_PREEN && again.accepted != 0)
        complain(recipe, first->policy, "the second repair has something to do");
}

static void one(const struct recipe *recipe, enum sim_mend_policy policy)
{
    struct rig *r = make(recipe);
    static struct sim_mender first;
    char text[160], why[120];
    uint64_t errors;
    bool again;
    int error;

    if (!named_now(r, recipe->code, &errors))
        complain(recipe, policy, "is not named");
    first.want = recipe->code;
    mend_run(r, policy, &first);
    again = named_now(r, recipe->code, &errors);
    repair_again(r, recipe, &first);
    if (repaired_by(recipe->end, policy)) {
        if (first.error != 0 || errors != 0 || again) {
            snprintf(text, sizeof(text), "error %d, then %u errors left, the same %d", first.error,
                     (unsigned)errors, again);
            complain(recipe, policy, text);
        }
        if (first.result.fixed == 0)
            complain(recipe, policy, "nothing was stored");
    } else if (recipe->end == END_NOTE && errors != 0) {
        complain(recipe, policy, "an error where notes were expected");
    } else if (recipe->end != END_NOTE && !again && first.error == 0) {
        complain(recipe, policy, "is gone without a repair");
    }
    if (policy < SIM_MEND_LOSES && first.result.lost_bytes != 0)
        complain(recipe, policy, "lost something");
    error = mend_serve(r, &first, why, sizeof(why));
    if (why[0] != '\0' && !recipe->forged)
        complain(recipe, policy, why);
    if (error != 0 && errors == 0 && opens(recipe) && !first.gave_up_backend) {
        snprintf(text, sizeof(text), "attach returned %d", error);
        complain(recipe, policy, text);
    }
    rig_destroy(r);
}

static void every_image_ends_as_its_recipe_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < recipe_count; i++)
        for (enum sim_mend_policy policy = SIM_MEND_NONE; policy <= SIM_MEND_LOSES; policy++)
            one(&recipes[i], policy);
    assert_int_equal(bad, 0);
}

/* What write-back cannot have in order is served, and stays where it is. */
static void epochs_that_fall_are_not_written_back(void **state)
{
    uint32_t seen = 0;

    (void)state;
    for (size_t i = 0; i < recipe_count; i++) {
        struct rig *r;

        if (recipes[i].code != CBD_PROBLEM_EPOCHS && recipes[i].code != CBD_PROBLEM_RECORD_EPOCH)
            continue;
        r = make(&recipes[i]);
        assert_true(rig_degraded(r));
        rig_check_all(r);
        assert_int_equal(rig_try_write(r, 0, 0, 4096, 0), CBD_E_READONLY);
        assert_int_equal(cbd_backend_detach(r->backend[0]), CBD_E_READONLY);
        rig_destroy(r);
        seen++;
    }
    assert_int_equal(seen, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_an_image),
        cmocka_unit_test(every_image_ends_as_its_recipe_says),
        cmocka_unit_test(epochs_that_fall_are_not_written_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
