/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: threads */
/*
 * Records that go into an index in great numbers give the extents that they give one by one: however
 * many there are, wherever they lie, and however many parts add them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cbd/shim/env.h"
#include "engine.h"
#include "rng.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOW 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SLOW 1
#endif
#ifndef SLOW
#define SLOW RUNNING_ON_VALGRIND
#endif

#define PARTS 8u
#define SEGMENT_BYTES (UINT64_C(16) << 20)

/* Only as much of a cache as an index needs. */
struct fixture {
    struct cbd_env *env;
    struct cbd_env_ops ops;
    struct cbd_env counting; /* one that runs out of memory */
    struct cbd_cache cache;
    struct cbd_backend bulk, single;
    struct sim_rng rng;
};

struct shape {
    const char *name;
    uint64_t size_bytes;
    uint64_t used_bytes; /* from the middle on; sizes and places are multiples of block_bytes */
    uint32_t tree_bits;
    uint32_t records;
    uint32_t expected; /* what cbd_bulk_begin() is told */
    uint32_t block_bytes;
    uint32_t blocks_max; /* of a record */
    uint32_t zeroes;     /* one record in so many */
};

static const struct shape shapes[] = {
    {"nothing", 1 << 20, 1 << 20, 0, 0, 0, 4096, 1, 0},
    {"one sector", 512, 512, 0, 9, 9, 512, 1, 0},
    {"one region, one tree", 4 << 20, 4 << 20, 0, 20000, 20000, 512, 64, 50},
    {"one region, many trees", 4 << 20, 4 << 20, 10, 20000, 20000, 512, 8, 50},
    {"blocks of a disk", UINT64_C(2) << 30, UINT64_C(2) << 30, 9, 150000, 150000, 4096, 1, 0},
    {"the same, not expected", UINT64_C(2) << 30, UINT64_C(2) << 30, 9, 150000, 1, 4096, 1, 0},
    {"more expected", UINT64_C(2) << 30, UINT64_C(2) << 30, 2, 150000, 1 << 30, 4096, 4, 900},
    {"a corner of a large disk", UINT64_C(1) << 48, 64 << 20, 3, 150000, 150000, 4096, 3, 500},
    {"all over the largest disk", UINT64_C(1) << 48, UINT64_C(1) << 48, 10, 60000, 60000, 4096,
     1024, 5000},
    {"an odd size", (UINT64_C(3) << 30) + (5 << 20) + 512, (UINT64_C(3) << 30) + (5 << 20) + 512, 5,
     60000, 60000, 512, 100, 500},
};

static void create(struct fixture *f, struct cbd_backend *b, const struct shape *s)
{
    memset(b, 0, sizeof(*b));
    b->cache = &f->cache;
    b->size_bytes = s->size_bytes;
    b->tree_bits = s->tree_bits;
    assert_int_equal(cbd_index_create(b), 0);
}

/* A payload never crosses a region. */
static struct cbd_record random_record(struct fixture *f, const struct shape *s, uint32_t n)
{
    uint64_t from = (s->size_bytes - s->used_bytes) / 2 / CBD_REGION_BYTES * CBD_REGION_BYTES;
    uint64_t blocks = s->used_bytes / s->block_bytes;
    bool zero = s->zeroes != 0 && sim_rng_below(&f->rng, s->zeroes) == 0;
    struct cbd_record r = {.type = zero ? CBD_M_RECORD_ZERO : CBD_M_RECORD_WRITE, .order = n + 1};
    uint64_t end;

    r.addr_bytes = from + sim_rng_below(&f->rng, blocks) * s->block_bytes;
    r.len_bytes = (1 + sim_rng_below(&f->rng, s->blocks_max)) * s->block_bytes * (zero ? 9 : 1);
    end = zero ? s->size_bytes
               : cbd_min64(s->size_bytes, (r.addr_bytes / CBD_REGION_BYTES + 1) * CBD_REGION_BYTES);
    r.len_bytes = cbd_min64(r.len_bytes, end - r.addr_bytes);
    r.payload_off = zero ? 0 : 4096;
    return r;
}

struct all {
    struct cbd_bulk *k;
    struct cbd_record *r;
    uint32_t n;
    _Atomic(unsigned) failed;
};

static void add_part(void *arg, unsigned part)
{
    struct all *a = arg;

    /* Every PARTS-th one, the latest first. */
    for (uint32_t i = a->n; i-- > 0;)
        if (i % a->k->parts == part && cbd_bulk_add(a->k, part, &a->r[i], i / 1000) != 0)
            atomic_fetch_add(&a->failed, 1);
}

struct listed {
    struct cbd_extent_view *e;
    size_t n, room;
};

static void list(void *arg, const struct cbd_extent_view *extent)
{
    struct listed *l = arg;

    if (l->n == l->room) {
        l->room = l->room * 2 + 100;
        l->e = realloc(l->e, l->room * sizeof(*l->e));
        assert_non_null(l->e);
    }
    l->e[l->n++] = *extent;
}

static void assert_same(struct fixture *f)
{
    struct listed a = {0}, b = {0};

    cbd_backend_extents(&f->bulk, list, &a);
    cbd_backend_extents(&f->single, list, &b);
    assert_int_equal(a.n, b.n);
    for (size_t i = 0; i < a.n; i++) {
        assert_int_equal(a.e[i].addr_bytes, b.e[i].addr_bytes);
        assert_int_equal(a.e[i].len_bytes, b.e[i].len_bytes);
        assert_int_equal(a.e[i].order, b.e[i].order);
        assert_int_equal(a.e[i].zero, b.e[i].zero);
        assert_int_equal(a.e[i].pmem_off, b.e[i].pmem_off);
    }
    for (uint32_t n = 0; n < 1u << f->bulk.tree_bits; n++)
        assert_true(cbd_tree_valid(&f->bulk.trees[n].tree));
    free(a.e);
    free(b.e);
}

static struct cbd_record *random_records(struct fixture *f, const struct shape *s, uint32_t n)
{
    struct cbd_record *r = malloc((n + 1) * sizeof(*r));

    assert_non_null(r);
    for (uint32_t i = 0; i < n; i++)
        r[i] = random_record(f, s, i);
    return r;
}

static void check_shape(struct fixture *f, const struct shape *s, unsigned parts)
{
    uint32_t n = SLOW ? s->records / 10 : s->records;
    struct cbd_record *r = random_records(f, s, n);
    struct cbd_bulk k;
    struct all all = {&k, r, n, 0};

    create(f, &f->bulk, s);
    create(f, &f->single, s);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(cbd_index_insert_range(&f->single, &r[i], i / 1000, NULL), 0);
    assert_int_equal(cbd_bulk_begin(&k, &f->bulk, parts, s->expected), 0);
    if (parts > 1)
        f->env->ops->run(f->env, add_part, &all, parts);
    else
        add_part(&all, 0);
    assert_int_equal(atomic_load(&all.failed), 0);
    assert_int_equal(cbd_bulk_insert(&k), 0);
    cbd_bulk_end(&k);
    assert_same(f);
    cbd_index_destroy(&f->bulk);
    cbd_index_destroy(&f->single);
    free(r);
}

static void test_same_extents(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        print_message("%s\n", shapes[i].name);
        check_shape(f, &shapes[i], 1);
        check_shape(f, &shapes[i], PARTS);
    }
}

/* What was added and is not wanted any more leaves nothing behind: a leak would be told. */
static void test_given_up(void **state)
{
    struct fixture *f = *state;
    const struct shape *s = &shapes[2];
    struct cbd_record *r = random_records(f, s, 3000);
    struct cbd_bulk k;

    create(f, &f->bulk, s);
    assert_int_equal(cbd_bulk_begin(&k, &f->bulk, 2, 3000), 0);
    for (uint32_t i = 0; i < 3000; i++)
        assert_int_equal(cbd_bulk_add(&k, i % 2, &r[i], 0), 0);
    cbd_bulk_end(&k);
    cbd_index_destroy(&f->bulk);
    free(r);
}

static long allocs_left, taken;
static bool once;

static void *failing_alloc(struct cbd_env *env, size_t len_bytes)
{
    (void)env;
    if (allocs_left-- == 0 || (allocs_left < 0 && !once))
        return NULL;
    taken++;
    return aligned_alloc(64, (len_bytes + 64) / 64 * 64);
}

static void failing_free(struct cbd_env *env, void *p, size_t len_bytes)
{
    (void)env;
    (void)len_bytes;
    taken--;
    free(p);
}

static void run_in_turn(struct cbd_env *env, void (*job)(void *arg, unsigned n), void *arg,
                        unsigned count)
{
    (void)env;
    while (count-- > 0)
        job(arg, count);
}

/* False: no allocation was left to fail. */
static bool fails_at(struct fixture *f, unsigned parts, long at, const struct cbd_record *r,
                     uint32_t n)
{
    struct cbd_bulk k;
    int error;

    allocs_left = 1000000;
    create(f, &f->bulk, &shapes[2]);
    allocs_left = at;
    error = cbd_bulk_begin(&k, &f->bulk, parts, n);
    for (uint32_t i = 0; i < n && error == 0; i++)
        error = cbd_bulk_add(&k, i % parts, &r[i], 0);
    if (error == 0)
        error = cbd_bulk_insert(&k);
    cbd_bulk_end(&k);
    assert_true(error == 0 || error == CBD_E_NOMEM);
    assert_true(cbd_tree_valid(&f->bulk.trees[0].tree));
    cbd_index_destroy(&f->bulk);
    assert_int_equal(taken, 0);
    return error != 0;
}

/* Allocation n fails, alone or with all after it, for n = 0, 1, 2, ... until none does. */
static void test_without_memory(void **state)
{
    static const struct cbd_env_ops ops = {
        .alloc = failing_alloc, .free = failing_free, .run = run_in_turn};
    struct fixture *f = *state;
    struct cbd_record *r = random_records(f, &shapes[2], 3000);

    f->counting.ops = &ops;
    f->cache.env = &f->counting;
    for (unsigned round = 0; round < 4; round++) {
        long n = 0;

        once = round % 2 != 0;
        while (fails_at(f, round < 2 ? 1 : PARTS, n, r, 3000))
            n++;
        assert_true(n > 10);
    }
    free(r);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct cbd_shim_error err;

    if (f == NULL || cbd_shim_env_open(NULL, NULL, &f->env, &err) != 0)
        return -1;
    cbd_shim_env_processors(f->env, PARTS / 2);
    *state = f;
    f->cache.env = f->env;
    f->cache.super.geo.segment_bytes = SEGMENT_BYTES;
    sim_rng_seed(&f->rng, 1);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    cbd_shim_env_close(f->env);
    free(f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_extents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
