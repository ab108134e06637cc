/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of segments for write-back (lists.h), against all ways to give segments to streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lists.h"
#include "rng.h"

#define SPANS 7u

/* Along each list: no epoch below one before, an open segment last, in the list of its stream. */
static void assert_lists(const struct cbd_span *made, const struct cbd_span *given, uint32_t count,
                         uint32_t streams)
{
    uint64_t end[16] = {0};

    for (uint32_t i = 0; i < count; i++) {
        const struct cbd_span *was = given;

        while (was->id != made[i].id)
            was++;
        assert_true(made[i].stream < streams);
        assert_true(made[i].first >= end[made[i].stream]);
        assert_true(!made[i].open || made[i].stream == was->stream);
        end[made[i].stream] = made[i].open ? UINT64_MAX : made[i].last;
    }
}

/* Whether spans[at..] can be put behind what ends at end[], whatever stream they name. */
static bool some_way(const struct cbd_span *spans, uint32_t left, uint32_t streams, uint64_t *end)
{
    uint32_t best = UINT32_MAX;

    if (left == 0)
        return true;
    for (uint32_t i = 0; i < SPANS; i++)
        if ((left >> i & 1) != 0)
            for (uint32_t n = 0; n < streams; n++) {
                uint64_t saved = end[n];

                if (saved > spans[i].first || (spans[i].open && n != spans[i].stream))
                    continue;
                end[n] = spans[i].open ? UINT64_MAX : spans[i].last;
                if (some_way(spans, left & ~(1u << i), streams, end))
                    best = i;
                end[n] = saved;
                if (best != UINT32_MAX)
                    return true;
            }
    return false;
}

static uint32_t draw(struct sim_rng *rng, struct cbd_span *spans, uint32_t streams)
{
    uint32_t count = 1 + (uint32_t)sim_rng_below(rng, SPANS);
    uint32_t open = 0;

    for (uint32_t i = 0; i < count; i++) {
        spans[i] = (struct cbd_span){
            .first = 1 + sim_rng_below(rng, 12),
            .id = 100 + i,
            .stream = (uint8_t)sim_rng_below(rng, streams),
        };
        spans[i].last = spans[i].first + sim_rng_below(rng, 4);
        if (sim_rng_chance(rng, 1, 4) && (open >> spans[i].stream & 1) == 0) {
            spans[i].open = true;
            open |= 1u << spans[i].stream;
        }
    }
    return count;
}

static void lists_are_made_where_there_are_any(void **state)
{
    uint32_t made = 0, unfit = 0;
    struct sim_rng rng;

    (void)state;
    sim_rng_seed(&rng, 1);
    for (uint32_t n = 0; n < 20000; n++) {
        uint32_t streams = 1 + n % 3;
        struct cbd_span given[SPANS], spans[SPANS];
        uint32_t count = draw(&rng, given, streams);
        uint64_t end[16] = {0};
        bool possible = some_way(given, (1u << count) - 1, streams, end);

        memcpy(spans, given, sizeof(spans));
        if (cbd_lists_make(spans, count, streams) == CBD_LISTS_FIT) {
            assert_true(possible);
            assert_lists(spans, given, count, streams);
            made++;
        } else {
            assert_false(possible);
            unfit++;
        }
    }
    assert_true(made > 2000 && unfit > 2000);
}

/* A cache that was never damaged keeps its lists: what a stream has filled stays with it. */
static void what_fits_stays(void **state)
{
    struct sim_rng rng;

    (void)state;
    sim_rng_seed(&rng, 2);
    for (uint32_t n = 0; n < 2000; n++) {
        struct cbd_span spans[SPANS], was[SPANS];
        uint64_t end[3] = {1, 1, 1};

        for (uint32_t i = 0; i < SPANS; i++) {
            uint8_t s = (uint8_t)sim_rng_below(&rng, 3);

            spans[i] =
                (struct cbd_span){.first = end[s] + sim_rng_below(&rng, 3), .id = i, .stream = s};
            spans[i].last = end[s] = spans[i].first + sim_rng_below(&rng, 3);
        }
        memcpy(was, spans, sizeof(was));
        assert_int_equal(cbd_lists_make(spans, SPANS, 3), CBD_LISTS_FIT);
        for (uint32_t i = 0; i < SPANS; i++)
            assert_int_equal(spans[i].stream, was[spans[i].id].stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_made_where_there_are_any),
        cmocka_unit_test(what_fits_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
