/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=120 */
/*
 * A full cache: writes slow down to the speed of the disk, and none waits long. By a virtual clock,
 * over a disk that takes the same time for each request.
 */
#include <stdio.h>

#include "timed_rig.h"

#define LATENCY_NS (4 * TIMED_MS)
#define BUCKETS 24u

struct waits {
    uint64_t longest_ns;
    uint64_t sum_ns;
    uint64_t count;
    uint64_t bucket[BUCKETS]; /* below 2^n quarters of the latency */
};

static void count(struct waits *w, uint64_t ns)
{
    unsigned n = 0;

    while (n < BUCKETS - 1 && ns >= (LATENCY_NS / 4) << n)
        n++;
    w->bucket[n]++;
    w->count++;
    w->sum_ns += ns;
    w->longest_ns = ns > w->longest_ns ? ns : w->longest_ns;
}

static void print(const char *what, const struct waits *w)
{
    print_message("%s: %llu writes, mean %.2f and longest %.2f times the disk's latency\n", what,
                  (unsigned long long)w->count,
                  (double)w->sum_ns / (double)w->count / (double)LATENCY_NS,
                  (double)w->longest_ns / (double)LATENCY_NS);
    for (unsigned n = 0; n < BUCKETS; n++)
        if (w->bucket[n] != 0)
            print_message("    below %6.2f  %8llu\n", (double)(UINT64_C(1) << n) / 4,
                          (unsigned long long)w->bucket[n]);
}

struct load {
    const char *what;
    struct rig_config config;
    uint64_t len;
    uint64_t write_ns;    /* between two writes */
    unsigned flush_every; /* so many writes; 0: never */
};

/* Uniform random writes, ten times the cache. */
static struct waits fill_up(const struct load *l)
{
    uint64_t blocks = l->config.disk_bytes / l->len;
    uint64_t writes = 10 * (uint64_t)l->config.share_segments * l->config.segment_bytes / l->len;
    struct waits w = {0};
    struct timed t;

    timed_begin(&t, &l->config, LATENCY_NS);
    t.write_ns = l->write_ns;
    for (uint64_t i = 0; i < writes; i++) {
        t.rig->lane = (unsigned)(i % l->config.streams);
        count(&w, timed_write(&t, sim_rng_below(&t.rig->env.rng, blocks) * l->len, l->len, 0));
        if (l->flush_every != 0 && i % l->flush_every == 0)
            rig_flush(t.rig);
    }
    print(l->what, &w);
    assert_int_equal(t.steps_failed, 0);
    rig_check_all(t.rig);
    rig_detach(t.rig);
    rig_check_disk(t.rig, 0);
    timed_end(&t);
    return w;
}

#define SHARE(n, s)                                                                                \
    .pmem_bytes = 24u << 20, .disk_bytes = 32u << 20, .share_segments = (n),                       \
    .segment_bytes = 65536, .streams = (s)

static void no_write_waits_long_on_a_full_cache(void **state)
{
    static const struct load loads[] = {
        {"4 KiB, no flush", {SHARE(256, 4)}, 4096, 10000, 0},
        {"4 KiB, no flush, no pause", {SHARE(256, 4)}, 4096, 0, 0},
        {"4 KiB, a flush every 1000", {SHARE(256, 4)}, 4096, 10000, 1000},
        {"4 KiB, a flush every 16", {SHARE(256, 4)}, 4096, 10000, 16},
        {"512 B, one stream", {SHARE(64, 1)}, 512, 10000, 0},
        {"64 KiB", {SHARE(256, 4)}, 65536, 10000, 0},
        {"4 KiB, a share of 32 segments", {SHARE(32, 4)}, 4096, 10000, 0},
        {"4 KiB, a share of 16 segments", {SHARE(16, 2)}, 4096, 10000, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
        assert_true(fill_up(&loads[i]).longest_ns <= 10 * LATENCY_NS);
}

/* The marks make the difference: without them a writer waits for a whole epoch. */
static void without_the_marks_writes_wait_for_whole_epochs(void **state)
{
    static const struct load load = {"4 KiB, no flush, marks off",
                                     {SHARE(256, 4), .attach = {.dirty_urgent_percent = 100,
                                                                .epoch_bytes_max = UINT64_MAX,
                                                                .epoch_records_max = UINT32_MAX}},
                                     4096,
                                     10000,
                                     0};

    (void)state;
    assert_true(fill_up(&load).longest_ns > 15 * LATENCY_NS);
}

/*
 * A large write behind small epochs needs the space of a part of them, and they go to the disk one
 * by one (W4): a write and a flush each. It waits for that and for no more: the disk is never idle
 * meanwhile, and what stands before it bounds the wait.
 */
static void a_large_write_waits_for_the_epochs_before_it_and_no_longer(void **state)
{
    static const struct rig_config config = {SHARE(64, 2)};
    const uint64_t large = 25 * UINT64_C(65536), small = 4096;
    uint64_t longest = 0, longest_small = 0;
    struct timed t;

    (void)state;
    timed_begin(&t, &config, LATENCY_NS);
    t.write_ns = 10000;
    for (unsigned round = 0; round < 12; round++) {
        struct cbd_stats before, after;
        uint64_t ns, epochs;

        for (uint64_t i = 0; i < 80; i++) {
            ns = timed_write(&t, sim_rng_below(&t.rig->env.rng, 4096) * small, small, 0);
            longest_small = ns > longest_small ? ns : longest_small;
            rig_flush(t.rig);
        }
        before = rig_stats(t.rig);
        ns = timed_write(&t, round % 4 * (UINT64_C(4) << 20), large, 0);
        after = rig_stats(t.rig);
        longest = ns > longest ? ns : longest;
        epochs = after.epoch_written - before.epoch_written;
        assert_true(ns <= (3 * epochs + 10) * LATENCY_NS);
        assert_true(epochs <= before.epoch - before.epoch_written);
    }
    print_message("80 epochs of 4 KiB, 1.6 MiB in 4 MiB: longest %.2f times the disk's latency, of "
                  "the small ones %.2f\n",
                  (double)longest / (double)LATENCY_NS, (double)longest_small / (double)LATENCY_NS);
    assert_true(longest > 10 * LATENCY_NS);
    assert_true(longest_small <= 10 * LATENCY_NS);
    assert_int_equal(t.steps_failed, 0);
    rig_check_all(t.rig);
    timed_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_write_waits_long_on_a_full_cache),
        cmocka_unit_test(a_large_write_waits_for_the_epochs_before_it_and_no_longer),
        cmocka_unit_test(without_the_marks_writes_wait_for_whole_epochs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
