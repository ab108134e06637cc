/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exhaustive strategy on the engine: against enumeration where that is possible and against
 * random outcomes elsewhere; it finds each hole that is made; and it says how to see one again.
 */
/* ctest: sim novalgrind timeout=240 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lazy.h"
#include "rng.h"
#include "sim_base.h"

#define UNITS_MAX 4096u
#define EXHAUSTIVE_MAX 1024u /* outcomes of a cut that are all tried */
#define SAMPLES 12u          /* of a cut with more */
#define SEEN_MAX 4096u

struct rig {
    struct sim_world world;
    struct sim_lazy *lazy;
    struct sim_process process; /* recovers by force */
    struct sim_lazy_counts counts;
    struct sim_rng rng;
    uint64_t requests, done, steps, every;
    bool force;
    bool resting;            /* steps of recovery by force are none of the run */
    uint64_t seen[SEEN_MAX]; /* of this cut, lazily */
    size_t seen_n;
    uint64_t forced, all;
    bool failed;
    uint64_t failed_step;
    struct sim_verdict verdict;
    char trail[SIM_LAZY_TRAIL_BYTES];
};

static void on_path(void *arg, uint64_t seen, unsigned level)
{
    struct rig *r = arg;

    if (level != 0 || !r->force)
        return;
    SIM_REQUIRE(r->seen_n < SEEN_MAX);
    r->seen[r->seen_n++] = seen;
}

/* The open ranges, hashed as the judge does. */
static uint64_t read_open(struct rig *r)
{
    struct sim_world *w = &r->world;
    uint64_t versions[SIM_ORACLE_ATOMIC_SECTORS_MAX], seen = 0;

    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct sim_oracle_range range;

        for (size_t cursor = 0; sim_oracle_open_next(w->oracle[n], &cursor, &range);) {
            uint64_t unit = w->atomic_sectors, len;

            for (uint64_t i = 0; range.op != SIM_ORACLE_OP_FLUSH && i < range.sectors; i += len) {
                uint64_t first = range.start_sector + i;

                len = unit - first % unit;
                len = len < range.sectors - i ? len : range.sectors - i;
                assert_int_equal(sim_process_read(&r->process, n, first, len, versions), 0);
                for (uint64_t k = 0, run; k < len; k += run) {
                    for (run = 1; k + run < len && versions[k + run] == versions[k];)
                        run++;
                    seen = sim_rng_mix(seen, versions[k] ^ run << 40 ^ (first + k) << 20);
                }
            }
        }
    }
    return seen;
}

static uint64_t outcome(struct rig *r, const uint64_t *choices)
{
    static const struct sim_crash nothing = {.kind = SIM_CRASH_NONE};
    struct sim_world *w = &r->world;
    const char *where;
    uint64_t seen;

    sim_world_mark(w);
    sim_pmem_crash_bits(w->pmem, choices);
    for (uint32_t n = 0; n < w->config.backends; n++)
        sim_disk_crash(w->disk[n], &nothing);
    assert_int_equal(sim_process_start(&r->process, w, 1, false, &where), 0);
    seen = read_open(r);
    sim_world_rollback(w);
    return seen;
}

static bool was_seen(const struct rig *r, uint64_t seen)
{
    for (size_t i = 0; i < r->seen_n; i++)
        if (r->seen[i] == seen)
            return true;
    return false;
}

/* What words can make of this cut the walk has seen, and where all are tried it saw no more. */
static void by_force(struct rig *r)
{
    static uint64_t max[UNITS_MAX], value[UNITS_MAX];
    size_t units = sim_pmem_pending_units(r->world.pmem, max, UNITS_MAX), u;
    uint64_t product = 1, shown[SEEN_MAX];
    size_t shown_n = 0;

    SIM_REQUIRE(units <= UNITS_MAX);
    for (u = 0; u < units && product <= EXHAUSTIVE_MAX; u++)
        product *= max[u];
    r->forced++;
    memset(value, 0, sizeof(value));
    for (uint64_t i = 0; i < (product <= EXHAUSTIVE_MAX ? product : SAMPLES); i++) {
        uint64_t seen = outcome(r, value);

        if (!was_seen(r, seen))
            fail_msg("step %llu: an outcome that the walk has not seen",
                     (unsigned long long)r->steps);
        shown[shown_n++] = seen;
        for (u = 0; u < units; u++) {
            if (product > EXHAUSTIVE_MAX) {
                /* All old, all new, then mostly new: records are whole, data is not. */
                value[u] = i == 0 || sim_rng_chance(&r->rng, units - i % 4, units)
                               ? max[u] - 1
                               : sim_rng_below(&r->rng, max[u]);
                continue;
            }
            if (++value[u] < max[u])
                break;
            value[u] = 0;
        }
    }
    if (product > EXHAUSTIVE_MAX)
        return;
    r->all++;
    for (size_t i = 0; i < r->seen_n; i++) {
        size_t k = 0;

        while (k < shown_n && shown[k] != r->seen[i])
            k++;
        if (k == shown_n)
            fail_msg("step %llu: the walk saw what cannot be", (unsigned long long)r->steps);
    }
}

static void cut(struct rig *r)
{
    uint32_t thread = r->world.pmem->thread;
    void (*pm)(void *, const struct sim_pm_event *) = r->world.pmem->hook;

    if (r->failed || r->resting || r->steps++ % r->every != 0)
        return;
    r->seen_n = 0;
    if (!sim_lazy_cut(r->lazy, &r->counts, &r->verdict, r->trail)) {
        struct sim_verdict again;

        r->failed = true;
        r->failed_step = r->steps;
        /* The trail leads to the same. */
        assert_false(sim_lazy_rerun(r->lazy, r->trail, &again));
        assert_int_equal(again.failure, r->verdict.failure);
        assert_int_equal(again.problem, r->verdict.problem);
        assert_int_equal(again.violation.sector, r->verdict.violation.sector);
    } else if (r->force) {
        r->world.pmem->hook = NULL;
        r->resting = true;
        by_force(r);
        r->resting = false;
        r->world.pmem->hook = pm;
    }
    r->world.pmem->thread = thread;
}

static void on_pm(void *arg, const struct sim_pm_event *ev)
{
    (void)ev;
    cut(arg);
}

static void on_disk(void *arg, const struct sim_disk_event *ev)
{
    (void)ev;
    cut(arg);
}

static int next(void *arg, struct sim_request *request)
{
    struct rig *r = arg;
    uint64_t kind = sim_rng_below(&r->rng, 20);

    if (r->done == r->requests || r->failed)
        return 0;
    r->done++;
    memset(request, 0, sizeof(*request));
    request->volume = (uint32_t)sim_rng_below(&r->rng, r->world.config.backends);
    request->off_bytes = sim_rng_below(&r->rng, 256) * 512;
    request->len_bytes = (1 + sim_rng_below(&r->rng, 12)) * 512;
    request->op = kind < 12   ? SIM_REQUEST_WRITE
                  : kind < 14 ? SIM_REQUEST_READ
                  : kind < 17 ? SIM_REQUEST_FLUSH
                              : SIM_REQUEST_TRIM;
    request->fua = kind == 0;
    return 1;
}

struct setup {
    enum sim_model model;
    bool no_data_checksum;
    enum cbd_step drop_step;
    uint64_t requests, every;
    bool force;
    struct sim_lazy_options options;
};

static void run(struct rig *r, const struct setup *s)
{
    struct sim_config config = {
        .seed = 3,
        .cache_bytes = (UINT64_C(2) << 20) + (UINT64_C(64) << 10) * 16,
        .segment_bytes = 64u << 10,
        .streams = 2,
        .backends = 2,
        .disk_bytes = {128u << 10, 128u << 10},
        .logical_block_bytes = 512,
        .dirty_start_percent = 20,
        .no_data_checksum = s->no_data_checksum,
        .model = s->model,
        .drop_step = s->drop_step,
    };
    struct sim_feed feed = {next, r};

    memset(r, 0, sizeof(*r));
    assert_int_equal(sim_world_create(&r->world, &config), 0);
    r->lazy = sim_lazy_create(&r->world, &s->options);
    sim_lazy_on_path(r->lazy, on_path, r);
    sim_process_init(&r->process, &r->world, 1);
    sim_rng_seed(&r->rng, 7);
    r->requests = s->requests;
    r->every = s->every != 0 ? s->every : 1;
    r->force = s->force;
    r->world.pmem->hook = on_pm;
    r->world.pmem->hook_arg = r;
    for (uint32_t n = 0; n < config.backends; n++) {
        r->world.disk[n]->hook = on_disk;
        r->world.disk[n]->hook_arg = r;
    }
    assert_int_equal(sim_world_run(&r->world, &feed), 0);
}

static void end(struct rig *r)
{
    sim_lazy_destroy(r->lazy);
    sim_process_destroy(&r->process);
    sim_world_destroy(&r->world);
}

static void expect_clean(const struct rig *r)
{
    char possible[32], represented[32], text[2048];

    if (r->failed)
        fail_msg("step %llu, %s: %s", (unsigned long long)r->failed_step, r->trail,
                 sim_verdict_text(&r->verdict, text, sizeof(text)));
    sim_lazy_count_text(r->counts.states, possible, sizeof(possible));
    sim_lazy_count_text(r->counts.represented, represented, sizeof(represented));
    print_message("%llu cuts, %llu inside; %llu executed, %llu merged; %s of %s states\n",
                  (unsigned long long)r->counts.cuts, (unsigned long long)r->counts.nested_cuts,
                  (unsigned long long)r->counts.executed, (unsigned long long)r->counts.merged,
                  represented, possible);
    assert_string_equal(represented, possible);
    assert_int_equal(r->counts.imprecise, 0);
    assert_int_equal(r->counts.limited, 0);
    assert_true(r->counts.executed >= r->counts.cuts);
}

/* What is enumerated, and what is drawn, the walk has seen. */
static void test_against_force(void **state)
{
    static const struct setup setups[] = {
        {.model = SIM_ADR, .requests = 110, .every = 3, .force = true},
        {.model = SIM_ADR, .requests = 50, .every = 3, .force = true, .no_data_checksum = true},
        {.model = SIM_EADR, .requests = 50, .every = 3, .force = true},
        {.model = SIM_PAGE, .requests = 50, .every = 3, .force = true},
    };
    struct rig *r = sim_zalloc(1, sizeof(*r));

    (void)state;
    for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
        run(r, &setups[i]);
        expect_clean(r);
        print_message("%llu of %llu cuts by force, all outcomes of %llu\n",
                      (unsigned long long)r->forced, (unsigned long long)r->counts.cuts,
                      (unsigned long long)r->all);
        assert_true(r->all > 5);
        end(r);
    }
    free(r);
}

/* Going back to a choice, or starting again for each path; merged or not: the same. */
static void test_ways(void **state)
{
    static const struct setup setups[] = {
        {.requests = 60},
        {.requests = 60, .options = {.replay = true}},
        {.requests = 60, .options = {.no_merge = true}},
        {.requests = 60, .options = {.torn_samples = 2}},
    };
    struct rig *r = sim_zalloc(1, sizeof(*r));
    struct sim_lazy_counts first = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
        run(r, &setups[i]);
        expect_clean(r);
        if (i == 0)
            first = r->counts;
        if (i == 1)
            assert_memory_equal(&first, &r->counts, sizeof(first));
        if (i == 2)
            assert_int_equal(first.executed + first.merged, r->counts.executed + r->counts.merged);
        /* Another torn content shows nothing else. */
        if (i == 3)
            assert_true(r->counts.merged >= first.merged);
        end(r);
    }
    free(r);
}

/* Two power cuts in a row. */
static void test_nested(void **state)
{
    static const struct setup setups[] = {
        {.requests = 30, .every = 7, .options = {.depth = 2}},
        {.requests = 12, .every = 23, .options = {.depth = 3}},
        {.model = SIM_PAGE, .requests = 20, .every = 13, .options = {.depth = 2}},
    };
    struct rig *r = sim_zalloc(1, sizeof(*r));

    (void)state;
    for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
        run(r, &setups[i]);
        expect_clean(r);
        assert_true(r->counts.nested_cuts > r->counts.cuts * 10);
        end(r);
    }
    free(r);
}

/* A persist call is left out: found, and its trail shows it again. */
static void test_holes_are_found(void **state)
{
    static const struct {
        enum cbd_step step;
        uint32_t depth;
        bool no_data_checksum;
    } holes[] = {
        {CBD_STEP_INSERT_HEADER, 1, false},         {CBD_STEP_INSERT_DATA, 1, false},
        {CBD_STEP_INSERT_DATA_FENCE, 1, true},      {CBD_STEP_INSERT_RECORD, 1, false},
        {CBD_STEP_INSERT_RECORD_FENCE, 1, false},   {CBD_STEP_SEGMENT_OPEN_A_COPY, 1, false},
        {CBD_STEP_SEGMENT_OPEN_A_FENCE, 1, false},  {CBD_STEP_SEGMENT_CLOSE_A_FENCE, 1, false},
        {CBD_STEP_EPOCH_A_COPY, 1, false},          {CBD_STEP_EPOCH_A_FENCE, 1, false},
        {CBD_STEP_RECOVER_STATE_A_FENCE, 2, false},
    };
    struct rig *r = sim_zalloc(1, sizeof(*r));
    char text[2048];

    (void)state;
    for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
        struct setup s = {
            .requests = 400,
            .drop_step = holes[i].step,
            .no_data_checksum = holes[i].no_data_checksum,
            .options = {.depth = holes[i].depth},
        };

        run(r, &s);
        if (!r->failed)
            fail_msg("nobody misses %s", cbd_step_name(holes[i].step));
        print_message("%-22s step %llu, %s: %s\n", cbd_step_name(holes[i].step),
                      (unsigned long long)r->failed_step, r->trail,
                      sim_verdict_text(&r->verdict, text, sizeof(text)));
        end(r);
    }
    free(r);
}

/* A trail that nobody made is refused. */
static void test_bad_trails(void **state)
{
    static const char *const trails[] = {
        "",        "x",   "r9", "r0.0.0.0.0.0.0.0.0.0.7", "0@99/", "0@1/r0",
        "r1@2/r0", "c0@", "@@", "r99999999999999999999"};
    struct setup s = {.requests = 3};
    struct rig *r = sim_zalloc(1, sizeof(*r));
    struct sim_verdict v;

    (void)state;
    run(r, &s);
    r->world.pmem->hook = NULL;
    for (size_t i = 0; i < sizeof(trails) / sizeof(trails[0]); i++) {
        bool ok = sim_lazy_rerun(r->lazy, trails[i], &v);

        /* Choices that nobody asks for are not missed. */
        if (i != 3)
            assert_true(!ok || v.failure == SIM_FAILURE_NONE);
        assert_int_equal(v.failure, SIM_FAILURE_NONE);
    }
    end(r);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_force), cmocka_unit_test(test_ways),
        cmocka_unit_test(test_nested),        cmocka_unit_test(test_holes_are_found),
        cmocka_unit_test(test_bad_trails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
