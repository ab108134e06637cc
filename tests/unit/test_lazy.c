/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Undecided memory against brute force: small programs of stores, a reader that trusts checksums,
 * and every outcome of every word. What the lazy walk shows, no more and no less, has to be what
 * the enumeration shows; and the states that its paths stand for have to add up to all of them.
 */
/* ctest: sim novalgrind timeout=120 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lazy_machine.h"
#include "rng.h"
#include "sim_base.h"

#define LINES 12u
#define WORDS (LINES * SIM_PEND_WORDS)
#define OUTCOMES_MAX 200000u
#define BRUTE_MAX 60000u

/* A set of numbers. */
struct set {
    uint64_t *at;
    size_t n, cap;
};

static void set_add(struct set *s, uint64_t v)
{
    s->at = sim_grow(s->at, &s->cap, s->n + 1, sizeof(s->at[0]));
    s->at[s->n++] = v;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void set_sort(struct set *s)
{
    size_t n = 0;

    if (s->n == 0)
        return;
    qsort(s->at, s->n, sizeof(s->at[0]), compare_u64);
    for (size_t i = 0; i < s->n; i++)
        if (i == 0 || s->at[i] != s->at[n - 1])
            s->at[n++] = s->at[i];
    s->n = n;
}

/* What a reader looks at: objects of so many words, each with its checksum in the first. */
struct shape {
    unsigned words; /* of one object; 1: every word by itself, no checksum */
    bool chain;     /* it stops behind the first object that is not valid */
};

struct rig {
    struct sim_pmem *pmem;
    struct sim_lazy_machine m;
    struct shape shape;
    uint64_t seen; /* of the last path */
    struct set classes;
};

static uint64_t checksum(const uint64_t *words, unsigned n)
{
    uint64_t h = n;

    for (unsigned i = 1; i < n; i++)
        h = sim_rng_mix(h, words[i]);
    return h;
}

/* The reader. It runs on its own stack: nothing here may outlive a choice but by value. */
static uint64_t look(struct cbd_pmem *pm, const struct shape *shape)
{
    uint64_t seen = 0;

    for (unsigned at = 0; at + shape->words <= WORDS; at += shape->words) {
        uint64_t words[WORDS];
        bool valid;

        SIM_REQUIRE(pm->ops->read(pm, at * CBD_WORD_BYTES, words, shape->words * CBD_WORD_BYTES) ==
                    0);
        valid = shape->words == 1 || words[0] == checksum(words, shape->words);
        for (unsigned i = 0; i < shape->words; i++)
            seen = sim_rng_mix(seen, valid ? words[i] : 1);
        if (!valid && shape->chain)
            break;
    }
    return seen;
}

static void body(void *arg)
{
    struct rig *r = (struct rig *)((char *)arg - offsetof(struct rig, m));

    r->seen = look(&r->m.pm, &r->shape);
}

static void rig_open(struct rig *r, enum sim_model model)
{
    memset(r, 0, sizeof(*r));
    r->pmem = sim_pmem_create(4096, model);
    sim_lazy_machine_init(&r->m, r->pmem, NULL, 0);
    r->m.walk.body = body;
}

static void rig_close(struct rig *r)
{
    sim_lazy_machine_free(&r->m);
    sim_pmem_destroy(r->pmem);
    free(r->classes.at);
}

/* A valid object of so many words at word `at`. */
static void put_object(struct rig *r, unsigned at, unsigned words, uint64_t salt, unsigned flags)
{
    uint64_t object[WORDS];

    for (unsigned i = 1; i < words; i++)
        object[i] = sim_rng_mix(salt, i);
    object[0] = checksum(object, words);
    r->pmem->pm.ops->copy(&r->pmem->pm, at * CBD_WORD_BYTES, object, words * CBD_WORD_BYTES, flags,
                          CBD_STEP_NONE);
}

static struct sim_lazy_count lazily(struct rig *r, struct set *seen)
{
    struct sim_lazy_count sum = {0, 0};

    sim_pmem_mark(r->pmem);
    sim_lazy_machine_cut(&r->m, NULL);
    while (sim_lazy_walk_next(&r->m.walk)) {
        sum = sim_lazy_count_add(sum, sim_lazy_count_mul(sim_lazy_walk_weight(&r->m.walk),
                                                         sim_lazy_machine_states(&r->m)));
        set_add(seen, r->seen);
    }
    sim_lazy_machine_end(&r->m);
    sim_pmem_rollback(r->pmem);
    return sum;
}

/* Every outcome of every unit; false: too many. */
static bool by_force(struct rig *r, struct set *seen, struct set *contents)
{
    uint64_t choices[256], value[256] = {0}, product = 1;
    size_t units = sim_pmem_pending_units(r->pmem, choices, 256), u;

    SIM_REQUIRE(units <= 256);
    for (u = 0; u < units; u++)
        if ((product *= choices[u]) > BRUTE_MAX)
            return false;
    do {
        uint64_t hash = 0, word;

        sim_pmem_mark(r->pmem);
        sim_pmem_crash_bits(r->pmem, value);
        set_add(seen, look(&r->pmem->pm, &r->shape));
        for (unsigned i = 0; i < WORDS; i++) {
            memcpy(&word, r->pmem->pm.base + i * CBD_WORD_BYTES, sizeof(word));
            hash = sim_rng_mix(hash, word);
        }
        set_add(contents, hash);
        sim_pmem_rollback(r->pmem);
        for (u = 0; u < units; u++) {
            if (++value[u] < choices[u])
                break;
            value[u] = 0;
        }
    } while (u < units);
    return true;
}

static void compare(struct rig *r, const char *what, uint64_t seed)
{
    struct set lazy = {0}, force = {0}, contents = {0};
    char text[32], want[32];

    if (by_force(r, &force, &contents)) {
        struct sim_lazy_count sum = lazily(r, &lazy);
        size_t paths = lazy.n;

        set_sort(&lazy);
        set_sort(&force);
        set_sort(&contents);
        if (lazy.n != force.n || memcmp(lazy.at, force.at, lazy.n * sizeof(lazy.at[0])) != 0)
            fail_msg("%s, seed %llu: %zu outcomes, by force %zu", what, (unsigned long long)seed,
                     lazy.n, force.n);
        sim_lazy_count_text(sum, text, sizeof(text));
        sim_lazy_count_text(sim_lazy_count_of(contents.n), want, sizeof(want));
        if (strcmp(text, want) != 0)
            fail_msg("%s, seed %llu: %s states represented, there are %s", what,
                     (unsigned long long)seed, text, want);
        assert_true(paths <= contents.n);
    }
    free(lazy.at);
    free(force.at);
    free(contents.at);
}

/* A program of a few operations, with valid objects and with anything. */
static void random_program(struct rig *r, uint64_t seed, bool ordered)
{
    struct cbd_pmem *pm = &r->pmem->pm;
    struct sim_rng rng;

    sim_rng_seed(&rng, seed);
    for (unsigned i = 0; i < 3 + seed % 4; i++) {
        unsigned at = (unsigned)sim_rng_below(&rng, LINES / r->shape.words * 2 + 1);
        unsigned words = r->shape.words;
        uint64_t what = sim_rng_below(&rng, 10);

        r->pmem->thread = (uint32_t)sim_rng_below(&rng, 2);
        at = at * words % (WORDS - words + 1) / words * words;
        if (what < 6)
            put_object(r, at, words, sim_rng_below(&rng, 3), what < 4 ? CBD_PMEM_NT : 0);
        else if (what == 6)
            (void)pm->ops->fence(pm, CBD_STEP_NONE);
        else if (what == 7)
            pm->ops->flush(pm, at * CBD_WORD_BYTES, 64, CBD_STEP_NONE);
        else if (ordered)
            pm->ops->store64(pm, (at + sim_rng_below(&rng, words)) * CBD_WORD_BYTES,
                             sim_rng_below(&rng, 3), CBD_STEP_NONE);
        else
            pm->ops->set(pm, at * CBD_WORD_BYTES, (uint8_t)sim_rng_below(&rng, 3), 16, CBD_PMEM_NT,
                         CBD_STEP_NONE);
    }
}

static void test_random_programs(void **state)
{
    static const struct shape shapes[] = {
        {1, false}, {2, false}, {4, true}, {8, false}, {16, true}};
    static const enum sim_model models[] = {SIM_ADR, SIM_EADR, SIM_PAGE};

    (void)state;
    for (size_t m = 0; m < 3; m++)
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
            for (uint64_t seed = 0; seed < 60; seed++) {
                struct rig r;

                rig_open(&r, models[m]);
                r.shape = shapes[s];
                r.m.walk.replay = seed % 2 != 0;
                random_program(&r, seed, seed % 3 == 0);
                compare(&r, "random", seed * 100 + s * 10 + m);
                rig_close(&r);
            }
}

/* What a path saw, without what made no difference. */
static void merged(struct rig *r)
{
    struct set all = {0};

    (void)lazily(r, &all);
    r->classes.n = 0;
    for (size_t i = 0; i < all.n; i++)
        set_add(&r->classes, all.at[i]);
    set_sort(&r->classes);
    free(all.at);
}

/* An append of n records without a fence: there or not, one after the other. */
static void test_torn_append(void **state)
{
    (void)state;
    for (int m = SIM_ADR; m <= SIM_PAGE; m++)
        for (unsigned n = 1; n <= LINES; n++) {
            struct rig r;

            rig_open(&r, (enum sim_model)m);
            r.shape = (struct shape){SIM_PEND_WORDS, true};
            for (unsigned i = 0; i < n; i++)
                put_object(&r, i * SIM_PEND_WORDS, SIM_PEND_WORDS, i, CBD_PMEM_NT);
            merged(&r);
            assert_int_equal(r.classes.n, n + 1);
            /* Old, torn and new of each record on the way: never 2^words. */
            assert_true(r.m.walk.paths <= 10 * n + 2);
            rig_close(&r);
        }
}

/* One object of 4 KiB: three paths for 2^512 states. */
static void test_large_object(void **state)
{
    struct sim_pmem *pmem = sim_pmem_create(8192, SIM_ADR);
    static uint64_t block[512];
    struct sim_lazy_machine m;
    struct sim_lazy_count states;
    char text[32];

    (void)state;
    for (unsigned i = 0; i < 512; i++)
        block[i] = i + 1;
    pmem->pm.ops->copy(&pmem->pm, 4096, block, sizeof(block), CBD_PMEM_NT, CBD_STEP_NONE);
    sim_lazy_machine_init(&m, pmem, NULL, 0);
    sim_pmem_mark(pmem);
    sim_lazy_machine_cut(&m, NULL);
    states = sim_lazy_machine_states(&m);
    assert_string_equal(sim_lazy_count_text(states, text, sizeof(text)), "2^512.00");
    sim_lazy_machine_end(&m);
    sim_pmem_rollback(pmem);
    sim_lazy_machine_free(&m);
    sim_pmem_destroy(pmem);
}

static void test_counts(void **state)
{
    struct sim_lazy_count c = sim_lazy_count_of(3);
    char text[32];

    (void)state;
    assert_string_equal(sim_lazy_count_text(sim_lazy_count_of(0), text, 32), "0");
    assert_string_equal(sim_lazy_count_text(sim_lazy_count_of(12345), text, 32), "12345");
    c = sim_lazy_count_mul(c, sim_lazy_count_of(7));
    c = sim_lazy_count_add(c, sim_lazy_count_of(21));
    assert_string_equal(sim_lazy_count_text(c, text, 32), "42");
    c = sim_lazy_count_sub(c, sim_lazy_count_of(41));
    assert_string_equal(sim_lazy_count_text(c, text, 32), "1");
    assert_string_equal(sim_lazy_count_text(sim_lazy_count_sub(c, c), text, 32), "0");
    for (int i = 0; i < 100; i++)
        c = sim_lazy_count_mul(c, sim_lazy_count_of(3));
    assert_string_equal(sim_lazy_count_text(c, text, 32), "2^158.49"); /* 100 log2 3 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_random_programs),
        cmocka_unit_test(test_torn_append),
        cmocka_unit_test(test_large_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
