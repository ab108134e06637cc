/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk behind a cache is compared with what the cache knows of it, before anything is served. */
#include "engine_rig.h"

#define BLOCK UINT64_C(4096)

/* Eight blocks that are on the disk, and the cache knows them. */
static struct rig *cached_blocks(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    for (uint64_t i = 0; i < 8; i++)
        rig_write(r, i * 5 * BLOCK, BLOCK, 0);
    rig_flush(r);
    rig_write_back(r);
    return r;
}

static int attach_again(struct rig *r)
{
    int error = rig_try_attach(r, 0);

    if (error == 0)
        rig_check_all(r);
    return error;
}

static void refuses(struct rig *r)
{
    uint64_t attaches;
    struct cbd_backend_info before, after;

    rig_open(r);
    assert_true(cbd_backend_info(r->cache, 0, &before));
    attaches = before.attaches;
    assert_int_equal(rig_try_attach(r, 0), CBD_E_MISMATCH);
    assert_string_equal(r->last[CBD_ERROR].what, "backing device");
    assert_true(cbd_backend_info(r->cache, 0, &after));
    assert_int_equal(after.attaches, attaches);
    assert_int_equal(after.was_attached, before.was_attached);
    rig_abandon(r);
}

static void the_disk_that_was_written_is_accepted(void **state)
{
    (void)state;
    for (int clean = 0; clean < 2; clean++)
        for (int sums = 0; sums < 2; sums++) {
            struct rig *r = cached_blocks(&(struct rig_config){.no_data_checksum = sums == 0});

            rig_write(r, 3 * BLOCK, 512, 0);
            if (clean != 0)
                rig_detach(r);
            else
                rig_power_cut(r, SIM_CRASH_NONE);
            assert_int_equal(attach_again(r), 0);
            rig_destroy(r);
        }
}

/* Every single sector that the cache has clean is noticed: it has fewer than are compared. */
static void one_changed_sector_is_noticed(void **state)
{
    (void)state;
    for (uint64_t sector = 0; sector < 36 * 8; sector++) {
        struct rig *r = cached_blocks(&(struct rig_config){.streams = 2});
        uint64_t was;

        rig_power_cut(r, SIM_CRASH_NONE);
        was = sim_disk_peek(r->disk[0], sector);
        sim_disk_poke(r->disk[0], sector, 999);
        if (sector % 40 < 8) {
            refuses(r);
            assert_int_equal(r->last[CBD_ERROR].got, sector / 8 * BLOCK);
            sim_disk_poke(r->disk[0], sector, was);
            assert_int_equal(attach_again(r), 0);
        } else {
            assert_int_equal(rig_try_attach(r, 0), 0); /* nobody knows what was there */
        }
        rig_destroy(r);
    }
}

static void another_disk_is_refused_and_the_right_one_still_works(void **state)
{
    struct sim_disk_config config = {
        .size_bytes = 1u << 20, .logical_block_bytes = 512, .volatile_cache = true};
    struct rig *r = cached_blocks(NULL);
    struct sim_disk *right = r->disk[0];

    (void)state;
    rig_detach(r);
    r->disk[0] = sim_disk_create(&config);
    refuses(r);
    refuses(r);
    sim_disk_destroy(r->disk[0]);
    r->disk[0] = right;
    assert_int_equal(attach_again(r), 0);
    rig_destroy(r);
}

/* One clean block among dirty discards of nearly the whole disk is found and compared. */
static void a_single_clean_block_is_found_among_discards(void **state)
{
    (void)state;
    for (uint64_t block = 0; block < 240; block += 7) {
        struct rig *r = rig_create(&(struct rig_config){.attach = {.trees = 4}});

        rig_attach(r);
        rig_write(r, block * BLOCK, BLOCK, 0);
        rig_flush(r);
        rig_write_back(r);
        for (uint64_t i = 0; i < 256; i++)
            if (i != block)
                rig_zero(r, i * BLOCK, BLOCK, CBD_WRITE_PUNCH);
        rig_power_cut(r, SIM_CRASH_NONE);
        sim_disk_poke(r->disk[0], block * 8 + 5, 999);
        refuses(r);
        rig_destroy(r);
    }
}

/* What is dirty will be written over anyway; what was discarded holds nothing. */
static void dirty_and_discarded_ranges_are_not_compared(void **state)
{
    struct rig *r = cached_blocks(NULL);

    (void)state;
    rig_write(r, 0, BLOCK, 0);
    rig_zero(r, 5 * BLOCK, BLOCK, CBD_WRITE_PUNCH);
    rig_power_cut(r, SIM_CRASH_NONE);
    sim_disk_poke(r->disk[0], 0, 999);
    sim_disk_poke(r->disk[0], 5 * 8, 999);
    assert_int_equal(attach_again(r), 0);
    rig_destroy(r);
}

/* An epoch that was half on the disk when the power failed is no reason to refuse it. */
static void a_cut_inside_write_back_is_accepted(void **state)
{
    (void)state;
    for (uint64_t done = 0; done < 8; done++) {
        struct rig *r = cached_blocks(NULL);

        for (uint64_t i = 0; i < 8; i++)
            rig_write(r, i * 5 * BLOCK, 1024, 0);
        cbd_backend_drain(r->backend[0], true);
        while (cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK) > 0)
            ;
        for (uint64_t i = 0; i < done && sim_disk_inflight(r->disk[0]) > 0; i++)
            sim_disk_complete(r->disk[0], 0);
        rig_power_cut(r, done % 2 != 0 ? SIM_CRASH_ALL : SIM_CRASH_NONE);
        assert_int_equal(attach_again(r), 0);
        rig_destroy(r);
    }
}

static void damage_is_no_verdict(void **state)
{
    struct rig *r = cached_blocks(NULL);
    uint32_t segment = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    struct cbd_record record = rig_record(r, segment, 3);

    (void)state;
    rig_power_cut(r, SIM_CRASH_NONE);
    rig_flip(r, r->geo.data_off + (uint64_t)segment * r->geo.segment_bytes + record.payload_off);
    sim_disk_set_latent_error(r->disk[0], 0, 40);
    assert_int_equal(rig_try_attach(r, 0), 0);
    rig_destroy(r);
}

static void a_disk_that_cannot_be_read_is_an_error(void **state)
{
    struct rig *r = cached_blocks(NULL);

    (void)state;
    rig_power_cut(r, SIM_CRASH_NONE);
    sim_disk_set_gone(r->disk[0], true);
    assert_int_equal(rig_try_attach(r, 0), CBD_E_IO);
    sim_disk_set_gone(r->disk[0], false);
    assert_int_equal(attach_again(r), 0);
    rig_destroy(r);
}

static void the_comparison_can_be_left_out(void **state)
{
    struct rig *r =
        cached_blocks(&(struct rig_config){.attach = {.identity_places = CBD_IDENTITY_NONE}});

    (void)state;
    rig_power_cut(r, SIM_CRASH_NONE);
    sim_disk_poke(r->disk[0], 0, 999);
    assert_int_equal(rig_try_attach(r, 0), 0);
    rig_destroy(r);
}

static void an_empty_cache_accepts_any_disk_of_the_size(void **state)
{
    struct rig *r = rig_create(NULL);

    (void)state;
    sim_disk_poke(r->disk[0], 0, 999);
    assert_int_equal(rig_try_attach(r, 0), 0);
    rig_destroy(r);
}

/* --- accepting a disk that is not as the cache left it --- */

struct told {
    uint64_t ranges, addr, len;
};

static void on_conflict(void *arg, uint64_t addr_bytes, uint64_t len_bytes)
{
    struct told *told = arg;

    told->ranges++;
    told->addr = addr_bytes;
    told->len = len_bytes;
}

/*
 * Blocks 0, 5, .. 35 are clean, two more at 64 KiB and part of block 5 are dirty; somebody has then
 * changed blocks 0 and 10 of the disk, and blocks in between that the cache does not know.
 */
static struct rig *changed_disk(struct told *told)
{
    struct rig *r = cached_blocks(NULL);

    rig_write(r, 16 * BLOCK, 2 * BLOCK, 0);
    rig_write(r, 5 * BLOCK, 512, 0);
    rig_power_cut(r, SIM_CRASH_NONE);
    for (uint64_t i = 0; i < 8; i++) {
        sim_disk_poke(r->disk[0], i, 900 + i);
        sim_disk_poke(r->disk[0], 80 + i, 900 + i);
        sim_disk_poke(r->disk[0], 8 + i, 900 + i);
        r->want[0][i] = r->want[0][80 + i] = r->want[0][8 + i] = 900 + i;
    }
    r->config.attach = (struct cbd_attach_options){
        .accept_backing = true, .conflict = on_conflict, .conflict_arg = told};
    return r;
}

static void an_accepted_disk_wins_where_nothing_is_dirty(void **state)
{
    struct told told = {0};
    struct rig *r = changed_disk(&told);

    (void)state;
    r->config.attach.accept_backing = false;
    refuses(r);
    r->config.attach.accept_backing = true;
    assert_int_equal(attach_again(r), 0);
    assert_int_equal(told.ranges, 2);
    assert_int_equal(told.addr, 16 * BLOCK);
    assert_int_equal(told.len, 2 * BLOCK);
    assert_int_equal(rig_stats(r).dirty_bytes, 0);
    rig_power_cut(r, SIM_CRASH_NONE);
    r->config.attach.accept_backing = false;
    assert_int_equal(attach_again(r), 0); /* the decision is carried out */
    rig_write(r, 0, BLOCK, 0);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_fsck(r, true);
    rig_destroy(r);
}

static void a_disk_that_needs_no_decision_is_just_attached(void **state)
{
    struct told told = {0};
    struct rig *r = cached_blocks(NULL);

    (void)state;
    rig_power_cut(r, SIM_CRASH_NONE);
    r->config.attach = (struct cbd_attach_options){
        .accept_backing = true, .conflict = on_conflict, .conflict_arg = &told};
    assert_int_equal(attach_again(r), 0);
    assert_int_equal(told.ranges, 0);
    assert_true(rig_stats(r).hit_bytes >= 8 * BLOCK); /* the cache is as warm as it was */
    rig_destroy(r);
}

static uint64_t cut_at, cut_seen;

static void cut_hook_at(void *arg, const struct sim_pm_event *ev)
{
    struct rig *r = arg;

    (void)ev;
    if (cut_seen++ == cut_at)
        longjmp(r->cut, 1);
}

/* Cut at its operation `n`: true when it came there. */
static bool cut_accept(struct rig *r, uint64_t n)
{
    bool cut = true;

    cut_at = n;
    cut_seen = 0;
    r->pmem->hook = cut_hook_at;
    r->pmem->hook_arg = r;
    if (setjmp(r->cut) == 0) {
        assert_int_equal(rig_try_attach(r, 0), 0);
        cut = false;
    }
    r->pmem->hook = NULL;
    return cut;
}

/* Power fails before each of its stores, flushes and fences; the old data never comes back (A1). */
static void a_cut_while_accepting_loses_nothing_and_brings_nothing_back(void **state)
{
    static const enum sim_crash_kind kinds[] = {SIM_CRASH_NONE, SIM_CRASH_ALL};
    bool came = true, refused = false;

    (void)state;
    for (uint64_t n = 0; came; n++) {
        for (int k = 0; k < 2; k++) {
            struct told told = {0};
            struct rig *r = changed_disk(&told);
            int error;

            came = cut_accept(r, n);
            rig_power_cut(r, kinds[k]);
            rig_fsck(r, false);
            r->config.attach.accept_backing = false;
            error = rig_try_attach(r, 0);
            if (error == 0) {
                rig_check_all(r);
            } else {
                assert_int_equal(error, CBD_E_MISMATCH);
                refused = true;
                r->config.attach.accept_backing = true;
                assert_int_equal(attach_again(r), 0);
            }
            rig_detach(r);
            rig_check_disk(r, 0);
            rig_destroy(r);
        }
    }
    assert_true(refused);
}

/* Dirty data that cannot be read: the backend is attached, what is lost is given up, the rest goes on. */
static void what_cannot_be_read_does_not_keep_it_from_being_accepted(void **state)
{
    struct told told = {0};
    struct rig *r = cached_blocks(NULL);
    struct cbd_record record;
    uint32_t id, slot = 0;
    bool more;

    (void)state;
    rig_write(r, 16 * BLOCK, 2 * BLOCK, 0);
    rig_flush(r);
    rig_write(r, 5 * BLOCK, 512, 0); /* of a later epoch */
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    do
        record = rig_record(r, id, slot++);
    while (record.addr_bytes != 16 * BLOCK);
    rig_flip(r, cbd_segment_off(&r->geo, id) + record.payload_off);
    rig_power_cut(r, SIM_CRASH_NONE);
    for (uint64_t i = 0; i < 8; i++) {
        sim_disk_poke(r->disk[0], i, 900 + i);
        r->want[0][i] = 900 + i;
    }
    r->config.attach = (struct cbd_attach_options){
        .accept_backing = true, .conflict = on_conflict, .conflict_arg = &told};
    for (unsigned n = 0; n < 3; n++) { /* also when it dies before anybody gave anything up */
        struct cbd_range range;

        assert_int_equal(rig_try_attach(r, 0), 0);
        assert_int_equal(cbd_backend_held(r->backend[0], &range, 1, &more), 1);
        assert_int_equal(range.addr_bytes, 16 * BLOCK);
        assert_int_equal(range.len_bytes, BLOCK);
        assert_int_equal(cbd_backend_detach(r->backend[0]), CBD_E_CORRUPT);
        rig_read(r, 0, BLOCK); /* what the accepted disk has */
        rig_write(r, (40 + n) * BLOCK, BLOCK, 0);
        if (n < 2)
            rig_power_cut(r, SIM_CRASH_NONE);
        r->config.attach.accept_backing = n > 0;
        if (n == 0)
            assert_int_equal(rig_try_attach(r, 0), CBD_E_MISMATCH); /* A3 */
        r->config.attach.accept_backing = true;
    }
    assert_int_equal(cbd_backend_forgo(r->backend[0], 16 * BLOCK, BLOCK), 0);
    for (uint64_t i = 0; i < 8; i++)
        r->want[0][16 * 8 + i] = sim_disk_peek(r->disk[0], 16 * 8 + i);
    rig_detach(r);
    rig_check_disk(r, 0);
    r->config.attach.accept_backing = false;
    rig_attach(r); /* the decision is carried out */
    rig_check_all(r);
    rig_detach(r);
    rig_destroy(r);
}

/* Every place that is compared was written by the time of the cut: only A1 knows better. */
static void what_was_written_over_does_not_hide_the_decision(void **state)
{
    struct told told = {0};
    struct rig *r = changed_disk(&told);
    uint64_t last = 0;

    (void)state;
    while (cut_accept(r, last)) {
        rig_power_cut(r, SIM_CRASH_NONE);
        rig_destroy(r);
        r = changed_disk(&told);
        last++;
    }
    rig_destroy(r);
    r = changed_disk(&told);
    assert_true(cut_accept(r, last - 4)); /* before the last write of the state */
    rig_power_cut(r, SIM_CRASH_NONE);
    r->config.attach = (struct cbd_attach_options){.identity_places = CBD_IDENTITY_NONE};
    assert_int_equal(rig_try_attach(r, 0), CBD_E_MISMATCH); /* A3 */
    r->config.attach = (struct cbd_attach_options){.accept_backing = true};
    assert_int_equal(attach_again(r), 0);
    rig_destroy(r);
}

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    *(bool *)arg |= f->problem->code == CBD_PROBLEM_DROPPING && f->backend == 0;
    return 0;
}

static bool check_names_the_decision(struct rig *r)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN};
    struct cbd_check_summary summary;
    bool named = false;

    assert_int_equal(
        cbd_check_run(&r->pmem->pm, &r->env.env, &options, on_finding, &named, &summary), 0);
    return named;
}

static void accepting_survives_a_disk_that_fails(void **state)
{
    struct told told = {0};
    struct rig *r = changed_disk(&told);

    (void)state;
    sim_disk_fail_next(r->disk[0], CBD_DISK_WRITE, 0, 1);
    assert_false(check_names_the_decision(r));
    assert_int_equal(rig_try_attach(r, 0), CBD_E_IO);
    assert_true(check_names_the_decision(r));
    r->config.attach.accept_backing = false;
    assert_int_equal(rig_try_attach(r, 0), CBD_E_MISMATCH);
    r->config.attach.accept_backing = true;
    assert_int_equal(attach_again(r), 0);
    assert_false(check_names_the_decision(r));
    rig_destroy(r);
}

/*
 * Q1: the newest record of a stream is damaged after the disk got what it covers. It looks like an
 * unfinished write, and the cache has something older there: no word against the disk.
 */
static void a_place_below_an_unfinished_write_does_not_decide(void **state)
{
    (void)state;
    for (int payload = 0; payload < 2; payload++) {
        struct rig *r = cached_blocks(NULL);
        uint32_t id;

        rig_write(r, 5 * BLOCK, BLOCK, 0);
        id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        assert_true(rig_cut_in(r, CBD_STEP_EPOCH_A_FENCE, 0, rig_write_back));
        rig_power_cut(r, payload != 0 ? SIM_CRASH_NONE : SIM_CRASH_ALL);
        if (payload != 0)
            rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 8).payload_off + 9);
        else
            rig_scribble(r, rig_slot_off(r, id, 8), 64);
        assert_int_equal(rig_try_attach(r, 0), 0);
        assert_int_equal(rig_stats(r).recovered_suspects, 1);
        rig_destroy(r);
    }
}

/*
 * Q1 holds for the attach that finds the unfinished write: it voids the record. When the record had
 * been damaged after the disk got what it covers, the next attach sees that the disk is newer than
 * the cache and refuses it, with the place. Accepting it loses nothing: the disk has it all.
 */
static void a_disk_that_is_newer_than_the_cache_is_not_taken_in_silence(void **state)
{
    struct told told = {0};
    struct rig *r = cached_blocks(NULL);
    uint32_t id;

    (void)state;
    rig_write(r, 5 * BLOCK, BLOCK, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    assert_true(rig_cut_in(r, CBD_STEP_EPOCH_A_FENCE, 0, rig_write_back));
    rig_power_cut(r, SIM_CRASH_ALL);
    rig_scribble(r, rig_slot_off(r, id, 8), 64);
    assert_int_equal(rig_try_attach(r, 0), 0);
    assert_int_equal(rig_stats(r).recovered_suspects, 1);
    rig_write(r, 100 * BLOCK, BLOCK, 0); /* dirty, of nobody's concern */
    rig_power_cut(r, SIM_CRASH_NONE);
    refuses(r);
    assert_int_equal(r->last[CBD_ERROR].got, 5 * BLOCK);
    r->config.attach = (struct cbd_attach_options){
        .accept_backing = true, .conflict = on_conflict, .conflict_arg = &told};
    assert_int_equal(attach_again(r), 0); /* reads the lost write, from the disk */
    assert_int_equal(told.ranges, 1);
    assert_int_equal(told.addr, 100 * BLOCK);
    rig_power_cut(r, SIM_CRASH_NONE);
    r->config.attach.accept_backing = false;
    assert_int_equal(attach_again(r), 0);
    rig_destroy(r);
}

/*
 * A whole fill before a record of which only a part is left: nothing proves it, and yet it is no
 * unfinished write. It speaks against a disk.
 */
static void a_whole_record_before_an_unfinished_one_decides(void **state)
{
    struct rig *r = cached_blocks(NULL);
    struct cbd_record record;
    uint64_t was;
    uint32_t id;

    (void)state;
    rig_read(r, 100 * BLOCK, BLOCK);
    rig_write(r, 5 * BLOCK, BLOCK, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    assert_int_equal(rig_record(r, id, 8).type, CBD_M_RECORD_FILL);
    record = rig_record(r, id, 9);
    rig_power_cut(r, SIM_CRASH_ALL);
    rig_flip(r, rig_slot_off(r, id, 9) + 40);
    rig_scribble(r, cbd_segment_off(&r->geo, id) + record.payload_off - 64, 64);
    was = sim_disk_peek(r->disk[0], 100 * 8);
    sim_disk_poke(r->disk[0], 100 * 8, 999);
    refuses(r);
    assert_int_equal(r->last[CBD_ERROR].got, 100 * BLOCK);
    sim_disk_poke(r->disk[0], 100 * 8, was);
    assert_int_equal(rig_try_attach(r, 0), 0);
    rig_destroy(r);
}

/*
 * A dirty record is lost. When nobody knows its range, it may be newer than what has a lower order
 * than the highest that it can have had, and no newer than the rest.
 */
static void a_lost_record_does_not_silence_what_is_newer(void **state)
{
    static const struct {
        bool known, newest, decides;
    } cases[] = {{false, true, true}, {false, false, false}, {true, false, true}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig *r = cached_blocks(NULL);
        uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
        struct cbd_record record;
        uint64_t block = 100;

        rig_write(r, 5 * BLOCK, BLOCK, 0);
        record = rig_record(r, id, 8);
        while (rig_entry(r, id).status == CBD_M_SEGMENT_OPEN)
            rig_read(r, block++ * BLOCK, BLOCK);
        assert_true(block >= 103);
        block -= cases[i].newest ? 2 : 3; /* the last fill went into the next segment */
        rig_power_cut(r, SIM_CRASH_ALL);
        rig_scribble(r, rig_slot_off(r, id, 8), 64);
        if (!cases[i].known)
            rig_scribble(r, cbd_segment_off(&r->geo, id) + record.payload_off - 64, 64);
        sim_disk_poke(r->disk[0], block * 8, 999);
        if (cases[i].decides) {
            refuses(r);
            assert_int_equal(r->last[CBD_ERROR].got, block * BLOCK);
        } else {
            assert_true(rig_degraded(r));
        }
        rig_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_disk_that_was_written_is_accepted),
        cmocka_unit_test(a_place_below_an_unfinished_write_does_not_decide),
        cmocka_unit_test(a_disk_that_is_newer_than_the_cache_is_not_taken_in_silence),
        cmocka_unit_test(a_whole_record_before_an_unfinished_one_decides),
        cmocka_unit_test(a_lost_record_does_not_silence_what_is_newer),
        cmocka_unit_test(one_changed_sector_is_noticed),
        cmocka_unit_test(another_disk_is_refused_and_the_right_one_still_works),
        cmocka_unit_test(a_single_clean_block_is_found_among_discards),
        cmocka_unit_test(dirty_and_discarded_ranges_are_not_compared),
        cmocka_unit_test(a_cut_inside_write_back_is_accepted),
        cmocka_unit_test(damage_is_no_verdict),
        cmocka_unit_test(a_disk_that_cannot_be_read_is_an_error),
        cmocka_unit_test(the_comparison_can_be_left_out),
        cmocka_unit_test(an_empty_cache_accepts_any_disk_of_the_size),
        cmocka_unit_test(an_accepted_disk_wins_where_nothing_is_dirty),
        cmocka_unit_test(a_disk_that_needs_no_decision_is_just_attached),
        cmocka_unit_test(a_cut_while_accepting_loses_nothing_and_brings_nothing_back),
        cmocka_unit_test(what_was_written_over_does_not_hide_the_decision),
        cmocka_unit_test(what_cannot_be_read_does_not_keep_it_from_being_accepted),
        cmocka_unit_test(accepting_survives_a_disk_that_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
