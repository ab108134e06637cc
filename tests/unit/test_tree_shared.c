/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: threads novalgrind timeout=120 */
/*
 * Lookups without the lock of a tree, while it changes in every way: L1-L3 of tree_node.h. Each
 * word of an extent follows from its start and its order, so a lookup that mixes two moments, or
 * that reads a node which became another one, gives an extent that no tree ever held.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tree_node.h"

#define READERS 2u
#define POSITIONS 4096u /* few: the tree grows to three levels and shrinks again all the time */
#define KEPT 64u        /* the first positions: always covered by some extent of length KEPT */

static void *env_alloc(struct cbd_env *env, size_t len_bytes)
{
    (void)env;
    return aligned_alloc(64, (len_bytes + 63) / 64 * 64);
}

static void env_free(struct cbd_env *env, void *p, size_t len_bytes)
{
    (void)env;
    (void)len_bytes;
    free(p);
}

static const struct cbd_env_ops env_ops = {.alloc = env_alloc, .free = env_free};

struct world {
    struct cbd_env env;
    struct cbd_tree_pool pool;
    struct cbd_tree tree;
    atomic_bool stop;
    atomic_uint wrong;
    atomic_ullong hits;
    atomic_ullong lost; /* lookups of what is always there that asked for the lock */
};

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Where an extent of this order lies: cutting keeps loc - 8 * start and delta - start. */
static uint64_t loc_of(uint64_t order, uint64_t start)
{
    return (mix(order) & 0xffffff) * 8 * POSITIONS + 8 * start;
}

static void put(struct world *w, uint64_t start, uint64_t len, uint64_t order)
{
    struct cbd_extent e = {
        .start = start,
        .len = len,
        .order = order,
        .loc = loc_of(order, start),
        .delta = (uint32_t)start,
    };

    assert_int_equal(cbd_tree_insert(&w->pool, &w->tree, &e), 0);
}

static bool as_put(const struct cbd_extent *e, uint64_t pos)
{
    return e->start <= pos && pos < e->start + e->len && e->len <= POSITIONS &&
           e->kind == CBD_EXTENT_DATA && e->loc == loc_of(e->order, e->start) &&
           e->delta == e->start;
}

static void *reader_main(void *arg)
{
    struct world *w = arg;
    uint64_t last_order = 0;

    for (uint64_t n = 0; !atomic_load(&w->stop); n++) {
        uint64_t pos = n % 8 == 0 ? n / 8 % KEPT : mix(n) % POSITIONS;
        struct cbd_extent e;

        if (!cbd_tree_find_shared(&w->tree, pos, &e)) {
            if (pos < KEPT)
                atomic_fetch_add(&w->lost, 1);
            continue;
        }
        atomic_fetch_add(&w->hits, 1);
        if (!as_put(&e, pos))
            atomic_fetch_add(&w->wrong, 1);
        if (pos < KEPT) {
            /* One position is only written with ascending orders: no lookup goes back in time. */
            if (pos == 0 && e.order < last_order)
                atomic_fetch_add(&w->wrong, 1);
            last_order = pos == 0 ? e.order : last_order;
        }
    }
    return NULL;
}

/* Grows by small extents, then loses most of them again, or is covered by a large one. */
static void change(struct world *w, uint64_t n, uint64_t *order)
{
    uint64_t start = KEPT + mix(n) % (POSITIONS - KEPT - 16);

    if (n % 4096 == 4095)
        assert_int_equal(
            cbd_tree_remove_below(&w->pool, &w->tree, KEPT, POSITIONS - KEPT, *order - n % 512), 0);
    else if (n % 1024 == 1023)
        put(w, KEPT, POSITIONS - KEPT, ++*order);
    else if (n % 16 == 15)
        put(w, 0, KEPT, ++*order);
    else
        put(w, start, 1 + mix(n + 7) % 16, ++*order);
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_lookups_beside_changes(void **state)
{
    static struct world w;
    pthread_t id[READERS];
    uint64_t order = 1, n = 0;
    double end_s = now_s() + 2;

    (void)state;
    w.env.ops = &env_ops;
    cbd_tree_pool_init(&w.pool, &w.env);
    cbd_tree_init(&w.tree);
    put(&w, 0, KEPT, order);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&id[i], NULL, reader_main, &w), 0);
    while (now_s() < end_s)
        for (unsigned i = 0; i < 4096; i++)
            change(&w, n++, &order);
    atomic_store(&w.stop, true);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(id[i], NULL);
    assert_int_equal(w.wrong, 0);
    assert_true(w.hits > 1000);
    assert_true(cbd_tree_valid(&w.tree));
    cbd_tree_pool_destroy(&w.pool);
}

/* Nothing changes meanwhile: it finds what the lookup with the lock finds, and nothing else. */
static void test_same_as_with_the_lock(void **state)
{
    static struct world w;
    uint64_t order = 1;

    (void)state;
    w.env.ops = &env_ops;
    cbd_tree_pool_init(&w.pool, &w.env);
    cbd_tree_init(&w.tree);
    for (uint64_t n = 0; n < 20000; n++) {
        struct cbd_extent a, b;
        uint64_t pos = mix(n + 3) % (POSITIONS + 2);
        bool found;

        if (n > 0)
            change(&w, n, &order);
        found = cbd_tree_find(&w.tree, pos, &a) && a.start <= pos;
        assert_int_equal(cbd_tree_find_shared(&w.tree, pos, &b), found);
        if (found)
            assert_memory_equal(&a, &b, sizeof(a));
    }
    assert_false(cbd_tree_find_shared(&w.tree, CBD_TREE_POS_MAX, &(struct cbd_extent){0}));
    cbd_tree_pool_destroy(&w.pool);
}

/* While a change is under way nothing is believed, and after it everything is. */
static void test_not_inside_a_change(void **state)
{
    static struct world w;
    struct cbd_tree_aim aim;
    struct cbd_extent e;

    (void)state;
    w.env.ops = &env_ops;
    cbd_tree_pool_init(&w.pool, &w.env);
    cbd_tree_init(&w.tree);
    put(&w, 0, KEPT, 1);
    cbd_tree_change_begin(&w.tree);
    assert_false(cbd_tree_find_shared(&w.tree, 5, &e));
    cbd_tree_aim(&w.tree, 5, &aim);
    assert_null(aim.node);
    cbd_tree_change_end(&w.tree);
    assert_true(cbd_tree_find_shared(&w.tree, 5, &e));
    assert_true(as_put(&e, 5));
    cbd_tree_pool_destroy(&w.pool);
}

/* What was found at first counts as long as the tree does not change. */
static void test_a_look_holds_until_a_change(void **state)
{
    struct cbd_tree_look look;
    static struct world w;

    (void)state;
    w.env.ops = &env_ops;
    cbd_tree_pool_init(&w.pool, &w.env);
    cbd_tree_init(&w.tree);
    cbd_tree_look(&w.tree, 5, &look);
    assert_false(look.found);
    assert_false(cbd_tree_look_holds(&w.tree, &look));
    put(&w, 0, KEPT, 1);
    cbd_tree_look(&w.tree, CBD_TREE_POS_MAX, &look);
    assert_false(look.found);
    cbd_tree_look(&w.tree, 5, &look);
    assert_true(look.found);
    assert_true(as_put(&look.extent, 5));
    assert_true(cbd_tree_look_holds(&w.tree, &look));
    cbd_tree_change_begin(&w.tree);
    assert_false(cbd_tree_look_holds(&w.tree, &look));
    cbd_tree_change_end(&w.tree);
    assert_false(cbd_tree_look_holds(&w.tree, &look));
    cbd_tree_look(&w.tree, 5, &look);
    assert_true(cbd_tree_look_holds(&w.tree, &look));
    cbd_tree_pool_destroy(&w.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_with_the_lock),
        cmocka_unit_test(test_not_inside_a_change),
        cmocka_unit_test(test_a_look_holds_until_a_change),
        cmocka_unit_test(test_lookups_beside_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
