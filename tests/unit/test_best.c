/* SPDX-License-Identifier: BSD-2-Clause */
/* The fewest requests of write-back, held against the plain definition, sector by sector. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "best.h"
#include "rng.h"

#define SECTORS 64u

static const struct sim_best_config config = {
    .piece_bytes_max = 4096, .data_bytes_max = 4 * 512, .zero_bytes_max = 8 * 512};

/* What an epoch leaves of each sector: 0 nothing, 1 data, 2 a discard. */
static void count_epoch(uint8_t *left, struct sim_best_sums *sums)
{
    bool any = false;

    for (unsigned i = 0; i < SECTORS;) {
        unsigned first = i, limit = left[i] == 1 ? 4 : 8;

        while (i < SECTORS && left[i] == left[first] && i - first < limit)
            i++;
        if (left[first] == 1) {
            sums->data_requests++;
            sums->data_bytes += (i - first) * 512;
        } else if (left[first] == 2) {
            sums->zero_requests++;
            sums->zero_bytes += (i - first) * 512;
        }
        any = any || left[first] != 0;
    }
    sums->epochs += any;
    memset(left, 0, SECTORS);
}

static void it_is_what_the_definition_says(void **state)
{
    struct sim_rng rng;

    (void)state;
    sim_rng_seed(&rng, 11);
    for (unsigned round = 0; round < 2000; round++) {
        struct sim_best *best = sim_best_create(&config);
        struct sim_best_sums want = {0}, got;
        uint8_t left[SECTORS] = {0};

        for (unsigned i = 0; i < 40; i++) {
            uint64_t start = sim_rng_below(&rng, SECTORS);
            uint64_t len = 1 + sim_rng_below(&rng, SECTORS - start);
            bool zero = sim_rng_chance(&rng, 1, 4), fua = sim_rng_chance(&rng, 1, 8);

            len = len > 9 ? 1 + len % 9 : len;
            sim_best_write(best, start, len, zero, fua);
            memset(left + start, zero ? 2 : 1, len);
            if (fua)
                count_epoch(left, &want);
            if (sim_rng_chance(&rng, 1, 8)) {
                sim_best_flush(best);
                count_epoch(left, &want);
            }
        }
        count_epoch(left, &want);
        got = sim_best_end(best);
        want.forced = got.forced;
        assert_memory_equal(&got, &want, sizeof(got));
        sim_best_destroy(best);
    }
}

static void an_epoch_ends_at_its_limits(void **state)
{
    struct sim_best_config c = config;
    struct sim_best_sums sums;
    struct sim_best *best;

    (void)state;
    c.epoch_bytes_max = 10 * (512 + 128);
    best = sim_best_create(&c);
    for (unsigned i = 0; i < 35; i++)
        sim_best_write(best, i % 2, 1, false, false);
    sums = sim_best_end(best);
    assert_int_equal(sums.epochs, 4);
    assert_int_equal(sums.data_requests, 4);
    sim_best_destroy(best);
    c.epoch_bytes_max = 0;
    c.epoch_records_max = 5;
    best = sim_best_create(&c);
    for (unsigned i = 0; i < 35; i++)
        sim_best_write(best, i % 2, 1, true, false);
    sums = sim_best_end(best);
    assert_int_equal(sums.epochs, 7);
    sim_best_destroy(best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_the_definition_says),
        cmocka_unit_test(an_epoch_ends_at_its_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
