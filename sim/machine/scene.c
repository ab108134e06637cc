/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine of the scenes, and what most of them do with it. */
#include "scene.h"

#include <stdio.h>
#include <string.h>

#include "cbd/format.h"
#include "sim_base.h"

bool scene_expect(struct scene *r, bool good, const char *what, int64_t got)
{
    if (!good && !r->failed) {
        r->failed = true;
        snprintf(r->why, r->why_bytes, "%s (got %lld)", what, (long long)got);
    }
    return good && !r->failed;
}

bool scene_progress(void *arg)
{
    struct scene *r = arg;
    void (*overtake)(struct scene * r) = r->overtake;

    if (r->patience != 0 && --r->patience == 0)
        longjmp(r->died, 1);
    if (overtake != NULL) {
        r->overtake = NULL;
        overtake(r);
        return true;
    }
    for (uint32_t n = 0; n < SCENE_DISKS; n++) {
        if (sim_disk_inflight(r->disk[n]) != 0) {
            sim_disk_complete(r->disk[n], 0);
            return true;
        }
    }
    return r->background && (cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK) > 0 ||
                             cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM) > 0);
}

static void *rig_alloc(struct cbd_env *env, size_t len_bytes)
{
    struct scene *r = (struct scene *)env;

    return r->no_memory ? NULL : r->real->alloc(env, len_bytes);
}

void scene_create(struct scene *r, enum sim_model model, uint32_t logical_block_bytes)
{
    struct sim_disk_config disk = {
        .logical_block_bytes = logical_block_bytes,
        .volatile_cache = true,
        .discard_zeroes = true,
    };

    if (r->share == 0)
        r->share = SCENE_SHARE;
    if (r->blocks == 0)
        r->blocks = SCENE_BLOCKS;
    disk.size_bytes = (uint64_t)r->blocks * SCENE_BLOCK;
    sim_env_init(&r->env, 1);
    r->real = r->env.env.ops;
    r->ops = *r->real;
    r->ops.alloc = rig_alloc;
    r->env.env.ops = &r->ops;
    r->env.progress = scene_progress;
    r->env.progress_arg = r;
    r->pmem = sim_pmem_create(SCENE_PM_BYTES, model);
    for (uint32_t n = 0; n < SCENE_DISKS; n++)
        r->disk[n] = sim_disk_create(&disk);
}

void scene_destroy(struct scene *r)
{
    for (uint32_t n = 0; n < SCENE_DISKS; n++)
        sim_disk_destroy(r->disk[n]);
    sim_pmem_destroy(r->pmem);
    sim_env_destroy(&r->env);
}

void scene_format(struct scene *r, uint64_t salt)
{
    struct cbd_format_options options = {
        .uuid = {0xc0}, .segment_bytes = SCENE_SEGMENT_BYTES, .salt = salt};
    int error = cbd_format(&r->pmem->pm, &r->env.env, &options, &r->geo);

    scene_expect(r, error == 0, "format", error);
}

/* What the next process finds where it gets memory. */
static void move_memory(struct scene *r)
{
    const size_t len_bytes = 1u << 20;

    memset(r->real->alloc(&r->env.env, len_bytes), 0xa5, len_bytes);
    sim_env_reset(&r->env, 1);
    (void)!r->real->alloc(&r->env.env, 64);
}

void scene_open_cache(struct scene *r)
{
    int error;

    sim_env_reset(&r->env, 1);
    if (r->elsewhere)
        move_memory(r);
    memset(r->backend, 0, sizeof(r->backend));
    r->cache = NULL;
    error = cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache);
    scene_expect(r, error == 0, "open", error);
}

int scene_add(struct scene *r, uint32_t n, uint32_t segments, uint32_t streams)
{
    struct cbd_backend_options options = {
        .uuid = {(uint8_t)(n + 1)},
        .name = n == 0 ? "one" : "two",
        .size_bytes = r->disk[n]->disk.size_bytes,
        .logical_block_bytes = r->disk[n]->disk.logical_block_bytes,
        .cache_bytes = (uint64_t)segments * SCENE_SEGMENT_BYTES,
        .streams = streams,
    };
    uint32_t id = n;
    int error = r->failed ? CBD_E_INVALID : cbd_backend_add(r->cache, &options, &id);

    scene_expect(r, error != 0 || id == n, "add gave another id", id);
    return error;
}

int scene_attach(struct scene *r, uint32_t n)
{
    struct cbd_attach_options options = r->options;

    options.no_fill = !r->fills;
    options.dirty_start_percent = 100;
    if (r->failed)
        return CBD_E_INVALID;
    return cbd_backend_attach(r->cache, n, &r->disk[n]->disk, &options, &r->backend[n]);
}

void scene_begin(struct scene *r, uint32_t n, uint64_t salt)
{
    int error;

    if (n == 0) {
        scene_format(r, salt);
        if (!r->failed)
            scene_open_cache(r);
    }
    error = scene_add(r, n, r->share, 1);
    scene_expect(r, error == 0, "add", error);
    error = scene_attach(r, n);
    scene_expect(r, error == 0, "attach", error);
}

int scene_write_blocks(struct scene *r, uint32_t n, uint32_t block, uint32_t count)
{
    uint8_t buf[SCENE_WRITE_BLOCKS_MAX * SCENE_BLOCK];
    uint64_t version = ++r->last_version;
    int error;

    SIM_REQUIRE(count <= SCENE_WRITE_BLOCKS_MAX);
    if (r->failed)
        return CBD_E_INVALID;
    for (uint32_t i = 0; i < count * SCENE_BLOCK_SECTORS; i++)
        sim_sector_fill(buf + i * SIM_SECTOR_BYTES, block * SCENE_BLOCK_SECTORS + i, version);
    error = cbd_write(r->backend[n], r->pmem->thread, (uint64_t)block * SCENE_BLOCK, buf,
                      (uint64_t)count * SCENE_BLOCK, 0);
    for (uint32_t i = 0; error == 0 && i < count; i++)
        r->version[n][block + i] = version;
    return error;
}

int scene_write_block(struct scene *r, uint32_t n, uint32_t block)
{
    return scene_write_blocks(r, n, block, 1);
}

/* Everything reads as it was written. */
void scene_compare(struct scene *r, uint32_t n, const char *what)
{
    for (uint32_t block = 0; block < r->blocks && !r->failed; block++) {
        int error = cbd_read(r->backend[n], 0, (uint64_t)block * SCENE_BLOCK, r->buf, SCENE_BLOCK);
        uint64_t got;

        scene_expect(r, error == 0, "a read failed", error);
        for (uint32_t i = 0; i < SCENE_BLOCK_SECTORS && !r->failed; i++) {
            got = sim_sector_decode(r->buf + i * SIM_SECTOR_BYTES, block * SCENE_BLOCK_SECTORS + i);
            scene_expect(r, got == r->version[n][block], what, (int64_t)got);
        }
    }
}

void scene_compare_disk(struct scene *r, uint32_t n)
{
    for (uint32_t i = 0; i < r->blocks * SCENE_BLOCK_SECTORS && !r->failed; i++) {
        uint64_t got = sim_disk_peek(r->disk[n], i);

        scene_expect(r, got == r->version[n][i / SCENE_BLOCK_SECTORS], "the detached disk is wrong",
                     (int64_t)got);
    }
}

/* The process dies and the power fails; everything that was stored has reached the medium. */
void scene_power_cut(struct scene *r)
{
    static const struct sim_crash all = {.kind = SIM_CRASH_ALL};

    sim_pmem_crash(r->pmem, &all);
    for (uint32_t n = 0; n < SCENE_DISKS; n++)
        sim_disk_crash(r->disk[n], &all);
    r->no_memory = false;
}

void scene_restart(struct scene *r, uint32_t backends)
{
    scene_power_cut(r);
    if (!r->failed)
        scene_open_cache(r);
    for (uint32_t n = 0; n < backends; n++) {
        int error = scene_attach(r, n);

        scene_expect(r, error == 0, "attach after a power cut", error);
    }
}

void scene_work(struct scene *r)
{
    r->background = true;
    while (scene_progress(r))
        ;
    r->background = false;
}

void scene_drain(struct scene *r)
{
    if (r->failed)
        return;
    cbd_backend_drain(r->backend[0], true);
    scene_work(r);
    cbd_backend_drain(r->backend[0], false);
}

static void note_record(void *arg, const struct sim_pm_event *ev)
{
    struct scene *r = arg;

    if (ev->step == CBD_STEP_INSERT_RECORD)
        r->record_off = ev->off;
}

void scene_note_records(struct scene *r, bool on)
{
    r->pmem->hook = on ? note_record : NULL;
    r->pmem->hook_arg = r;
}

struct place {
    uint64_t addr, off;
};

static void on_extent(void *arg, const struct cbd_extent_view *e)
{
    struct place *p = arg;

    if (!e->zero && !e->lost && p->addr >= e->addr_bytes && p->addr - e->addr_bytes < e->len_bytes)
        p->off = e->pmem_off + p->addr - e->addr_bytes;
}

uint64_t scene_place(struct scene *r, uint32_t block)
{
    struct place find = {.addr = (uint64_t)block * SCENE_BLOCK};

    if (!r->failed)
        cbd_backend_extents(r->backend[0], on_extent, &find);
    scene_expect(r, find.off != 0, "the scene finds no copy of its block", block);
    return find.off;
}

void scene_flip(struct scene *r, uint64_t off)
{
    uint8_t byte;

    if (r->failed)
        return;
    byte = r->pmem->pm.base[off] ^ 1;
    sim_pmem_poke(r->pmem, off, &byte, 1);
}
