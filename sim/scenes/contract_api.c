/* SPDX-License-Identifier: BSD-2-Clause */
/* Scenes of the API: what is refused, what fails and changes nothing, what stays away. */
#include <string.h>

#include "scene.h"
#include "score.h"

/* The disk has answered with old data; now its block is written, written back and forgotten. */
static void overtake(struct scene *r)
{
    sim_disk_complete(r->disk[0], 0);
    r->background = true;
    r->pmem->thread = 1;
    for (uint32_t i = 0; i < 6 * SCENE_SHARE * (SCENE_SEGMENT_BYTES / SCENE_BLOCK); i++) {
        scene_expect(r, scene_write_block(r, 0, i == 0 ? 0 : 1 + i % (r->blocks - 1)) == 0, "write",
                     i);
        if (i % 8 == 0)
            scene_expect(r, cbd_flush(r->backend[0], 1) == 0, "flush", i);
    }
    r->background = false;
    r->pmem->thread = 0;
}

/* D10: a read fill that comes after all this is too old. */
static void late_fill(struct scene *r)
{
    scene_create(r, SIM_ADR, 512);
    r->fills = true;
    scene_begin(r, 0, 1);
    r->overtake = overtake;
    scene_expect(r, !r->failed && cbd_read(r->backend[0], 0, 0, r->buf, SCENE_BLOCK) == 0, "read",
                 0);
    scene_compare(r, 0, "a read fill hides a newer write");
}

/* W1: what is written after a drain is of a later epoch, and reaches the disk as well. */
static void drained(struct scene *r)
{
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (uint32_t i = 0; i < 3; i++) {
        scene_expect(r, scene_write_block(r, 0, i) == 0, "write", i);
        if (r->failed)
            return;
        cbd_backend_drain(r->backend[0], true);
        r->background = true;
        while (scene_progress(r))
            ;
        r->background = false;
        cbd_backend_drain(r->backend[0], false);
    }
    scene_expect(r, scene_write_block(r, 0, 3) == 0, "write", 3);
    scene_expect(r, !r->failed && cbd_backend_detach(r->backend[0]) == 0, "detach", 0);
    scene_compare_disk(r, 0);
}

static void die(void *arg, const struct sim_pm_event *ev)
{
    struct scene *r = arg;

    if (ev->step == CBD_STEP_INSERT_RECORD)
        r->record_off = ev->off;
    if (ev->step == r->die_at)
        longjmp(r->died, 1);
}

static void write_and_die(struct scene *r, uint32_t block, enum cbd_step step)
{
    r->die_at = step;
    r->pmem->hook = die;
    r->pmem->hook_arg = r;
    if (setjmp(r->died) == 0)
        (void)!scene_write_block(r, 0, block);
    r->pmem->hook = NULL;
}

/*
 * D12: a write dies before its record; the next one of the stream takes the same place, and of it
 * only the record reaches the medium. Header and data are whole, and belong to the first.
 */
static void foreign_payload(struct scene *r)
{
    static const struct sim_crash none = {.kind = SIM_CRASH_NONE};
    uint8_t record[CBD_LINE_BYTES];

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    scene_expect(r, scene_write_block(r, 0, 1) == 0, "write", 0);
    write_and_die(r, 2, CBD_STEP_INSERT_RECORD);
    scene_restart(r, 1);
    write_and_die(r, 3, CBD_STEP_INSERT_RECORD_FENCE);
    memcpy(record, r->pmem->pm.base + r->record_off, sizeof(record));
    sim_pmem_crash(r->pmem, &none);
    sim_pmem_poke(r->pmem, r->record_off, record, sizeof(record));
    scene_restart(r, 1);
    scene_compare(r, 0, "a record was given the data of another write");
}

/* Rule 1: the first half of a record is on the medium, and the rest is as it was. */
static void torn_record(struct scene *r)
{
    static const struct sim_crash all = {.kind = SIM_CRASH_ALL};
    const size_t half = CBD_LINE_BYTES / 2;
    uint8_t old[CBD_LINE_BYTES / 2];

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    scene_expect(r, scene_write_block(r, 0, 1) == 0, "write", 0);
    if (r->failed)
        return;
    write_and_die(r, 2, CBD_STEP_INSERT_RECORD);
    memcpy(old, r->pmem->pm.base + r->record_off + half, half);
    scene_restart(r, 1);
    if (r->failed)
        return;
    write_and_die(r, 2, CBD_STEP_INSERT_RECORD_FENCE);
    sim_pmem_crash(r->pmem, &all);
    sim_pmem_poke(r->pmem, r->record_off + half, old, half);
    scene_restart(r, 1);
    scene_compare(r, 0, "a torn record counts");
}

/* D7, D8, D21: a disk that is not the one that was added. */
static void wrong_disk(struct scene *r)
{
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_format(r, 1);
    scene_open_cache(r);
    error = scene_add(r, 0, SCENE_SHARE, 1);
    scene_expect(r, error == 0, "add", error);
    r->disk[0]->disk.size_bytes -= SCENE_BLOCK;
    error = scene_attach(r, 0);
    scene_expect(r, error == CBD_E_MISMATCH, "a disk of another size is attached", error);
    r->disk[0]->disk.size_bytes += SCENE_BLOCK;
    r->disk[0]->disk.logical_block_bytes = 4096;
    error = scene_attach(r, 0);
    scene_expect(r, error == CBD_E_MISMATCH, "a disk with another logical block is attached",
                 error);
}

/* D7, D8: requests that no disk of this kind can have. */
static void wrong_requests(struct scene *r)
{
    scene_create(r, SIM_ADR, 4096);
    scene_begin(r, 0, 1);
    if (r->failed)
        return;
    scene_expect(r, cbd_write(r->backend[0], 0, 512, r->buf, 512, 0) == CBD_E_INVALID,
                 "a write of a part of a logical block is taken", 0);
    scene_expect(r, cbd_zero(r->backend[0], 0, 0, 512, 0) == CBD_E_INVALID,
                 "a discard of a part of a logical block is taken", 0);
    scene_expect(r, cbd_read(r->backend[0], 0, 512, r->buf, 512) == CBD_E_INVALID,
                 "a read of a part of a logical block is taken", 0);
    scene_expect(r,
                 cbd_zero(r->backend[0], 0, (uint64_t)r->blocks * SCENE_BLOCK, SCENE_BLOCK, 0) ==
                     CBD_E_RANGE,
                 "a discard beyond the end is taken", 0);
    scene_expect(r,
                 cbd_write(r->backend[0], 0, (uint64_t)r->blocks * SCENE_BLOCK, r->buf, SCENE_BLOCK,
                           0) == CBD_E_RANGE,
                 "a write beyond the end is taken", 0);
}

/* D17: a share that could not be reclaimed. And: no backend takes what another one has. */
static void shares(struct scene *r)
{
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_format(r, 1);
    scene_open_cache(r);
    error = scene_add(r, 0, 1 + CBD_SHARE_RESERVE - 1, 1);
    scene_expect(r, error == CBD_E_NOSPACE, "a share without a reserve is accepted", error);
    error = scene_add(r, 0, SCENE_SHARE, 1);
    scene_expect(r, error == 0, "add", error);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach", error);
    for (uint32_t i = 0; i < SCENE_BLOCKS / 2; i++)
        scene_expect(r, scene_write_block(r, 0, i) == 0, "write", i);
    scene_restart(r, 0);
    error = scene_add(r, 1, SCENE_SHARE, 1);
    scene_expect(r, error == 0, "add of a second backend", error);
    scene_restart(r, 2);
    scene_compare(r, 0, "a backend lost data when another one was added");
    scene_compare(r, 1, "a new backend shows foreign data");
}

/* D10: a shortage of memory fails one write and changes nothing. */
static void no_memory(struct scene *r)
{
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (uint32_t i = 0; i < 4; i++) {
        r->no_memory = true;
        error =
            scene_write_blocks(r, 0, i, i % 2 == 0 ? 3 : 1); /* a long payload is stored first */
        scene_expect(r, error == 0 || error == CBD_E_NOMEM, "a write without memory", error);
        r->no_memory = false;
        r->pmem->thread = (i + 1) % 2; /* what failed was stored by the other one, and not fenced */
        error = scene_write_block(r, 0, i);
        scene_expect(r, error == 0, "a write after a shortage of memory", error);
    }
    scene_expect(r, r->pmem->counts.mixed.count == 0,
                 "two threads store to one place without a fence",
                 (int64_t)r->pmem->counts.mixed.line_off);
    scene_compare(r, 0, "after a shortage of memory");
    scene_restart(r, 1);
    scene_compare(r, 0, "after a shortage of memory and a power cut");
}

/* D20: persistent memory that does not persist ends the service. */
static void fence_fails(struct scene *r)
{
    int error;

    scene_create(r, SIM_PAGE, 512);
    scene_begin(r, 0, 1);
    scene_expect(r, scene_write_block(r, 0, 0) == 0, "write", 0);
    r->pmem->fail_fences = 1;
    error = scene_write_block(r, 0, 1);
    scene_expect(r, error != 0, "a write is acknowledged although its fence failed", error);
    error = scene_write_block(r, 0, 2);
    scene_expect(r, error != 0, "the cache goes on although a fence failed", error);
}

/* D11: a detach that cannot write back is an error, and nothing is lost by it. */
static void detach_fails(struct scene *r)
{
    struct cbd_backend_info info;
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (uint32_t i = 0; i < 8; i++)
        scene_expect(r, scene_write_block(r, 0, i) == 0, "write", i);
    sim_disk_set_gone(r->disk[0], true);
    error = r->failed ? 0 : cbd_backend_detach(r->backend[0]);
    scene_expect(r, error != 0, "a detach succeeds although the disk is gone", error);
    sim_disk_set_gone(r->disk[0], false);
    scene_power_cut(r);
    if (!r->failed)
        scene_open_cache(r);
    scene_expect(r, !r->failed && cbd_backend_info(r->cache, 0, &info) && info.was_attached,
                 "a failed detach says clean", 0);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach", error);
    error = r->failed ? 0 : cbd_backend_detach(r->backend[0]);
    scene_expect(r, error == 0, "detach", error);
    scene_compare_disk(r, 0);
}

/* D18: nobody frees what the disk still uses. */
static void abandon_waits(struct scene *r)
{
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (uint32_t i = 0; i < 8; i++)
        scene_expect(r, scene_write_block(r, 0, 2 * i) == 0, "write", i);
    if (r->failed)
        return;
    cbd_backend_drain(r->backend[0], true);
    for (uint32_t i = 0; i < 4; i++)
        (void)!cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK);
    scene_expect(r, sim_disk_inflight(r->disk[0]) != 0, "the scene has nothing in flight", 0);
    cbd_backend_abandon(r->backend[0]);
    scene_expect(r, sim_disk_inflight(r->disk[0]) == 0,
                 "memory was freed below a request in flight",
                 (int64_t)sim_disk_inflight(r->disk[0]));
}

static void wipe_superblocks(struct scene *r)
{
    const uint64_t at[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, r->geo.super2_off};
    static const uint8_t zeroes[sizeof(struct cbd_m_super)];

    for (uint32_t i = 0; i < CBD_SUPER_COPIES; i++)
        sim_pmem_poke(r->pmem, at[i], zeroes, sizeof(zeroes));
}

/* D5: an old cache, a new one over it, and a few writes. Nothing old shows, however it ends. */
static void reborn(struct scene *r, uint64_t salt, bool wipe)
{
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (uint32_t i = 0; i < 40; i++)
        scene_expect(r, scene_write_block(r, 0, i) == 0, "write", i);
    scene_power_cut(r);
    if (wipe)
        wipe_superblocks(r);
    memset(r->version, 0, sizeof(r->version));
    scene_begin(r, 0, salt);
    scene_compare(r, 0, "the cache before the format shows");
    for (uint32_t i = 0; i < 6; i++) {
        scene_expect(r, scene_write_block(r, 0, SCENE_BLOCKS - 1 - i) == 0, "write", i);
        scene_restart(r, 1);
        scene_compare(r, 0, "the cache before the format is back");
    }
}

static void format_again(struct scene *r)
{
    reborn(r, 1, false);
}

static void format_wiped(struct scene *r)
{
    reborn(r, 2, true);
}

const struct contract_scene contract_api[] = {
    {"wrong disk", wrong_disk, 0},
    {"wrong requests", wrong_requests, 0},
    {"shares", shares, 0},
    {"no memory", no_memory, 0},
    {"a fence fails", fence_fails, SCORE(PAGE)},
    {"a detach fails", detach_fails, SCORE(GONE)},
    {"abandon waits", abandon_waits, 0},
    {"a fill comes late", late_fill, 0},
    {"drained, and on", drained, 0},
    {"a payload of another write", foreign_payload, 0},
    {"a torn record", torn_record, SCORE(ADR)},
    {"format with the same salt", format_again, 0},
    {"format of a wiped device", format_wiped, 0},
    {NULL, NULL, 0},
};
