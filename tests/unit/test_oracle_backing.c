/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's oracle: pieces (P2), the backing device (P4, P5), cost and manners. */
#include "oracle_rig.h"

/* ---- P2 ---- */

static int pieces(uint64_t start, const uint64_t *versions, size_t n)
{
    memset(&v, 0, sizeof(v));
    return sim_oracle_check_pieces(o, start, versions, n, &v);
}

#define PIECES(start, ...)                                                                         \
    pieces(start, (const uint64_t[]){__VA_ARGS__},                                                 \
           sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void p2_write_is_whole_or_absent(void **state)
{
    (void)state;
    uint64_t a = write(0, 3);
    uint64_t b = begin(0, 3);
    assert_int_equal(PIECES(0, a, a, a), SIM_ORACLE_OK);
    assert_int_equal(PIECES(0, b, b, b), SIM_ORACLE_OK);
    assert_int_equal(PIECES(0, b, a, b), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.promise, SIM_ORACLE_P2);
    assert_int_equal(v.reason, SIM_ORACLE_TORN);
    assert_int_equal(v.sector, 1);
    assert_int_equal(v.got, a);
    assert_int_equal(v.other_got, b);
}

static void p2_torn_against_initial_content(void **state)
{
    (void)state;
    uint64_t a = begin(8, 2);
    assert_int_equal(PIECES(8, a, SIM_ORACLE_INITIAL), SIM_ORACLE_VIOLATION);
    assert_int_equal(PIECES(7, SIM_ORACLE_INITIAL, a, a, SIM_ORACLE_INITIAL), SIM_ORACLE_OK);
}

static void p2_holds_per_piece(void **state)
{
    (void)state;
    uint64_t a = begin(126, 4);
    assert_int_equal(PIECES(126, a, a, 0, 0), SIM_ORACLE_OK);
    assert_int_equal(PIECES(126, 0, 0, a, a), SIM_ORACLE_OK);
    assert_int_equal(PIECES(126, a, 0, 0, 0), SIM_ORACLE_VIOLATION);
    assert_int_equal(PIECES(126, 0, 0, 0, a), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.other_sector, 129);
}

static void p2_newer_write_may_cover_part(void **state)
{
    (void)state;
    uint64_t a = begin(0, 3);
    uint64_t b = begin(1, 1);
    assert_int_equal(PIECES(0, a, b, a), SIM_ORACLE_OK);
    assert_int_equal(PIECES(0, a, a, a), SIM_ORACLE_OK);
    assert_int_equal(PIECES(0, 0, b, 0), SIM_ORACLE_OK);
    done(a);
    uint64_t c = write(0, 1);
    assert_int_equal(PIECES(0, c, b, a), SIM_ORACLE_OK);
}

static void p2_overlapping_writes_have_one_order(void **state)
{
    (void)state;
    uint64_t a = begin(0, 4);
    uint64_t b = begin(1, 4);
    done(a);
    done(b);
    assert_int_equal(PIECES(0, a, b, b, b, b), SIM_ORACLE_OK);
    assert_int_equal(PIECES(0, a, a, a, a, b), SIM_ORACLE_OK);
    assert_int_equal(PIECES(0, a, a, b, b, b), SIM_ORACLE_VIOLATION);
}

static void p2_zeroes_inside_a_write(void **state)
{
    (void)state;
    done(begin_zero(0, 8));
    uint64_t a = begin(0, 2);
    assert_int_equal(PIECES(0, a, ZERO), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.sector, 1);
    begin_zero(1, 1);
    assert_int_equal(PIECES(0, a, ZERO), SIM_ORACLE_OK);
    assert_int_equal(PIECES(0, ZERO, a), SIM_ORACLE_VIOLATION);
}

/* ---- P4 ---- */

static void p4_without_flush_any_mix_is_explained(void **state)
{
    (void)state;
    uint64_t a = write(0, 2);
    uint64_t b = write(0, 2);
    assert_explained(0, 0);
    assert_explained(b, 0);
    assert_explained(a, b);
}

static void p4_flush_orders_before_and_after(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t f = flush();
    uint64_t b = write(1, 1);
    assert_explained(0, 0);
    assert_explained(a, 0);
    assert_explained(a, b);
    assert_unexplained(0, b);
    assert_int_equal(v.promise, SIM_ORACLE_P4);
    assert_int_equal(v.sector, 0);
    assert_int_equal(v.by, f);
    assert_int_equal(v.other_sector, 1);
    assert_int_equal(v.other_got, b);
}

static void p4_write_in_flight_at_the_flush_is_not_covered(void **state)
{
    (void)state;
    uint64_t a = begin(0, 1);
    uint64_t f = begin_flush();
    done(a);
    done(f);
    uint64_t b = write(1, 1);
    assert_explained(0, b);
}

static void p4_write_submitted_before_the_flush_ack_may_be_there(void **state)
{
    (void)state;
    write(0, 1);
    uint64_t f = begin_flush();
    uint64_t b = write(1, 1);
    done(f);
    assert_explained(0, b);
}

static void p4_flush_that_was_not_acked_orders_nothing(void **state)
{
    (void)state;
    write(0, 1);
    sim_oracle_fail(o, begin_flush());
    begin_flush();
    uint64_t b = write(1, 1);
    assert_explained(0, b);
}

static void p4_fua_orders_only_itself(void **state)
{
    (void)state;
    write(0, 1);
    uint64_t b = write_fua(1, 1);
    uint64_t c = write(2, 1);
    assert_explained(0, b, c);
    assert_unexplained(0, 0, c);
    assert_int_equal(v.by, b);
    assert_explained(0, 0, 0);
}

static void p4_chain_of_flushes(void **state)
{
    (void)state;
    uint64_t a = write(0, 3);
    flush();
    uint64_t b = write(0, 3);
    flush();
    uint64_t c = write(0, 3);
    assert_explained(a, a, a);
    assert_explained(a, b, a);
    assert_explained(c, b, b);
    assert_unexplained(c, a, b);
    assert_unexplained(0, b, a);
}

static void p4_failed_write_can_show_until_overwritten_and_flushed(void **state)
{
    (void)state;
    uint64_t a = begin(0, 1);
    sim_oracle_fail(o, a);
    flush();
    uint64_t b = write(1, 1);
    assert_explained(a, b);
    assert_explained(0, b);
    uint64_t c = write(0, 1);
    flush();
    uint64_t d = write(1, 1);
    assert_unexplained(a, d);
    assert_explained(c, d);
}

static void p4_overlapping_writes_may_land_in_either_order(void **state)
{
    (void)state;
    uint64_t a = begin(0, 1);
    uint64_t b = begin(0, 1);
    done(b);
    done(a);
    flush();
    uint64_t c = write(1, 1);
    assert_explained(a, c);
    assert_explained(b, c);
    assert_unexplained(0, c);
}

static void p4_zeroes_stand_for_any_discard(void **state)
{
    (void)state;
    done(begin_zero(0, 1));
    write(0, 1);
    flush();
    uint64_t c = write(1, 1);
    assert_explained(ZERO, 0);
    assert_unexplained(ZERO, c);
    done(begin_zero(0, 1));
    assert_explained(ZERO, 0);
    assert_explained(ZERO, c);
}

static void p4_gap_between_discards(void **state)
{
    (void)state;
    done(begin_zero(0, 1));
    write(0, 1);
    flush();
    uint64_t c = write(1, 1);
    flush();
    write(1, 1);
    flush();
    done(begin_zero(0, 1));
    /* c needs a moment when the first zeroes were gone and the second had not come. */
    assert_unexplained(ZERO, c);
    assert_int_equal(v.other_sector, 0);
    assert_true(v.other_got == ZERO);
}

static void p4_adopted_state_counts_once_flushed(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = begin(0, 1);
    sim_oracle_crash(o);
    assert_int_equal(sim_oracle_adopt(o, 0, 1, a), SIM_ORACLE_OK);
    sim_oracle_resume(o);
    assert_explained(b, 0);
    flush();
    uint64_t c = write(1, 1);
    assert_unexplained(b, c);
    assert_unexplained(0, c);
    assert_explained(a, c);
}

static void p4_begin_forgets_the_last_state(void **state)
{
    (void)state;
    write(0, 1);
    flush();
    uint64_t b = write(1, 1);
    assert_unexplained(0, b);
    assert_explained(0, 0);
}

/* ---- P5 ---- */

static void p5_final_content_is_the_newest(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    uint64_t b = write(0, 1);
    assert_int_equal(sim_oracle_check_final(o, 0, 1, b, &v), SIM_ORACLE_OK);
    assert_int_equal(sim_oracle_check_final(o, 0, 1, a, &v), SIM_ORACLE_VIOLATION);
    assert_int_equal(v.promise, SIM_ORACLE_P5);
    assert_int_equal(v.by, b);
    assert_int_equal(sim_oracle_check_final(o, 1, SIZE_SECTORS - 1, 0, &v), SIM_ORACLE_OK);
}

static void p5_flush_mode_asks_for_acked_writes(void **state)
{
    (void)state;
    uint64_t a = write(0, 1);
    assert_served(0, SIM_ORACLE_INITIAL);
    assert_int_equal(sim_oracle_check_final(o, 0, 1, a, &v), SIM_ORACLE_OK);
    assert_int_equal(sim_oracle_check_final(o, 0, 1, 0, &v), SIM_ORACLE_VIOLATION);
}

/* ---- cost and manners ---- */

static void huge_discards_are_cheap(void **state)
{
    (void)state;
    struct sim_oracle_stats stats;
    const uint64_t size = UINT64_C(1) << 31;
    for (unsigned i = 0; i < 500; i++) {
        done(begin_zero(i * 3 + 1, size - 7000 - i * 5));
        write((i * UINT64_C(2654435761)) % (size - 8), 8);
    }
    sim_oracle_stats(o, &stats);
    assert_int_equal(stats.events, 1000);
    assert_true(stats.memory_bytes < 4u << 20);
    assert_int_equal(sim_oracle_check_served(o, size - 10, 10, ZERO, &v), SIM_ORACLE_OK);
    sim_oracle_backing_begin(o);
    sim_oracle_backing_feed(o, 0, size, ZERO);
    assert_int_equal(sim_oracle_backing_end(o, &v), SIM_ORACLE_OK);
}

static void bad_configuration_is_refused(void **state)
{
    (void)state;
    struct sim_oracle_config config = {.size_sectors = 0, .atomic_sectors = 8};
    assert_null(sim_oracle_create(&config));
    config.size_sectors = SIM_ORACLE_SIZE_SECTORS_MAX + 1;
    assert_null(sim_oracle_create(&config));
    config.size_sectors = SIM_ORACLE_SIZE_SECTORS_MAX;
    config.atomic_sectors = 129;
    assert_null(sim_oracle_create(&config));
    config.atomic_sectors = 128;
    struct sim_oracle *big = sim_oracle_create(&config);
    assert_non_null(big);
    sim_oracle_destroy(big);
    sim_oracle_destroy(NULL);
}

static void violations_have_a_sentence(void **state)
{
    (void)state;
    char buf[256];
    uint64_t a = write(0, 2);
    assert_lost(0, SIM_ORACLE_INITIAL, SIM_ORACLE_P1, a);
    assert_string_equal(sim_oracle_describe(&v, buf, sizeof(buf)),
                        "P1: sector 0 holds the initial content, but request 1 is newer and "
                        "must be there");
    flush();
    uint64_t b = write(1, 1);
    assert_unexplained(0, b);
    assert_string_equal(sim_oracle_describe(&v, buf, sizeof(buf)),
                        "P4: sector 0 holds the initial content, too old once request 2 was "
                        "acknowledged, and sector 1 holds request 3, which is from after that");
    assert_int_equal(strlen(sim_oracle_describe(&v, buf, 10)), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(p2_write_is_whole_or_absent),
        T(p2_torn_against_initial_content),
        T(p2_holds_per_piece),
        T(p2_newer_write_may_cover_part),
        T(p2_overlapping_writes_have_one_order),
        T(p2_zeroes_inside_a_write),
        T(p4_without_flush_any_mix_is_explained),
        T(p4_flush_orders_before_and_after),
        T(p4_write_in_flight_at_the_flush_is_not_covered),
        T(p4_write_submitted_before_the_flush_ack_may_be_there),
        T(p4_flush_that_was_not_acked_orders_nothing),
        T(p4_fua_orders_only_itself),
        T(p4_chain_of_flushes),
        T(p4_failed_write_can_show_until_overwritten_and_flushed),
        T(p4_overlapping_writes_may_land_in_either_order),
        T(p4_zeroes_stand_for_any_discard),
        T(p4_gap_between_discards),
        T(p4_adopted_state_counts_once_flushed),
        T(p4_begin_forgets_the_last_state),
        T(p5_final_content_is_the_newest),
        F(p5_flush_mode_asks_for_acked_writes),
        IN(huge_discards_are_cheap, setup_huge),
        cmocka_unit_test(bad_configuration_is_refused),
        T(violations_have_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
