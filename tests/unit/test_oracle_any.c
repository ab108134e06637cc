/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * P4 over sectors that may hold one of several versions: the closed form against all combinations.
 */
/* ctest: sim timeout=60 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "oracle.h"
#include "rng.h"

#define SECTORS 4u
#define VERSIONS_MAX 4u
#define REQUESTS 12u

struct disk {
    struct sim_oracle *o;
    uint64_t versions[SECTORS][VERSIONS_MAX];
    size_t count[SECTORS];
};

static void maybe(struct disk *d, unsigned sector, uint64_t version)
{
    for (size_t i = 0; i < d->count[sector]; i++)
        if (d->versions[sector][i] == version)
            return;
    if (d->count[sector] < VERSIONS_MAX)
        d->versions[sector][d->count[sector]++] = version;
}

/* Requests on few sectors; what they wrote may or may not be on the disk. */
static void history(struct disk *d, struct sim_rng *rng, bool zeroes)
{
    uint64_t keep = 1 + sim_rng_below(rng, 7);

    for (unsigned i = 0; i < REQUESTS; i++) {
        unsigned first = (unsigned)sim_rng_below(rng, SECTORS);
        unsigned n = 1 + (unsigned)sim_rng_below(rng, SECTORS - first);
        uint64_t kind = sim_rng_below(rng, 8), id;
        bool fua = sim_rng_chance(rng, 1, 6);
        bool zero = zeroes && kind == 7;

        if (kind < 2) {
            id = sim_oracle_submit(d->o, SIM_ORACLE_OP_FLUSH, 0, 0, false);
        } else {
            id = sim_oracle_submit(d->o, zero ? SIM_ORACLE_OP_ZERO : SIM_ORACLE_OP_WRITE, first, n,
                                   fua);
            for (unsigned s = first; s < first + n; s++) {
                if (fua && sim_rng_chance(rng, 7, 8))
                    d->count[s] = 0; /* mostly as it should be, so that both answers happen */
                if (sim_rng_below(rng, 8) < keep || d->count[s] == 0)
                    maybe(d, s, zero ? SIM_ORACLE_ZERO : id);
            }
        }
        assert_int_not_equal(id, 0);
        if (sim_rng_chance(rng, 7, 8))
            sim_oracle_ack(d->o, id);
        else
            sim_oracle_fail(d->o, id);
    }
}

static bool by_force(struct disk *d)
{
    size_t at[SECTORS] = {0};
    unsigned s;

    do {
        sim_oracle_backing_begin(d->o);
        for (s = 0; s < SECTORS; s++)
            sim_oracle_backing_feed(d->o, s, 1, d->versions[s][at[s]]);
        if (sim_oracle_backing_end(d->o, NULL) != SIM_ORACLE_OK)
            return false;
        for (s = 0; s < SECTORS; s++) {
            if (++at[s] < d->count[s])
                break;
            at[s] = 0;
        }
    } while (s < SECTORS);
    return true;
}

static int closed_form(struct disk *d, struct sim_oracle_violation *v)
{
    sim_oracle_backing_begin(d->o);
    for (unsigned s = 0; s < SECTORS; s++) {
        if (d->count[s] == 1)
            sim_oracle_backing_feed(d->o, s, 1, d->versions[s][0]);
        else
            sim_oracle_backing_any(d->o, s, d->versions[s], d->count[s]);
    }
    return sim_oracle_backing_any_end(d->o, v);
}

static void compare_all(bool zeroes, unsigned *good, unsigned *wrong, unsigned *open)
{
    for (uint64_t seed = 0; seed < 6000; seed++) {
        struct sim_oracle_config config = {
            .size_sectors = 64, .atomic_sectors = 8, .durable_on_ack = true};
        struct disk d = {.o = sim_oracle_create(&config)};
        struct sim_oracle_violation v;
        struct sim_rng rng;
        bool expected;
        int rc;

        assert_non_null(d.o);
        sim_rng_seed(&rng, seed);
        for (unsigned s = 0; s < SECTORS; s++)
            maybe(&d, s, SIM_ORACLE_INITIAL);
        history(&d, &rng, zeroes);
        expected = by_force(&d);
        rc = closed_form(&d, &v);
        if (rc == SIM_ORACLE_UNDECIDED)
            (*open)++;
        else if ((rc == SIM_ORACLE_OK) != expected)
            fail_msg("seed %llu: closed form %d, by force %d", (unsigned long long)seed, rc,
                     expected);
        *good += expected;
        *wrong += !expected;
        sim_oracle_destroy(d.o);
    }
}

static void test_writes(void **state)
{
    unsigned good = 0, wrong = 0, open = 0;

    (void)state;
    compare_all(false, &good, &wrong, &open);
    print_message("%u explained, %u not, %u undecided\n", good, wrong, open);
    assert_true(good > 300 && wrong > 300);
    assert_int_equal(open, 0);
}

static void test_zeroes(void **state)
{
    unsigned good = 0, wrong = 0, open = 0;

    (void)state;
    compare_all(true, &good, &wrong, &open);
    print_message("%u explained, %u not, %u undecided\n", good, wrong, open);
    assert_true(good > 300 && wrong > 300);
    assert_true(open < 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_zeroes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
