/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A backing device that fails, hangs, or is away for a while, by a virtual clock: what writers and
 * readers see, and that write-back goes on by itself. D17.
 */
/* ctest: novalgrind */
#include "timed_rig.h"

#define LATENCY_NS TIMED_MS
#define T_NS (5 * TIMED_S)

static const struct rig_config config = {.share_segments = 16,
                                         .attach = {.space_timeout_ns = T_NS, .no_fill = true}};

static void go(struct timed *t, bool hang, bool away)
{
    if (hang)
        t->hung = away;
    else
        sim_disk_set_gone(t->rig->disk[0], away);
}

/* Fills the cache until a write fails; returns how long that one took. */
static uint64_t fill_until_error(struct timed *t, int *error)
{
    uint64_t took = 0, longest = 0;

    *error = 0;
    for (uint64_t i = 0; *error == 0 && i < 10000; i++) {
        took = timed_try_write(t, i % 240 * 4096, 4096, error);
        if (*error == 0 && took > longest)
            longest = took;
    }
    assert_true(longest <= T_NS);
    return took;
}

static void check_end(struct timed *t)
{
    rig_check_all(t->rig);
    rig_detach(t->rig);
    rig_check_disk(t->rig, 0);
    timed_end(t);
}

static void dead_then_back(bool hang)
{
    struct timed t;
    int error;

    timed_begin(&t, &config, LATENCY_NS);
    rig_write(t.rig, 250 * 4096, 4096, 0);
    go(&t, hang, true);
    for (int round = 0; round < 3; round++) { /* each write has an end, not only the first */
        assert_in_range(fill_until_error(&t, &error), T_NS, T_NS + 10 * TIMED_MS);
        assert_int_equal(error, CBD_E_NOSPACE);
    }
    rig_read(t.rig, 250 * 4096, 4096); /* cached */
    if (!hang)
        assert_int_equal(rig_try_read(t.rig, 0, 255 * 4096, 4096), CBD_E_IO); /* not cached */
    go(&t, hang, false);
    timed_run(&t, TIMED_S); /* nobody writes, nobody asks */
    assert_int_not_equal(rig_stats(t.rig).segments_free, 0);
    for (uint64_t i = 0; i < 500; i++)
        assert_true(timed_write(&t, i % 240 * 4096, 4096, 0) <= 10 * LATENCY_NS);
    check_end(&t);
}

static void test_d17_writes_on_a_disk_that_fails_end_after_t(void **state)
{
    (void)state;
    dead_then_back(false);
}

static void test_d17_writes_on_a_disk_that_hangs_end_after_t(void **state)
{
    (void)state;
    dead_then_back(true);
}

static struct timed *away;
static uint64_t back_ns;

static bool back_at(struct rig *r)
{
    if (r->env.now_ns >= back_ns) {
        away->hung = false;
        sim_disk_set_gone(r->disk[0], false);
    }
    return false;
}

/* Away for less than T, again and again: writers wait, and see no error. */
static void away_for_a_while(bool hang)
{
    struct timed t;
    uint64_t waited = 0;

    timed_begin(&t, &config, LATENCY_NS);
    away = &t;
    t.rig->on_progress = back_at;
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t took;

        if (i % 500 == 100) {
            go(&t, hang, true);
            back_ns = t.rig->env.now_ns + T_NS - TIMED_S;
        }
        took = timed_write(&t, i * 7 % 256 * 4096, 4096, i % 13 == 0 ? CBD_WRITE_FUA : 0);
        waited = took > waited ? took : waited;
    }
    assert_in_range(waited, TIMED_S, T_NS);
    check_end(&t);
}

static void a_disk_that_fails_for_a_while_is_no_error(void **state)
{
    (void)state;
    away_for_a_while(false);
}

static void a_disk_that_hangs_for_a_while_is_no_error(void **state)
{
    (void)state;
    away_for_a_while(true);
}

/*
 * One request of a large epoch fails, and all of it is written again, which takes longer than T.
 * What the first pass did not reach is progress; what fails again and again is none.
 */
static void one_failed_request_is_no_reason_to_give_up(void **state)
{
    struct rig_config slow = config;
    struct timed t;
    int error;

    (void)state;
    slow.attach.dirty_urgent_percent = 100;
    slow.attach.epoch_bytes_max = UINT64_MAX;
    slow.attach.queue_depth = 1;
    timed_begin(&t, &slow, 100 * TIMED_MS);
    sim_disk_fail_next(t.rig->disk[0], CBD_DISK_WRITE, 3, 1);
    for (uint64_t i = 0; i < 600; i++) {
        (void)timed_try_write(&t, i * 2 % 256 * 4096, 4096, &error);
        assert_int_equal(error, 0);
    }
    sim_disk_fail_next(t.rig->disk[0], CBD_DISK_WRITE, 3, UINT64_MAX);
    (void)fill_until_error(&t, &error);
    assert_int_equal(error, CBD_E_NOSPACE);
    sim_disk_heal(t.rig->disk[0]);
    check_end(&t);
}

/* While the disk fails, what is left of the cache takes writes at its own speed. */
static void the_rest_of_the_cache_is_used_while_the_disk_is_away(void **state)
{
    uint64_t free_space = 16 * 65536 / 4096 * 7 / 10, i;
    struct timed t;

    (void)state;
    timed_begin(&t, &config, LATENCY_NS);
    sim_disk_set_gone(t.rig->disk[0], true);
    for (i = 0; i < free_space; i++)
        assert_true(timed_write(&t, i % 240 * 4096, 4096, 0) <= 20 * LATENCY_NS);
    sim_disk_set_gone(t.rig->disk[0], false);
    check_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d17_writes_on_a_disk_that_fails_end_after_t),
        cmocka_unit_test(test_d17_writes_on_a_disk_that_hangs_end_after_t),
        cmocka_unit_test(a_disk_that_fails_for_a_while_is_no_error),
        cmocka_unit_test(a_disk_that_hangs_for_a_while_is_no_error),
        cmocka_unit_test(one_failed_request_is_no_reason_to_give_up),
        cmocka_unit_test(the_rest_of_the_cache_is_used_while_the_disk_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
