/* SPDX-License-Identifier: BSD-2-Clause */
/* Scenes of space: copies of what is hot, cold segments after a detach, a bound on what is dirty. */
#include <string.h>

#include "scene.h"
#include "score.h"
#include "sim_base.h"

static void write_one(struct scene *r, uint32_t block)
{
    int error = scene_write_block(r, 0, block);

    scene_expect(r, error == 0, "a write finds no space, although the disk works", error);
}

static void read_one(struct scene *r, uint32_t block)
{
    if (!r->failed)
        scene_expect(
            r, cbd_read(r->backend[0], 0, (uint64_t)block * SCENE_BLOCK, r->buf, SCENE_BLOCK) == 0,
            "read", block);
}

/* K3: everything that is in the cache is hot, and half of what becomes free stays so. */
static void all_hot(struct scene *r)
{
    struct cbd_stats stats = {0};

    r->share = 12;
    r->blocks = 220; /* more than there is room for */
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (uint32_t i = 0; i < 440 && !r->failed; i++) {
        write_one(r, i % r->blocks);
        for (uint32_t k = 0; k < r->blocks && k <= i; k++)
            read_one(r, k);
        scene_drain(r);
    }
    if (!r->failed)
        cbd_backend_stats(r->backend[0], &stats);
    scene_expect(r, stats.kept_bytes != 0, "the scene has kept nothing", 0);
    scene_expect(r, stats.kept_bytes <= (stats.segments_reclaimed / 2 + 1) * SCENE_SEGMENT_BYTES,
                 "more is copied forward than half of what becomes free",
                 (int64_t)stats.kept_bytes);
    scene_compare(r, 0, "with a hot cache");
}

/* K2: a block that is hot, clean and damaged is not copied with its damage. */
static void hot_and_damaged(struct scene *r)
{
    struct cbd_stats stats = {0};

    r->share = 12;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (uint32_t i = 0; i < 8; i++)
        write_one(r, i);
    scene_drain(r);
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t n = 0; n < 3; n++)
            read_one(r, i);
    scene_flip(r, scene_place(r, 3));
    for (uint32_t i = 0; i < 400 && !r->failed && stats.kept_bytes == 0; i++) {
        write_one(r, 16 + i % 32);
        scene_drain(r);
        cbd_backend_stats(r->backend[0], &stats);
    }
    scene_expect(r, stats.kept_bytes != 0, "the scene has kept nothing", 0);
    scene_compare(r, 0, "damage was copied forward");
}

/* ---- dirty records of the open epoch in reclaim's way ---- */

#define CARRIED_BLOCK 9u

/* Two streams. What nobody wrote is read until reclaim has no other way than a dirty block. */
static void carry_begin(struct scene *r)
{
    struct cbd_stats stats;

    r->share = 12;
    r->blocks = 250;
    r->fills = true;
    scene_create(r, SIM_ADR, 512);
    scene_format(r, 1);
    if (!r->failed)
        scene_open_cache(r);
    scene_expect(r, scene_add(r, 0, r->share, 2) == 0, "add", 0);
    scene_expect(r, scene_attach(r, 0) == 0, "attach", 0);
    r->pmem->thread = 1;
    write_one(r, CARRIED_BLOCK);
    write_one(r, CARRIED_BLOCK + 1);
    r->pmem->thread = 0;
    for (uint32_t i = 20; i < r->blocks && !r->failed; i++) {
        cbd_backend_stats(r->backend[0], &stats);
        if (stats.segments_free <= 1)
            break;
        read_one(r, i);
    }
    if (!r->failed)
        scene_expect(r, cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM) == 0,
                     "reclaim forgets what is dirty", 0);
}

static void carry_step(struct scene *r)
{
    struct cbd_stats stats = {0};

    if (r->failed)
        return;
    scene_expect(r, cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK) == 1, "write-back", 0);
    cbd_backend_stats(r->backend[0], &stats);
    scene_expect(r, stats.epochs_forced == 0, "the epoch has ended for reclaim", 0);
}

/* R2, X4: also after a crash, with the originals below the horizon. */
static void carried(struct scene *r)
{
    carry_begin(r);
    carry_step(r);
    if (!r->failed)
        scene_expect(r, cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM) == 1, "reclaim", 0);
    scene_compare(r, 0, "a dirty block was forgotten");
    scene_restart(r, 1);
    scene_compare(r, 0, "a dirty block is forgotten after a crash");
}

static void take_over(struct scene *r)
{
    void (*overtake)(struct scene * r) = r->overtake;

    r->overtake = NULL;
    if (overtake != NULL)
        overtake(r);
}

/* What is to be copied is read: nothing is locked. */
static void on_load(void *arg, uint64_t off, size_t len_bytes, bool store)
{
    struct scene *r = arg;

    if (!store && len_bytes != 0 && off == r->watched_off)
        take_over(r);
}

static void carry_under(struct scene *r, void (*overtake)(struct scene *r))
{
    carry_begin(r);
    r->overtake = overtake;
    r->watched_off = scene_place(r, CARRIED_BLOCK);
    r->pmem->access = on_load;
    r->pmem->access_arg = r;
    carry_step(r);
    r->pmem->access = NULL;
    scene_expect(r, r->overtake == NULL, "the scene has carried nothing", 0);
}

static void overwrite(struct scene *r)
{
    r->pmem->thread = 1; /* the other stream */
    write_one(r, CARRIED_BLOCK);
    write_one(r, CARRIED_BLOCK - 1);
    r->pmem->thread = 0;
}

/* X2 */
static void carried_and_written(struct scene *r)
{
    carry_under(r, overwrite);
    scene_compare(r, 0, "a copy hides a newer write");
}

static void flush_and_overwrite(struct scene *r)
{
    scene_expect(r, cbd_flush(r->backend[0], 1) == 0, "flush", 0);
    overwrite(r);
}

static uint64_t on_disk(const struct scene *r, uint32_t block)
{
    return sim_disk_peek(r->disk[0], (uint64_t)block * SCENE_BLOCK_SECTORS);
}

/* X1: what the flush has ended is on the disk before anything that came later. */
static void carried_and_flushed(struct scene *r)
{
    struct cbd_stats stats = {0};

    r->options.queue_depth = 1;
    carry_under(r, flush_and_overwrite);
    if (!r->failed)
        cbd_backend_drain(r->backend[0], true);
    r->background = true;
    for (uint32_t i = 0; i < 1000 && !r->failed && stats.writeback_epochs < 2; i++) {
        (void)scene_progress(r);
        scene_expect(r, on_disk(r, CARRIED_BLOCK - 1) == 0 || on_disk(r, CARRIED_BLOCK) != 0,
                     "a later epoch is on the disk without what was carried", i);
        cbd_backend_stats(r->backend[0], &stats);
    }
    r->background = false;
    scene_expect(r, stats.writeback_epochs == 2, "the scene has not written two epochs", 0);
    scene_compare(r, 0, "a copy hides a newer write");
}

/* ---- cold segments ---- */

static void warm_begin(struct scene *r, uint32_t share)
{
    int error;

    r->share = share;
    scene_create(r, SIM_ADR, 512);
    scene_format(r, 1);
    if (!r->failed)
        scene_open_cache(r);
    error = scene_add(r, 0, r->share, 2);
    scene_expect(r, error == 0, "add", error);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach", error);
}

static void write_in(struct scene *r, uint32_t stream, uint32_t block)
{
    r->pmem->thread = stream;
    write_one(r, block);
    r->pmem->thread = 0;
}

static void detach_and_attach(struct scene *r)
{
    int error = r->failed ? 0 : cbd_backend_detach(r->backend[0]);

    scene_expect(r, error == 0, "detach", error);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach", error);
}

static void compare_while_warming(struct scene *r)
{
    do
        scene_compare(r, 0, "a cold cache shows what is old");
    while (!r->failed && cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM) > 0);
    scene_compare(r, 0, "a warm cache shows what is old");
}

/*
 * H1: the segment of stream 0 that holds the old block is closed last; that of stream 1 with the
 * new one is cold for longer.
 */
static void warm_in_order(struct scene *r)
{
    warm_begin(r, 20);
    write_in(r, 0, 0);
    for (uint32_t i = 0; i < 20; i++)
        write_in(r, 1, i);
    for (uint32_t i = 20; i < 60; i++)
        write_in(r, 0, i);
    detach_and_attach(r);
    compare_while_warming(r);
}

static void on_any_load(void *arg, uint64_t off, size_t len_bytes, bool store)
{
    struct scene *r = arg;

    (void)off;
    if (!store && len_bytes != 0)
        take_over(r);
}

static void compare_beside(struct scene *r)
{
    scene_compare(r, 0, "inside a step of warming up");
    r->overtake = compare_beside;
}

/* H1: two streams write the same blocks in turn, and somebody reads whenever a step reads. */
static void warm_and_read(struct scene *r)
{
    warm_begin(r, 20);
    for (uint32_t i = 0; i < 132; i++)
        write_in(r, i % 2, i / 33 * 11 + i * 7 % 11);
    detach_and_attach(r);
    if (r->failed)
        return;
    r->overtake = compare_beside;
    r->pmem->access = on_any_load;
    r->pmem->access_arg = r;
    while (!r->failed && cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM) > 0)
        ;
    r->pmem->access = NULL;
    r->overtake = NULL;
    scene_compare(r, 0, "a warm cache shows what is old");
}

/*
 * H3: there is little space, so the segment of stream 1 with the new block is forgotten while that of
 * stream 0 with the old one stays: it was closed later.
 */
static void warm_and_reclaimed(struct scene *r)
{
    struct cbd_stats stats = {0};

    warm_begin(r, SCENE_SHARE);
    write_in(r, 0, 0);
    for (uint32_t i = 0; i < 20; i++)
        write_in(r, 1, i);
    for (uint32_t i = 20; i < 50; i++)
        write_in(r, 0, i);
    detach_and_attach(r);
    if (!r->failed)
        scene_expect(r, cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM) == 1, "reclaim", 0);
    if (!r->failed)
        cbd_backend_stats(r->backend[0], &stats);
    scene_expect(r, stats.reclaims == 1, "the scene has not reclaimed", (int64_t)stats.reclaims);
    compare_while_warming(r);
}

/* H2: the record of the newest version is damaged. The disk has it. */
static void warm_and_damaged(struct scene *r)
{
    uint64_t off;

    warm_begin(r, 20);
    for (uint32_t i = 0; i < 20; i++)
        write_in(r, 0, i);
    scene_note_records(r, true);
    write_in(r, 0, 3);
    scene_note_records(r, false);
    off = r->record_off;
    for (uint32_t i = 20; i < 60; i++)
        write_in(r, 0, i);
    if (!r->failed)
        scene_expect(r, cbd_backend_detach(r->backend[0]) == 0, "detach", 0);
    scene_flip(r, off + 20);
    scene_expect(r, scene_attach(r, 0) == 0, "attach", 0);
    compare_while_warming(r);
}

/* ---- a bound on what is dirty ---- */

/* Never more, and no write that fits waits in vain. */
static void dirty_bound(struct scene *r)
{
    const uint64_t max = 8 * SCENE_BLOCK;
    struct cbd_stats stats;

    r->options.max_dirty_bytes = max;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    r->background = true;
    for (uint32_t i = 0; i < 64 && !r->failed; i++) {
        write_one(r, i % r->blocks);
        cbd_backend_stats(r->backend[0], &stats);
        scene_expect(r, stats.dirty_bytes <= max, "more is dirty than may be",
                     (int64_t)stats.dirty_bytes);
    }
    r->background = false;
    scene_compare(r, 0, "with a bound on what is dirty");
}

static void write_beside(struct scene *r)
{
    r->pmem->thread = 1;
    (void)!scene_write_block(r, 0, 9); /* finds no room, or what was there for it */
    r->pmem->thread = 0;
}

/* While a payload is stored that is long enough to lock nothing that others need. */
static void on_payload(void *arg, const struct sim_pm_event *ev)
{
    if (ev->step == CBD_STEP_INSERT_DATA)
        take_over(arg);
}

/* Two writers at once: what one is about to store counts for the other. */
static void dirty_bound_of_two(struct scene *r)
{
    const uint64_t max = 8 * SCENE_BLOCK;
    struct cbd_stats stats = {0};

    r->options.max_dirty_bytes = max;
    r->options.space_timeout_ns = 1000000;
    r->share = 8;
    scene_create(r, SIM_ADR, 512);
    scene_format(r, 1);
    if (!r->failed)
        scene_open_cache(r);
    scene_expect(r, scene_add(r, 0, r->share, 2) == 0, "add", 0);
    scene_expect(r, scene_attach(r, 0) == 0, "attach", 0);
    for (uint32_t i = 0; i < 5; i++)
        write_one(r, i);
    r->overtake = write_beside;
    r->pmem->hook = on_payload;
    r->pmem->hook_arg = r;
    (void)!scene_write_blocks(r, 0, 12, 3);
    r->pmem->hook = NULL;
    scene_expect(r, r->overtake == NULL, "the scene has written nothing", 0);
    if (!r->failed)
        cbd_backend_stats(r->backend[0], &stats);
    scene_expect(r, stats.dirty_bytes <= max, "two writers go beyond what may be dirty",
                 (int64_t)stats.dirty_bytes);
}

static void overtake_at_bound(struct scene *r)
{
    int error;

    r->pmem->thread = 1;
    error = cbd_write(r->backend[0], 1, 20 * SCENE_BLOCK, r->buf, SCENE_BLOCK, 0);
    r->pmem->thread = 0;
    scene_expect(r, error == CBD_E_NOSPACE, "a small write overtakes a large one", error);
}

/* There is room for one block. A write of two was there first. */
static void dirty_bound_in_line(struct scene *r)
{
    uint8_t two[2 * SCENE_BLOCK] = {0};

    r->options.max_dirty_bytes = 8 * SCENE_BLOCK;
    r->options.space_timeout_ns = 1000000;
    r->share = 8;
    scene_create(r, SIM_ADR, 512);
    scene_format(r, 1);
    if (!r->failed)
        scene_open_cache(r);
    scene_expect(r, scene_add(r, 0, r->share, 2) == 0, "add", 0);
    scene_expect(r, scene_attach(r, 0) == 0, "attach", 0);
    for (uint32_t i = 0; i < 7; i++)
        write_one(r, i);
    r->overtake = overtake_at_bound;
    if (!r->failed)
        (void)!cbd_write(r->backend[0], 0, 10 * SCENE_BLOCK, two, sizeof(two), 0);
    scene_expect(r, r->overtake == NULL, "the scene has made nobody wait", 0);
    r->overtake = NULL;
}

/* Two blocks at a block a second, and a step each 100 us. */
static void low_rate(struct scene *r)
{
    struct cbd_stats stats = {.dirty_bytes = 1};

    r->options.writeback_rate_bytes = SCENE_BLOCK;
    r->options.dirty_urgent_percent = 100;
    r->options.idle_ns = 1;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_one(r, 0);
    write_one(r, 9);
    write_one(r, 18);
    r->background = true;
    for (uint32_t i = 0; i < 60000 && !r->failed && stats.dirty_bytes != 0; i++) {
        r->env.now_ns += 100000;
        while (scene_progress(r))
            ;
        cbd_backend_stats(r->backend[0], &stats);
    }
    r->background = false;
    scene_expect(r, stats.dirty_bytes == 0, "at a low rate nothing is written back",
                 (int64_t)stats.dirty_bytes);
}

/* T: with the disk away a write fails when the cache is full; it does not hang. */
static void no_space(struct scene *r)
{
    volatile int error = 0;

    r->options.space_timeout_ns = 1000000;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    if (r->failed)
        return;
    sim_disk_set_gone(r->disk[0], true);
    r->background = true;
    r->patience = 100000;
    if (setjmp(r->died) == 0)
        for (uint32_t i = 0; i < 10 * r->blocks && error == 0; i++)
            error = scene_write_block(r, 0, i % r->blocks);
    r->patience = 0;
    r->background = false;
    scene_expect(r, error == CBD_E_NOSPACE, "a full cache takes writes, or hangs", error);
    sim_disk_set_gone(r->disk[0], false);
}

/* What attach would refuse, tune refuses, and nothing has changed. */
static void tuned(struct scene *r)
{
    struct cbd_attach_options options = {.dirty_urgent_percent = 101}, now;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    if (r->failed)
        return;
    scene_expect(r, cbd_backend_tune(r->backend[0], &options) == CBD_E_INVALID,
                 "an option that is out of range is taken", 0);
    cbd_backend_options(r->backend[0], &now);
    scene_expect(r, now.dirty_urgent_percent == 50, "a refused option holds",
                 now.dirty_urgent_percent);
}

const struct contract_scene contract_space[] = {
    {"everything is hot", all_hot, 0},
    {"hot and damaged", hot_and_damaged, SCORE(FLIP)},
    {"a dirty block in reclaim's way", carried, 0},
    {"the same, and it is written again", carried_and_written, 0},
    {"the same, and it is flushed first", carried_and_flushed, 0},
    {"cold segments, in their order", warm_in_order, 0},
    {"cold segments, and somebody reads", warm_and_read, 0},
    {"cold segments, and reclaim", warm_and_reclaimed, 0},
    {"a cold segment is damaged", warm_and_damaged, SCORE(FLIP)},
    {"a bound on what is dirty", dirty_bound, 0},
    {"the bound, with two writers", dirty_bound_of_two, 0},
    {"the bound, and who stands in line", dirty_bound_in_line, 0},
    {"a low rate", low_rate, 0},
    {"no space, and no disk", no_space, SCORE(FULL)},
    {"tuned out of range", tuned, 0},
    {NULL, NULL, 0},
};
