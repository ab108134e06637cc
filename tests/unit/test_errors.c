/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of errors and persist steps: permanent numbers, and an answer for every value. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cbd/errors.h"
#include "cbd/steps.h"

static const int errors[] = {
#define X(code, name, sentence) CBD_E_##name,
#include "cbd/errors.def"
#undef X
};

#define ERROR_COUNT (sizeof(errors) / sizeof(errors[0]))

/* Scripts and other programs know these numbers. */
static void test_error_codes_are_permanent(void **state)
{
    (void)state;
    assert_int_equal(CBD_E_INVALID, -1);
    assert_int_equal(CBD_E_NOMEM, -2);
    assert_int_equal(CBD_E_NOSPACE, -3);
    assert_int_equal(CBD_E_IO, -4);
    assert_int_equal(CBD_E_MEDIA, -5);
    assert_int_equal(CBD_E_CORRUPT, -6);
    assert_int_equal(CBD_E_VERSION, -7);
    assert_int_equal(CBD_E_NOTCBD, -8);
    assert_int_equal(CBD_E_BUSY, -9);
    assert_int_equal(CBD_E_MISMATCH, -10);
    assert_int_equal(CBD_E_EXISTS, -11);
    assert_int_equal(CBD_E_NOTFOUND, -12);
    assert_int_equal(CBD_E_TIMEDOUT, -13);
    assert_int_equal(CBD_E_READONLY, -14);
    assert_int_equal(CBD_E_RANGE, -15);
    assert_int_equal(CBD_E_AGAIN, -16);
    assert_int_equal(CBD_E_SYSTEM, -17);
    assert_int_equal(CBD_E_NODATA, -18);
}

static void test_error_rows_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERROR_COUNT; i++) {
        assert_true(errors[i] < 0);
        assert_string_not_equal(cbd_error_name(errors[i]), "UNKNOWN");
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(errors[i], errors[j]);
            assert_string_not_equal(cbd_error_name(errors[i]), cbd_error_name(errors[j]));
            assert_string_not_equal(cbd_error_sentence(errors[i]), cbd_error_sentence(errors[j]));
        }
    }
}

static void test_error_names(void **state)
{
    (void)state;
    assert_string_equal(cbd_error_name(0), "OK");
    assert_string_equal(cbd_error_name(CBD_E_CORRUPT), "CORRUPT");
    assert_string_equal(cbd_error_sentence(CBD_E_NOSPACE), "there is no room");
}

static void test_values_outside_the_error_table(void **state)
{
    static const int strange[] = {1, 6, INT_MAX, -9999, INT_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        assert_string_equal(cbd_error_name(strange[i]), "UNKNOWN");
        assert_non_null(cbd_error_sentence(strange[i]));
    }
}

static void test_step_rows_are_complete(void **state)
{
    (void)state;
    assert_true(CBD_STEP_COUNT > 1);
    for (int step = CBD_STEP_NONE + 1; step < CBD_STEP_COUNT; step++) {
        assert_non_null(cbd_step_name(step));
        assert_true(strlen(cbd_step_sentence(step)) > 0);
        assert_non_null(cbd_step_redundant(step));
        assert_true(cbd_step_phase(step) < CBD_PHASE_COUNT);
        for (int other = CBD_STEP_NONE; other < step; other++) {
            assert_string_not_equal(cbd_step_name(step), cbd_step_name(other));
            assert_string_not_equal(cbd_step_sentence(step), cbd_step_sentence(other));
        }
    }
    for (int phase = 0; phase < CBD_PHASE_COUNT; phase++) {
        assert_non_null(cbd_phase_name(phase));
        assert_string_not_equal(cbd_phase_name(phase), "NONE");
    }
}

static void test_step_lookup(void **state)
{
    (void)state;
    assert_string_equal(cbd_step_name(CBD_STEP_INSERT_RECORD), "INSERT_RECORD");
    assert_string_equal(cbd_phase_name(cbd_step_phase(CBD_STEP_INSERT_RECORD)), "INSERT");
}

static void test_values_outside_the_step_table(void **state)
{
    static const int strange[] = {CBD_STEP_NONE, CBD_STEP_COUNT, INT_MAX, -1, INT_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        enum cbd_step step = (enum cbd_step)strange[i];

        assert_string_equal(cbd_step_name(step), "NONE");
        assert_non_null(cbd_step_sentence(step));
        assert_string_equal(cbd_step_redundant(step), "");
        assert_string_equal(cbd_phase_name(cbd_step_phase(step)), "NONE");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_codes_are_permanent),
        cmocka_unit_test(test_error_rows_differ),
        cmocka_unit_test(test_error_names),
        cmocka_unit_test(test_values_outside_the_error_table),
        cmocka_unit_test(test_step_rows_are_complete),
        cmocka_unit_test(test_step_lookup),
        cmocka_unit_test(test_values_outside_the_step_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
