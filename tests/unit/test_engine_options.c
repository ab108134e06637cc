/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of write-back that can be changed while attached, by a virtual clock. */
#include "timed_rig.h"

#define LATENCY_NS TIMED_MS

static const struct rig_config wide = {.pmem_bytes = 8u << 20, .share_segments = 64};

/* One at a time. */
static struct timed *begin(struct cbd_attach_options attach)
{
    static struct timed t;
    struct rig_config config = wide;

    config.attach = attach;
    timed_begin(&t, &config, LATENCY_NS);
    return &t;
}

static void tune(struct timed *t, const struct cbd_attach_options *o, int want)
{
    assert_int_equal(cbd_backend_tune(t->rig->backend[0], o), want);
}

static size_t events(const struct rig *r, enum cbd_disk_op op)
{
    size_t n = 0;

    for (size_t i = 0; i < r->trace_count; i++)
        n += r->trace[i].ev.op == op;
    return n;
}

static void end(struct timed *t)
{
    rig_check_all(t->rig);
    rig_detach(t->rig);
    rig_check_disk(t->rig, 0);
    timed_end(t);
}

static void defaults_are_filled_in(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.no_fill = true});
    struct cbd_attach_options o;

    (void)state;
    cbd_backend_options(t->rig->backend[0], &o);
    assert_int_equal(o.space_timeout_ns, 30 * TIMED_S);
    assert_int_equal(o.dirty_start_percent, 0);
    assert_int_equal(o.dirty_urgent_percent, 50);
    assert_int_equal(o.epoch_records_max, 65536);
    assert_int_equal(o.epoch_bytes_max, 64 * 65536 / 8);
    assert_int_equal(o.queue_depth, 8);
    assert_true(o.no_fill);
    end(t);
}

static void what_is_out_of_range_changes_nothing(void **state)
{
    static const struct cbd_attach_options bad[] = {
        {.dirty_start_percent = 101},
        {.dirty_urgent_percent = 101},
        {.queue_depth = CBD_QUEUE_DEPTH_MAX + 1},
        {.writeback_rate_bytes = CBD_WRITEBACK_RATE_MAX + 1},
        {.space_timeout_ns = CBD_TIME_MAX_NS + 1},
        {.idle_ns = CBD_TIME_MAX_NS + 1},
        {.max_dirty_age_ns = CBD_TIME_MAX_NS + 1},
        {.scrub_rate_bytes = CBD_SCRUB_RATE_MAX + 1},
    };
    struct timed *t = begin((struct cbd_attach_options){.dirty_start_percent = 7});
    struct cbd_attach_options before, after;

    (void)state;
    cbd_backend_options(t->rig->backend[0], &before);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tune(t, &bad[i], CBD_E_INVALID);
        cbd_backend_options(t->rig->backend[0], &after);
        assert_memory_equal(&before, &after, sizeof(after));
    }
    rig_detach(t->rig);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        t->rig->config.attach = bad[i];
        assert_int_equal(rig_try_attach(t->rig, 0), CBD_E_INVALID);
    }
    timed_end(t);
}

/* 1 MiB at 1 MiB a second, 64 requests of one millisecond if there were no limit. */
static void the_rate_is_kept(void **state)
{
    struct cbd_attach_options o = {.writeback_rate_bytes = 1u << 20, .dirty_urgent_percent = 100};
    struct timed *t = begin(o);
    uint64_t start = t->rig->env.now_ns, written;

    (void)state;
    for (uint64_t i = 0; i < 64; i++)
        timed_write(t, i * 16384, 8192, 0);
    rig_flush(t->rig);
    timed_run(t, TIMED_S / 4);
    written = rig_stats(t->rig).writeback_bytes;
    assert_in_range(written, 64u << 10, 400u << 10);
    while (rig_stats(t->rig).dirty_bytes != 0)
        timed_run(t, TIMED_MS);
    assert_in_range(t->rig->env.now_ns - start, 350 * TIMED_MS, 520 * TIMED_MS);
    end(t);
}

static void the_rate_is_no_limit_when_space_is_needed(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.writeback_rate_bytes = 4096});
    uint64_t start = t->rig->env.now_ns;

    (void)state;
    for (uint64_t i = 0; i < 600; i++) /* 60 % of the share */
        timed_write(t, i % 256 * 4096, 4096, 0);
    assert_true(t->rig->env.now_ns - start < TIMED_S);
    end(t); /* nor at a detach */
    assert_true(true);
}

/* A low rate, and steps far more often than it earns a byte: no time may get lost in between. */
static void a_low_rate_is_kept_however_often_a_step_runs(void **state)
{
    struct cbd_attach_options o = {.writeback_rate_bytes = 4096, .dirty_urgent_percent = 100};
    struct timed *t = begin(o);
    uint64_t start = t->rig->env.now_ns;

    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        timed_write(t, i * 16384, 4096, 0);
    rig_flush(t->rig);
    while (rig_stats(t->rig).dirty_bytes != 0 && t->rig->env.now_ns - start < 20 * TIMED_S)
        timed_run(t, TIMED_MS / 10);
    assert_in_range(t->rig->env.now_ns - start, 2 * TIMED_S, 5 * TIMED_S);
    end(t);
}

/* What went out above the urgent mark, where the rate is no limit, is not owed below it. */
static void the_rate_is_no_debt_afterwards(void **state)
{
    struct cbd_attach_options o = {.writeback_rate_bytes = 65536, .dirty_urgent_percent = 20};
    struct timed *t = begin(o);
    uint64_t start, before;

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) /* nearly twice the share */
        timed_write(t, i % 256 * 4096, 4096, 0);
    rig_flush(t->rig);
    timed_run(t, 10 * TIMED_S); /* what is owed for one request */
    before = rig_stats(t->rig).writeback_bytes;
    for (uint64_t i = 0; i < 4; i++)
        timed_write(t, i * 16384, 4096, 0);
    rig_flush(t->rig);
    start = t->rig->env.now_ns;
    while (rig_stats(t->rig).dirty_bytes != 0 && t->rig->env.now_ns - start < 100 * TIMED_S)
        timed_run(t, TIMED_MS);
    assert_true(rig_stats(t->rig).writeback_bytes > before);
    assert_true(t->rig->env.now_ns - start < 30 * TIMED_S);
    end(t);
}

static void a_new_rate_holds_at_once(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.writeback_rate_bytes = 1});
    struct cbd_attach_options o = {0};

    (void)state;
    for (uint64_t i = 0; i < 64; i++)
        timed_write(t, i * 16384, 4096, 0);
    rig_flush(t->rig);
    timed_run(t, 10 * TIMED_S);
    assert_in_range(rig_stats(t->rig).writeback_bytes, 1, 8192);
    tune(t, &o, 0);
    timed_run(t, TIMED_S / 10);
    assert_int_equal(rig_stats(t->rig).dirty_bytes, 0);
    end(t);
}

static void an_idle_cache_writes_everything_back(void **state)
{
    struct timed *t =
        begin((struct cbd_attach_options){.idle_ns = TIMED_S, .dirty_start_percent = 90});

    (void)state;
    for (uint64_t i = 0; i < 40; i++) { /* 20 s, never idle for one */
        timed_write(t, i * 4096, 4096, 0);
        timed_run(t, TIMED_S / 4);
        rig_read(t->rig, 0, 4096);
        timed_run(t, TIMED_S / 4);
    }
    assert_int_equal(t->rig->trace_count, 0);
    timed_run(t, 4 * TIMED_S / 5);
    assert_int_equal(rig_stats(t->rig).dirty_bytes, 0); /* the open epoch too */
    assert_int_equal(rig_stats(t->rig).epochs_forced, 1);
    assert_int_equal(events(t->rig, CBD_DISK_FLUSH), 1);
    end(t);
}

static void dirty_data_does_not_become_older_than_it_may(void **state)
{
    struct timed *t = begin(
        (struct cbd_attach_options){.max_dirty_age_ns = 8 * TIMED_S, .dirty_start_percent = 100});
    uint64_t born[128];

    (void)state;
    for (uint64_t i = 0; i < 128; i++) { /* a block each half second, a flush now and then */
        timed_write(t, i * 8192, 4096, 0);
        born[i] = t->rig->env.now_ns;
        if (i % 9 == 0)
            rig_flush(t->rig);
        timed_run(t, TIMED_S / 2);
        for (uint64_t k = 0; k <= i; k++)
            if (t->rig->env.now_ns > born[k] + 8 * TIMED_S + 20 * TIMED_MS)
                assert_int_equal(sim_disk_peek(t->rig->disk[0], k * 16), t->rig->want[0][k * 16]);
    }
    assert_in_range(rig_stats(t->rig).writeback_epochs, 5, 40);
    end(t);
}

static void an_age_can_be_set_and_taken_back(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.dirty_start_percent = 100});
    struct cbd_attach_options o = {.dirty_start_percent = 100, .max_dirty_age_ns = TIMED_S};

    (void)state;
    timed_write(t, 0, 4096, 0);
    timed_run(t, 10 * TIMED_S);
    assert_int_equal(rig_stats(t->rig).dirty_bytes, 4096);
    tune(t, &o, 0);
    timed_run(t, TIMED_S);
    assert_int_equal(rig_stats(t->rig).dirty_bytes, 0);
    o.max_dirty_age_ns = 0;
    tune(t, &o, 0);
    timed_write(t, 0, 4096, 0);
    timed_run(t, 10 * TIMED_S);
    assert_int_equal(rig_stats(t->rig).dirty_bytes, 4096);
    end(t);
}

static void dirty_bytes_stay_below_their_bound(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.max_dirty_bytes = 65536});
    uint64_t most = 0, longest = 0;

    (void)state;
    for (uint64_t i = 0; i < 400; i++) {
        uint64_t took = timed_write(t, i * 37 % 200 * 4096, 4096, 0);
        uint64_t dirty = rig_stats(t->rig).dirty_bytes;

        most = dirty > most ? dirty : most;
        longest = took > longest ? took : longest;
    }
    assert_in_range(most, 32768, 65536);
    assert_in_range(longest, 1, 10 * LATENCY_NS);
    assert_int_not_equal(rig_stats(t->rig).writes_paced, 0);
    end(t);
}

static void a_piece_larger_than_the_bound_goes_in_alone(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.max_dirty_bytes = 4096});

    (void)state;
    for (uint64_t i = 0; i < 8; i++) {
        timed_write(t, i * 16384, 16384, 0);
        assert_in_range(rig_stats(t->rig).dirty_bytes, 1, 16384);
    }
    end(t);
}

static void a_bound_over_a_dead_disk_fails_after_t(void **state)
{
    struct timed *t = begin(
        (struct cbd_attach_options){.max_dirty_bytes = 65536, .space_timeout_ns = 3 * TIMED_S});
    struct cbd_attach_options o = {0};
    uint64_t took = 0, i = 0;
    int error = 0;

    (void)state;
    sim_disk_set_gone(t->rig->disk[0], true);
    while (error == 0)
        took = timed_try_write(t, i++ * 4096, 4096, &error);
    assert_int_equal(error, CBD_E_NOSPACE);
    assert_int_equal(i, 17);
    assert_in_range(took, 3 * TIMED_S, 3 * TIMED_S + 10 * TIMED_MS);
    tune(t, &o, 0); /* the bound goes, and with it the error */
    timed_write(t, 0, 4096, 0);
    sim_disk_set_gone(t->rig->disk[0], false);
    end(t);
}

static void without_consistency_only_the_newest_is_written(void **state)
{
    struct timed *t = begin(
        (struct cbd_attach_options){.backend_consistency_off = true, .dirty_start_percent = 40});

    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        timed_write(t, i % 4 * 65536, 4096, 0);
        rig_flush(t->rig); /* an epoch for each */
    }
    assert_int_equal(t->rig->trace_count, 0);
    rig_write_back(t->rig);
    assert_int_equal(events(t->rig, CBD_DISK_WRITE), 4);
    assert_int_equal(events(t->rig, CBD_DISK_FLUSH), 1);
    assert_int_equal(rig_stats(t->rig).dirty_bytes, 0);
    assert_int_equal(rig_stats(t->rig).epoch_written + 1, rig_stats(t->rig).epoch);
    rig_check_disk(t->rig, 0);
    end(t);
}

/* One pass for all: of a drain the open epoch too, else all that are closed. */
static void without_consistency_one_flush_is_enough(void **state)
{
    (void)state;
    for (int drain = 0; drain < 2; drain++) {
        struct timed *t = begin((struct cbd_attach_options){.backend_consistency_off = true,
                                                            .dirty_start_percent = 40});

        for (uint64_t i = 0; i < 10; i++) {
            timed_write(t, i % 4 * 65536, 4096, 0);
            if (i < 9 || drain == 0)
                rig_flush(t->rig);
        }
        assert_int_equal(t->rig->trace_count, 0);
        if (drain != 0) {
            rig_write_back(t->rig);
        } else {
            struct cbd_attach_options o = t->rig->config.attach;

            o.dirty_start_percent = 0;
            tune(t, &o, 0);
            assert_int_equal(rig_step_to_idle(t->rig, 0), 0);
        }
        assert_int_equal(events(t->rig, CBD_DISK_WRITE), 4);
        assert_int_equal(events(t->rig, CBD_DISK_FLUSH), 1);
        assert_int_equal(rig_stats(t->rig).dirty_bytes, 0);
        rig_check_disk(t->rig, 0);
        end(t);
    }
}

/* P1 and P5 hold: what was acknowledged survives a crash in the middle of such a pass. */
static void without_consistency_nothing_is_lost(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.backend_consistency_off = true});

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < 50; i++) {
            timed_write(t, (i * 7 + round) % 60 * 4096, 4096, i % 3 == 0 ? CBD_WRITE_FUA : 0);
            if (i % 10 == 9)
                timed_run(t, TIMED_MS / 2);
        }
        rig_power_cut(t->rig, SIM_CRASH_NONE);
        rig_attach(t->rig);
        rig_check_all(t->rig);
    }
    end(t);
}

static void memory_is_bounded_without_consistency(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){
        .backend_consistency_off = true, .dirty_start_percent = 100, .epoch_records_max = 64});

    (void)state;
    for (uint64_t i = 0; i < 400; i++) {
        timed_write(t, i % 250 * 4096, 512, 0);
        if (i % 16 == 15)
            rig_flush(t->rig);
    }
    rig_write_back(t->rig);
    assert_in_range(rig_stats(t->rig).writeback_epochs, 400 / (64 + 16), 400 / 64 + 1);
    end(t);
}

static size_t deepest(struct timed *t)
{
    size_t most = 0;

    rig_flush(t->rig);
    while (rig_stats(t->rig).dirty_bytes != 0) {
        size_t now = sim_disk_inflight(t->rig->disk[0]);

        most = now > most ? now : most;
        timed_run(t, TIMED_MS / 4);
    }
    return most;
}

static void the_queue_is_as_deep_as_it_may_be(void **state)
{
    static const uint32_t depth[] = {1, 3, 8, CBD_QUEUE_DEPTH_MAX, 2};
    struct timed *t = begin((struct cbd_attach_options){0});

    (void)state;
    for (size_t k = 0; k < sizeof(depth) / sizeof(depth[0]); k++) {
        struct cbd_attach_options o = {.queue_depth = depth[k]};

        tune(t, &o, 0);
        for (uint64_t i = 0; i < 100; i++)
            timed_write(t, i * 8192, 4096, 0);
        assert_int_equal(deepest(t), depth[k]);
    }
    end(t);
}

/* Without memory for more buffers the queue stays as deep as it is. */
static void a_queue_without_memory_goes_on(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.queue_depth = 8});

    (void)state;
    for (uint64_t i = 0; i < 30; i++)
        timed_write(t, i * 8192, 4096, 0);
    rig_flush(t->rig);
    for (uint64_t k = 0; k < 200 && rig_stats(t->rig).dirty_bytes != 0; k++) {
        t->rig->alloc_fail_at = t->rig->allocs + (k % 3 == 2 ? 1 : 0);
        timed_run(t, TIMED_MS);
    }
    t->rig->alloc_fail_at = UINT64_MAX;
    assert_int_equal(rig_stats(t->rig).dirty_bytes, 0);
    end(t);
}

static void the_open_epoch_is_closed_at_the_urgent_mark(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){
        .dirty_urgent_percent = 25, .epoch_bytes_max = UINT64_MAX, .dirty_start_percent = 10});
    uint64_t i = 0;

    (void)state;
    while (rig_stats(t->rig).writeback_ios == 0)
        timed_write(t, i++ % 256 * 4096, 4096, 0), timed_run(t, TIMED_MS);
    assert_in_range(i, 1024 * 20 / 100, 1024 * 28 / 100);
    assert_int_equal(rig_stats(t->rig).epochs_forced, 1);
    end(t);
}

static void an_epoch_is_closed_by_its_space(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){
        .epoch_bytes_max = 100 * 4224, .dirty_start_percent = 100, .dirty_urgent_percent = 100});
    uint64_t epoch = rig_stats(t->rig).epoch;

    (void)state;
    for (uint64_t i = 0; i < 205; i++)
        timed_write(t, i * 4096, 4096, 0);
    assert_int_equal(rig_stats(t->rig).epoch, epoch + 2);
    assert_int_equal(rig_stats(t->rig).epochs_forced, 2);
    for (uint64_t i = 0; i < 300; i++) { /* those of the application count from their own begin */
        timed_write(t, i % 205 * 4096, 4096, 0);
        if (i % 60 == 0)
            rig_flush(t->rig);
    }
    assert_int_equal(rig_stats(t->rig).epochs_forced, 2);
    end(t);
}

static void neighbours_of_zeroes_are_one_request(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){0});

    (void)state;
    for (uint64_t i = 0; i < 16; i++)
        rig_zero(t->rig, i * 4096, 4096, CBD_WRITE_PUNCH);
    for (uint64_t i = 16; i < 32; i++)
        rig_zero(t->rig, i * 4096, 4096, 0);
    rig_write_back(t->rig);
    assert_int_equal(events(t->rig, CBD_DISK_DISCARD), 1);
    assert_int_equal(events(t->rig, CBD_DISK_ZERO), 1);
    end(t);
}

static void a_run_is_cut_into_the_largest_requests(void **state)
{
    struct timed *t = begin((struct cbd_attach_options){.epoch_bytes_max = UINT64_MAX});

    (void)state;
    for (uint64_t i = 0; i < 200; i++)
        timed_write(t, 4096 + i * 77 % 200 * 4096, 4096, 0);
    rig_write_back(t->rig);
    assert_int_equal(events(t->rig, CBD_DISK_WRITE), (200 * 4096 + 262143) / 262144);
    end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(what_is_out_of_range_changes_nothing),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(the_rate_is_no_limit_when_space_is_needed),
        cmocka_unit_test(a_low_rate_is_kept_however_often_a_step_runs),
        cmocka_unit_test(the_rate_is_no_debt_afterwards),
        cmocka_unit_test(a_new_rate_holds_at_once),
        cmocka_unit_test(an_idle_cache_writes_everything_back),
        cmocka_unit_test(dirty_data_does_not_become_older_than_it_may),
        cmocka_unit_test(an_age_can_be_set_and_taken_back),
        cmocka_unit_test(dirty_bytes_stay_below_their_bound),
        cmocka_unit_test(a_piece_larger_than_the_bound_goes_in_alone),
        cmocka_unit_test(a_bound_over_a_dead_disk_fails_after_t),
        cmocka_unit_test(without_consistency_only_the_newest_is_written),
        cmocka_unit_test(without_consistency_one_flush_is_enough),
        cmocka_unit_test(without_consistency_nothing_is_lost),
        cmocka_unit_test(memory_is_bounded_without_consistency),
        cmocka_unit_test(the_queue_is_as_deep_as_it_may_be),
        cmocka_unit_test(a_queue_without_memory_goes_on),
        cmocka_unit_test(the_open_epoch_is_closed_at_the_urgent_mark),
        cmocka_unit_test(an_epoch_is_closed_by_its_space),
        cmocka_unit_test(neighbours_of_zeroes_are_one_request),
        cmocka_unit_test(a_run_is_cut_into_the_largest_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
