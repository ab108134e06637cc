/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated disk: what a power cut leaves, requests, faults, checkpoints; and its sectors. */
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
#include "sim_disk.h"

#define SECTOR SIM_SECTOR_BYTES
#define IO_SECTORS_MAX 64u

struct request {
    struct cbd_disk_io io;
    int error;
    unsigned done;
    uint8_t buf[IO_SECTORS_MAX * SECTOR];
};

static void on_done(struct cbd_disk_io *io, int error)
{
    struct request *r = io->owner;
    r->error = error;
    r->done++;
}

static struct sim_disk *disk_with(bool volatile_cache, bool discard_zeroes)
{
    struct sim_disk_config config = {.size_bytes = 1 << 20,
                                     .logical_block_bytes = 512,
                                     .volatile_cache = volatile_cache,
                                     .discard_zeroes = discard_zeroes};
    return sim_disk_create(&config);
}

static struct sim_disk *disk_new(void)
{
    return disk_with(true, true);
}

static void submit(struct sim_disk *d, struct request *r, enum cbd_disk_op op, uint64_t sector,
                   uint64_t count)
{
    r->done = 0;
    r->io.op = op;
    r->io.off_bytes = sector * SECTOR;
    r->io.len_bytes = count * SECTOR;
    r->io.buf = r->buf;
    r->io.done = on_done;
    r->io.owner = r;
    d->disk.ops->submit(&d->disk, &r->io);
}

static void submit_write(struct sim_disk *d, struct request *r, uint64_t sector, uint64_t count,
                         uint64_t version, bool fua)
{
    for (uint64_t i = 0; i < count; i++)
        sim_sector_fill(r->buf + i * SECTOR, sector + i, version);
    r->io.fua = fua;
    submit(d, r, CBD_DISK_WRITE, sector, count);
}

static int run(struct sim_disk *d, enum cbd_disk_op op, uint64_t sector, uint64_t count)
{
    static struct request r;
    r.io.fua = false;
    submit(d, &r, op, sector, count);
    sim_disk_complete(d, sim_disk_inflight(d) - 1);
    assert_int_equal(r.done, 1);
    return r.error;
}

static int write_now(struct sim_disk *d, uint64_t sector, uint64_t count, uint64_t version,
                     bool fua)
{
    static struct request r;
    submit_write(d, &r, sector, count, version, fua);
    sim_disk_complete(d, sim_disk_inflight(d) - 1);
    assert_int_equal(r.done, 1);
    return r.error;
}

static int flush_now(struct sim_disk *d)
{
    return run(d, CBD_DISK_FLUSH, 0, 0);
}

/* "012" style: the versions of `count` sectors from `sector`, z and g for zero and garbage. */
static void show(const struct sim_disk *d, uint64_t sector, unsigned count, char *text)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t v = sim_disk_peek(d, sector + i);
        text[i] = v == SIM_VERSION_ZERO ? 'z' : v == SIM_VERSION_GARBAGE ? 'g' : (char)('0' + v);
    }
    text[count] = 0;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* All outcomes of a power cut for sectors 0..count-1, enumerated and sampled, are `expected`. */
static void assert_outcomes(struct sim_disk *d, unsigned count, const char *expected)
{
    uint64_t radix[32], choice[32] = {0};
    char text[128][8], line[1024];
    size_t units = sim_disk_pending_units(d, radix, 32), sampled = 0, n = 0;
    assert_true(units <= 32);
    for (bool more = true; more || sampled < 2000;) {
        sim_disk_mark(d);
        if (more) {
            sim_disk_crash_bits(d, choice);
        } else {
            struct sim_crash crash = sim_crash_subset(sampled++, 5);
            sim_disk_crash(d, &crash);
        }
        assert_int_equal(sim_disk_inflight(d), 0);
        show(d, 0, count, text[n]);
        sim_disk_rollback(d);
        size_t same = 0;
        while (strcmp(text[same], text[n]) != 0)
            same++;
        assert_true(more || same < n); /* nothing is sampled that was not enumerated */
        n += same == n;
        assert_true(n < 128);
        size_t u = 0;
        for (; more && u < units && ++choice[u] == radix[u]; u++)
            choice[u] = 0;
        more = more && u < units;
    }
    qsort(text, n, sizeof text[0], compare_text);
    line[0] = 0;
    for (size_t i = 0; i < n; i++) {
        strcat(line, i ? " " : "");
        strcat(line, text[i]);
    }
    assert_string_equal(line, expected);
}

static void sectors_describe_themselves(void **state)
{
    (void)state;
    static const uint64_t versions[] = {0, 1, SIM_VERSION_LIMIT - 1, SIM_VERSION_ZERO,
                                        SIM_VERSION_GARBAGE};
    static const uint64_t places[] = {0, 7, UINT64_C(1) << 35};
    uint8_t buf[SECTOR], zero[SECTOR] = {0};
    for (size_t v = 0; v < 5; v++) {
        for (size_t p = 0; p < 3; p++) {
            sim_sector_fill(buf, places[p], versions[v]);
            assert_true(sim_sector_decode(buf, places[p]) == versions[v]);
            assert_true(sim_sector_decode_fast(buf, places[p]) == versions[v]);
            assert_int_equal(memcmp(buf, zero, SECTOR) == 0, versions[v] == SIM_VERSION_ZERO);
            if (versions[v] < SIM_VERSION_LIMIT) {
                assert_true(sim_sector_decode(buf, places[p] + 1) == SIM_VERSION_GARBAGE);
                assert_true(sim_sector_decode_fast(buf, places[p] + 1) == SIM_VERSION_GARBAGE);
            }
            for (size_t i = 0; i < SECTOR; i += 37) {
                buf[i] ^= 0x10;
                if (i >= 16 || versions[v] == SIM_VERSION_ZERO)
                    assert_true(sim_sector_decode(buf, places[p]) == SIM_VERSION_GARBAGE);
                else
                    assert_true(sim_sector_decode(buf, places[p]) != versions[v] ||
                                versions[v] == SIM_VERSION_GARBAGE);
                buf[i] ^= 0x10;
            }
        }
    }
    sim_sector_fill(buf, 3, 9);
    buf[100] ^= 1;
    assert_true(sim_sector_decode_fast(buf, 3) == 9);
}

static void untouched_disk_reads_as_version_0(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request r = {.error = -1};
    submit(d, &r, CBD_DISK_READ, 5, 9);
    assert_int_equal(r.done, 0);
    assert_int_equal(sim_disk_inflight(d), 1);
    sim_disk_complete(d, 0);
    assert_int_equal(r.error, 0);
    for (uint64_t i = 0; i < 9; i++)
        assert_int_equal(sim_sector_decode(r.buf + i * SECTOR, 5 + i), SIM_VERSION_INITIAL);
    sim_disk_destroy(d);
}

static void write_reads_back(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request r = {.error = -1};
    assert_int_equal(write_now(d, 5, 9, 3, false), 0);
    submit(d, &r, CBD_DISK_READ, 4, 11);
    sim_disk_complete(d, 0);
    for (uint64_t i = 0; i < 11; i++)
        assert_int_equal(sim_sector_decode(r.buf + i * SECTOR, 4 + i), i == 0 || i == 10 ? 0 : 3);
    sim_disk_destroy(d);
}

static void foreign_bytes_are_stored_as_garbage(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request r = {.error = -1};
    char text[8];
    memset(r.buf, 0, sizeof r.buf);
    sim_sector_fill(r.buf + SECTOR, 2, 1); /* meant for sector 2, written to 1 */
    submit(d, &r, CBD_DISK_WRITE, 0, 2);
    sim_disk_complete(d, 0);
    show(d, 0, 3, text);
    assert_string_equal(text, "zg0");
    submit(d, &r, CBD_DISK_READ, 0, 2);
    sim_disk_complete(d, 0);
    assert_true(sim_sector_decode(r.buf + SECTOR, 1) == SIM_VERSION_GARBAGE);
    sim_disk_destroy(d);
}

static void unflushed_writes_tear_by_sectors(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    write_now(d, 0, 2, 1, false);
    assert_outcomes(d, 3, "000 010 100 110");
    sim_disk_destroy(d);
}

static void unflushed_sector_has_any_later_version(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    write_now(d, 0, 1, 1, false);
    flush_now(d);
    write_now(d, 0, 1, 2, false);
    write_now(d, 0, 1, 3, false);
    assert_outcomes(d, 1, "1 2 3");
    sim_disk_destroy(d);
}

static void flush_makes_durable(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    write_now(d, 0, 2, 1, false);
    assert_int_equal(flush_now(d), 0);
    write_now(d, 2, 1, 1, false);
    assert_outcomes(d, 3, "110 111");
    sim_disk_destroy(d);
}

static void flush_covers_only_what_completed_before_it(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request w = {.error = 1}, f = {.error = 1};
    write_now(d, 0, 1, 1, false);
    submit_write(d, &w, 1, 1, 1, false);
    submit(d, &f, CBD_DISK_FLUSH, 0, 0);
    sim_disk_complete(d, 0); /* the write, after the flush was submitted */
    sim_disk_complete(d, 0);
    assert_int_equal(f.done, 1);
    assert_outcomes(d, 2, "10 11");
    sim_disk_destroy(d);
}

static void unfinished_flush_makes_nothing_durable(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request f = {.error = 1};
    write_now(d, 0, 1, 1, false);
    submit(d, &f, CBD_DISK_FLUSH, 0, 0);
    assert_outcomes(d, 1, "0 1");
    sim_disk_destroy(d);
}

static void fua_is_durable_and_nothing_else(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    write_now(d, 0, 2, 1, false);
    write_now(d, 1, 1, 2, true);
    assert_outcomes(d, 2, "02 12");
    write_now(d, 1, 1, 3, false);
    assert_outcomes(d, 2, "02 03 12 13");
    sim_disk_destroy(d);
}

static void in_flight_writes_may_be_there(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request a = {.error = 1}, b = {.error = 1};
    submit_write(d, &a, 0, 2, 1, true);
    submit_write(d, &b, 1, 1, 2, false);
    assert_outcomes(d, 2, "00 01 02 10 11 12");
    sim_disk_crash(d, &(struct sim_crash){.kind = SIM_CRASH_ALL});
    assert_int_equal(a.done + b.done, 0);
    assert_int_equal(sim_disk_inflight(d), 0);
    sim_disk_destroy(d);
}

static void killed_process_leaves_requests_to_the_kernel(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request a = {.error = 1}, b = {.error = 1};
    submit_write(d, &a, 0, 1, 1, false);
    submit_write(d, &b, 1, 1, 1, true);
    sim_disk_kill(d);
    assert_int_equal(sim_disk_inflight(d), 0);
    assert_int_equal(a.done + b.done, 0);
    assert_int_equal(sim_disk_peek(d, 0), 1);
    assert_outcomes(d, 2, "01 11");
    sim_disk_destroy(d);
}

static void no_volatile_cache_needs_no_flush(void **state)
{
    (void)state;
    struct sim_disk *d = disk_with(false, true);
    struct request w = {.error = 1};
    write_now(d, 0, 2, 1, false);
    run(d, CBD_DISK_DISCARD, 1, 1);
    submit_write(d, &w, 2, 1, 1, false);
    assert_outcomes(d, 3, "1z0 1z1");
    sim_disk_destroy(d);
}

static void discard_and_zero_read_as_zeroes(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request r = {.error = 1};
    run(d, CBD_DISK_ZERO, 0, 1);
    run(d, CBD_DISK_DISCARD, 1, 1);
    assert_outcomes(d, 3, "000 0z0 z00 zz0");
    submit(d, &r, CBD_DISK_READ, 0, 2);
    sim_disk_complete(d, 0);
    for (size_t i = 0; i < 2 * SECTOR; i++)
        assert_int_equal(r.buf[i], 0);
    sim_disk_destroy(d);
}

static void discard_that_does_not_zero_is_undefined(void **state)
{
    (void)state;
    struct sim_disk *d = disk_with(true, false);
    unsigned old = 0, garbage = 0;
    write_now(d, 0, 64, 1, false);
    run(d, CBD_DISK_DISCARD, 0, 64);
    for (uint64_t s = 0; s < 64; s++) {
        old += sim_disk_peek(d, s) == 1;
        garbage += sim_disk_peek(d, s) == SIM_VERSION_GARBAGE;
    }
    assert_int_equal(old + garbage, 64);
    assert_true(old > 8 && garbage > 8);
    sim_disk_destroy(d);
}

static void misplaced_requests_are_refused(void **state)
{
    (void)state;
    struct sim_disk_config config = {1 << 20, 4096, true, true};
    struct sim_disk *d = sim_disk_create(&config);
    assert_int_equal(run(d, CBD_DISK_READ, 1, 8), CBD_E_RANGE);
    assert_int_equal(run(d, CBD_DISK_READ, 0, 7), CBD_E_RANGE);
    assert_int_equal(run(d, CBD_DISK_READ, 0, 0), CBD_E_RANGE);
    assert_int_equal(run(d, CBD_DISK_ZERO, 2048 - 8, 16), CBD_E_RANGE);
    assert_int_equal(run(d, CBD_DISK_DISCARD, UINT64_MAX / SECTOR - 7, 8), CBD_E_RANGE);
    assert_int_equal(run(d, CBD_DISK_READ, 2048 - 8, 8), 0);
    sim_disk_destroy(d);
}

static void latent_errors_end_with_a_write(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    sim_disk_set_latent_error(d, 10, 3);
    assert_int_equal(run(d, CBD_DISK_READ, 8, 2), 0);
    assert_int_equal(run(d, CBD_DISK_READ, 8, 3), CBD_E_IO);
    sim_disk_mark(d);
    write_now(d, 11, 1, 1, false);
    assert_int_equal(run(d, CBD_DISK_READ, 11, 1), 0);
    assert_int_equal(run(d, CBD_DISK_READ, 10, 1), CBD_E_IO);
    assert_int_equal(run(d, CBD_DISK_READ, 12, 1), CBD_E_IO);
    sim_disk_rollback(d);
    assert_int_equal(run(d, CBD_DISK_READ, 11, 1), CBD_E_IO);
    sim_disk_destroy(d);
}

static void injected_failures_come_when_asked_for(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    sim_disk_fail_next(d, CBD_DISK_FLUSH, 1, 1);
    write_now(d, 0, 1, 1, false);
    assert_int_equal(flush_now(d), 0);
    write_now(d, 0, 1, 2, false);
    assert_int_equal(flush_now(d), CBD_E_IO);
    sim_disk_fail_next(d, CBD_DISK_READ, 0, 2);
    assert_int_equal(run(d, CBD_DISK_READ, 0, 1), CBD_E_IO);
    assert_int_equal(run(d, CBD_DISK_READ, 0, 1), CBD_E_IO);
    assert_int_equal(run(d, CBD_DISK_READ, 0, 1), 0);
    sim_disk_destroy(d);
}

/* A flush that works later does not bring back what was forgotten. */
static void failed_flush_forgets_any_part(void **state)
{
    (void)state;
    unsigned new = 0;
    for (unsigned run = 0; run < 16; run++) {
        struct sim_disk *d = disk_new();
        for (unsigned i = 0; i < run; i++) /* each request draws anew */
            assert_int_equal(flush_now(d), 0);
        sim_disk_fail_next(d, CBD_DISK_FLUSH, 0, 1);
        write_now(d, 0, 64, 1, false);
        assert_int_equal(flush_now(d), CBD_E_IO);
        assert_int_equal(flush_now(d), 0);
        for (uint64_t s = 0; s < 64; s++)
            new += sim_disk_peek(d, s) == 1;
        sim_disk_destroy(d);
    }
    assert_true(new > 16 && new < 16 * 64 - 16);
}

static void failed_write_changes_any_part(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    unsigned new = 0;
    sim_disk_fail_next(d, CBD_DISK_WRITE, 0, 1);
    assert_int_equal(write_now(d, 0, 64, 1, true), CBD_E_IO);
    for (uint64_t s = 0; s < 64; s++)
        new += sim_disk_peek(d, s) == 1;
    assert_true(new > 8 && new < 56);
    /* Not even what it changed is durable. */
    sim_disk_crash(d, &(struct sim_crash){.kind = SIM_CRASH_NONE});
    for (uint64_t s = 0; s < 64; s++)
        assert_int_equal(sim_disk_peek(d, s), 0);
    sim_disk_destroy(d);
}

static void gone_device_fails_everything(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request r = {.error = 1};
    submit_write(d, &r, 0, 1, 1, false);
    sim_disk_set_gone(d, true);
    sim_disk_complete(d, 0);
    assert_int_equal(r.error, CBD_E_IO);
    assert_int_equal(flush_now(d), CBD_E_IO);
    assert_int_equal(sim_disk_peek(d, 0), 0);
    sim_disk_set_gone(d, false);
    assert_int_equal(run(d, CBD_DISK_READ, 0, 1), 0);
    sim_disk_destroy(d);
}

static void buffer_changed_in_flight_is_seen(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct request r = {.error = 1};
    char text[8];
    submit_write(d, &r, 0, 3, 1, false);
    sim_sector_fill(r.buf + SECTOR, 1, 2);
    sim_disk_complete(d, 0);
    show(d, 0, 3, text);
    assert_string_equal(text, "1g1");
    assert_int_equal(d->state.changed_in_flight, 1);
    sim_disk_destroy(d);
}

static void touched_sectors_come_in_order(void **state)
{
    (void)state;
    const uint64_t far = (UINT64_C(16) << 40) / SECTOR - 8;
    struct sim_disk_config config = {UINT64_C(16) << 40, 512, true, true};
    struct sim_disk *d = sim_disk_create(&config);
    uint64_t expected[] = {3, 15, 16, 200000, far, far + 7}, s = 0;
    write_now(d, far + 7, 1, 1, false);
    write_now(d, 15, 2, 1, false);
    write_now(d, 200000, 1, 1, false);
    sim_disk_poke(d, 3, 5);
    run(d, CBD_DISK_ZERO, far, 1);
    assert_int_equal(sim_disk_peek(d, 3), 5);
    for (size_t i = 0; i < 6; i++, s++) {
        assert_true(sim_disk_next_touched(d, s, &s));
        assert_true(s == expected[i]);
    }
    assert_false(sim_disk_next_touched(d, s, &s));
    sim_disk_destroy(d);
}

static void large_discard_rolls_back(void **state)
{
    (void)state;
    const uint64_t sectors = (UINT64_C(1) << 30) / SECTOR;
    struct sim_disk_config config = {UINT64_C(16) << 40, 512, true, true};
    struct sim_disk *d = sim_disk_create(&config);
    uint64_t found;
    write_now(d, 1001, 3, 7, false);
    sim_disk_mark(d);
    assert_int_equal(run(d, CBD_DISK_DISCARD, 1, sectors), 0);
    assert_true(sim_disk_peek(d, 1) == SIM_VERSION_ZERO);
    assert_true(sim_disk_peek(d, sectors) == SIM_VERSION_ZERO);
    assert_int_equal(sim_disk_peek(d, sectors + 1), 0);
    sim_disk_mark(d);
    sim_disk_crash(d, &(struct sim_crash){.kind = SIM_CRASH_NONE});
    assert_int_equal(sim_disk_peek(d, sectors / 2), 0);
    sim_disk_rollback(d);
    assert_true(sim_disk_peek(d, sectors / 2) == SIM_VERSION_ZERO);
    sim_disk_rollback(d);
    assert_int_equal(sim_disk_peek(d, 1002), 7);
    assert_int_equal(sim_disk_peek(d, sectors / 2), 0);
    assert_false(sim_disk_next_touched(d, 1004, &found));
    sim_disk_destroy(d);
}

struct cut {
    jmp_buf env;
    struct sim_disk_event ev;
};

static void cut_hook(void *arg, const struct sim_disk_event *ev)
{
    struct cut *cut = arg;
    cut->ev = *ev;
    if (ev->number == 1)
        longjmp(cut->env, 1);
}

static void hook_runs_before_the_completion(void **state)
{
    (void)state;
    struct sim_disk *d = disk_new();
    struct cut cut;
    struct request a = {.error = 1}, b = {.error = 1};
    d->hook = cut_hook;
    d->hook_arg = &cut;
    submit_write(d, &a, 0, 1, 1, false);
    submit_write(d, &b, 8, 2, 1, true);
    sim_disk_complete(d, 0);
    if (setjmp(cut.env) == 0) {
        sim_disk_complete(d, 0);
        fail();
    }
    assert_int_equal(cut.ev.op, CBD_DISK_WRITE);
    assert_true(cut.ev.fua);
    assert_int_equal(cut.ev.request, 2);
    assert_int_equal(cut.ev.off_bytes, 8 * SECTOR);
    assert_int_equal(cut.ev.len_bytes, 2 * SECTOR);
    assert_int_equal(d->state.completions, 1);
    assert_int_equal(sim_disk_inflight(d), 1);
    assert_int_equal(b.done, 0);
    assert_int_equal(sim_disk_peek(d, 8), 0);
    sim_disk_destroy(d);
}

#define RANDOM_SECTORS 96u

static void random_step(struct sim_disk *d, struct request *pool, size_t pool_count,
                        struct sim_rng *rng)
{
    size_t inflight = sim_disk_inflight(d);
    if (inflight == pool_count || (inflight > 0 && sim_rng_chance(rng, 1, 2))) {
        sim_disk_complete(d, (size_t)sim_rng_below(rng, inflight));
        return;
    }
    struct request *r = pool;
    while (r->done == 0)
        r++;
    uint64_t sector = sim_rng_below(rng, RANDOM_SECTORS - 20);
    uint64_t count = 1 + sim_rng_below(rng, 20);
    r->io.fua = sim_rng_chance(rng, 1, 4);
    switch (sim_rng_below(rng, 8)) {
    case 0:
        submit(d, r, CBD_DISK_FLUSH, 0, 0);
        break;
    case 1:
        submit(d, r, CBD_DISK_DISCARD, sector, count);
        break;
    case 2:
        submit(d, r, CBD_DISK_ZERO, sector, count);
        break;
    default:
        submit_write(d, r, sector, count, sim_rng_below(rng, 1000), r->io.fua);
        break;
    }
}

static uint64_t fingerprint(struct sim_disk *d)
{
    uint64_t h = sim_rng_mix(d->state.completions, sim_disk_inflight(d));
    for (uint64_t subset = 0; subset < 8; subset++) {
        struct sim_crash crash = sim_crash_subset(subset, 7);
        sim_disk_mark(d);
        if (subset != 7)
            sim_disk_crash(d, &crash);
        for (uint64_t s = 0; s < RANDOM_SECTORS; s++)
            h = sim_rng_mix(h, sim_disk_peek(d, s));
        for (uint64_t s = 0; subset == 7 && sim_disk_next_touched(d, s, &s); s++)
            h = sim_rng_mix(h, s);
        sim_disk_rollback(d);
    }
    return h;
}

static void rollback_restores_exactly(void **state)
{
    (void)state;
    static struct request pool[5], inner[5];
    unsigned done[5];
    struct sim_rng rng;
    sim_rng_seed(&rng, 4);
    for (unsigned discard_zeroes = 0; discard_zeroes < 2; discard_zeroes++) {
        struct sim_disk *d = disk_with(true, discard_zeroes);
        for (size_t i = 0; i < 5; i++)
            pool[i].done = 1;
        for (unsigned round = 0; round < 200; round++) {
            for (unsigned i = 0; i < 10; i++)
                random_step(d, pool, 5, &rng);
            for (size_t i = 0; i < 5; i++)
                done[i] = pool[i].done;
            uint64_t before = fingerprint(d);
            struct sim_crash crash = sim_crash_subset(round, 11);
            sim_disk_mark(d);
            sim_disk_crash(d, &crash);
            for (size_t i = 0; i < 5; i++)
                inner[i].done = 1;
            for (unsigned i = 0; i < 10; i++)
                random_step(d, inner, 5, &rng);
            sim_disk_rollback(d);
            assert_true(fingerprint(d) == before);
            for (size_t i = 0; i < 5; i++)
                assert_int_equal(pool[i].done, done[i]);
        }
        sim_disk_destroy(d);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        T(sectors_describe_themselves),
        T(untouched_disk_reads_as_version_0),
        T(write_reads_back),
        T(foreign_bytes_are_stored_as_garbage),
        T(unflushed_writes_tear_by_sectors),
        T(unflushed_sector_has_any_later_version),
        T(flush_makes_durable),
        T(flush_covers_only_what_completed_before_it),
        T(unfinished_flush_makes_nothing_durable),
        T(fua_is_durable_and_nothing_else),
        T(in_flight_writes_may_be_there),
        T(killed_process_leaves_requests_to_the_kernel),
        T(no_volatile_cache_needs_no_flush),
        T(discard_and_zero_read_as_zeroes),
        T(discard_that_does_not_zero_is_undefined),
        T(misplaced_requests_are_refused),
        T(latent_errors_end_with_a_write),
        T(injected_failures_come_when_asked_for),
        T(failed_flush_forgets_any_part),
        T(failed_write_changes_any_part),
        T(gone_device_fails_everything),
        T(buffer_changed_in_flight_is_seen),
        T(touched_sectors_come_in_order),
        T(large_discard_rolls_back),
        T(hook_runs_before_the_completion),
        T(rollback_restores_exactly),
    };
    return cmocka_run_group_tests_name("sim_disk", tests, NULL, NULL);
}
