/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's oracle: what a served device may show, in small histories (P1, P3, reads). */
#include "oracle_rig.h"

/* ---- P1 ---- */

static void p1_acked_write_must_be_there(void **state)
{
    (void)state;
    uint64_t a = write(8, 8);
    assert_served(8, a);
    assert_served(15, a);
    assert_served(16, SIM_ORACLE_INITIAL);
    assert_lost(8, SIM_ORACLE_INITIAL, SIM_ORACLE_P1, a);
}

static void p1_unacked_write_may_be_there_or_not(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = begin(0, 1);
    assert_served(0, a);
    assert_served(0, b);
    assert_lost(0, SIM_ORACLE_INITIAL, SIM_ORACLE_P1, a);
}

static void p1_unacked_write_may_come_after_a_newer_acked_one(void **state)
{
    (void)state;
    uint64_t a = begin(0, 1);
    uint64_t b = write(0, 1);
    assert_served(0, a);
    assert_served(0, b);
    done(a);
    assert_served(0, a);
    assert_served(0, b);
    uint64_t c = write(0, 1);
    assert_lost(0, a, SIM_ORACLE_P1, c);
    assert_lost(0, b, SIM_ORACLE_P1, c);
}

static void p1_failed_write_is_open_until_overwritten(void **state)
{
    (void)state;
    uint64_t a = write(0, 2);
    uint64_t b = begin(0, 2);
    sim_oracle_fail(o, b);
    assert_served(0, a);
    assert_served(1, b);
    uint64_t c = write(0, 1);
    assert_lost(0, b, SIM_ORACLE_P1, c);
    assert_served(1, b);
}

static void p1_acked_discard_must_be_there(void **state)
{
    (void)state;
    uint64_t a = write(0, 8);
    assert_lost(0, ZERO, SIM_ORACLE_P1, a);
    assert_int_equal(served(100, ZERO), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.reason, SIM_ORACLE_FOREIGN);
    uint64_t z = begin_zero(0, 100000);
    assert_served(3, a);
    assert_served(3, ZERO);
    done(z);
    assert_lost(3, a, SIM_ORACLE_P1, z);
    assert_served(3, ZERO);
    assert_lost(99999, SIM_ORACLE_INITIAL, SIM_ORACLE_P1, z);
    assert_served(100000, SIM_ORACLE_INITIAL);
    uint64_t b = write(50000, 1);
    assert_lost(50000, ZERO, SIM_ORACLE_P1, b);
    assert_served(50001, ZERO);
}

static void p1_zero_disk_knows_one_initial_content(void **state)
{
    (void)state;
    assert_served(0, ZERO);
    assert_served(0, SIM_ORACLE_INITIAL);
    uint64_t a = write(0, 1);
    assert_lost(0, ZERO, SIM_ORACLE_P1, a);
    assert_explained(ZERO, ZERO);
    flush();
    assert_unexplained(ZERO, a + 1);
}

static void p1_foreign_content_is_never_allowed(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t f = flush();
    const uint64_t bad[] = {SIM_ORACLE_GARBAGE, a, f, f + 1, UINT64_C(1) << 61};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(served(1, bad[i]), SIM_ORACLE_VIOLATION);
        assert_int_equal(v.reason, SIM_ORACLE_FOREIGN);
        assert_unexplained(a, bad[i]);
        assert_int_equal(v.reason, SIM_ORACLE_FOREIGN);
        assert_int_equal(v.sector, 1);
    }
}

static void p1_run_is_judged_where_histories_differ(void **state)
{
    (void)state;
    uint64_t a = write(0, 4096);
    uint64_t b = write(777, 1);
    assert_int_equal(sim_oracle_check_served(o, 0, 777, a, &v), SIM_ORACLE_OK);
    assert_int_equal(sim_oracle_check_served(o, 778, 4096 - 778, a, &v), SIM_ORACLE_OK);
    assert_int_equal(sim_oracle_check_served(o, 0, 4096, a, &v), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.sector, 777);
    assert_int_equal(v.by, b);
    assert_int_equal(sim_oracle_check_served(o, 4000, 100, a, &v), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.sector, 4096);
}

static void p1_flush_mode_needs_a_flush(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = write(0, 1);
    assert_served(0, SIM_ORACLE_INITIAL);
    assert_served(0, a);
    uint64_t f = begin_flush();
    uint64_t c = write(0, 1);
    assert_served(0, SIM_ORACLE_INITIAL);
    done(f);
    assert_lost(0, SIM_ORACLE_INITIAL, SIM_ORACLE_P1, b);
    assert_lost(0, a, SIM_ORACLE_P1, b);
    assert_served(0, b);
    assert_served(0, c);
}

static void p1_flush_mode_fua_is_durable_alone(void **state)
{
    (void)state;
    write(1, 1);
    uint64_t a = write_fua(0, 1);
    assert_lost(0, SIM_ORACLE_INITIAL, SIM_ORACLE_P1, a);
    assert_served(1, SIM_ORACLE_INITIAL);
}

static void p1_flush_mode_read_does_not_pin(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = write(0, 1);
    assert_int_equal(read1(0, b), SIM_ORACLE_OK);
    assert_int_equal(read1(0, a), SIM_ORACLE_VIOLATION);
    assert_served(0, a);
    sim_oracle_crash(o);
    assert_int_equal(sim_oracle_adopt(o, 0, 1, a), SIM_ORACLE_OK);
    sim_oracle_resume(o);
    assert_int_equal(read1(0, a), SIM_ORACLE_OK);
    assert_lost(0, b, SIM_ORACLE_P3, a);
}

static void flush_mode_crash_undoes_what_a_read_fixed(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = begin(0, 1);
    assert_int_equal(read1(0, b), SIM_ORACLE_OK);
    assert_int_equal(read1(0, a), SIM_ORACLE_VIOLATION);
    sim_oracle_crash(o);
    assert_int_equal(sim_oracle_adopt(o, 0, 1, a), SIM_ORACLE_OK);
    sim_oracle_resume(o);
    assert_int_equal(read1(0, a), SIM_ORACLE_OK);
    assert_int_equal(read1(0, b), SIM_ORACLE_VIOLATION);
}

/* ---- reads and P3 ---- */

static void read_must_return_the_newest(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = write(0, 1);
    assert_int_equal(read1(0, b), SIM_ORACLE_OK);
    assert_int_equal(read1(0, a), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.promise, SIM_ORACLE_READ);
    assert_int_equal(v.by, b);
    assert_int_equal(read1(0, SIM_ORACLE_INITIAL), SIM_ORACLE_VIOLATION);
}

static void read_may_overlap_a_write(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t r1 = sim_oracle_read_begin(o);
    uint64_t r2 = sim_oracle_read_begin(o);
    /* Enough of them that what the reads may return would be forgotten without care. */
    uint64_t last = 0;
    for (int i = 0; i < 50; i++)
        last = write(0, 1);
    assert_int_equal(read_end(r1, 0, a), SIM_ORACLE_OK);
    assert_int_equal(read_end(r2, 0, last - 10), SIM_ORACLE_OK);
    assert_int_equal(read1(0, last - 1), SIM_ORACLE_VIOLATION);
    assert_int_equal(read1(0, last), SIM_ORACLE_OK);
}

static void read_of_a_later_write_is_foreign(void **state)
{
    (void)state;
    uint64_t r = sim_oracle_read_begin(o);
    uint64_t versions[2] = {SIM_ORACLE_INITIAL, 1};
    assert_int_equal(sim_oracle_read_end(o, r, 0, versions, 2, &v), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.sector, 1);
    assert_int_equal(v.reason, SIM_ORACLE_FOREIGN);
}

static void p3_seen_write_stays(void **state)
{
    (void)state;
    uint64_t a = write(0, 2);
    uint64_t b = begin(0, 2);
    assert_int_equal(read1(0, b), SIM_ORACLE_OK);
    assert_lost(0, a, SIM_ORACLE_P3, b);
    assert_served(0, b);
    assert_served(1, a);
}

static void p3_seen_old_version_does_not_exclude_a_write_in_flight(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = begin(0, 1);
    assert_int_equal(read1(0, a), SIM_ORACLE_OK);
    assert_served(0, a);
    assert_served(0, b);
}

static void p3_read_decides_between_overlapping_writes(void **state)
{
    (void)state;
    uint64_t a = begin(0, 1);
    uint64_t b = write(0, 1);
    done(a);
    assert_served(0, a);
    assert_served(0, b);
    assert_int_equal(read1(0, a), SIM_ORACLE_OK);
    assert_lost(0, b, SIM_ORACLE_P3, a);
    assert_int_equal(read1(0, b), SIM_ORACLE_VIOLATION);
}

static void p3_seen_then_overwritten_in_flight(void **state)
{
    (void)state;
    uint64_t a = begin(0, 1);
    uint64_t b = begin(0, 1);
    assert_int_equal(read1(0, a), SIM_ORACLE_OK);
    assert_int_equal(read1(0, b), SIM_ORACLE_OK);
    assert_lost(0, a, SIM_ORACLE_P3, b);
    assert_int_equal(read1(0, a), SIM_ORACLE_VIOLATION);
}

static void p3_seen_zeroes_stay(void **state)
{
    (void)state;
    uint64_t a = write(0, 8);
    begin_zero(0, 8);
    assert_int_equal(read1(3, ZERO), SIM_ORACLE_OK);
    assert_int_equal(served(3, a), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.promise, SIM_ORACLE_P3);
    assert_served(2, a);
}

static void p3_failed_write_that_was_not_seen_does_not_come_back(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = begin(0, 1);
    sim_oracle_fail(o, b);
    assert_int_equal(read1(0, a), SIM_ORACLE_OK);
    assert_served(0, a);
    assert_lost(0, b, SIM_ORACLE_P3, a);
}

static void aborted_read_pins_nothing(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    begin(0, 1);
    sim_oracle_read_abort(o, sim_oracle_read_begin(o));
    assert_served(0, a);
}

/* ---- a crash, then more work ---- */

static void adopted_version_stays(void **state)
{
    (void)state;
    uint64_t a = write(0, 4);
    uint64_t b = begin(0, 4);
    sim_oracle_crash(o);
    assert_served(0, a);
    assert_served(1, b);
    assert_int_equal(sim_oracle_adopt(o, 0, 1, a), SIM_ORACLE_OK);
    assert_int_equal(sim_oracle_adopt(o, 1, 1, b), SIM_ORACLE_OK);
    sim_oracle_resume(o);
    assert_served(0, a);
    assert_lost(0, b, SIM_ORACLE_P3, a);
    assert_served(1, b);
    assert_lost(1, a, SIM_ORACLE_P3, b);
    assert_int_equal(read1(1, b), SIM_ORACLE_OK);
    uint64_t c = write(0, 4);
    assert_served(1, c);
    assert_lost(1, b, SIM_ORACLE_P1, c);
}

static void adopted_zeroes_stay(void **state)
{
    (void)state;
    uint64_t a = write(0, 8);
    begin_zero(0, 1 << 20);
    sim_oracle_crash(o);
    assert_int_equal(sim_oracle_adopt(o, 0, 1 << 20, ZERO), SIM_ORACLE_OK);
    sim_oracle_resume(o);
    assert_served(0, ZERO);
    assert_int_equal(served(0, a), SIM_ORACLE_VIOLATION);
    assert_int_equal(served(1 << 19, SIM_ORACLE_INITIAL), SIM_ORACLE_VIOLATION);
    uint64_t b = write(0, 8);
    assert_lost(0, ZERO, SIM_ORACLE_P1, b);
}

static void adopting_what_nothing_wrote_is_refused(void **state)
{
    (void)state;
    begin(0, 4);
    sim_oracle_crash(o);
    assert_int_equal(sim_oracle_adopt(o, 0, 8, 1), SIM_ORACLE_VIOLATION);
    assert_int_equal(sim_oracle_adopt(o, 0, 1, SIM_ORACLE_GARBAGE), SIM_ORACLE_VIOLATION);
}

static void open_list_has_what_is_not_durable(void **state)
{
    (void)state;
    struct sim_oracle_range range;
    size_t cursor = 0;
    write(0, 1);
    uint64_t b = begin(8, 2);
    begin_flush();
    uint64_t c = begin_zero(16, 4);
    sim_oracle_fail(o, c);
    assert_true(sim_oracle_open_next(o, &cursor, &range));
    assert_int_equal(range.id, b);
    assert_int_equal(range.start_sector, 8);
    assert_int_equal(range.sectors, 2);
    assert_true(sim_oracle_open_next(o, &cursor, &range));
    assert_int_equal(range.id, c);
    assert_int_equal(range.op, SIM_ORACLE_OP_ZERO);
    assert_false(sim_oracle_open_next(o, &cursor, &range));
    sim_oracle_crash(o);
    sim_oracle_resume(o);
    cursor = 0;
    assert_false(sim_oracle_open_next(o, &cursor, &range));
}

static void open_list_in_flush_mode_ends_at_the_flush(void **state)
{
    (void)state;
    struct sim_oracle_range range;
    size_t cursor = 0;
    write(0, 1);
    uint64_t f = begin_flush();
    uint64_t b = write(8, 2);
    write_fua(32, 1);
    done(f);
    assert_true(sim_oracle_open_next(o, &cursor, &range));
    assert_int_equal(range.id, b);
    assert_false(sim_oracle_open_next(o, &cursor, &range));
}

struct ranges {
    uint64_t at[4][2];
    size_t n;
};

static int note_range(void *ctx, uint64_t start, uint64_t sectors)
{
    struct ranges *r = ctx;
    assert_true(r->n < 4);
    r->at[r->n][0] = start;
    r->at[r->n++][1] = sectors;
    return 0;
}

static void touched_ranges_are_maximal(void **state)
{
    (void)state;
    struct ranges r = {.n = 0};
    write(100, 3);
    write(103, 9000);
    begin_zero(50000, 100000);
    write(SIZE_SECTORS - 1, 1);
    assert_int_equal(sim_oracle_touched(o, note_range, &r), 0);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.at[0][0], 100);
    assert_int_equal(r.at[0][1], 9003);
    assert_int_equal(r.at[1][0], 50000);
    assert_int_equal(r.at[1][1], 100000);
    assert_int_equal(r.at[2][0], SIZE_SECTORS - 1);
}

static void clone_is_independent(void **state)
{
    (void)state;
    uint64_t a = write(0, 8);
    flush();
    uint64_t b = begin(0, 8);
    struct sim_oracle *twin = sim_oracle_clone(o);
    assert_non_null(twin);
    done(b);
    assert_lost(0, a, SIM_ORACLE_P1, b);
    assert_int_equal(sim_oracle_check_served(twin, 0, 8, a, &v), SIM_ORACLE_OK);
    sim_oracle_crash(twin);
    assert_int_equal(sim_oracle_adopt(twin, 0, 8, a), SIM_ORACLE_OK);
    sim_oracle_resume(twin);
    assert_int_equal(sim_oracle_check_served(twin, 0, 8, b, &v), SIM_ORACLE_VIOLATION);
    sim_oracle_backing_begin(twin);
    sim_oracle_backing_feed(twin, 0, 8, a);
    assert_int_equal(sim_oracle_backing_end(twin, &v), SIM_ORACLE_OK);
    sim_oracle_destroy(twin);
    assert_served(0, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(p1_acked_write_must_be_there),
        T(p1_unacked_write_may_be_there_or_not),
        T(p1_unacked_write_may_come_after_a_newer_acked_one),
        T(p1_failed_write_is_open_until_overwritten),
        T(p1_acked_discard_must_be_there),
        IN(p1_zero_disk_knows_one_initial_content, setup_zero_disk),
        T(p1_foreign_content_is_never_allowed),
        T(p1_run_is_judged_where_histories_differ),
        F(p1_flush_mode_needs_a_flush),
        F(p1_flush_mode_fua_is_durable_alone),
        F(p1_flush_mode_read_does_not_pin),
        F(flush_mode_crash_undoes_what_a_read_fixed),
        T(read_must_return_the_newest),
        T(read_may_overlap_a_write),
        T(read_of_a_later_write_is_foreign),
        T(p3_seen_write_stays),
        T(p3_seen_old_version_does_not_exclude_a_write_in_flight),
        T(p3_read_decides_between_overlapping_writes),
        T(p3_seen_then_overwritten_in_flight),
        T(p3_seen_zeroes_stay),
        T(p3_failed_write_that_was_not_seen_does_not_come_back),
        T(aborted_read_pins_nothing),
        T(adopted_version_stays),
        T(adopted_zeroes_stay),
        T(adopting_what_nothing_wrote_is_refused),
        T(open_list_has_what_is_not_durable),
        F(open_list_in_flush_mode_ends_at_the_flush),
        T(touched_ranges_are_maximal),
        T(clone_is_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
