/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Seeded damage to devices of dm-pcache, see pcache_corrupt.h. PCACHE_SEEDS in the environment says
 * how much of it: scripts/campaign corruption runs 10,000.
 */
/* ctest: novalgrind timeout=120 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pcache_corrupt.h"
#include "rng.h"

static void test_seeds(void **state)
{
    const char *text = getenv("PCACHE_SEEDS");
    unsigned long seeds = text != NULL ? strtoul(text, NULL, 10) : 300;
    struct sim_pcache_corrupted out = {0};

    (void)state;
    for (unsigned long seed = 1; seed <= seeds; seed++) {
        uint8_t input[120];
        struct sim_rng rng;

        sim_rng_seed(&rng, seed);
        for (size_t i = 0; i < sizeof(input); i++)
            input[i] = (uint8_t)sim_rng_below(&rng, 256);
        sim_pcache_corrupt(input, sizeof(input), &out);
    }
    printf("%lu seeds: %llu opened, %llu with errors, %llu drained, %llu clean after\n", seeds,
           (unsigned long long)out.opened, (unsigned long long)out.errors,
           (unsigned long long)out.drained, (unsigned long long)out.clean_after);
    /* Damage that nobody notices, or nothing but ruins, would show nothing. */
    assert_true(out.errors > seeds / 3);
    assert_true(out.drained > seeds / 20);
    assert_true(out.clean_after > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
