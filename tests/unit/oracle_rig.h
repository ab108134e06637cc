/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the simulator's oracle share: one oracle, and short words for its calls. */
#ifndef TEST_ORACLE_RIG_H
#define TEST_ORACLE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "oracle.h"
#include "sector.h"

_Static_assert(SIM_ORACLE_INITIAL == SIM_VERSION_INITIAL, "one number for the initial content");
_Static_assert(SIM_ORACLE_ZERO == SIM_VERSION_ZERO, "one number for zeroes");
_Static_assert(SIM_ORACLE_GARBAGE == SIM_VERSION_GARBAGE, "one number for garbage");

#define ZERO SIM_ORACLE_ZERO
#define SIZE_SECTORS (UINT64_C(1) << 21)

static struct sim_oracle *o;
static struct sim_oracle_violation v;

static inline void open_oracle(bool durable_on_ack, bool initial_is_zero, uint64_t size_sectors)
{
    struct sim_oracle_config config = {
        .size_sectors = size_sectors,
        .atomic_sectors = 128,
        .durable_on_ack = durable_on_ack,
        .initial_is_zero = initial_is_zero,
    };
    o = sim_oracle_create(&config);
    assert_non_null(o);
}

static inline int setup(void **state)
{
    (void)state;
    open_oracle(true, false, SIZE_SECTORS);
    return 0;
}

static inline int setup_flush_mode(void **state)
{
    (void)state;
    open_oracle(false, false, SIZE_SECTORS);
    return 0;
}

static inline int setup_zero_disk(void **state)
{
    (void)state;
    open_oracle(true, true, SIZE_SECTORS);
    return 0;
}

static inline int setup_huge(void **state)
{
    (void)state;
    open_oracle(true, true, UINT64_C(1) << 31);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    sim_oracle_destroy(o);
    return 0;
}

static inline uint64_t begin(uint64_t start, uint64_t sectors)
{
    return sim_oracle_submit(o, SIM_ORACLE_OP_WRITE, start, sectors, false);
}

static inline uint64_t done(uint64_t id)
{
    sim_oracle_ack(o, id);
    return id;
}

static inline uint64_t write(uint64_t start, uint64_t sectors)
{
    return done(begin(start, sectors));
}

static inline uint64_t write_fua(uint64_t start, uint64_t sectors)
{
    return done(sim_oracle_submit(o, SIM_ORACLE_OP_WRITE, start, sectors, true));
}

static inline uint64_t begin_zero(uint64_t start, uint64_t sectors)
{
    return sim_oracle_submit(o, SIM_ORACLE_OP_ZERO, start, sectors, false);
}

static inline uint64_t begin_flush(void)
{
    return sim_oracle_submit(o, SIM_ORACLE_OP_FLUSH, 0, 0, false);
}

static inline uint64_t flush(void)
{
    return done(begin_flush());
}

static inline int read_end(uint64_t token, uint64_t sector, uint64_t version)
{
    return sim_oracle_read_end(o, token, sector, &version, 1, &v);
}

static inline int read1(uint64_t sector, uint64_t version)
{
    return read_end(sim_oracle_read_begin(o), sector, version);
}

static inline int served(uint64_t sector, uint64_t version)
{
    return sim_oracle_check_served(o, sector, 1, version, &v);
}

#define assert_served(sector, version) assert_int_equal(served(sector, version), SIM_ORACLE_OK)
#define assert_lost(at, version, why, forbidder)                                                   \
    do {                                                                                           \
        memset(&v, 0, sizeof(v));                                                                  \
        assert_int_equal(served(at, version), SIM_ORACLE_VIOLATION);                               \
        assert_int_equal(v.promise, why);                                                          \
        assert_int_equal(v.sector, at);                                                            \
        assert_true(v.got == (version));                                                           \
        assert_int_equal(v.by, forbidder);                                                         \
    } while (0)

/* Sectors 0, 1, .. of the backing device hold these. */
static inline int backing(const uint64_t *versions, size_t n)
{
    memset(&v, 0, sizeof(v));
    sim_oracle_backing_begin(o);
    for (size_t i = 0; i < n; i++)
        sim_oracle_backing_feed(o, i, 1, versions[i]);
    return sim_oracle_backing_end(o, &v);
}

#define BACKING(...)                                                                               \
    backing((const uint64_t[]){__VA_ARGS__},                                                       \
            sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
#define assert_explained(...) assert_int_equal(BACKING(__VA_ARGS__), SIM_ORACLE_OK)
#define assert_unexplained(...) assert_int_equal(BACKING(__VA_ARGS__), SIM_ORACLE_VIOLATION)

#define IN(test, set) cmocka_unit_test_setup_teardown(test, set, teardown)
#define T(test) IN(test, setup)
#define F(test) IN(test, setup_flush_mode)

#endif
