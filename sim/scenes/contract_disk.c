/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenes of the disk behind the cache: one that lies about what it has done, another one, one that
 * is gone, one that is accepted although it is not as the cache left it. A lie cannot be noticed
 * when it is told; the next attach compares places that both must hold alike.
 */
#include <string.h>

#include "scene.h"
#include "score.h"
#include "sim_base.h"

static void write_and_drain(struct scene *r, uint32_t block)
{
    int error = scene_write_block(r, 0, block);

    scene_expect(r, error == 0, "write", error);
    scene_drain(r);
}

static void write_run(struct scene *r, uint32_t from, uint32_t end)
{
    for (uint32_t i = from; i < end; i++)
        scene_expect(r, scene_write_block(r, 0, i) == 0, "write", i);
    scene_drain(r);
}

/* What the disk has cached and did not flush is gone, too. */
static void lose_power(struct scene *r)
{
    static const struct sim_crash none = {.kind = SIM_CRASH_NONE};

    sim_disk_crash(r->disk[0], &none);
    scene_power_cut(r);
    if (!r->failed)
        scene_open_cache(r);
}

static void refused(struct scene *r, const char *what)
{
    int error = scene_attach(r, 0);

    scene_expect(r, error == CBD_E_MISMATCH, what, error);
}

/* A part of the last write is missing, its first sector is there. */
static void lost_write(struct scene *r)
{
    bool first, rest = true;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    for (uint32_t block = 8; block < r->blocks && !r->failed; block++) {
        sim_disk_set_lie(r->disk[0], SIM_DISK_MUTE);
        sim_disk_fail_next(r->disk[0], CBD_DISK_WRITE, 0, 1);
        write_and_drain(r, block);
        sim_disk_set_lie(r->disk[0], SIM_DISK_HONEST);
        first = sim_disk_peek(r->disk[0], block * SCENE_BLOCK_SECTORS) == r->version[0][block];
        for (uint32_t s = 1; s < SCENE_BLOCK_SECTORS; s++)
            rest = rest && sim_disk_peek(r->disk[0], block * SCENE_BLOCK_SECTORS + s) ==
                               r->version[0][block];
        if (first && !rest)
            break;
        rest = true;
        write_and_drain(r, block);
    }
    scene_expect(r, !rest, "the scene has lost nothing", 0);
    lose_power(r);
    refused(r, "a disk that lost a part of a write is attached");
}

/* The last flush was none: of 200 blocks the one that was written last is as it was before. */
static void lost_flush(struct scene *r)
{
    r->blocks = 200;
    r->share = 20;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 200);
    if (r->failed)
        return;
    sim_disk_set_lie(r->disk[0], SIM_DISK_MUTE);
    sim_disk_fail_next(r->disk[0], CBD_DISK_FLUSH, 0, 1);
    write_and_drain(r, 37);
    sim_disk_set_lie(r->disk[0], SIM_DISK_HONEST);
    lose_power(r);
    refused(r, "a disk that lost a flush is attached");
}

/* A write goes to the next block. Its own is written again, as are others; that one is not. */
static void misplaced(struct scene *r)
{
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 24);
    if (r->failed)
        return;
    sim_disk_set_lie(r->disk[0], SIM_DISK_MISPLACE);
    sim_disk_fail_next(r->disk[0], CBD_DISK_WRITE, 0, 1);
    write_and_drain(r, 10);
    sim_disk_set_lie(r->disk[0], SIM_DISK_HONEST);
    write_and_drain(r, 10);
    write_run(r, 26, 48);
    lose_power(r);
    refused(r, "a disk with a block that was overwritten by mistake is attached");
}

/* Q3: of a disk that answers nothing, nobody knows whether it is the right one. */
static void gone_at_attach(struct scene *r)
{
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    lose_power(r);
    sim_disk_set_gone(r->disk[0], true);
    error = scene_attach(r, 0);
    scene_expect(r, error == CBD_E_IO, "a disk that cannot be read at all is attached", error);
    sim_disk_set_gone(r->disk[0], false);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach when the disk is back", error);
    scene_compare(r, 0, "after an attach that failed");
}

/* Q3: a sector that cannot be read is no other disk. */
static void latent_at_attach(struct scene *r)
{
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    lose_power(r);
    sim_disk_set_latent_error(r->disk[0], 3 * SCENE_BLOCK_SECTORS, 1);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "a disk with a sector that cannot be read is refused", error);
}

/* Q1: the newest record was written back and is damaged. What it has hidden does not speak. */
static void doubted_at_attach(struct scene *r)
{
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    scene_drain(r);
    scene_note_records(r, true);
    write_and_drain(r, 3);
    scene_note_records(r, false);
    scene_power_cut(r);
    scene_flip(r, r->record_off + 20);
    if (!r->failed)
        scene_open_cache(r);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "the right disk is refused for a damaged record", error);
}

/* ---- accepting ---- */

struct at_step {
    struct scene *r;
    uint64_t left;
};

static void leave(void *arg, const struct sim_pm_event *ev)
{
    struct at_step *at = arg;

    (void)ev;
    if (at->left-- == 0)
        longjmp(at->r->died, 1);
}

#define CHANGED UINT64_C(999999)

/*
 * Blocks 0..3 are clean and then changed on the disk; 10..17 are dirty. Two places are compared:
 * once the dirty blocks are written, it is hardly those that differ.
 */
static void make_conflict(struct scene *r)
{
    r->options.identity_places = 2;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 4);
    for (uint32_t i = 10; i < 18; i++)
        scene_expect(r, scene_write_block(r, 0, i) == 0, "write", i);
    scene_power_cut(r);
    for (uint32_t i = 0; i < 4 && !r->failed; i++) {
        r->version[0][i] = CHANGED + i;
        for (uint32_t s = 0; s < SCENE_BLOCK_SECTORS; s++)
            sim_disk_poke(r->disk[0], i * SCENE_BLOCK_SECTORS + s, CHANGED + i);
    }
    if (!r->failed)
        scene_open_cache(r);
    refused(r, "a changed disk is attached");
}

static void on_conflict(void *arg, uint64_t addr_bytes, uint64_t len_bytes)
{
    struct scene *r = arg;

    scene_expect(r, addr_bytes >= 10 * SCENE_BLOCK && addr_bytes + len_bytes <= 18 * SCENE_BLOCK,
                 "a range that is not dirty is told as one", (int64_t)addr_bytes);
}

/* The power fails before this step of an attach that accepts. False: it has no such step. */
static bool accept_until(struct scene *r, uint64_t step)
{
    struct at_step at = {r, step};
    volatile bool died = true;

    r->options.accept_backing = true;
    r->options.conflict = on_conflict;
    r->options.conflict_arg = r;
    r->pmem->hook = leave;
    r->pmem->hook_arg = &at;
    if (setjmp(r->died) == 0) {
        int error = scene_attach(r, 0);

        scene_expect(r, error == 0, "a changed disk cannot be accepted", error);
        died = false;
    }
    r->pmem->hook = NULL;
    r->options.accept_backing = false;
    return died;
}

/* A1, A2: wherever the power fails, what is dirty wins, and of the old disk nothing is back. */
static void accepted(struct scene *r)
{
    bool died;

    make_conflict(r);
    for (uint64_t step = 0; !r->failed; step++) {
        sim_pmem_mark(r->pmem);
        sim_disk_mark(r->disk[0]);
        died = accept_until(r, step);
        scene_power_cut(r);
        if (!r->failed)
            scene_open_cache(r);
        if (scene_attach(r, 0) == CBD_E_MISMATCH) {
            r->options.accept_backing = true;
            scene_expect(r, scene_attach(r, 0) == 0, "an acceptance cannot be repeated",
                         (int64_t)step);
            r->options.accept_backing = false;
        }
        scene_compare(r, 0, "a disk was accepted, and something else is read");
        sim_pmem_rollback(r->pmem);
        sim_disk_rollback(r->disk[0]);
        if (!died || r->failed)
            break;
        scene_open_cache(r);
    }
}

/* W7: a dirty block cannot be read. The others are not out of reach for that. */
static void accepted_and_held(struct scene *r)
{
    int error;

    r->options.accept_backing = false;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 4);
    for (uint32_t i = 10; i < 18; i++)
        scene_expect(r, scene_write_block(r, 0, i) == 0, "write", i);
    scene_flip(r, scene_place(r, 12) + 100);
    scene_power_cut(r);
    for (uint32_t s = 0; s < 4 * SCENE_BLOCK_SECTORS && !r->failed; s++)
        sim_disk_poke(r->disk[0], s, CHANGED);
    if (!r->failed)
        scene_open_cache(r);
    r->options.accept_backing = true;
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "dirty data that cannot be read keeps a disk from being accepted",
                 error);
    r->options.accept_backing = false;
}

static void after_decision(void *arg, const struct sim_disk_event *ev)
{
    struct scene *r = arg;

    if (ev->op == CBD_DISK_WRITE)
        longjmp(r->died, 1);
}

/* A3: half-way through, nobody else's disk is taken. */
static void accepted_by_another(struct scene *r)
{
    int error;

    make_conflict(r);
    r->options.accept_backing = true;
    r->disk[0]->hook = after_decision;
    r->disk[0]->hook_arg = r;
    if (!r->failed && setjmp(r->died) == 0) {
        (void)!scene_attach(r, 0);
        scene_expect(r, false, "the scene has written nothing back", 0);
    }
    r->disk[0]->hook = NULL;
    r->options.accept_backing = false;
    scene_power_cut(r);
    if (!r->failed)
        scene_open_cache(r);
    error = scene_attach(r, 0);
    scene_expect(r, error == CBD_E_MISMATCH, "an unfinished acceptance is finished by anybody",
                 error);
}

const struct contract_scene contract_disk[] = {
    {"a write was lost in part", lost_write, SCORE(LOST_WRITE)},
    {"a flush was none", lost_flush, SCORE(LOST_FLUSH)},
    {"a write went to another place", misplaced, SCORE(MISPLACED)},
    {"attach without a disk", gone_at_attach, SCORE(GONE)},
    {"attach with an unreadable sector", latent_at_attach, SCORE(LATENT)},
    {"attach with a damaged newest record", doubted_at_attach, SCORE(FLIP)},
    {"a changed disk is accepted", accepted, 0},
    {"accepted, with damage", accepted_and_held, SCORE(FLIP)},
    {"accepted, by another", accepted_by_another, 0},
    {NULL, NULL, 0},
};
