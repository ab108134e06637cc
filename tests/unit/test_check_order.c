/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: threads novalgrind */
/*
 * Of tens of thousands of records, whatever their orders are, check finds those that overlap and
 * have one order: the same ones, in the same sequence, as a plain sort of all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cbd/cache.h"
#include "cbd/shim/env.h"
#include "check_pass.h"
#include "plain_pmem.h"
#include "rng.h"

#define DEVICE_BYTES (32u << 20)
#define SEGMENT_BYTES 65536u
#define DISK_BYTES (UINT64_C(1) << 33)
#define SEGMENTS 200u /* of each backend */
#define RECORDS 260u  /* of each segment */
#define ALL (2 * SEGMENTS * RECORDS)

struct one {
    uint64_t order, addr_bytes, len_bytes;
    uint32_t backend, segment, slot;
};

struct fixture {
    struct cbd_pmem pm;
    struct cbd_cache *cache;
    struct cbd_env *env;
    struct sim_rng rng;
    struct one all[ALL]; /* by segment and slot */
    struct one found[ALL], expected[ALL];
    uint32_t count, found_count, expected_count;
};

/* The record of this slot in an order of time that a cache could have had: four streams in turn. */
static uint64_t moment(uint32_t n)
{
    uint32_t segment = n / RECORDS, slot = n % RECORDS;

    return (uint64_t)segment / 4 * 4 * RECORDS + slot * 4 + segment % 4;
}

static uint64_t in_turn(struct fixture *f, uint32_t n)
{
    (void)f;
    return moment(n) + 1;
}

/* Each of 16 trees counts for itself, and begins again with the segments. */
static uint64_t of_trees(struct fixture *f, uint32_t n)
{
    uint64_t t = moment(n);

    (void)f;
    return (t / (4 * RECORDS) + 1) << CBD_ORDER_COUNT_BITS | t % (4 * RECORDS) / 16;
}

static uint64_t anything(struct fixture *f, uint32_t n)
{
    (void)n;
    return 1 + sim_rng_below(&f->rng, n % 64 == 0 ? UINT64_C(1) << 40 : ALL);
}

static uint64_t the_same(struct fixture *f, uint32_t n)
{
    (void)f;
    (void)n;
    return 77;
}

static void put_segment(struct fixture *f, uint32_t id, const struct one *records)
{
    struct cbd_cache *c = f->cache;
    struct cbd_segment_entry *e = &c->segments[id].entry;
    uint32_t seed = cbd_seed_place(c->seed, CBD_SEED_RECORD, id, ++e->generation);
    struct cbd_m_segment entry;

    e->order_max = 0;
    for (uint32_t slot = 0; slot < RECORDS; slot++) {
        struct cbd_record r = {
            .type = CBD_M_RECORD_ZERO,
            .durable = slot,
            .order = records[slot].order,
            .epoch = 1,
            .addr_bytes = records[slot].addr_bytes,
            .len_bytes = records[slot].len_bytes,
        };
        struct cbd_m_record m;

        if (r.order > e->order_max)
            e->order_max = r.order;
        cbd_record_encode(&r, seed, e->generation, slot, &m);
        memcpy(plain_at(&f->pm,
                        cbd_segment_off(&c->super.geo, id) + cbd_slot_off(&c->super.geo, slot)),
               &m, sizeof(m));
    }
    e->seq++;
    e->status = CBD_M_SEGMENT_CLOSED;
    e->records = RECORDS;
    e->epoch_max = 1;
    cbd_segment_encode(e, cbd_seed_place(c->seed, CBD_SEED_SEGMENT, id, 0), &entry);
    memcpy(plain_at(&f->pm, c->super.geo.table_a_off + cbd_place_segment(id)), &entry,
           sizeof(entry));
    memcpy(plain_at(&f->pm, c->super.geo.table_b_off + cbd_place_segment(id)), &entry,
           sizeof(entry));
}

static void put_all(struct fixture *f)
{
    for (uint32_t i = 0; i < f->count; i += RECORDS)
        put_segment(f, f->all[i].segment, &f->all[i]);
}

/*
 * Records of 4 KiB, one in `wide` of many regions; `twins` of them take place and order of another.
 */
static void fill(struct fixture *f, uint64_t (*order)(struct fixture *f, uint32_t n), uint32_t wide,
                 uint32_t twins)
{
    uint32_t n = 0;

    for (uint32_t id = 0; id < f->cache->super.geo.segment_count && n < ALL; id++) {
        uint32_t owner = f->cache->segments[id].entry.owner;

        for (uint32_t slot = 0; slot < RECORDS && owner != 0; slot++, n++) {
            bool many = wide != 0 && sim_rng_below(&f->rng, wide) == 0;

            f->all[n] = (struct one){
                .order = order(f, n),
                .addr_bytes = sim_rng_below(&f->rng, DISK_BYTES / 4096 - 4096) * 4096,
                .len_bytes = many ? (1 + sim_rng_below(&f->rng, 4095)) * 4096 : 4096,
                .backend = owner - 1,
                .segment = id,
                .slot = slot,
            };
            if (f->all[n].addr_bytes / CBD_REGION_BYTES == 7)
                f->all[n].len_bytes = 512;
        }
    }
    f->count = n;
    assert_int_equal(n, ALL);
    for (uint32_t i = 0; i < twins; i++) {
        const struct one *from = &f->all[sim_rng_below(&f->rng, n)];
        struct one *to = &f->all[sim_rng_below(&f->rng, n)];

        to->order = from->order;
        to->addr_bytes = from->addr_bytes + sim_rng_below(&f->rng, from->len_bytes / 512 + 1) * 512;
    }
    put_all(f);
}

static int by_order(const void *x, const void *y)
{
    const struct one *a = x, *b = y;

    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    if (a->backend != b->backend)
        return a->backend < b->backend ? -1 : 1;
    if (a->addr_bytes != b->addr_bytes)
        return a->addr_bytes < b->addr_bytes ? -1 : 1;
    if (a->segment != b->segment)
        return a->segment < b->segment ? -1 : 1;
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

static void expect(struct fixture *f)
{
    uint64_t reach = 0;

    qsort(f->all, f->count, sizeof(f->all[0]), by_order);
    f->expected_count = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct one *o = &f->all[i];

        if (i == 0 || o[-1].order != o->order || o[-1].backend != o->backend)
            reach = 0;
        if (o->addr_bytes < reach)
            f->expected[f->expected_count++] = *o;
        if (o->addr_bytes + o->len_bytes > reach)
            reach = o->addr_bytes + o->len_bytes;
    }
}

static int on_finding(void *arg, const struct cbd_check_finding *found)
{
    struct fixture *f = arg;

    if (found->problem->code != CBD_PROBLEM_RECORD_ORDER_TWICE)
        return 0;
    assert_true(f->found_count < ALL);
    f->found[f->found_count++] = (struct one){
        .order = found->got,
        .addr_bytes = found->addr_bytes,
        .len_bytes = found->len_bytes,
        .backend = found->backend,
        .segment = found->segment,
        .slot = found->slot,
    };
    return 0;
}

static void compare(struct fixture *f, uint64_t orders_max, unsigned processors)
{
    struct cbd_check_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_ORDERS,
        .orders_max = orders_max,
    };
    struct cbd_check_summary sum;

    f->found_count = 0;
    cbd_shim_env_processors(f->env, processors);
    assert_int_equal(cbd_check_run(&f->pm, f->env, &options, on_finding, f, &sum), 0);
    assert_int_equal(sum.backends[0].records + sum.backends[1].records, ALL);
    assert_int_equal(f->found_count, f->expected_count);
    if (orders_max != 0) /* part after part */
        qsort(f->found, f->found_count, sizeof(f->found[0]), by_order);
    for (uint32_t i = 0; i < f->found_count; i++)
        assert_memory_equal(&f->found[i], &f->expected[i], offsetof(struct one, slot));
    for (uint32_t i = 0; i < f->found_count; i++)
        assert_int_equal(f->found[i].slot, f->expected[i].slot);
}

static void every_one_is_found(void **state)
{
    static const struct {
        uint64_t (*order)(struct fixture *f, uint32_t n);
        uint32_t twins, least, most;
    } shapes[] = {
        {in_turn, 0, 0, 0},          {in_turn, 1000, 400, 1000},  {of_trees, 0, 0, 60},
        {of_trees, 1000, 400, 1100}, {anything, 1000, 400, 1200}, {the_same, 0, 4000, ALL},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        fill(f, shapes[i].order, 500, shapes[i].twins);
        expect(f);
        assert_in_range(f->expected_count, shapes[i].least, shapes[i].most);
        compare(f, 0, 1);
        compare(f, 0, 3);
        compare(f, 20000, 1);
        compare(f, 50000, 2);
    }
}

/* One record covers several regions, and another one has its order in the last of them. */
static void an_only_wide_one_is_found(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        struct one *a, *b;

        fill(f, of_trees, 0, 0);
        a = &f->all[i == 0 ? 10 : ALL / 2 - RECORDS * 3];
        b = &f->all[i == 1 ? 20 : ALL / 2 - 1];
        assert_int_equal(a->backend, b->backend);
        a->len_bytes = 2 * CBD_REGION_BYTES + 512;
        b->order = a->order;
        b->addr_bytes = a->addr_bytes + 2 * CBD_REGION_BYTES;
        put_all(f);
        expect(f);
        assert_in_range(f->expected_count, 1, 60);
        compare(f, 0, 1);
    }
}

/* Few records are looked at once more: the pass costs little where nothing is wrong. */
static void few_are_suspect(void **state)
{
    struct fixture *f = *state;
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN | CBD_CHECK_ORDERS};
    struct cbd_check_summary sum;
    struct cbd_check *k;

    cbd_shim_env_processors(f->env, 1);
    for (unsigned i = 0; i < 2; i++) {
        fill(f, i == 0 ? in_turn : of_trees, 500, 0);
        k = cbd_check_create(&f->pm, f->env, &options, &sum);
        assert_non_null(k);
        assert_int_equal(cbd_check_passes(k), 0);
        assert_int_equal(k->marks.count, ALL);
        /* Those of many regions, and of trees what has their order or one region by chance. */
        assert_in_range(k->suspect_count, ALL / 1000, i == 0 ? ALL / 250 : ALL / 100);
        assert_in_range(k->order_count, ALL / 1000, i == 0 ? ALL / 250 : ALL / 8);
        cbd_check_destroy(k);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct cbd_format_options options = {.uuid = {1}, .salt = 7, .segment_bytes = SEGMENT_BYTES};
    struct cbd_backend_options add = {.name = "one",
                                      .size_bytes = DISK_BYTES,
                                      .logical_block_bytes = 512,
                                      .cache_bytes = (uint64_t)SEGMENTS * SEGMENT_BYTES,
                                      .streams = 4,
                                      .uuid = {2}};
    struct cbd_shim_error err;
    struct cbd_geometry geo;
    uint8_t *bytes;
    uint32_t id;

    assert_non_null(f);
    bytes = aligned_alloc(4096, DEVICE_BYTES);
    assert_non_null(bytes);
    memset(bytes, 0, DEVICE_BYTES);
    f->pm = plain_pmem(bytes, DEVICE_BYTES);
    sim_rng_seed(&f->rng, 5);
    assert_int_equal(cbd_shim_env_open(NULL, NULL, &f->env, &err), 0);
    assert_int_equal(cbd_format(&f->pm, f->env, &options, &geo), 0);
    assert_int_equal(cbd_cache_open(&f->pm, f->env, 0, &f->cache), 0);
    assert_int_equal(cbd_backend_add(f->cache, &add, &id), 0);
    add.name = "two";
    add.uuid[0] = 3;
    assert_int_equal(cbd_backend_add(f->cache, &add, &id), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    cbd_cache_close(f->cache);
    cbd_shim_env_close(f->env);
    free(plain_at(&f->pm, 0));
    free(f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_one_is_found),
        cmocka_unit_test(an_only_wide_one_is_found),
        cmocka_unit_test(few_are_suspect),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
