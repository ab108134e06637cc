/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scenes, on a small machine of their own. Each prepares a medium, and then every pmem operation
 * of what follows is a place where the power fails.
 */
#include "drops_damage.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "cbd/cache.h"
#include "cbd/format.h"
#include "cbd/media_format.h"
#include "sim_base.h"
#include "sim_disk.h"
#include "sim_env.h"
#include "sim_pmem.h"

#define BLOCK 4096u
#define BLOCK_SECTORS (BLOCK / SIM_SECTOR_BYTES)
#define BLOCKS 16u
#define SEGMENT_BYTES (64u << 10)
#define SHARE 6u
#define PM_BYTES (UINT64_C(4) << 20)
#define SUBSETS 24u

struct rig {
    struct sim_env env;
    struct sim_pmem *pmem;
    struct sim_disk *disk;
    struct cbd_cache *cache;
    struct cbd_backend *backend;
    struct cbd_geometry geo;
    uint64_t version[BLOCKS];
    uint64_t record_off, data_off; /* of the last write */
    uint64_t die_at;               /* the operation before which the power fails */
    jmp_buf died;
    enum cbd_step drop;
    uint64_t calls; /* of it */
    uint64_t states;
    const char *failed; /* what went wrong first; static */
    uint8_t buf[BLOCK];
};

static bool expect(struct rig *r, bool good, const char *what)
{
    if (!good && r->failed == NULL)
        r->failed = what;
    return r->failed == NULL;
}

static bool progress(void *arg)
{
    struct rig *r = arg;

    if (sim_disk_inflight(r->disk) == 0)
        return false;
    sim_disk_complete(r->disk, 0);
    return true;
}

static void hook(void *arg, const struct sim_pm_event *ev)
{
    struct rig *r = arg;

    r->calls += ev->step == r->drop;
    if (ev->step == CBD_STEP_INSERT_RECORD)
        r->record_off = ev->off;
    if (ev->step == CBD_STEP_INSERT_DATA)
        r->data_off = ev->off;
    if (ev->number == r->die_at) {
        r->die_at = UINT64_MAX;
        longjmp(r->died, 1);
    }
}

static void attach(struct rig *r)
{
    struct cbd_attach_options options = {.no_fill = true, .dirty_start_percent = 100};

    r->cache = NULL;
    r->backend = NULL;
    sim_env_reset(&r->env, 1);
    if (expect(r, cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache) == 0, "open failed"))
        expect(r, cbd_backend_attach(r->cache, 0, &r->disk->disk, &options, &r->backend) == 0,
               "attach failed");
}

static void begin(struct rig *r)
{
    struct cbd_format_options format = {.uuid = {0xd0}, .segment_bytes = SEGMENT_BYTES, .salt = 1};
    struct cbd_backend_options options = {
        .uuid = {1},
        .name = "one",
        .size_bytes = r->disk->disk.size_bytes,
        .logical_block_bytes = r->disk->disk.logical_block_bytes,
        .cache_bytes = (uint64_t)SHARE * SEGMENT_BYTES,
        .streams = 1,
    };
    uint32_t id = 0;

    sim_env_reset(&r->env, 1);
    if (!expect(r, cbd_format(&r->pmem->pm, &r->env.env, &format, &r->geo) == 0, "format failed") ||
        !expect(r, cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache) == 0, "open failed") ||
        !expect(r, cbd_backend_add(r->cache, &options, &id) == 0, "add failed"))
        return;
    attach(r);
}

static void write_block(struct rig *r, uint32_t block, uint64_t version)
{
    if (r->failed != NULL)
        return;
    for (uint32_t i = 0; i < BLOCK_SECTORS; i++)
        sim_sector_fill(r->buf + i * SIM_SECTOR_BYTES, block * BLOCK_SECTORS + i, version);
    expect(r, cbd_write(r->backend, 0, (uint64_t)block * BLOCK, r->buf, BLOCK, 0) == 0,
           "a write failed");
    r->version[block] = version;
}

static void write_back(struct rig *r)
{
    if (r->failed != NULL)
        return;
    cbd_backend_drain(r->backend, true);
    while (cbd_backend_step(r->backend, CBD_WORK_WRITEBACK) > 0 || progress(r))
        ;
    cbd_backend_drain(r->backend, false);
}

/* The process is gone and the power was, too. */
static void power_cut(struct rig *r, const struct sim_crash *crash)
{
    sim_pmem_crash(r->pmem, crash);
    sim_disk_crash(r->disk, crash);
}

static void compare(struct rig *r)
{
    struct cbd_stats stats;

    if (r->failed != NULL)
        return;
    cbd_backend_stats(r->backend, &stats);
    expect(r, !stats.degraded, "the backend is served for reading only");
    for (uint32_t block = 0; block < BLOCKS && r->failed == NULL; block++) {
        int error = cbd_read(r->backend, 0, (uint64_t)block * BLOCK, r->buf, BLOCK);

        expect(r, error == 0, "a read failed");
        for (uint32_t i = 0; i < BLOCK_SECTORS && r->failed == NULL; i++)
            expect(r,
                   sim_sector_decode(r->buf + i * SIM_SECTOR_BYTES, block * BLOCK_SECTORS + i) ==
                       r->version[block],
                   "a read is wrong");
    }
}

/* Runs until the operation `at`; true: it ended before. */
static bool ended_before(struct rig *r, void (*run)(struct rig *r), uint64_t at)
{
    r->die_at = at;
    if (setjmp(r->died) != 0)
        return false;
    run(r);
    r->die_at = UINT64_MAX;
    return true;
}

/*
 * `run` is cut before each of its operations and behind the last one; each time the medium is left
 * in many ways, `damage` (or nothing) is done to it, and everything must read right.
 */
static void cut_everywhere(struct rig *r, void (*run)(struct rig *r),
                           void (*damage)(struct rig *r, uint64_t subset), uint64_t seed)
{
    uint64_t first = r->pmem->ops_done;
    bool ended = false;

    for (uint64_t at = first; !ended && r->failed == NULL; at++) {
        for (uint64_t subset = 0; subset < SUBSETS && r->failed == NULL; subset++) {
            struct sim_crash crash = sim_crash_subset(subset, sim_rng_mix(seed, at));

            sim_pmem_mark(r->pmem);
            sim_disk_mark(r->disk);
            ended = ended_before(r, run, at);
            power_cut(r, &crash);
            if (damage != NULL && ended)
                damage(r, subset);
            attach(r);
            compare(r);
            r->states++;
            sim_disk_rollback(r->disk);
            sim_pmem_rollback(r->pmem);
        }
    }
}

/*
 * A segment with a damaged record, which is clean, and an unfinished write is closed by the attach.
 * In a closed segment every record counts: the unfinished one must be void before.
 */
static void closed_with_damage(struct rig *r, uint64_t seed)
{
    static const struct sim_crash all = {.kind = SIM_CRASH_ALL};
    static const uint8_t garbage[CBD_LINE_BYTES] = {0x5a};
    uint64_t damaged;

    begin(r);
    write_block(r, 0, 1);
    damaged = r->record_off;
    write_block(r, 1, 2);
    write_back(r);
    write_block(r, 2, 3);
    r->version[2] = 0;
    power_cut(r, &all);
    sim_pmem_poke(r->pmem, damaged, garbage, sizeof(garbage));
    sim_pmem_poke(r->pmem, r->data_off, garbage, sizeof(garbage));
    cut_everywhere(r, attach, NULL, seed);
}

static void attach_and_detach(struct rig *r)
{
    attach(r);
    if (r->failed == NULL)
        expect(r, cbd_backend_detach(r->backend) == 0, "detach failed");
}

/* The newest record, and for two of three subsets one copy of the entry of its segment as well. */
static void damage_newest(struct rig *r, uint64_t subset)
{
    static const uint8_t garbage[CBD_LINE_BYTES] = {0x5a};
    uint64_t segment = (r->record_off - r->geo.data_off) / SEGMENT_BYTES;
    uint64_t entry =
        CBD_BACKENDS * (sizeof(struct cbd_m_backend) + sizeof(struct cbd_m_backend_state)) +
        segment * sizeof(struct cbd_m_segment);

    sim_pmem_poke(r->pmem, r->record_off, garbage, sizeof(garbage));
    if (subset % 3 != 2)
        sim_pmem_poke(r->pmem, (subset % 3 == 0 ? r->geo.table_a_off : r->geo.table_b_off) + entry,
                      garbage, sizeof(garbage));
}

/* Behind a clean detach everything is proven, also with one copy of each entry. */
static void detached_with_damage(struct rig *r, uint64_t seed)
{
    static const struct sim_crash none = {.kind = SIM_CRASH_NONE};

    begin(r);
    write_block(r, 0, 1);
    write_back(r);
    write_block(r, 0, 2);
    power_cut(r, &none);
    cut_everywhere(r, attach_and_detach, damage_newest, seed);
}

static void (*const scenes[])(struct rig *r, uint64_t seed) = {closed_with_damage,
                                                               detached_with_damage};

bool sim_drops_damage(enum cbd_step drop, uint64_t seed, uint64_t *states, uint64_t *calls,
                      char *why, size_t why_bytes)
{
    static const struct sim_disk_config disk = {
        .size_bytes = (uint64_t)BLOCKS * BLOCK,
        .logical_block_bytes = SIM_SECTOR_BYTES,
        .volatile_cache = true,
        .discard_zeroes = true,
    };
    const char *failed = NULL;

    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]) && failed == NULL; i++) {
        struct rig *r = sim_zalloc(1, sizeof(*r));

        sim_env_init(&r->env, 1);
        r->env.progress = progress;
        r->env.progress_arg = r;
        r->pmem = sim_pmem_create(PM_BYTES, SIM_ADR);
        r->pmem->drop_step = r->drop = drop;
        r->pmem->hook = hook;
        r->pmem->hook_arg = r;
        r->disk = sim_disk_create(&disk);
        r->die_at = UINT64_MAX;
        scenes[i](r, seed);
        failed = r->failed;
        *states += r->states;
        *calls += r->calls;
        sim_disk_destroy(r->disk);
        sim_pmem_destroy(r->pmem);
        sim_env_destroy(&r->env);
        free(r);
    }
    if (failed != NULL)
        snprintf(why, why_bytes, "with damage: %s", failed);
    return failed == NULL;
}
