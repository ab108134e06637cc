/* SPDX-License-Identifier: BSD-2-Clause */
/* The litmus tests: the outcomes that are enumerated are those that are allowed, no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "litmus.h"

static void test_enumerated_is_allowed(void **state)
{
    (void)state;
    assert_true(sim_litmus_count() >= 20);
    for (size_t i = 0; i < sim_litmus_count(); i++) {
        const struct sim_litmus *t = sim_litmus_at(i);
        struct sim_litmus_set seen, allowed, forbidden, all;

        sim_litmus_enumerate(t, &seen);
        sim_litmus_parse(t->allowed, &allowed);
        sim_litmus_parse(t->forbidden, &forbidden);
        sim_litmus_all(t, &all);
        for (size_t k = 0; k < seen.count; k++)
            if (!sim_litmus_has(&allowed, seen.word[k]))
                fail_msg("%s: %s is seen and not allowed", t->name, seen.word[k]);
        for (size_t k = 0; k < allowed.count; k++)
            if (!sim_litmus_has(&seen, allowed.word[k]))
                fail_msg("%s: %s is allowed and not seen", t->name, allowed.word[k]);
        for (size_t k = 0; k < all.count; k++)
            if (sim_litmus_has(&allowed, all.word[k]) == sim_litmus_has(&forbidden, all.word[k]))
                fail_msg("%s: %s is neither or both", t->name, all.word[k]);
        assert_int_equal(allowed.count + forbidden.count, all.count);
        assert_true(sim_litmus_holds(t));
    }
}

/* The drawn crashes stay within what is allowed, and reach all of it. */
static void test_drawn_is_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sim_litmus_count(); i++) {
        const struct sim_litmus *t = sim_litmus_at(i);
        struct sim_litmus_set allowed, one;
        bool reached[SIM_LITMUS_OUTCOMES_MAX] = {false};

        sim_litmus_parse(t->allowed, &allowed);
        for (uint64_t subset = 0; subset < 400; subset++) {
            struct sim_crash crash = sim_crash_subset(subset, subset * 7 + 1);
            bool found = false;

            sim_litmus_crash(t, &crash, &one);
            for (size_t k = 0; k < allowed.count; k++) {
                bool same = strcmp(allowed.word[k], one.word[0]) == 0;

                reached[k] |= same;
                found |= same;
            }
            if (!found)
                fail_msg("%s: a crash left %s", t->name, one.word[0]);
        }
        for (size_t k = 0; k < allowed.count; k++)
            if (!reached[k])
                fail_msg("%s: no crash left %s", t->name, allowed.word[k]);
    }
}

/* The comparison can fail: one outcome less allowed, one more, another model. */
static void test_a_wrong_table_is_noticed(void **state)
{
    struct sim_litmus t = *sim_litmus_at(0);

    (void)state;
    assert_true(sim_litmus_holds(&t));
    t.allowed = "00 11";
    t.forbidden = "01 10";
    assert_false(sim_litmus_holds(&t));
    t.allowed = "00 01 10 11";
    t.forbidden = "";
    assert_false(sim_litmus_holds(&t));
    t = *sim_litmus_at(0);
    t.model = SIM_EADR;
    assert_false(sim_litmus_holds(&t));
}

static void test_names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < sim_litmus_count(); i++)
        for (size_t k = i + 1; k < sim_litmus_count(); k++)
            assert_string_not_equal(sim_litmus_at(i)->name, sim_litmus_at(k)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enumerated_is_allowed),
        cmocka_unit_test(test_drawn_is_allowed),
        cmocka_unit_test(test_a_wrong_table_is_noticed),
        cmocka_unit_test(test_names_are_unique),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
