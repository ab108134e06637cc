/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated persistent memory: litmus tests that pin which outcomes a power cut may have, and
 * tests of checkpoints, counters and faults. docs/crash-model.md draws the outcomes.
 */
/* ctest: quick */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rng.h"
#include "sim_pmem.h"

#define PM_BYTES 16384u
#define SAMPLES 4000u
#define OUTCOMES_MAX 64u
#define LOOK_MAX 4u

/* Two steps to tell apart; which ones does not matter. */
#define STEP_A CBD_STEP_INSERT_DATA
#define STEP_B CBD_STEP_INSERT_RECORD

static void st(struct sim_pmem *pm, uint64_t off, uint64_t value)
{
    pm->pm.ops->store64(&pm->pm, off, value, STEP_A);
}

static void set_step(struct sim_pmem *pm, uint64_t off, uint8_t value, size_t len, unsigned flags,
                     enum cbd_step step)
{
    pm->pm.ops->set(&pm->pm, off, value, len, flags, step);
}

static void cached(struct sim_pmem *pm, uint64_t off, uint8_t value, size_t len)
{
    uint8_t buf[PM_BYTES];
    memset(buf, value, len);
    pm->pm.ops->copy(&pm->pm, off, buf, len, 0, STEP_A);
}

static void nt(struct sim_pmem *pm, uint64_t off, uint8_t value, size_t len)
{
    set_step(pm, off, value, len, CBD_PMEM_NT, STEP_A);
}

static void flush(struct sim_pmem *pm, uint64_t off, size_t len)
{
    pm->pm.ops->flush(&pm->pm, off, len, STEP_A);
}

static int fence(struct sim_pmem *pm)
{
    return pm->pm.ops->fence(&pm->pm, STEP_A);
}

/* A set of outcomes: each is the digits of the bytes looked at. */
struct outcomes {
    char text[OUTCOMES_MAX][LOOK_MAX + 1];
    size_t count;
};

static void outcomes_add(struct outcomes *set, const char *text)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->text[i], text) == 0)
            return;
    }
    assert_true(set->count < OUTCOMES_MAX);
    snprintf(set->text[set->count++], sizeof set->text[0], "%s", text);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void outcomes_join(struct outcomes *set, char *line, size_t len)
{
    qsort(set->text, set->count, sizeof set->text[0], compare_text);
    size_t at = 0;
    line[0] = 0;
    for (size_t i = 0; i < set->count; i++)
        at += (size_t)snprintf(line + at, len - at, i ? " %s" : "%s", set->text[i]);
}

struct litmus {
    enum sim_model model;
    void (*run)(struct sim_pmem *pm);
    const char *outcomes; /* sorted, exactly these */
    uint64_t look[LOOK_MAX];
    unsigned look_count;
};

static void observe(const struct litmus *l, const struct sim_pmem *pm, struct outcomes *set)
{
    char text[LOOK_MAX + 1] = {0};
    for (unsigned i = 0; i < l->look_count; i++)
        text[i] = (char)('0' + pm->pm.base[l->look[i]]);
    outcomes_add(set, text);
}

/* Every combination of choices, by counting in a mixed radix. */
static void enumerate(const struct litmus *l, struct sim_pmem *pm, struct outcomes *set)
{
    uint64_t radix[64];
    uint64_t choice[64] = {0};
    size_t units = sim_pmem_pending_units(pm, radix, 64);
    assert_true(units <= 64);
    for (size_t u = 0; u <= units;) {
        sim_pmem_mark(pm);
        sim_pmem_crash_bits(pm, choice);
        assert_int_equal(sim_pmem_pending_units(pm, NULL, 0), 0);
        observe(l, pm, set);
        sim_pmem_rollback(pm);
        assert_int_equal(sim_pmem_pending_units(pm, NULL, 0), units);
        for (u = 0; u < units && ++choice[u] == radix[u]; u++)
            choice[u] = 0;
        if (u == units)
            break;
    }
}

static void sample(const struct litmus *l, struct sim_pmem *pm, struct outcomes *set)
{
    for (uint64_t i = 0; i < SAMPLES; i++) {
        struct sim_crash crash = sim_crash_subset(i, 42);
        sim_pmem_mark(pm);
        sim_pmem_crash(pm, &crash);
        observe(l, pm, set);
        sim_pmem_rollback(pm);
    }
}

static void check(const struct litmus *l)
{
    struct outcomes all = {.count = 0}, sampled = {.count = 0};
    char line[512];
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, l->model);
    l->run(pm);
    enumerate(l, pm, &all);
    sample(l, pm, &sampled);
    outcomes_join(&all, line, sizeof line);
    assert_string_equal(line, l->outcomes);
    outcomes_join(&sampled, line, sizeof line);
    assert_string_equal(line, l->outcomes);
    sim_pmem_destroy(pm);
}

/*
 * LITMUS(name, model, "allowed outcomes", (bytes looked at), { operations }): the outcomes, by
 * enumeration and by sampling, are exactly these.
 */
#define LOOK(...) {__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)
#define LITMUS(name, model, allowed, look, ...)                                                    \
    static void name##_run(struct sim_pmem *pm) __VA_ARGS__                                        \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        static const struct litmus l = {model, name##_run, allowed, look};                         \
        check(&l);                                                                                 \
    }

/* ADR: the ordered store */
LITMUS(store64_one_line_is_a_prefix, SIM_ADR, "00 10 11", LOOK(0, 8), {
    st(pm, 0, 1);
    st(pm, 8, 1);
})
LITMUS(store64_two_lines_any_order, SIM_ADR, "00 01 10 11", LOOK(0, 64), {
    st(pm, 0, 1);
    st(pm, 64, 1);
})
LITMUS(store64_word_shows_any_value_it_had, SIM_ADR, "0 1 2", LOOK(0), {
    st(pm, 0, 1);
    st(pm, 0, 2);
})
LITMUS(store64_prefix_over_three, SIM_ADR, "000 100 110 112", LOOK(0, 8, 16), {
    st(pm, 0, 1);
    st(pm, 8, 1);
    st(pm, 16, 2);
})
LITMUS(store64_flush_fence_is_durable, SIM_ADR, "1", LOOK(0), {
    st(pm, 0, 1);
    flush(pm, 0, 8);
    assert_int_equal(fence(pm), 0);
})
LITMUS(store64_prefix_continues_after_fence, SIM_ADR, "100 110 111", LOOK(0, 8, 16), {
    st(pm, 0, 1);
    flush(pm, 0, 8);
    fence(pm);
    st(pm, 8, 1);
    st(pm, 16, 1);
})

/* ADR: cached copies */
LITMUS(flush_without_fence_may_be_lost, SIM_ADR, "0 1", LOOK(0), {
    cached(pm, 0, 1, 8);
    flush(pm, 0, 8);
})
LITMUS(fence_without_flush_is_useless, SIM_ADR, "0 1", LOOK(0), { cached(pm, 0, 1, 8); fence(pm); })
LITMUS(cached_flush_fence_is_durable, SIM_ADR, "11", LOOK(0, 100), {
    cached(pm, 0, 1, 128);
    flush(pm, 0, 128);
    fence(pm);
})
LITMUS(copy_of_16_bytes_tears, SIM_ADR, "00 01 10 11", LOOK(0, 8), { cached(pm, 0, 1, 16); })
LITMUS(unaligned_copy_persists_by_words, SIM_ADR, "0000 0011 1100 1111", LOOK(6, 7, 8, 9), {
    cached(pm, 6, 1, 4);
})
LITMUS(copied_word_shows_any_value_it_had, SIM_ADR, "0 1 2 3", LOOK(0), {
    cached(pm, 0, 1, 8);
    cached(pm, 0, 2, 8);
    cached(pm, 0, 3, 8);
})
LITMUS(store_after_flush_is_not_covered, SIM_ADR, "1 2", LOOK(0), {
    st(pm, 0, 1);
    flush(pm, 0, 8);
    st(pm, 0, 2);
    fence(pm);
})
LITMUS(neighbour_after_flush_is_not_covered, SIM_ADR, "10 11", LOOK(0, 8), {
    cached(pm, 0, 1, 8);
    flush(pm, 0, 8);
    cached(pm, 8, 1, 8);
    fence(pm);
})
LITMUS(flush_takes_the_whole_line, SIM_ADR, "11", LOOK(0, 56), {
    cached(pm, 0, 1, 8);
    cached(pm, 56, 1, 8);
    flush(pm, 20, 1);
    fence(pm);
})
LITMUS(flush_leaves_the_next_line, SIM_ADR, "10 11", LOOK(0, 64), {
    cached(pm, 0, 1, 128);
    flush(pm, 0, 64);
    fence(pm);
})
LITMUS(flush_of_a_large_range_covers_it, SIM_ADR, "110 111", LOOK(0, 4000, 8192), {
    cached(pm, 0, 1, 8);
    cached(pm, 4000, 1, 8);
    cached(pm, 8192, 1, 8);
    flush(pm, 0, 8192);
    fence(pm);
})
LITMUS(copy_and_ordered_stores_in_one_line, SIM_ADR, "000 010 100 101 110 111", LOOK(0, 8, 16), {
    st(pm, 0, 1);
    cached(pm, 8, 1, 8);
    st(pm, 16, 1);
})
LITMUS(copy_over_an_ordered_store, SIM_ADR, "00 10 11 20 21", LOOK(0, 8), {
    st(pm, 0, 1);
    cached(pm, 0, 2, 8);
    st(pm, 8, 1);
})
LITMUS(copy_behind_a_lost_ordered_store_is_lost, SIM_ADR, "00 10 11 12", LOOK(0, 8), {
    st(pm, 0, 1);
    st(pm, 8, 1);
    cached(pm, 8, 2, 8);
})

/* ADR: non-temporal stores */
LITMUS(nt_without_fence_any_subset, SIM_ADR, "000 001 010 011 100 101 110 111", LOOK(0, 8, 64), {
    nt(pm, 0, 1, 72);
})
LITMUS(nt_fence_is_durable, SIM_ADR, "11", LOOK(0, 64), { nt(pm, 0, 1, 128); fence(pm); })
LITMUS(nt_after_fence_is_not_covered, SIM_ADR, "10 11", LOOK(0, 64), {
    nt(pm, 0, 1, 8);
    fence(pm);
    nt(pm, 64, 1, 8);
})
LITMUS(flush_does_not_replace_the_fence_of_nt, SIM_ADR, "0 1", LOOK(0), {
    nt(pm, 0, 1, 8);
    flush(pm, 0, 8);
})
LITMUS(message_with_fence_is_ordered, SIM_ADR, "10 11", LOOK(0, 4096), {
    nt(pm, 0, 1, 64);
    fence(pm);
    st(pm, 4096, 1);
})
LITMUS(message_without_fence_is_not, SIM_ADR, "00 01 10 11", LOOK(0, 4096), {
    nt(pm, 0, 1, 64);
    st(pm, 4096, 1);
})

/* Threads */
LITMUS(fence_of_another_thread_does_not_cover_nt, SIM_ADR, "0 1", LOOK(0), {
    nt(pm, 0, 1, 8);
    pm->thread = 1;
    fence(pm);
})
LITMUS(fence_of_another_thread_does_not_cover_flush, SIM_ADR, "0 1", LOOK(0), {
    cached(pm, 0, 1, 8);
    flush(pm, 0, 8);
    pm->thread = 1;
    fence(pm);
})
LITMUS(flush_takes_stores_of_another_thread, SIM_ADR, "1", LOOK(0), {
    cached(pm, 0, 1, 8);
    pm->thread = 1;
    flush(pm, 0, 8);
    fence(pm);
})
LITMUS(two_threads_flush_the_first_fence_wins, SIM_ADR, "1", LOOK(0), {
    cached(pm, 0, 1, 8);
    flush(pm, 0, 8);
    pm->thread = 1;
    flush(pm, 0, 8);
    fence(pm);
    pm->thread = 0;
    fence(pm);
})
LITMUS(flush_of_another_thread_does_not_cover_nt, SIM_ADR, "0 1", LOOK(0), {
    nt(pm, 0, 1, 8);
    pm->thread = 1;
    flush(pm, 0, 8);
    fence(pm);
})
LITMUS(fence_of_another_thread_takes_its_own, SIM_ADR, "01 11", LOOK(0, 64), {
    nt(pm, 0, 1, 8);
    pm->thread = 1;
    nt(pm, 64, 1, 8);
    fence(pm);
})

/* eADR */
LITMUS(eadr_cached_is_durable_at_once, SIM_EADR, "111", LOOK(0, 8, 64), {
    st(pm, 0, 1);
    cached(pm, 8, 1, 100);
})
LITMUS(eadr_nt_still_needs_the_fence, SIM_EADR, "0 1", LOOK(0), { nt(pm, 0, 1, 8); })
LITMUS(eadr_nt_fence_is_durable, SIM_EADR, "1", LOOK(0), { nt(pm, 0, 1, 8); fence(pm); })
LITMUS(eadr_cached_over_pending_nt_is_durable, SIM_EADR, "2", LOOK(0), {
    nt(pm, 0, 1, 8);
    st(pm, 0, 2);
})
LITMUS(eadr_message_without_fence_is_not_ordered, SIM_EADR, "01 11", LOOK(0, 64), {
    nt(pm, 0, 1, 8);
    st(pm, 64, 1);
})

/* Page model */
LITMUS(page_sector_is_a_snapshot, SIM_PAGE, "000 100 110 111", LOOK(0, 64, 504), {
    cached(pm, 0, 1, 8);
    cached(pm, 64, 1, 8);
    st(pm, 504, 1);
})
LITMUS(page_two_sectors_any_order, SIM_PAGE, "00 01 10 11", LOOK(0, 512), {
    st(pm, 0, 1);
    st(pm, 512, 1);
})
LITMUS(page_nt_without_fence_may_be_lost, SIM_PAGE, "0 1", LOOK(0), { nt(pm, 0, 1, 8); })
LITMUS(page_flush_without_fence_may_be_lost, SIM_PAGE, "0 1", LOOK(0), {
    cached(pm, 0, 1, 8);
    flush(pm, 0, 8);
})
LITMUS(page_fence_without_flush_is_useless, SIM_PAGE, "0 1", LOOK(0), {
    cached(pm, 0, 1, 8);
    fence(pm);
})
LITMUS(page_fence_syncs_marked_pages_whole, SIM_PAGE, "11", LOOK(0, 4088), {
    cached(pm, 0, 1, 8);
    st(pm, 4088, 1);
    flush(pm, 0, 8);
    fence(pm);
})
LITMUS(page_fence_leaves_other_pages, SIM_PAGE, "10 11", LOOK(0, 4096), {
    nt(pm, 0, 1, 8);
    cached(pm, 4096, 1, 8);
    fence(pm);
})
LITMUS(page_failed_msync_makes_nothing_durable, SIM_PAGE, "0 1", LOOK(0), {
    nt(pm, 0, 1, 8);
    pm->fail_fences = 1;
    assert_int_equal(fence(pm), CBD_E_IO);
})

/* A persist that is left out */
LITMUS(dropped_flush_is_ignored, SIM_ADR, "0 1", LOOK(0), {
    pm->drop_step = STEP_B;
    st(pm, 0, 1);
    pm->pm.ops->flush(&pm->pm, 0, 8, STEP_B);
    fence(pm);
})
LITMUS(dropped_fence_is_ignored, SIM_ADR, "0 1", LOOK(0), {
    pm->drop_step = STEP_B;
    nt(pm, 0, 1, 8);
    assert_int_equal(pm->pm.ops->fence(&pm->pm, STEP_B), 0);
})
LITMUS(dropped_fence_is_made_up_by_the_next, SIM_ADR, "1", LOOK(0), {
    pm->drop_step = STEP_B;
    nt(pm, 0, 1, 8);
    assert_int_equal(pm->pm.ops->fence(&pm->pm, STEP_B), 0);
    fence(pm);
})
LITMUS(dropped_nt_copy_is_a_cached_one, SIM_ADR, "01 11", LOOK(0, 64), {
    pm->drop_step = STEP_B;
    set_step(pm, 0, 1, 8, CBD_PMEM_NT, STEP_B);
    nt(pm, 64, 1, 8);
    fence(pm);
})
LITMUS(dropped_nt_copy_in_pages_marks_nothing, SIM_PAGE, "0 1", LOOK(0), {
    pm->drop_step = STEP_B;
    set_step(pm, 0, 1, 8, CBD_PMEM_NT, STEP_B);
    fence(pm);
})

static void mixed_stores_in_a_line_are_reported(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    nt(pm, 0, 1, 8);
    cached(pm, 64, 1, 8);
    assert_int_equal(pm->counts.mixed.count, 0);
    set_step(pm, 96, 1, 8, CBD_PMEM_NT, STEP_B);
    assert_int_equal(pm->counts.mixed.count, 1);
    assert_int_equal(pm->counts.mixed.number, 2);
    assert_int_equal(pm->counts.mixed.line_off, 64);
    assert_int_equal(pm->counts.mixed.step_before, STEP_A);
    assert_int_equal(pm->counts.mixed.step, STEP_B);
    st(pm, 8, 1);
    assert_int_equal(pm->counts.mixed.count, 2);
    assert_int_equal(pm->counts.mixed.number, 2);
    sim_pmem_destroy(pm);
}

/* The buffers of the first thread may reach the medium behind those of the second. */
static void nt_store_over_that_of_another_thread_is_reported(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    nt(pm, 0, 1, 8);
    pm->thread = 1;
    nt(pm, 8, 1, 8);
    assert_int_equal(pm->counts.mixed.count, 0);
    nt(pm, 0, 2, 8);
    assert_int_equal(pm->counts.mixed.count, 1);
    fence(pm);
    nt(pm, 8, 2, 8);
    assert_int_equal(pm->counts.mixed.count, 1);
    pm->thread = 0;
    fence(pm);
    nt(pm, 0, 3, 8);
    assert_int_equal(pm->counts.mixed.count, 1);
    sim_pmem_destroy(pm);
}

static void fence_between_makes_mixing_legal(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    nt(pm, 0, 1, 8);
    fence(pm);
    st(pm, 8, 1);
    flush(pm, 8, 8);
    fence(pm);
    nt(pm, 16, 1, 8);
    assert_int_equal(pm->counts.mixed.count, 0);
    /* Also when the fence found nothing flushed. */
    st(pm, 64, 1);
    fence(pm);
    nt(pm, 72, 1, 8);
    assert_int_equal(pm->counts.mixed.count, 0);
    sim_pmem_destroy(pm);
}

static void dropped_nt_copy_is_not_called_mixed(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    pm->drop_step = STEP_B;
    set_step(pm, 0, 1, 8, CBD_PMEM_NT, STEP_B);
    nt(pm, 8, 1, 8);
    assert_int_equal(pm->counts.mixed.count, 0);
    sim_pmem_destroy(pm);
}

/* Four stores of one word in different lines; what each strategy leaves. */
static void strategy(enum sim_crash_kind kind, uint64_t k, const char *expected)
{
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    for (unsigned i = 0; i < 4; i++)
        nt(pm, (uint64_t)(3 - i) * 64, 1, 8); /* so that address order is not program order */
    struct sim_crash crash = {.kind = kind, .k = k};
    sim_pmem_crash(pm, &crash);
    char text[5] = {0};
    for (unsigned i = 0; i < 4; i++)
        text[i] = (char)('0' + pm->pm.base[(3 - i) * 64]);
    assert_string_equal(text, expected);
    sim_pmem_destroy(pm);
}

static void strategies_leave_what_they_say(void **state)
{
    (void)state;
    strategy(SIM_CRASH_NONE, 0, "0000");
    strategy(SIM_CRASH_ALL, 0, "1111");
    strategy(SIM_CRASH_ONE_LOST, 0, "0111");
    strategy(SIM_CRASH_ONE_LOST, 6, "1101");
    strategy(SIM_CRASH_ONE_KEPT, 1, "0100");
    strategy(SIM_CRASH_PREFIX, 0, "0000");
    strategy(SIM_CRASH_PREFIX, 3, "1110");
    strategy(SIM_CRASH_PREFIX, 4, "1111");
    strategy(SIM_CRASH_PREFIX, 5, "0000");
}

static void subsets_are_a_function_of_index_and_seed(void **state)
{
    (void)state;
    assert_int_equal(sim_crash_subset(0, 9).kind, SIM_CRASH_NONE);
    assert_int_equal(sim_crash_subset(1, 9).kind, SIM_CRASH_ALL);
    unsigned kinds = 0;
    for (uint64_t i = 2; i < 20; i++) {
        struct sim_crash a = sim_crash_subset(i, 9), b = sim_crash_subset(i, 9);
        assert_int_equal(a.kind, b.kind);
        assert_true(a.k == b.k && a.seed == b.seed);
        assert_true(a.seed != sim_crash_subset(i, 10).seed);
        kinds |= 1u << a.kind;
    }
    assert_int_equal(kinds, 1u << SIM_CRASH_RANDOM | 1u << SIM_CRASH_ONE_LOST |
                                1u << SIM_CRASH_ONE_KEPT | 1u << SIM_CRASH_PREFIX);
}

static void process_kill_keeps_everything_pending(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    st(pm, 0, 1);
    /* Nothing to call: the caches belong to the machine. */
    assert_int_equal(pm->pm.base[0], 1);
    assert_int_equal(sim_pmem_pending_units(pm, NULL, 0), 1);
    flush(pm, 0, 8);
    fence(pm);
    assert_int_equal(sim_pmem_pending_units(pm, NULL, 0), 0);
    sim_pmem_destroy(pm);
}

static void poisoned_ranges_fail_to_read(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    uint8_t buf[64];
    st(pm, 256, 7);
    sim_pmem_poison(pm, 256, 64);
    assert_int_equal(pm->pm.ops->read(&pm->pm, 192, buf, 64), 0);
    assert_int_equal(pm->pm.ops->read(&pm->pm, 200, buf, 64), CBD_E_MEDIA);
    assert_int_equal(pm->pm.ops->read(&pm->pm, 319, buf, 1), CBD_E_MEDIA);
    assert_int_equal(pm->pm.ops->read(&pm->pm, 320, buf, 64), 0);
    sim_pmem_mark(pm);
    sim_pmem_poison_clear(pm, 256, 32);
    assert_int_equal(pm->pm.ops->read(&pm->pm, 256, buf, 32), 0);
    assert_int_equal(buf[0], 7);
    assert_int_equal(pm->pm.ops->read(&pm->pm, 256, buf, 33), CBD_E_MEDIA);
    sim_pmem_rollback(pm);
    assert_int_equal(pm->pm.ops->read(&pm->pm, 256, buf, 32), CBD_E_MEDIA);
    assert_int_equal(pm->pm.ops->read(&pm->pm, PM_BYTES - 8, buf, 9), CBD_E_RANGE);
    sim_pmem_destroy(pm);
}

static void poke_is_durable_and_uncounted(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    uint8_t bytes[16] = {9, 9, 9, 9};
    st(pm, 0, 1);
    sim_pmem_mark(pm);
    sim_pmem_poke(pm, 0, bytes, sizeof bytes);
    sim_pmem_crash(pm, &(struct sim_crash){.kind = SIM_CRASH_NONE});
    assert_int_equal(pm->pm.base[3], 9);
    assert_int_equal(pm->ops_done, 1);
    sim_pmem_rollback(pm);
    assert_int_equal(pm->pm.base[3], 0);
    assert_int_equal(pm->pm.base[0], 1);
    sim_pmem_destroy(pm);
}

static void poke_leaves_the_rest_of_a_sector_pending(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_PAGE);
    uint8_t bytes[8] = {9};
    st(pm, 64, 1);
    st(pm, 0, 1);
    sim_pmem_poke(pm, 0, bytes, sizeof bytes);
    assert_int_equal(sim_pmem_pending_units(pm, NULL, 0), 1);
    sim_pmem_crash(pm, &(struct sim_crash){.kind = SIM_CRASH_NONE});
    assert_int_equal(pm->pm.base[0], 9);
    assert_int_equal(pm->pm.base[64], 0);
    sim_pmem_destroy(pm);
}

struct cut {
    jmp_buf env;
    uint64_t at;
    struct sim_pm_event last;
};

static void cut_hook(void *arg, const struct sim_pm_event *ev)
{
    struct cut *cut = arg;
    cut->last = *ev;
    if (ev->number == cut->at)
        longjmp(cut->env, 1);
}

static void hook_runs_before_the_operation(void **state)
{
    (void)state;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    struct cut cut = {.at = 3};
    pm->hook = cut_hook;
    pm->hook_arg = &cut;
    if (setjmp(cut.env) == 0) {
        st(pm, 0, 1);
        flush(pm, 0, 8);
        fence(pm);
        set_step(pm, 64, 1, 100, CBD_PMEM_NT, STEP_B);
        fail();
    }
    assert_int_equal(cut.last.kind, SIM_PM_SET);
    assert_int_equal(cut.last.step, STEP_B);
    assert_int_equal(cut.last.off, 64);
    assert_int_equal(cut.last.len_bytes, 100);
    assert_int_equal(pm->ops_done, 3);
    assert_int_equal(pm->counts.by_step[STEP_A], 3);
    assert_int_equal(pm->counts.by_step[STEP_B], 0);
    assert_int_equal(pm->counts.by_kind[SIM_PM_FENCE], 1);
    assert_int_equal(pm->pm.base[64], 0);
    assert_int_equal(sim_pmem_pending_units(pm, NULL, 0), 0);
    sim_pmem_destroy(pm);
}

/* One random operation; models take the same ones. */
static void random_op(struct sim_pmem *pm, struct sim_rng *rng)
{
    uint64_t off = sim_rng_below(rng, PM_BYTES / 8);
    if (sim_rng_chance(rng, 1, 2))
        off %= 128;
    size_t len = (size_t)sim_rng_below(rng, 200) + 1;
    unsigned flags = sim_rng_chance(rng, 1, 2) ? CBD_PMEM_NT : 0;
    uint8_t bytes[200];
    memset(bytes, (int)sim_rng_below(rng, 256), sizeof bytes);
    pm->thread = (uint32_t)sim_rng_below(rng, 3);
    switch (sim_rng_below(rng, 7)) {
    case 0:
    case 1:
        st(pm, off / 8 * 8, sim_rng_u64(rng));
        break;
    case 2:
    case 3:
        pm->pm.ops->copy(&pm->pm, off, bytes, len, flags, STEP_A);
        break;
    case 4:
        set_step(pm, off, bytes[0], len, flags, STEP_B);
        break;
    case 5:
        flush(pm, off, len);
        break;
    default:
        if (sim_rng_chance(rng, 1, 3))
            assert_int_equal(fence(pm), 0);
        break;
    }
}

/* A digest of everything that can be seen, crash outcomes included. */
static uint64_t fingerprint(struct sim_pmem *pm)
{
    uint64_t h = sim_rng_mix(pm->ops_done, pm->counts.mixed.count);
    h = sim_rng_mix(h, sim_pmem_pending_units(pm, NULL, 0));
    for (uint64_t subset = 0; subset < 8; subset++) {
        struct sim_crash crash = sim_crash_subset(subset, 7);
        sim_pmem_mark(pm);
        sim_pmem_crash(pm, &crash);
        for (size_t i = 0; i < PM_BYTES / 8; i += 8) {
            uint64_t w;
            memcpy(&w, pm->pm.base + i, 8);
            h = w != 0 ? sim_rng_mix(h ^ i, w) : h;
        }
        sim_pmem_rollback(pm);
    }
    return h;
}

static void rollback_restores_exactly_in(enum sim_model model)
{
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, model);
    struct sim_rng rng;
    static uint8_t copy[3][PM_BYTES];
    uint64_t print[3];
    sim_rng_seed(&rng, 1);
    for (unsigned round = 0; round < 60; round++) {
        unsigned depth = 0;
        for (; depth < 3; depth++) {
            for (unsigned i = 0; i < 12; i++)
                random_op(pm, &rng);
            memcpy(copy[depth], pm->pm.base, PM_BYTES);
            print[depth] = fingerprint(pm);
            sim_pmem_mark(pm);
            if (sim_rng_chance(&rng, 1, 2)) {
                struct sim_crash crash = sim_crash_subset(round, 3);
                sim_pmem_crash(pm, &crash);
            }
        }
        for (unsigned i = 0; i < 12; i++)
            random_op(pm, &rng);
        while (depth-- > 0) {
            sim_pmem_rollback(pm);
            assert_memory_equal(pm->pm.base, copy[depth], PM_BYTES);
            assert_true(fingerprint(pm) == print[depth]);
        }
        for (unsigned i = 0; i < 5; i++)
            random_op(pm, &rng);
    }
    sim_pmem_destroy(pm);
}

static void rollback_restores_exactly(void **state)
{
    (void)state;
    rollback_restores_exactly_in(SIM_ADR);
    rollback_restores_exactly_in(SIM_EADR);
    rollback_restores_exactly_in(SIM_PAGE);
}

/*
 * A second, naive model of ADR for one thread: for each word the values it may still show. What
 * survives must be one of them, and with NONE the first.
 */
#define NAIVE_WORDS 32u
#define NAIVE_VALUES 64u

struct naive {
    uint64_t value[NAIVE_WORDS][NAIVE_VALUES];
    bool flushed[NAIVE_WORDS][NAIVE_VALUES];
    size_t count[NAIVE_WORDS];
};

static void naive_fence(struct naive *n)
{
    for (size_t w = 0; w < NAIVE_WORDS; w++) {
        size_t durable = 0;
        for (size_t i = 0; i < n->count[w]; i++)
            durable = n->flushed[w][i] ? i : durable;
        n->count[w] -= durable;
        memmove(n->value[w], &n->value[w][durable], n->count[w] * 8);
        memmove(n->flushed[w], &n->flushed[w][durable], n->count[w]);
    }
}

static void naive_op(struct naive *n, struct sim_pmem *pm, struct sim_rng *rng)
{
    size_t w = (size_t)sim_rng_below(rng, NAIVE_WORDS);
    uint64_t value = sim_rng_u64(rng);
    uint64_t kind = sim_rng_below(rng, 8);
    if (kind < 5) {
        bool is_nt = kind == 4;
        if (n->count[w] == NAIVE_VALUES)
            return;
        if (kind < 2)
            st(pm, w * 8, value);
        else
            pm->pm.ops->copy(&pm->pm, w * 8, &value, 8, is_nt ? CBD_PMEM_NT : 0, STEP_A);
        n->value[w][n->count[w]] = value;
        n->flushed[w][n->count[w]++] = is_nt;
    } else if (kind < 7) {
        size_t line = w / 8 * 8;
        flush(pm, w * 8, 8);
        for (w = line; w < line + 8; w++)
            memset(n->flushed[w], 1, n->count[w]);
    } else {
        fence(pm);
        naive_fence(n);
    }
}

static void survivors_are_values_that_may_survive(void **state)
{
    (void)state;
    static struct naive n;
    struct sim_pmem *pm = sim_pmem_create(PM_BYTES, SIM_ADR);
    struct sim_rng rng;
    sim_rng_seed(&rng, 2);
    memset(&n, 0, sizeof n);
    for (size_t w = 0; w < NAIVE_WORDS; w++)
        n.count[w] = 1;
    for (unsigned step = 0; step < 3000; step++) {
        naive_op(&n, pm, &rng);
        struct sim_crash crash = sim_crash_subset(step % 9, step);
        sim_pmem_mark(pm);
        sim_pmem_crash(pm, &crash);
        for (size_t w = 0; w < NAIVE_WORDS; w++) {
            uint64_t got;
            memcpy(&got, pm->pm.base + w * 8, 8);
            size_t i = 0;
            while (i < n.count[w] && n.value[w][i] != got)
                i++;
            assert_true(i < n.count[w]);
            if (crash.kind == SIM_CRASH_NONE)
                assert_int_equal(i, 0);
            if (crash.kind == SIM_CRASH_ALL)
                assert_int_equal(i, n.count[w] - 1);
        }
        sim_pmem_rollback(pm);
    }
    sim_pmem_destroy(pm);
}

static void many_lines_survive_hash_growth(void **state)
{
    (void)state;
    const uint64_t size = UINT64_C(4) << 20;
    struct sim_pmem *pm = sim_pmem_create(size, SIM_ADR);
    for (uint64_t off = 0; off < size; off += 64)
        st(pm, off, off + 1);
    assert_int_equal(sim_pmem_pending_units(pm, NULL, 0), size / 64);
    for (uint64_t off = 0; off < size; off += 128)
        flush(pm, off, 8);
    fence(pm);
    assert_int_equal(sim_pmem_pending_units(pm, NULL, 0), size / 128);
    sim_pmem_crash(pm, &(struct sim_crash){.kind = SIM_CRASH_NONE});
    for (uint64_t off = 0; off < size; off += 64) {
        uint64_t got;
        memcpy(&got, pm->pm.base + off, 8);
        assert_true(got == (off % 128 == 0 ? off + 1 : 0));
    }
    sim_pmem_destroy(pm);
}

static void lines_come_and_go_in_any_order(void **state)
{
    (void)state;
    enum { LINES = 65536 };
    static uint64_t newest[LINES], durable[LINES];
    struct sim_pmem *pm = sim_pmem_create(LINES * 64, SIM_ADR);
    struct sim_rng rng;
    sim_rng_seed(&rng, 3);
    for (uint64_t i = 1; i < 100000; i++) {
        uint64_t line = sim_rng_below(&rng, LINES);
        if (sim_rng_chance(&rng, 2, 3)) {
            st(pm, line * 64, i);
            newest[line] = i;
        } else {
            flush(pm, line * 64, 64);
            fence(pm);
            durable[line] = newest[line];
        }
    }
    sim_pmem_crash(pm, &(struct sim_crash){.kind = SIM_CRASH_NONE});
    for (uint64_t line = 0; line < LINES; line++) {
        uint64_t got;
        memcpy(&got, pm->pm.base + line * 64, 8);
        assert_true(got == durable[line]);
    }
    sim_pmem_destroy(pm);
}

static void random_numbers_are_fixed_and_in_bounds(void **state)
{
    (void)state;
    struct sim_rng a, b;
    sim_rng_seed(&a, 0);
    sim_rng_seed(&b, 0);
    uint64_t seen = 0;
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(sim_rng_u64(&a) == sim_rng_u64(&b));
        uint64_t v = sim_rng_below(&a, 7);
        assert_true(v < 7 && sim_rng_below(&b, 7) == v);
        seen |= UINT64_C(1) << v;
    }
    assert_int_equal(seen, 127);
    /* splitmix64 of seed 0, as published: the first word of the state. */
    sim_rng_seed(&a, 0);
    assert_true(a.s[0] == UINT64_C(0xe220a8397b1dcdaf));
}

int main(void)
{
#define T(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        T(store64_one_line_is_a_prefix),
        T(store64_two_lines_any_order),
        T(store64_word_shows_any_value_it_had),
        T(store64_prefix_over_three),
        T(store64_flush_fence_is_durable),
        T(store64_prefix_continues_after_fence),
        T(flush_without_fence_may_be_lost),
        T(fence_without_flush_is_useless),
        T(cached_flush_fence_is_durable),
        T(copy_of_16_bytes_tears),
        T(unaligned_copy_persists_by_words),
        T(copied_word_shows_any_value_it_had),
        T(store_after_flush_is_not_covered),
        T(neighbour_after_flush_is_not_covered),
        T(flush_takes_the_whole_line),
        T(flush_leaves_the_next_line),
        T(flush_of_a_large_range_covers_it),
        T(copy_and_ordered_stores_in_one_line),
        T(copy_over_an_ordered_store),
        T(copy_behind_a_lost_ordered_store_is_lost),
        T(nt_without_fence_any_subset),
        T(nt_fence_is_durable),
        T(nt_after_fence_is_not_covered),
        T(flush_does_not_replace_the_fence_of_nt),
        T(message_with_fence_is_ordered),
        T(message_without_fence_is_not),
        T(fence_of_another_thread_does_not_cover_nt),
        T(fence_of_another_thread_does_not_cover_flush),
        T(flush_takes_stores_of_another_thread),
        T(two_threads_flush_the_first_fence_wins),
        T(flush_of_another_thread_does_not_cover_nt),
        T(fence_of_another_thread_takes_its_own),
        T(eadr_cached_is_durable_at_once),
        T(eadr_nt_still_needs_the_fence),
        T(eadr_nt_fence_is_durable),
        T(eadr_cached_over_pending_nt_is_durable),
        T(eadr_message_without_fence_is_not_ordered),
        T(page_sector_is_a_snapshot),
        T(page_two_sectors_any_order),
        T(page_nt_without_fence_may_be_lost),
        T(page_flush_without_fence_may_be_lost),
        T(page_fence_without_flush_is_useless),
        T(page_fence_syncs_marked_pages_whole),
        T(page_fence_leaves_other_pages),
        T(page_failed_msync_makes_nothing_durable),
        T(dropped_flush_is_ignored),
        T(dropped_fence_is_ignored),
        T(dropped_fence_is_made_up_by_the_next),
        T(dropped_nt_copy_is_a_cached_one),
        T(dropped_nt_copy_in_pages_marks_nothing),
        T(mixed_stores_in_a_line_are_reported),
        T(nt_store_over_that_of_another_thread_is_reported),
        T(fence_between_makes_mixing_legal),
        T(dropped_nt_copy_is_not_called_mixed),
        T(strategies_leave_what_they_say),
        T(subsets_are_a_function_of_index_and_seed),
        T(process_kill_keeps_everything_pending),
        T(poisoned_ranges_fail_to_read),
        T(poke_is_durable_and_uncounted),
        T(poke_leaves_the_rest_of_a_sector_pending),
        T(hook_runs_before_the_operation),
        T(rollback_restores_exactly),
        T(survivors_are_values_that_may_survive),
        T(many_lines_survive_hash_growth),
        T(lines_come_and_go_in_any_order),
        T(random_numbers_are_fixed_and_in_bounds),
    };
    return cmocka_run_group_tests_name("sim_pmem", tests, NULL, NULL);
}
