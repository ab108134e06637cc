/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=240 */
/*
 * Caches that stop, are damaged in up to three places, and are repaired with the power cut inside the
 * repair (mend.h): nothing more is lost or left than without the cut, and what is served is right.
 * CBD_MEND_RUNS: so many runs, of all models and both durabilities in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mend.h"

static struct sim_mend_config config_of(uint32_t n)
{
    struct sim_mend_config c = {
        .world =
            {
                .seed = 1000 + n,
                .cache_bytes = 3u << 20,
                .segment_bytes = 64u << 10,
                .streams = 2,
                .backends = 1,
                .disk_bytes = {1u << 20},
                .logical_block_bytes = 512,
            },
        .requests = 300,
        .every = 200,
        .images = 6,
        .cuts = 8,
        .subsets = 3,
        .space_bytes = 1u << 19,
        .len_max_bytes = 16u << 10,
    };

    sim_mend_vary(&c.world, n);
    return c;
}

static uint32_t runs(void)
{
    const char *text = getenv("CBD_MEND_RUNS");

    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 24;
}

static void nothing_more_is_lost(void **state)
{
    struct sim_mend_counts counts = {0};
    uint32_t violations = 0;
    char why[400];

    (void)state;
    for (uint32_t n = 0; n < runs(); n++) {
        struct sim_mend_config c = config_of(n);

        if (sim_mend_run(&c, &counts, why, sizeof(why)))
            continue;
        violations++;
        print_error("run %u: %s\n", (unsigned)n, why);
    }
    print_message("%llu damaged caches, %llu repaired, %llu power cuts in repairs, %llu states, "
                  "%u violations\n",
                  (unsigned long long)counts.images, (unsigned long long)counts.repaired,
                  (unsigned long long)counts.cuts, (unsigned long long)counts.states,
                  (unsigned)violations);
    assert_int_equal(violations, 0);
    assert_true(counts.repaired > counts.images / 2);
    assert_true(counts.states > 2 * counts.cuts);
}

static void a_run_repeats_itself(void **state)
{
    const struct sim_mend_config c = config_of(3);
    struct sim_mend_counts counts[2];
    char why[400];

    (void)state;
    memset(counts, 0, sizeof(counts));
    for (int i = 0; i < 2; i++)
        assert_true(sim_mend_run(&c, &counts[i], why, sizeof(why)));
    assert_memory_equal(&counts[0], &counts[1], sizeof(counts[0]));
}

static void a_step_that_is_left_out_is_found(void **state)
{
    struct sim_mend_counts counts = {0};
    char why[400] = "";
    bool good = true;

    (void)state;
    for (uint32_t n = 0; n < 24 && good; n++) {
        struct sim_mend_config c = config_of(n);

        c.world.drop_step = CBD_STEP_REPAIR_VOID_FENCE;
        good = sim_mend_run(&c, &counts, why, sizeof(why));
    }
    assert_false(good);
    assert_true(counts.drop_calls != 0);
    assert_non_null(strstr(why, "damaged:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_more_is_lost),
        cmocka_unit_test(a_run_repeats_itself),
        cmocka_unit_test(a_step_that_is_left_out_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
