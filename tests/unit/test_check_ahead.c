/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: threads novalgrind timeout=240 */
/*
 * A check that looks at several segments at a time says the same as one that does not: each
 * finding, their order, each call of progress, and the summary. Of every image of a problem, of a
 * larger cache with seeded damage, and when the caller ends it at any finding.
 */
#include <pthread.h>
#include <stdio.h>

#include "cbd/shim/env.h"
#include "check_pass.h"
#include "mend_rig.h"
#include "recipes.h"
#include "rng.h"

#define FINDINGS_MAX 2048u

/* The simulated device reads for one caller at a time. */
struct locked {
    struct cbd_pmem pm;
    struct cbd_pmem *inner;
    struct cbd_pmem_ops ops;
    pthread_mutex_t lock;
};

struct seen {
    struct cbd_check_finding found[FINDINGS_MAX];
    uint32_t count, end_at;
    uint64_t progress; /* over all calls */
    uint32_t progress_end_at, progress_calls;
    struct cbd_check_summary sum;
    int error;
    /* what only a repair asks for */
    uint64_t order_top[CBD_BACKENDS], dirty_order_min[CBD_BACKENDS];
    uint64_t entries; /* over all */
};

static int locked_read(struct cbd_pmem *pm, uint64_t off, void *dst, size_t len)
{
    struct locked *l = (struct locked *)(void *)pm;
    int error;

    pthread_mutex_lock(&l->lock);
    error = l->inner->ops->read(l->inner, off, dst, len);
    pthread_mutex_unlock(&l->lock);
    return error;
}

static void lock(struct locked *l, struct cbd_pmem *inner)
{
    memset(l, 0, sizeof(*l));
    l->inner = inner;
    l->ops = *inner->ops;
    l->ops.read = locked_read;
    l->ops.read_array = NULL;
    l->pm = *inner;
    l->pm.ops = &l->ops;
    pthread_mutex_init(&l->lock, NULL);
}

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct seen *s = arg;

    assert_true(s->count < FINDINGS_MAX);
    s->found[s->count++] = *f;
    return s->count == s->end_at ? 7 : 0;
}

static int on_progress(void *arg, uint64_t done, uint64_t total)
{
    struct seen *s = arg;

    s->progress = s->progress * 31 + done * 1000 + total;
    return ++s->progress_calls == s->progress_end_at ? 9 : 0;
}

static void check(struct locked *l, unsigned processors, uint64_t orders_max, struct seen *s)
{
    struct cbd_check_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA,
        .orders_max = orders_max,
        .progress = on_progress,
    };
    struct cbd_shim_error err;
    struct cbd_check *k;
    struct cbd_env *env;

    assert_int_equal(cbd_shim_env_open(NULL, NULL, &env, &err), 0);
    cbd_shim_env_processors(env, processors);
    assert_int_equal(env->ops->run != NULL, processors > 1);
    k = cbd_check_create(&l->pm, env, &options, &s->sum);
    assert_non_null(k);
    k->found = on_finding;
    k->arg = s;
    s->error = cbd_check_passes(k);
    memcpy(s->order_top, k->order_top, sizeof(s->order_top));
    memcpy(s->dirty_order_min, k->dirty_order_min, sizeof(s->dirty_order_min));
    for (uint32_t i = 0; k->entries != NULL && i < s->sum.super.geo.segment_count; i++) {
        const struct cbd_check_entry *e = &k->entries[i];

        s->entries = s->entries * 31 + e->problem * 2 + e->damaged + e->durable * 7 +
                     e->dirty_first * 17 + e->dirty_last * 101;
    }
    cbd_check_destroy(k);
    cbd_shim_env_close(env);
}

static void assert_same_finding(const struct cbd_check_finding *a,
                                const struct cbd_check_finding *b)
{
    assert_ptr_equal(a->problem, b->problem);
    assert_string_equal(a->what, b->what);
    assert_int_equal(a->copy, b->copy);
    assert_int_equal(a->segment, b->segment);
    assert_int_equal(a->slot, b->slot);
    assert_int_equal(a->backend, b->backend);
    assert_int_equal(a->off_bytes, b->off_bytes);
    assert_int_equal(a->got, b->got);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->record_type, b->record_type);
    assert_int_equal(a->order_max, b->order_max);
    assert_int_equal(a->range_known, b->range_known);
    assert_int_equal(a->dirty, b->dirty);
    assert_int_equal(a->addr_bytes, b->addr_bytes);
    assert_int_equal(a->len_bytes, b->len_bytes);
}

static void assert_same_summary(const struct cbd_check_summary *a,
                                const struct cbd_check_summary *b)
{
    assert_int_equal(a->super_valid, b->super_valid);
    assert_int_equal(a->infos, b->infos);
    assert_int_equal(a->errors, b->errors);
    assert_int_equal(a->segments_unowned, b->segments_unowned);
    assert_int_equal(a->segments_free, b->segments_free);
    assert_int_equal(a->segments_open, b->segments_open);
    assert_int_equal(a->segments_closed, b->segments_closed);
    assert_int_equal(a->records_damaged, b->records_damaged);
    assert_int_equal(a->data_bytes, b->data_bytes);
    for (uint32_t i = 0; i < CBD_BACKENDS; i++) {
        assert_int_equal(a->backends[i].records, b->backends[i].records);
        assert_int_equal(a->backends[i].live_bytes, b->backends[i].live_bytes);
        assert_int_equal(a->backends[i].dirty_records, b->backends[i].dirty_records);
        assert_int_equal(a->backends[i].dirty_bytes, b->backends[i].dirty_bytes);
        assert_int_equal(a->backends[i].dirty_zero_bytes, b->backends[i].dirty_zero_bytes);
        assert_int_equal(a->backends[i].suspects, b->backends[i].suspects);
    }
}

/* By two, three and eight at a time as by one. Returns what one has found. */
static uint32_t compare(struct cbd_pmem *pm, uint64_t orders_max, uint32_t end_at,
                        uint32_t progress_end_at)
{
    static const unsigned processors[] = {2, 3, 8};
    static struct seen one, many;
    struct locked l;

    lock(&l, pm);
    memset(&one, 0, sizeof(one));
    one.end_at = end_at;
    one.progress_end_at = progress_end_at;
    check(&l, 1, orders_max, &one);
    for (size_t n = 0; n < sizeof(processors) / sizeof(processors[0]); n++) {
        memset(&many, 0, sizeof(many));
        many.end_at = end_at;
        many.progress_end_at = progress_end_at;
        check(&l, processors[n], orders_max, &many);
        assert_int_equal(many.error, one.error);
        assert_int_equal(many.count, one.count);
        assert_int_equal(many.progress, one.progress);
        assert_int_equal(many.progress_calls, one.progress_calls);
        for (uint32_t i = 0; i < one.count; i++)
            assert_same_finding(&many.found[i], &one.found[i]);
        assert_same_summary(&many.sum, &one.sum);
        if (end_at == 0 && progress_end_at == 0) {
            assert_memory_equal(many.order_top, one.order_top, sizeof(one.order_top));
            assert_memory_equal(many.dirty_order_min, one.dirty_order_min,
                                sizeof(one.dirty_order_min));
            assert_int_equal(many.entries, one.entries);
        }
    }
    pthread_mutex_destroy(&l.lock);
    return one.count;
}

static void every_image_says_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < recipe_count; i++) {
        struct rig *r = recipe_base_make(recipes[i].base, SIM_ADR);

        recipes[i].damage(r);
        compare(&r->pmem->pm, 0, 0, 0);
        rig_destroy(r);
    }
}

/* More closed segments than are looked at by one processor in turn, clean and dirty. */
static struct rig *large(void)
{
    struct rig *r = rig_create(&(struct rig_config){
        .pmem_bytes = 12u << 20, .disk_bytes = 8u << 20, .share_segments = 150, .streams = 2});

    rig_attach(r);
    for (uint32_t n = 0; n < 64; n++)
        rig_write(r, n * 49152u, 49152, 0);
    rig_write_back(r);
    for (uint32_t n = 0; n < 300; n++)
        rig_write(r, (n * 37u % 1024) * 8192u, 512u << n % 5, 0);
    for (uint32_t n = 0; n < 64; n++)
        rig_write(r, (n + 64) * 49152u, 49152, 0);
    rig_flush(r);
    rig_kill(r);
    return r;
}

static uint32_t closed_segments(struct rig *r)
{
    uint32_t count = 0;

    for (uint32_t id = 0; id < r->geo.segment_count; id++)
        count += rig_entry(r, id).status == CBD_M_SEGMENT_CLOSED;
    return count;
}

/* The first record of segment `to` says the place and the order of that of `from`. */
static void twin(struct rig *r, uint32_t from, uint32_t to)
{
    uint32_t seed = cbd_seed_cache(r->super.uuid, r->super.salt);
    uint64_t generation = rig_entry(r, to).generation;
    struct cbd_record a = rig_record(r, from, 0), b = rig_record(r, to, 0);
    struct cbd_m_record m;

    b.order = a.order;
    b.addr_bytes = a.addr_bytes;
    b.len_bytes = a.len_bytes;
    cbd_record_encode(&b, cbd_seed_place(seed, CBD_SEED_RECORD, to, generation), generation, 0, &m);
    sim_pmem_poke(r->pmem, rig_slot_off(r, to, 0), &m, sizeof(m));
}

static void damage_anywhere_says_the_same(void **state)
{
    struct rig *r = large();
    struct sim_rng rng;
    uint32_t found = 0;

    (void)state;
    assert_true(closed_segments(r) > 100);
    sim_rng_seed(&rng, 11);
    assert_int_equal(compare(&r->pmem->pm, 50, 0, 0), compare(&r->pmem->pm, 0, 0, 0));
    for (uint32_t round = 0; round < 6; round++) {
        for (uint32_t n = 0; n < 8; n++) {
            uint32_t id = (uint32_t)sim_rng_below(&rng, 140);

            if (rig_entry(r, id).status != CBD_M_SEGMENT_CLOSED)
                continue;
            if (n % 2 == 0)
                rig_flip(r, rig_slot_off(r, id,
                                         (uint32_t)sim_rng_below(&rng, rig_entry(r, id).records)) +
                                9);
            else
                rig_flip(r, cbd_segment_off(&r->geo, id) + sim_rng_below(&rng, 40000));
        }
        found = compare(&r->pmem->pm, round % 2 == 0 ? 0 : 100, 0, 0);
    }
    assert_true(found > 20);
    /* Ended by the caller, at any finding and between any two segments. */
    for (uint32_t n = 1; n <= found; n += 3)
        compare(&r->pmem->pm, 0, n, 0);
    for (uint32_t n = 1; n < 110; n += 9)
        compare(&r->pmem->pm, 0, 0, n);
    rig_destroy(r);
}

static void run_backwards(struct cbd_env *env, void (*job)(void *arg, unsigned n), void *arg,
                          unsigned count)
{
    (void)env;
    while (count-- > 0)
        job(arg, count);
}

/* What a repair plans comes out of what the check has seen. */
static void repairs_are_the_same(void **state)
{
    static struct sim_mender one, many;

    (void)state;
    for (size_t i = 0; i < recipe_count; i++) {
        struct rig *r = recipe_base_make(recipes[i].base, SIM_ADR);
        struct rig *s = recipe_base_make(recipes[i].base, SIM_ADR);

        recipes[i].damage(r);
        recipes[i].damage(s);
        s->ops.run = run_backwards;
        mend_run(r, SIM_MEND_LOSES, &one);
        mend_run(s, SIM_MEND_LOSES, &many);
        assert_int_equal(many.error, one.error);
        assert_int_equal(many.offers, one.offers);
        assert_int_equal(many.result.found, one.result.found);
        assert_int_equal(many.result.fixed, one.result.fixed);
        assert_int_equal(many.result.lost_bytes, one.result.lost_bytes);
        assert_memory_equal(s->pmem->pm.base, r->pmem->pm.base, r->config.pmem_bytes);
        rig_destroy(r);
        rig_destroy(s);
    }
}

/* The marks of segments that were looked at ahead are put together. */
static void orders_that_are_there_twice_are_found(void **state)
{
    struct rig *r = large();
    uint32_t twins = 0, found;

    (void)state;
    for (uint32_t n = 0; n < 80; n += 2)
        if (rig_entry(r, n).status == CBD_M_SEGMENT_CLOSED &&
            rig_entry(r, n + 1).status == CBD_M_SEGMENT_CLOSED) {
            twin(r, n, n + 1);
            twins++;
        }
    assert_true(twins > 20);
    found = compare(&r->pmem->pm, 0, 0, 0);
    assert_true(found >= 2 * twins); /* each has the header of another record, too */
    assert_int_equal(compare(&r->pmem->pm, 100, 0, 0), found);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_says_the_same),
        cmocka_unit_test(repairs_are_the_same),
        cmocka_unit_test(damage_anywhere_says_the_same),
        cmocka_unit_test(orders_that_are_there_twice_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
