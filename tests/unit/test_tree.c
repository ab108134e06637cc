/* SPDX-License-Identifier: BSD-2-Clause */
/* One tree of the index: overlap cases, a model, memory failures, fill of the nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tree_node.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

/* A count of operations, less where each costs fifty times as much. */
static unsigned scaled(unsigned n)
{
    return RUNNING_ON_VALGRIND ? n / 20 : n;
}

/* An environment whose memory can run out. */
struct test_env {
    struct cbd_env env;
    long allocs_left; /* < 0: no limit */
    size_t taken_bytes;
};

static void *env_alloc(struct cbd_env *env, size_t len_bytes)
{
    struct test_env *te = (struct test_env *)env;

    if (te->allocs_left == 0)
        return NULL;
    if (te->allocs_left > 0)
        te->allocs_left--;
    te->taken_bytes += len_bytes;
    return aligned_alloc(64, (len_bytes + 63) / 64 * 64);
}

static void env_free(struct cbd_env *env, void *p, size_t len_bytes)
{
    ((struct test_env *)env)->taken_bytes -= len_bytes;
    free(p);
}

static const struct cbd_env_ops env_ops = {.alloc = env_alloc, .free = env_free};

struct fixture {
    struct test_env te;
    struct cbd_tree_pool pool;
    struct cbd_tree tree;
    uint64_t rng;
};

static void fixture_open(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->te.env.ops = &env_ops;
    f->te.allocs_left = -1;
    f->rng = 1;
    cbd_tree_pool_init(&f->pool, &f->te.env);
    cbd_tree_init(&f->tree);
}

static void fixture_close(struct fixture *f)
{
    assert_true(cbd_tree_valid(&f->tree));
    cbd_tree_pool_destroy(&f->pool);
    assert_int_equal(f->te.taken_bytes, 0);
}

static int setup(void **state)
{
    *state = malloc(sizeof(struct fixture));
    if (!*state)
        return -1;
    fixture_open(*state);
    return 0;
}

static int teardown(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static uint64_t rng_next(struct fixture *f)
{
    uint64_t z = f->rng += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t rng_below(struct fixture *f, uint64_t n)
{
    return rng_next(f) % n;
}

static struct cbd_extent data_extent(uint64_t start, uint64_t len, uint64_t order, uint64_t loc)
{
    return (struct cbd_extent){
        .start = start, .len = len, .order = order, .loc = loc, .kind = CBD_EXTENT_DATA};
}

static void put_data(struct fixture *f, uint64_t start, uint64_t len, uint64_t order, uint64_t loc)
{
    struct cbd_extent e = data_extent(start, len, order, loc);

    assert_int_equal(cbd_tree_insert(&f->pool, &f->tree, &e), 0);
}

static void put_zero(struct fixture *f, uint64_t start, uint64_t len, uint64_t order)
{
    struct cbd_extent e = {.start = start, .len = len, .order = order, .kind = CBD_EXTENT_ZERO};

    assert_int_equal(cbd_tree_insert(&f->pool, &f->tree, &e), 0);
}

/* The next extent from *pos on is exactly this one; *pos moves behind it. */
static void expect(struct fixture *f, uint64_t *pos, uint64_t start, uint64_t len, uint64_t order,
                   uint64_t loc, uint32_t delta)
{
    struct cbd_extent e;

    assert_true(cbd_tree_find(&f->tree, *pos, &e));
    assert_int_equal(e.start, start);
    assert_int_equal(e.len, len);
    assert_int_equal(e.order, order);
    assert_int_equal(e.loc, loc);
    assert_int_equal(e.delta, delta);
    *pos = start + len;
}

static void expect_end(struct fixture *f, uint64_t pos)
{
    struct cbd_extent e;

    assert_false(cbd_tree_find(&f->tree, pos, &e));
    assert_true(cbd_tree_valid(&f->tree));
}

/*
 * Overlap cases. The old extent is [100, 120) with order 5 at loc 8000, the new one at loc 80000.
 */
static void put_old(struct fixture *f)
{
    put_data(f, 100, 20, 5, 8000);
}

static void test_empty_finds_nothing(void **state)
{
    expect_end(*state, 0);
    expect_end(*state, CBD_TREE_POS_MAX - 1);
    expect_end(*state, CBD_TREE_POS_MAX);
}

static void test_find_before_inside_after(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    pos = 100;
    expect(f, &pos, 100, 20, 5, 8000, 0);
    pos = 119;
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect_end(f, 120);
}

static void test_new_touches_front_and_end(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 90, 10, 6, 80000);
    put_data(f, 120, 10, 4, 90000);
    expect(f, &pos, 90, 10, 6, 80000, 0);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect(f, &pos, 120, 10, 4, 90000, 0);
    expect_end(f, pos);
}

static void test_newer_same_range_replaces_in_place(void **state)
{
    struct fixture *f = *state;
    uint64_t nodes, pos = 0;

    put_old(f);
    nodes = f->tree.nodes;
    f->te.allocs_left = 0;
    put_data(f, 100, 20, 6, 80000);
    assert_int_equal(f->tree.nodes, nodes);
    expect(f, &pos, 100, 20, 6, 80000, 0);
    expect_end(f, pos);
}

static void test_newer_over_end_cuts_end(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 110, 20, 6, 80000);
    expect(f, &pos, 100, 10, 5, 8000, 0);
    expect(f, &pos, 110, 20, 6, 80000, 0);
    expect_end(f, pos);
}

static void test_newer_over_front_cuts_front(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 95, 12, 6, 80000);
    expect(f, &pos, 95, 12, 6, 80000, 0);
    expect(f, &pos, 107, 13, 5, 8000 + 7 * 8, 7);
    expect_end(f, pos);
}

static void test_newer_around_removes(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 99, 22, 6, 80000);
    expect(f, &pos, 99, 22, 6, 80000, 0);
    expect_end(f, pos);
}

static void test_newer_inside_splits(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 105, 5, 6, 80000);
    expect(f, &pos, 100, 5, 5, 8000, 0);
    expect(f, &pos, 105, 5, 6, 80000, 0);
    expect(f, &pos, 110, 10, 5, 8000 + 10 * 8, 10);
    expect_end(f, pos);
}

static void test_newer_inside_at_front(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 100, 5, 6, 80000);
    expect(f, &pos, 100, 5, 6, 80000, 0);
    expect(f, &pos, 105, 15, 5, 8000 + 5 * 8, 5);
    expect_end(f, pos);
}

static void test_newer_inside_at_end(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 115, 5, 6, 80000);
    expect(f, &pos, 100, 15, 5, 8000, 0);
    expect(f, &pos, 115, 5, 6, 80000, 0);
    expect_end(f, pos);
}

static void test_newer_over_several(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 120, 10, 3, 9000);
    put_data(f, 140, 10, 4, 10000);
    put_data(f, 110, 35, 6, 80000);
    expect(f, &pos, 100, 10, 5, 8000, 0);
    expect(f, &pos, 110, 35, 6, 80000, 0);
    expect(f, &pos, 145, 5, 4, 10000 + 5 * 8, 5);
    expect_end(f, pos);
}

static void test_older_over_end_is_cut(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 110, 20, 4, 80000);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect(f, &pos, 120, 10, 4, 80000 + 10 * 8, 10);
    expect_end(f, pos);
}

static void test_older_over_front_is_cut(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 90, 20, 4, 80000);
    expect(f, &pos, 90, 10, 4, 80000, 0);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect_end(f, pos);
}

static void test_older_around_is_split(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 90, 40, 4, 80000);
    expect(f, &pos, 90, 10, 4, 80000, 0);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect(f, &pos, 120, 10, 4, 80000 + 30 * 8, 30);
    expect_end(f, pos);
}

static void test_older_inside_is_dropped(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 105, 5, 4, 80000);
    put_data(f, 100, 20, 4, 80000);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect_end(f, pos);
}

static void test_equal_order_keeps_what_is_there(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 100, 20, 5, 80000);
    put_data(f, 110, 20, 5, 80000);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect(f, &pos, 120, 10, 5, 80000 + 10 * 8, 10);
    expect_end(f, pos);
}

static void test_between_older_and_newer(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_data(f, 100, 10, 3, 8000);
    put_data(f, 110, 10, 9, 9000);
    put_data(f, 120, 10, 4, 10000);
    put_data(f, 135, 10, 8, 11000);
    put_data(f, 105, 45, 6, 80000);
    expect(f, &pos, 100, 5, 3, 8000, 0);
    expect(f, &pos, 105, 5, 6, 80000, 0);
    expect(f, &pos, 110, 10, 9, 9000, 0);
    expect(f, &pos, 120, 15, 6, 80000 + 15 * 8, 15);
    expect(f, &pos, 135, 10, 8, 11000, 0);
    expect(f, &pos, 145, 5, 6, 80000 + 40 * 8, 40);
    expect_end(f, pos);
}

static void test_cut_of_cut_adds_up(void **state)
{
    struct fixture *f = *state;
    struct cbd_extent e = data_extent(100, 20, 5, 8000);
    uint64_t pos = 0;

    e.delta = 3;
    assert_int_equal(cbd_tree_insert(&f->pool, &f->tree, &e), 0);
    put_zero(f, 90, 14, 6);
    put_zero(f, 104, 2, 7);
    expect(f, &pos, 90, 14, 6, 0, 0);
    expect(f, &pos, 104, 2, 7, 0, 0);
    expect(f, &pos, 106, 14, 5, 8000 + 6 * 8, 9);
    expect_end(f, pos);
}

static void test_zero_stays_zero_when_cut(void **state)
{
    struct fixture *f = *state;
    struct cbd_extent e;

    put_zero(f, 100, 1000, 5);
    put_data(f, 200, 8, 6, 8000);
    assert_true(cbd_tree_find(&f->tree, 208, &e));
    assert_int_equal(e.kind, CBD_EXTENT_ZERO);
    assert_int_equal(e.start, 208);
    assert_int_equal(e.len, 892);
    assert_int_equal(e.loc, 0);
    assert_int_equal(e.delta, 0);
    assert_true(cbd_tree_find(&f->tree, 207, &e));
    assert_int_equal(e.kind, CBD_EXTENT_DATA);
}

static void test_long_extent_is_stored_in_parts(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_zero(f, 7, 2 * CBD_TREE_LEN_MAX + 5, 9);
    expect(f, &pos, 7, CBD_TREE_LEN_MAX, 9, 0, 0);
    expect(f, &pos, 7 + CBD_TREE_LEN_MAX, CBD_TREE_LEN_MAX, 9, 0, 0);
    expect(f, &pos, 7 + 2 * CBD_TREE_LEN_MAX, 5, 9, 0, 0);
    expect_end(f, pos);
}

static void test_limits_of_the_fields(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;
    struct cbd_extent e = {
        .start = CBD_TREE_POS_MAX - 2,
        .len = 2,
        .order = UINT64_MAX,
        .loc = (UINT64_C(1) << 40) - 16,
        .delta = (1u << 14) - 2,
        .kind = CBD_EXTENT_DATA,
    };

    assert_int_equal(cbd_tree_insert(&f->pool, &f->tree, &e), 0);
    put_data(f, 0, 1u << 14, 0, 0);
    expect(f, &pos, 0, 1u << 14, 0, 0, 0);
    expect(f, &pos, e.start, 2, UINT64_MAX, e.loc, e.delta);
    expect_end(f, pos);
}

/* The type of a field without _Atomic, which no cast may have. */
#define VALUE_OF(field) __typeof__((void)0, (field))

/* Puts a wrong value into a field, asks, and puts the right one back. */
#define ASSERT_SEES(tree, field, wrong)                                                            \
    do {                                                                                           \
        VALUE_OF(field) right_value = (field);                                                     \
                                                                                                   \
        (field) = (VALUE_OF(field))(wrong);                                                        \
        assert_false(cbd_tree_valid(tree));                                                        \
        (field) = right_value;                                                                     \
        assert_true(cbd_tree_valid(tree));                                                         \
    } while (0)

static void test_valid_sees_damage(void **state)
{
    struct fixture *f = *state;
    struct cbd_tree_node *root, *leaf;

    ASSERT_SEES(&f->tree, f->tree.extents, 1);
    for (uint64_t i = 0; i < 100; i++)
        put_data(f, 8 + i * 8, 8, 5, 0);
    put_zero(f, 8, 8, 6);
    root = f->tree.root;
    leaf = root->inner.child[0];
    ASSERT_SEES(&f->tree, f->tree.extents, 99);
    ASSERT_SEES(&f->tree, f->tree.nodes, 1);
    ASSERT_SEES(&f->tree, f->tree.height, 0);
    ASSERT_SEES(&f->tree, f->tree.height, 3);
    ASSERT_SEES(&f->tree, f->tree.height, CBD_TREE_HEIGHT_MAX + 1);
    ASSERT_SEES(&f->tree, root->count, 1);
    ASSERT_SEES(&f->tree, root->count, CBD_TREE_INNER_MAX + 1);
    ASSERT_SEES(&f->tree, root->inner.child[1], NULL);
    ASSERT_SEES(&f->tree, root->inner.key[0], 8);
    ASSERT_SEES(&f->tree, root->inner.key[1], root->inner.key[0] - 1);
    ASSERT_SEES(&f->tree, leaf->level, 1);
    ASSERT_SEES(&f->tree, leaf->count, 0);
    ASSERT_SEES(&f->tree, leaf->count, CBD_TREE_LEAF_MAX + 1);
    ASSERT_SEES(&f->tree, leaf->leaf.w0[0], cbd_tree_words_range(8, 0));
    ASSERT_SEES(&f->tree, leaf->leaf.w0[0], cbd_tree_words_range(8, 9));
    ASSERT_SEES(&f->tree, leaf->leaf.w2[0], leaf->leaf.w2[0] | 1);
    ASSERT_SEES(&f->tree, leaf->leaf.w2[1], UINT64_C(3) << CBD_TREE_KIND_SHIFT | 1);
}

/* cbd_tree_remove_below */

static void remove_below(struct fixture *f, uint64_t start, uint64_t len, uint64_t below)
{
    assert_int_equal(cbd_tree_remove_below(&f->pool, &f->tree, start, len, below), 0);
}

static void test_remove_cuts_what_sticks_out(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 120, 10, 6, 9000);
    put_data(f, 130, 10, 5, 10000);
    remove_below(f, 110, 25, 7);
    expect(f, &pos, 100, 10, 5, 8000, 0);
    expect(f, &pos, 135, 5, 5, 10000 + 5 * 8, 5);
    expect_end(f, pos);
}

static void test_remove_keeps_order_from_below_on(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    put_data(f, 120, 10, 6, 9000);
    put_data(f, 130, 10, 4, 10000);
    remove_below(f, 0, 1000, 5);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect(f, &pos, 120, 10, 6, 9000, 0);
    expect_end(f, pos);
}

static void test_remove_inside_splits(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    put_old(f);
    remove_below(f, 105, 5, 6);
    expect(f, &pos, 100, 5, 5, 8000, 0);
    expect(f, &pos, 110, 10, 5, 8000 + 10 * 8, 10);
    expect_end(f, pos);
}

static void test_remove_of_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t pos = 0;

    remove_below(f, 0, 1000, UINT64_MAX);
    put_old(f);
    remove_below(f, 0, 100, UINT64_MAX);
    remove_below(f, 120, 100, UINT64_MAX);
    remove_below(f, 110, 0, UINT64_MAX);
    expect(f, &pos, 100, 20, 5, 8000, 0);
    expect_end(f, pos);
}

static void test_remove_needs_no_memory_without_a_split(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 0; i < 1000; i++)
        put_data(f, i * 8, 8, 5, 8000 + i * 64);
    f->te.allocs_left = 0;
    remove_below(f, 3, 7990, 6);
    assert_int_equal(f->tree.extents, 2);
    remove_below(f, 0, 8000, 6);
    expect_end(f, 0);
}

/*
 * The model: what each sector of a small space reads as.
 */
#define SPACE 4096u

struct model_sector {
    bool present;
    enum cbd_extent_kind kind;
    uint64_t order;
    uint64_t loc;
    uint32_t delta;
};

static void model_insert(struct model_sector *m, const struct cbd_extent *e)
{
    for (uint64_t i = 0; i < e->len; i++) {
        struct model_sector *s = &m[e->start + i];

        if (s->present && s->order >= e->order)
            continue;
        *s = (struct model_sector){.present = true, .kind = e->kind, .order = e->order};
        if (e->kind == CBD_EXTENT_DATA) {
            s->loc = e->loc + 8 * i;
            s->delta = e->delta + (uint32_t)i;
        }
    }
}

static void model_remove(struct model_sector *m, uint64_t start, uint64_t len, uint64_t below)
{
    for (uint64_t i = start; i < start + len; i++)
        if (m[i].order < below)
            m[i].present = false;
}

/* What the tree says, sector by sector. */
static void model_of_tree(const struct cbd_tree *tree, struct model_sector *m)
{
    struct cbd_extent e;
    uint64_t pos = 0;

    memset(m, 0, SPACE * sizeof(*m));
    while (cbd_tree_find(tree, pos, &e)) {
        assert_true(e.start >= pos && e.start + e.len <= SPACE);
        model_insert(m, &e);
        pos = e.start + e.len;
    }
}

static bool sector_equal(const struct model_sector *a, const struct model_sector *b)
{
    if (!a->present || !b->present)
        return a->present == b->present;
    return a->kind == b->kind && a->order == b->order && a->loc == b->loc && a->delta == b->delta;
}

static void assert_model(const struct cbd_tree *tree, const struct model_sector *want)
{
    static struct model_sector got[SPACE];

    assert_true(cbd_tree_valid(tree));
    model_of_tree(tree, got);
    for (unsigned i = 0; i < SPACE; i++)
        assert_true(sector_equal(&got[i], &want[i]));
}

static struct cbd_extent random_extent(struct fixture *f, uint64_t order)
{
    /* Mostly small ones, so that the tree has several levels. */
    uint64_t len_max = rng_below(f, 200) == 0 ? 1000 : rng_below(f, 4) == 0 ? 24 : 3;
    struct cbd_extent e = {.len = 1 + rng_below(f, len_max), .order = order};

    e.start = rng_below(f, SPACE - e.len + 1);
    if (rng_below(f, 5) == 0) {
        e.kind = CBD_EXTENT_ZERO;
    } else {
        e.loc = rng_below(f, UINT64_C(1) << 39);
        e.delta = (uint32_t)rng_below(f, 1000);
    }
    return e;
}

static void test_random_operations_match_the_model(void **state)
{
    static struct model_sector model[SPACE];
    struct fixture *f = *state;
    unsigned count = scaled(300000);
    uint64_t extents_max = 0;

    memset(model, 0, sizeof(model));
    for (unsigned i = 0; i < count; i++) {
        /* Orders ascend on average; neighbours in time may be equal or the wrong way round. */
        uint64_t order = i / 4 + rng_below(f, 400);
        struct cbd_extent e = random_extent(f, order);

        if (rng_below(f, 20) == 0) {
            if (rng_below(f, 50) == 0)
                e.len = 1 + rng_below(f, SPACE - e.start);
            remove_below(f, e.start, e.len, order);
            model_remove(model, e.start, e.len, order);
        } else {
            assert_int_equal(cbd_tree_insert(&f->pool, &f->tree, &e), 0);
            model_insert(model, &e);
        }
        if (f->tree.extents > extents_max)
            extents_max = f->tree.extents;
        if (i % 500 == 0)
            assert_model(&f->tree, model);
    }
    assert_model(&f->tree, model);
    /* A tree of one level would not have tested much. */
    assert_true(extents_max > 1000);
}

static void test_insertion_order_does_not_matter(void **state)
{
    enum { EXTENTS = 1500 };
    static struct cbd_extent e[EXTENTS];
    static struct model_sector sorted[SPACE];
    struct fixture *f = *state;

    for (unsigned round = 0; round < scaled(40) + 1; round++) {
        for (unsigned i = 0; i < EXTENTS; i++) {
            e[i] = random_extent(f, i + 1);
            assert_int_equal(cbd_tree_insert(&f->pool, &f->tree, &e[i]), 0);
        }
        model_of_tree(&f->tree, sorted);
        cbd_tree_clear(&f->pool, &f->tree);
        for (unsigned i = EXTENTS; i-- > 0;) {
            unsigned j = (unsigned)rng_below(f, i + 1);
            struct cbd_extent picked = e[j];

            e[j] = e[i];
            assert_int_equal(cbd_tree_insert(&f->pool, &f->tree, &picked), 0);
        }
        assert_model(&f->tree, sorted);
        cbd_tree_clear(&f->pool, &f->tree);
    }
}

static int starts_before(const void *pa, const void *pb)
{
    const struct cbd_tree_words *a = pa, *b = pb;

    return (a->w0 > b->w0) - (a->w0 < b->w0);
}

/* Into an empty tree, and into one that is not. */
static void test_sorted_inserts_give_the_same(void **state)
{
    enum { EXTENTS = 1500 };
    static struct cbd_tree_words w[EXTENTS];
    static struct model_sector model[SPACE];
    struct fixture *f = *state;

    for (unsigned round = 0; round < scaled(400) + 2; round++) {
        unsigned count = 1 + (unsigned)rng_below(f, EXTENTS);

        if (rng_below(f, 3) == 0) {
            cbd_tree_clear(&f->pool, &f->tree);
            memset(model, 0, sizeof(model));
        }
        for (unsigned i = 0; i < count; i++) {
            /* No two are equal, and some are older than what the tree has. */
            struct cbd_extent e =
                random_extent(f, (rng_below(f, 2 * round + 2) << 32) + round * EXTENTS + i);

            cbd_tree_pack(&e, &w[i]);
            model_insert(model, &e);
        }
        qsort(w, count, sizeof(w[0]), starts_before);
        assert_int_equal(cbd_tree_insert_sorted(&f->pool, &f->tree, w, count), 0);
        assert_model(&f->tree, model);
    }
}

/*
 * Memory.
 */

static void test_reserved_inserts_never_fail(void **state)
{
    static struct model_sector model[SPACE];
    struct fixture *f = *state;
    uint64_t order = 0;

    memset(model, 0, sizeof(model));
    for (unsigned i = 0; i < scaled(20000); i++) {
        unsigned inserts = 1 + (unsigned)rng_below(f, 40);

        f->te.allocs_left = -1;
        assert_int_equal(cbd_tree_reserve(&f->pool, &f->tree, inserts), 0);
        f->te.allocs_left = 0;
        while (inserts-- > 0) {
            struct cbd_extent e = random_extent(f, ++order);

            assert_int_equal(cbd_tree_insert(&f->pool, &f->tree, &e), 0);
            model_insert(model, &e);
        }
        if (i % 500 == 0)
            assert_model(&f->tree, model);
        if (rng_below(f, 100) == 0) {
            /* From an empty pool again, so that slack of earlier rounds does not help. */
            cbd_tree_pool_destroy(&f->pool);
            cbd_tree_init(&f->tree);
            memset(model, 0, sizeof(model));
        }
    }
    assert_model(&f->tree, model);
}

/* The pool hands out whole chunks; here it keeps no node more than the reserve of one insert. */
static void test_reserve_is_enough_without_a_spare_node(void **state)
{
    struct fixture *f = *state;
    uint64_t order = 0;

    for (unsigned i = 0; i < scaled(60000); i++) {
        uint64_t start = rng_below(f, UINT64_C(1) << 20);
        uint64_t need = 2 * ((uint64_t)f->tree.height + 2) + 4;
        struct cbd_tree_node *spare = NULL;
        struct cbd_tree_node *node;

        f->te.allocs_left = -1;
        assert_int_equal(cbd_tree_reserve(&f->pool, &f->tree, 1), 0);
        f->te.allocs_left = 0;
        while (f->pool.free_count > need) {
            node = f->pool.free_nodes;
            f->pool.free_nodes = node->next_free;
            f->pool.free_count--;
            node->next_free = spare;
            spare = node;
        }
        put_data(f, start, 1 + rng_below(f, 64), ++order, 0);
        while ((node = spare)) {
            spare = node->next_free;
            node->next_free = f->pool.free_nodes;
            f->pool.free_nodes = node;
            f->pool.free_count++;
        }
    }
}

static void test_reserve_is_kept_in_the_pool(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes;

    assert_int_equal(cbd_tree_reserve(&f->pool, &f->tree, 3), 0);
    bytes = f->pool.bytes;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(cbd_tree_reserve(&f->pool, &f->tree, 3), 0);
    assert_int_equal(f->pool.bytes, bytes);
    f->te.allocs_left = 0;
    assert_int_equal(cbd_tree_reserve(&f->pool, &f->tree, 100000), CBD_E_NOMEM);
}

/* A big tree, then one operation that fails at allocation k until it succeeds. */
static void sweep_round(long k, bool remove, bool *done)
{
    static struct model_sector before[SPACE], after[SPACE], got[SPACE];
    struct cbd_extent e = {.start = 10, .len = SPACE - 20, .order = 5, .kind = CBD_EXTENT_ZERO};
    struct fixture f;
    int error;

    fixture_open(&f);
    /* Winners with gaps: each gap is a run of its own and takes an extent. */
    for (uint64_t i = 1; i < SPACE / 2 && !remove; i++)
        put_data(&f, 2 * i, 1, i % 7 == 0 ? 3 : 9, 8 * i);
    if (remove)
        put_zero(&f, 0, SPACE, 4);
    model_of_tree(&f.tree, before);
    memcpy(after, before, sizeof(after));
    if (remove)
        model_remove(after, e.start, e.len, e.order);
    else
        model_insert(after, &e);
    /* No spare nodes: what the pool has left is hidden. */
    f.pool.free_nodes = NULL;
    f.pool.free_count = 0;
    f.te.allocs_left = k;
    error = remove ? cbd_tree_remove_below(&f.pool, &f.tree, e.start, e.len, e.order)
                   : cbd_tree_insert(&f.pool, &f.tree, &e);
    assert_true(cbd_tree_valid(&f.tree));
    model_of_tree(&f.tree, got);
    if (error) {
        assert_int_equal(error, CBD_E_NOMEM);
        for (unsigned i = 0; i < SPACE; i++)
            assert_true(sector_equal(&got[i], &before[i]) || sector_equal(&got[i], &after[i]));
    } else {
        for (unsigned i = 0; i < SPACE; i++)
            assert_true(sector_equal(&got[i], &after[i]));
    }
    *done = !error;
    fixture_close(&f);
}

static void test_allocation_failures_leave_before_or_after(void **state)
{
    bool done = false;
    long k;

    (void)state;
    for (k = 0; !done; k++)
        sweep_round(k, false, &done);
    assert_true(k > 2);
    done = false;
    for (k = 0; !done; k++)
        sweep_round(k, true, &done);
    assert_int_equal(k, 2);
}

static void test_removed_nodes_go_back_to_the_pool(void **state)
{
    struct fixture *f = *state;
    unsigned count = scaled(200000);
    uint64_t nodes, bytes;

    for (unsigned i = 0; i < count; i++)
        put_data(f, rng_below(f, UINT64_C(1) << 24) * 8, 8, i + 1, 0);
    bytes = f->pool.bytes;
    nodes = f->tree.nodes + f->pool.free_count;
    /* All but a few go, in pieces. */
    for (uint64_t at = 0; at < UINT64_C(1) << 27; at += UINT64_C(1) << 16)
        remove_below(f, at, (UINT64_C(1) << 16) - 8, UINT64_MAX);
    assert_true(cbd_tree_valid(&f->tree));
    assert_true(f->tree.nodes * 512 <= 4096 + f->tree.extents * 100);
    remove_below(f, 0, UINT64_C(1) << 27, UINT64_MAX);
    assert_int_equal(f->tree.extents, 0);
    assert_int_equal(f->tree.nodes, 0);
    assert_int_equal(f->pool.free_count, nodes);
    for (unsigned i = 0; i < count; i++)
        put_data(f, rng_below(f, UINT64_C(1) << 24) * 8, 8, i + 1, 0);
    assert_true(f->pool.bytes <= bytes + bytes / 20);
}

static void test_small_nodes_around_a_freed_one_are_merged(void **state)
{
    struct fixture *f = *state;
    const uint64_t full = CBD_TREE_LEAF_MAX;

    for (uint64_t i = 0; i < 3 * full; i++)
        put_data(f, i, 1, 1, 0);
    assert_int_equal(f->tree.nodes, 4);
    /* Nine are left in the first and in the last leaf: too many beside a full one. */
    remove_below(f, 0, full - 9, 2);
    remove_below(f, 2 * full + 9, full - 9, 2);
    assert_int_equal(f->tree.nodes, 4);
    remove_below(f, full, full, 2);
    assert_int_equal(f->tree.extents, 18);
    assert_int_equal(f->tree.nodes, 1);
}

static void test_churn_stays_dense(void **state)
{
    struct fixture *f = *state;
    unsigned count = scaled(400000);
    uint64_t order = 0;

    /* One block comes, another one goes: as a full cache does. */
    for (unsigned i = 0; i < count; i++) {
        put_data(f, rng_below(f, 1u << 15) * 8, 8, ++order, 0);
        remove_below(f, rng_below(f, 1u << 15) * 8, 8, UINT64_MAX);
    }
    assert_true(cbd_tree_valid(&f->tree));
    print_message("churn: %.1f bytes of nodes an extent\n",
                  (double)f->tree.nodes * 512 / (double)f->tree.extents);
    assert_true(f->tree.nodes * 512 <= f->tree.extents * 50 + 4096);
}

static void assert_density(struct fixture *f, const char *what, double max)
{
    double per_extent = (double)f->pool.bytes / (double)f->tree.extents;

    assert_true(cbd_tree_valid(&f->tree));
    print_message("%s: %llu extents, %.1f bytes of DRAM an extent, %u levels\n", what,
                  (unsigned long long)f->tree.extents, per_extent, (unsigned)f->tree.height);
    assert_true(per_extent <= max);
}

static void test_random_blocks_take_40_bytes(void **state)
{
    struct fixture *f = *state;
    unsigned count = scaled(1000000);

    for (unsigned i = 0; i < count; i++)
        put_data(f, rng_below(f, UINT64_C(1) << 28) * 8, 8, i + 1, (uint64_t)i * 64);
    assert_density(f, "random 4 KiB", 40);
}

static void test_ascending_blocks_fill_their_nodes(void **state)
{
    struct fixture *f = *state;
    unsigned count = scaled(1000000);

    for (unsigned i = 0; i < count; i++)
        put_data(f, (uint64_t)i * 8, 8, i + 1, (uint64_t)i * 64);
    assert_density(f, "ascending 4 KiB", 27);
}

static void test_ascending_streams_fill_their_nodes(void **state)
{
    struct fixture *f = *state;
    unsigned count = scaled(1000000);

    for (unsigned i = 0; i < count; i++)
        put_data(f, (uint64_t)(i % 16) << 32 | (uint64_t)(i / 16) * 8, 8, i + 1, 0);
    assert_density(f, "16 ascending streams", 34);
}

static void test_descending_blocks_take_40_bytes(void **state)
{
    struct fixture *f = *state;
    unsigned count = scaled(1000000);

    for (unsigned i = 0; i < count; i++)
        put_data(f, (uint64_t)(count - i) * 8, 8, i + 1, 0);
    assert_density(f, "descending 4 KiB", 40);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_empty_finds_nothing),
        T(test_find_before_inside_after),
        T(test_new_touches_front_and_end),
        T(test_newer_same_range_replaces_in_place),
        T(test_newer_over_end_cuts_end),
        T(test_newer_over_front_cuts_front),
        T(test_newer_around_removes),
        T(test_newer_inside_splits),
        T(test_newer_inside_at_front),
        T(test_newer_inside_at_end),
        T(test_newer_over_several),
        T(test_older_over_end_is_cut),
        T(test_older_over_front_is_cut),
        T(test_older_around_is_split),
        T(test_older_inside_is_dropped),
        T(test_equal_order_keeps_what_is_there),
        T(test_between_older_and_newer),
        T(test_cut_of_cut_adds_up),
        T(test_zero_stays_zero_when_cut),
        T(test_long_extent_is_stored_in_parts),
        T(test_limits_of_the_fields),
        T(test_valid_sees_damage),
        T(test_remove_cuts_what_sticks_out),
        T(test_remove_keeps_order_from_below_on),
        T(test_remove_inside_splits),
        T(test_remove_of_nothing),
        T(test_remove_needs_no_memory_without_a_split),
        T(test_random_operations_match_the_model),
        T(test_insertion_order_does_not_matter),
        T(test_sorted_inserts_give_the_same),
        T(test_reserved_inserts_never_fail),
        T(test_reserve_is_enough_without_a_spare_node),
        T(test_reserve_is_kept_in_the_pool),
        T(test_allocation_failures_leave_before_or_after),
        T(test_removed_nodes_go_back_to_the_pool),
        T(test_small_nodes_around_a_freed_one_are_merged),
        T(test_churn_stays_dense),
        T(test_random_blocks_take_40_bytes),
        T(test_ascending_blocks_fill_their_nodes),
        T(test_ascending_streams_fill_their_nodes),
        T(test_descending_blocks_take_40_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
