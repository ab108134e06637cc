/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of fault models is whole, and the scenes that they play find nothing without a bug. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "contract.h"
#include "score.h"

/* `cbd-sim canaries --score` shows that the bug is found; here, that none is forgotten. */
static void each_model_has_a_bug_of_its_own_or_a_reason(void **state)
{
    (void)state;
    for (int i = 0; i < SIM_SCORE_COUNT; i++) {
        enum sim_score_row row = (enum sim_score_row)i;
        bool has = sim_score_witness(row) != CBD_CANARY_NONE;

        assert_non_null(sim_score_name(row));
        assert_non_null(sim_score_what(row));
        assert_true(has != (sim_score_reason(row) != NULL));
        for (int other = 0; other < i && has; other++)
            assert_int_not_equal(sim_score_witness((enum sim_score_row)other),
                                 sim_score_witness(row));
    }
}

static void each_fault_has_its_row(void **state)
{
    (void)state;
    for (int f = 0; f < SIM_FAULT_COUNT; f++)
        assert_string_equal(sim_score_name((enum sim_score_row)(SIM_SCORE_FAULT + f)),
                            sim_fault_name((enum sim_fault)f));
}

/* No campaign can run on a disk that lies: a scene has to say what is noticed of it. */
static void each_lie_has_a_scene(void **state)
{
    uint32_t played = 0;

    (void)state;
    for (uint32_t i = 0; i < sim_contract_scenes(); i++)
        played |= sim_contract_models(i);
    assert_true((played >> SIM_SCORE_LOST_FLUSH & 1) != 0);
    assert_true((played >> SIM_SCORE_LOST_WRITE & 1) != 0);
    assert_true((played >> SIM_SCORE_MISPLACED & 1) != 0);
}

static void every_scene_goes_as_it_must(void **state)
{
    char why[256];

    (void)state;
    for (uint32_t i = 0; i < sim_contract_scenes(); i++)
        if (!sim_contract_play(i, why, sizeof(why)))
            fail_msg("%s: %s", sim_contract_name(i), why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_model_has_a_bug_of_its_own_or_a_reason),
        cmocka_unit_test(each_fault_has_its_row),
        cmocka_unit_test(each_lie_has_a_scene),
        cmocka_unit_test(every_scene_goes_as_it_must),
    };

    return cmocka_run_group_tests_name("score", tests, NULL, NULL);
}
