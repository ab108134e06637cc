/* SPDX-License-Identifier: BSD-2-Clause */
/* U1-U3: what is cached is verified; clean damage is healed, dirty damage is reported and stays. */
#include "timed_rig.h"

#include "engine.h"

#define FAST CBD_SCRUB_RATE_MAX
#define PASS_NS TIMED_S

static struct rig *attached(struct rig_config config, uint64_t rate)
{
    struct rig *r;

    config.attach.scrub_rate_bytes = rate;
    r = rig_create(&config);
    rig_attach(r);
    r->background = false;
    return r;
}

static int scrub(struct rig *r)
{
    return cbd_backend_step(r->backend[0], CBD_WORK_SCRUB);
}

/* One whole pass, from its beginning; time goes as far as it must. How many bytes it verified. */
static uint64_t pass(struct rig *r)
{
    struct cbd_stats before = rig_stats(r);

    while (rig_stats(r).scrub_passes == before.scrub_passes) {
        int did = scrub(r);

        assert_true(did >= 0);
        if (did == 0 && rig_stats(r).scrub_passes == before.scrub_passes)
            r->env.now_ns = cbd_backend_scrub_due_ns(r->backend[0]);
    }
    return rig_stats(r).scrub_bytes - before.scrub_bytes;
}

/* The payload of record `slot` of the first open segment. */
static uint64_t payload(struct rig *r, uint32_t slot)
{
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);

    return cbd_segment_off(&r->geo, id) + rig_record(r, id, slot).payload_off;
}

static size_t disk_requests(const struct rig *r, enum cbd_disk_op op)
{
    size_t n = 0;

    for (size_t i = 0; i < r->trace_count; i++)
        n += r->trace[i].ev.op == op;
    return n;
}

static void clean_damage_is_healed_and_then_a_hit(void **state)
{
    struct rig *r = attached((struct rig_config){0}, FAST);
    size_t reads;

    (void)state;
    rig_write(r, 0, 4096, 0);
    rig_read(r, 65536, 8192); /* a fill */
    rig_write_back(r);
    rig_flip(r, payload(r, 0) + 17);
    rig_flip(r, payload(r, 1) + 4096 + 99);
    assert_int_equal(pass(r), 12288);
    assert_int_equal(rig_stats(r).scrub_healed_bytes, 8192);
    assert_int_equal(rig_stats(r).scrub_left_bytes, 0);
    assert_int_equal(rig_stats(r).scrub_damaged_bytes, 0);
    assert_int_equal(r->reports[CBD_WARNING], 2);
    assert_int_equal(r->reports[CBD_ERROR], 0);
    assert_int_equal(r->last[CBD_WARNING].got, 65536 + 4096);
    assert_int_equal(r->last[CBD_WARNING].limit, 4096);
    reads = disk_requests(r, CBD_DISK_READ);
    rig_read(r, 0, 4096);
    rig_read(r, 65536, 8192);
    assert_int_equal(disk_requests(r, CBD_DISK_READ), reads);
    assert_int_equal(pass(r), 12288);
    assert_int_equal(rig_stats(r).scrub_healed_bytes, 8192); /* nothing is left to heal */
    rig_kill(r);
    rig_attach(r);
    rig_check_all(r);
    assert_int_equal(r->reports[CBD_WARNING], 2);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void poison_is_healed_without_checksums_too(void **state)
{
    (void)state;
    for (int no_checksum = 0; no_checksum < 2; no_checksum++) {
        struct rig *r = attached((struct rig_config){.no_data_checksum = no_checksum != 0}, FAST);

        rig_write(r, 8192, 4096, 0);
        rig_write_back(r);
        sim_pmem_poison(r->pmem, payload(r, 0) + 128, 64);
        (void)pass(r);
        assert_int_equal(rig_stats(r).scrub_healed_bytes, 4096);
        assert_int_equal(r->last[CBD_WARNING].error, CBD_E_MEDIA);
        rig_read(r, 8192, 4096);
        assert_int_equal(r->reports[CBD_WARNING], 1);
        rig_destroy(r);
    }
}

/* A record that starts inside a block; the damaged one would be cut by pieces of 64 KiB. */
static void dirty_damage_is_reported_once_a_pass_with_its_range(void **state)
{
    struct rig *r =
        attached((struct rig_config){.pmem_bytes = 16u << 20, .segment_bytes = 1u << 20}, FAST);
    const uint64_t off = 3 * 512, len = 262144;
    uint64_t data;

    (void)state;
    rig_write(r, off, len, 0);
    data = payload(r, 0);
    rig_flip(r, data + 65536 - off + 7);
    rig_flip(r, data + len - 1); /* the last block, which is a part of one */
    for (uint64_t n = 1; n <= 3; n++) {
        assert_int_equal(pass(r), len);
        assert_int_equal(r->reports[CBD_ERROR], 2 * n);
        assert_int_equal(r->last[CBD_ERROR].error, CBD_E_CORRUPT);
        assert_int_equal(r->last[CBD_ERROR].got, 262144);
        assert_int_equal(r->last[CBD_ERROR].limit, off);
        assert_int_equal(r->last[CBD_ERROR].off_bytes, data + 262144 - off);
        assert_int_equal(rig_stats(r).scrub_damaged_bytes, n * (4096 + off));
    }
    /* U3: neither the cache nor the disk got anything. */
    assert_int_equal(rig_stats(r).scrub_healed_bytes, 0);
    assert_int_equal(r->trace_count, 0);
    assert_int_equal(rig_try_read(r, 0, 65536, 4096), CBD_E_CORRUPT);
    assert_int_equal(rig_try_read(r, 0, 262144, 512), CBD_E_CORRUPT);
    rig_read(r, 4096, 8192);
    rig_write(r, 65536, 262144, 0); /* newer data covers it */
    (void)pass(r);
    assert_int_equal(rig_stats(r).scrub_damaged_bytes, 3 * (4096 + off));
    rig_check_all(r);
    rig_destroy(r);
}

static void a_damaged_header_costs_what_the_index_shows_of_it(void **state)
{
    struct rig *r = attached((struct rig_config){0}, FAST);

    (void)state;
    rig_write(r, 0, 16384, 0);
    rig_write_back(r);
    rig_write(r, 4096, 4096, 0); /* hides a part; dirty and good */
    rig_flip(r, payload(r, 0) - 64 + 8);
    (void)pass(r);
    assert_int_equal(rig_stats(r).scrub_healed_bytes, 12288);
    assert_int_equal(rig_stats(r).scrub_damaged_bytes, 0);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void nothing_to_do(void **state)
{
    struct rig *r = attached((struct rig_config){.attach = {.trees = 1024}}, 0);
    struct cbd_attach_options o;
    uint64_t allocs;

    (void)state;
    rig_write(r, 0, 4096, 0);
    allocs = r->allocs;
    for (int i = 0; i < 3; i++)
        assert_int_equal(scrub(r), 0); /* no rate: it is off, and costs no memory */
    assert_int_equal(r->allocs, allocs);
    assert_true(cbd_backend_scrub_due_ns(r->backend[0]) == UINT64_MAX);
    assert_int_equal(rig_stats(r).scrub_passes, 0);
    rig_detach(r);

    r->config.attach.scrub_rate_bytes = FAST;
    rig_destroy(r);
    r = attached((struct rig_config){.attach = {.trees = 1024}}, FAST);
    assert_int_equal(scrub(r), 0); /* nothing is cached */
    assert_int_equal(rig_stats(r).scrub_passes, 1);
    assert_int_equal(cbd_backend_scrub_due_ns(r->backend[0]), r->env.now_ns + PASS_NS);
    rig_zero(r, 0, 1u << 20, CBD_WRITE_PUNCH);
    r->env.now_ns += PASS_NS;
    assert_int_equal(scrub(r), 0); /* zeroes need no verifying */
    assert_int_equal(rig_stats(r).scrub_passes, 2);
    assert_int_equal(rig_stats(r).scrub_bytes, 0);

    rig_write(r, 0, 4096, 0);
    assert_int_equal(scrub(r), 0); /* the last pass began just now */
    r->env.now_ns += PASS_NS;
    assert_int_equal(scrub(r), 1);
    assert_int_equal(rig_stats(r).scrub_passes, 3);
    assert_int_equal(scrub(r), 0);
    cbd_backend_options(r->backend[0], &o);
    assert_int_equal(o.scrub_rate_bytes, FAST);
    o.scrub_rate_bytes = FAST + 1;
    assert_int_equal(cbd_backend_tune(r->backend[0], &o), CBD_E_INVALID);
    rig_destroy(r);
}

static void without_memory_a_later_step_goes_on(void **state)
{
    struct rig *r = attached((struct rig_config){0}, FAST);

    (void)state;
    rig_write(r, 0, 4096, 0);
    r->alloc_fail_at = r->allocs;
    assert_int_equal(scrub(r), CBD_E_NOMEM);
    assert_int_equal(scrub(r), 1);
    assert_int_equal(rig_stats(r).scrub_bytes, 4096);
    rig_destroy(r);
}

/* 768 KiB at 128 KiB a second, by the clock; then the rate is raised in the middle of a pass. */
static void the_rate_is_kept(void **state)
{
    struct rig *r = attached(
        (struct rig_config){.pmem_bytes = 8u << 20, .share_segments = 32, .attach = {.trees = 4}},
        128u << 10);
    struct cbd_attach_options o;
    uint64_t begin, last = 0;

    (void)state;
    for (uint64_t off = 0; off < 768u << 10; off += 16384)
        rig_write(r, off, 16384, 0);
    begin = r->env.now_ns;
    for (int did = 1; rig_stats(r).scrub_passes == 0; did = scrub(r)) {
        uint64_t position = rig_stats(r).scrub_position_bytes;

        if (did == 0)
            r->env.now_ns = cbd_backend_scrub_due_ns(r->backend[0]);
        /* Never more than time has paid for, and the step under way. */
        assert_true(rig_stats(r).scrub_bytes <=
                    (r->env.now_ns - begin) * 128 / 1000000000 * 1024 + (256u + 64u + 1u) * 1024);
        assert_true(position >= last && position <= r->config.disk_bytes);
        last = position;
    }
    assert_int_equal(rig_stats(r).scrub_bytes, 768u << 10);
    assert_int_equal(rig_stats(r).scrub_position_bytes, 0);
    while (scrub(r) == 0) /* the last step of the pass is paid before the next pass */
        r->env.now_ns = cbd_backend_scrub_due_ns(r->backend[0]);
    assert_in_range(r->env.now_ns - begin, 5990 * TIMED_MS, 6010 * TIMED_MS);
    assert_int_equal(scrub(r), 0);
    cbd_backend_options(r->backend[0], &o);
    o.scrub_rate_bytes = FAST;
    assert_int_equal(cbd_backend_tune(r->backend[0], &o), 0);
    r->env.now_ns += TIMED_MS;
    assert_int_equal(scrub(r), 1); /* what was owed at the old rate is not waited for */
    rig_destroy(r);
}

static void a_disk_that_fails_leaves_the_damage_to_the_next_pass(void **state)
{
    struct rig *r = attached((struct rig_config){0}, FAST);

    (void)state;
    rig_write(r, 0, 8192, 0);
    rig_write_back(r);
    rig_flip(r, payload(r, 0));
    sim_disk_fail_next(r->disk[0], CBD_DISK_READ, 0, 1);
    assert_int_equal(pass(r), 8192); /* and it went on behind the damage */
    assert_int_equal(rig_stats(r).scrub_left_bytes, 4096);
    assert_int_equal(rig_stats(r).scrub_healed_bytes, 0);
    assert_int_equal(r->last[CBD_WARNING].error, CBD_E_IO);
    (void)pass(r);
    assert_int_equal(rig_stats(r).scrub_left_bytes, 4096);
    assert_int_equal(rig_stats(r).scrub_healed_bytes, 4096);
    rig_check_all(r);
    rig_destroy(r);
}

/* Every block of every closed segment, and what is open has not so much room. */
static void without_room_the_damage_is_left(void **state)
{
    struct rig *r = attached((struct rig_config){0}, FAST);
    uint64_t shown;

    (void)state;
    for (uint64_t i = 0; rig_stats(r).segments_free != 0; i++)
        rig_write(r, i % 64 * 16384, 16384, 0);
    rig_write_back(r);
    for (uint32_t id = 0; id < r->geo.segment_count; id++) {
        struct cbd_segment_entry e = rig_entry(r, id);

        for (uint32_t slot = 0; e.status == CBD_M_SEGMENT_CLOSED && slot < e.records; slot++)
            for (uint64_t at = 0; at < 16384; at += 4096)
                rig_flip(r,
                         cbd_segment_off(&r->geo, id) + rig_record(r, id, slot).payload_off + at);
    }
    shown = pass(r);
    assert_true(rig_stats(r).scrub_left_bytes > shown / 2);
    assert_true(rig_stats(r).scrub_left_bytes + rig_stats(r).scrub_healed_bytes <= shown);
    assert_int_equal(rig_stats(r).scrub_damaged_bytes, 0);
    rig_check_all(r);
    rig_destroy(r);
}

/* U2: a write that comes while the disk is asked is newer than what it answers. */
static bool write_once(struct rig *r)
{
    r->on_progress = NULL;
    rig_write(r, 0, 4096, 0);
    return true;
}

static void a_write_beside_the_healing_wins(void **state)
{
    struct rig *r = attached((struct rig_config){0}, FAST);

    (void)state;
    rig_write(r, 0, 4096, 0);
    rig_write_back(r);
    rig_flip(r, payload(r, 0));
    r->on_progress = write_once;
    (void)pass(r);
    assert_null(r->on_progress);
    rig_read(r, 0, 4096);
    rig_kill(r);
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* U1: reclaim waits while scrub looks at what it wants to give out. */
static struct {
    struct rig *rig;
    jmp_buf away;
    unsigned spins;
    bool armed, reclaimed;
} u1;

static void on_spin(struct cbd_env *env, enum cbd_yield why)
{
    (void)env;
    if (why == CBD_YIELD_SPIN && ++u1.spins == 100)
        longjmp(u1.away, 1);
}

static void on_load(void *arg)
{
    (void)arg;
    if (!u1.armed || u1.rig->backend[0]->lanes[CBD_LANE_SCRUB].stats.records != 0)
        return;
    u1.armed = false;
    u1.reclaimed = cbd_backend_step(u1.rig->backend[0], CBD_WORK_RECLAIM) == 1;
}

static void reclaim_waits_for_scrub(void **state)
{
    struct rig *r =
        attached((struct rig_config){.attach = {.replacement = CBD_REPLACE_FIFO}}, FAST);

    (void)state;
    for (uint64_t i = 0; rig_stats(r).segments_free > 1; i++)
        rig_write(r, i % 64 * 16384, 16384, 0);
    rig_write_back(r);
    memset(&u1, 0, sizeof(u1));
    u1.rig = r;
    u1.armed = true;
    r->ops.yield = on_spin;
    r->pmem->pause_load = on_load;
    if (setjmp(u1.away) == 0)
        (void)pass(r);
    r->pmem->pause_load = NULL;
    r->ops.yield = NULL;
    assert_false(u1.armed);
    assert_false(u1.reclaimed); /* it was still waiting */
    assert_int_equal(u1.spins, 100);
    rig_kill(r);
    rig_attach(r);
    rig_check_all(r);
    rig_destroy(r);
}

/* A small cache, four times overwritten, with damage in what is clean; all steps side by side. */
static bool scrub_sometimes(struct rig *r)
{
    static bool inside;
    int did;

    if (inside || r->backend[0] == NULL || sim_rng_below(&r->env.rng, 4) != 0)
        return false;
    inside = true; /* it waits for the disk itself */
    did = scrub(r);
    inside = false;
    assert_true(did >= 0);
    return did > 0;
}

static void damage_clean_data(struct rig *r)
{
    for (uint32_t id = 0; id < r->geo.segment_count; id++) {
        struct cbd_segment_entry e = rig_entry(r, id);
        uint32_t slot;
        struct cbd_record record;

        if (e.status != CBD_M_SEGMENT_CLOSED)
            continue;
        slot = (uint32_t)sim_rng_below(&r->env.rng, e.records);
        record = rig_record(r, id, slot);
        if (record.type == CBD_M_RECORD_WRITE || record.type == CBD_M_RECORD_FILL)
            rig_flip(r, cbd_segment_off(&r->geo, id) + record.payload_off +
                            sim_rng_below(&r->env.rng, record.len_bytes));
    }
}

static void damage_beside_all_steps(void **state)
{
    struct rig *r = attached((struct rig_config){.streams = 2, .share_segments = 12}, FAST);
    uint64_t healed;

    (void)state;
    r->background = true;
    r->random_order = true;
    r->on_progress = scrub_sometimes;
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 40; i++) {
            uint64_t off = sim_rng_below(&r->env.rng, 240) * 4096;

            r->lane = i % 2;
            if (i % 5 == 4)
                rig_read(r, off, 16384);
            else if (i % 11 == 10)
                rig_zero(r, off, 8192, CBD_WRITE_PUNCH);
            else
                rig_write(r, off, 512 * (1 + sim_rng_below(&r->env.rng, 32)), 0);
            r->env.now_ns += 200 * TIMED_MS;
            assert_true(scrub(r) >= 0);
        }
        rig_flush(r);
        rig_write_back(r);
        damage_clean_data(r);
    }
    r->on_progress = NULL;
    (void)pass(r);
    healed = rig_stats(r).scrub_healed_bytes;
    assert_true(healed > 100 * 512);
    assert_int_equal(rig_stats(r).scrub_damaged_bytes, 0);
    rig_check_all(r);
    rig_kill(r);
    r->config.attach.scrub_rate_bytes = 0;
    rig_attach(r);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_damage_is_healed_and_then_a_hit),
        cmocka_unit_test(poison_is_healed_without_checksums_too),
        cmocka_unit_test(dirty_damage_is_reported_once_a_pass_with_its_range),
        cmocka_unit_test(a_damaged_header_costs_what_the_index_shows_of_it),
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(without_memory_a_later_step_goes_on),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(a_disk_that_fails_leaves_the_damage_to_the_next_pass),
        cmocka_unit_test(without_room_the_damage_is_left),
        cmocka_unit_test(a_write_beside_the_healing_wins),
        cmocka_unit_test(reclaim_waits_for_scrub),
        cmocka_unit_test(damage_beside_all_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
