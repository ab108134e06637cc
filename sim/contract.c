/* SPDX-License-Identifier: BSD-2-Clause */
/* The scenes of the contract, on a small machine of their own. */
#include "contract.h"

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
#define BLOCKS 64u /* of a disk */
#define DISK_BYTES ((uint64_t)BLOCKS * BLOCK)
#define SEGMENT_BYTES (64u << 10)
#define SHARE 6u
#define PM_BYTES (UINT64_C(4) << 20)
#define DISKS 2u

/* The environment comes first, so that its operations find the memory switch. */
struct rig {
    struct sim_env env;
    struct cbd_env_ops ops;
    const struct cbd_env_ops *real;
    bool no_memory;
    bool fills;
    bool overtake; /* the next wait is that of a read, and much happens before it ends */
    bool background;
    enum cbd_step die_at; /* the process dies before this step */
    uint64_t record_off;  /* of the last record that was stored */
    jmp_buf died;
    struct sim_pmem *pmem;
    struct sim_disk *disk[DISKS];
    struct cbd_cache *cache;
    struct cbd_backend *backend[DISKS];
    struct cbd_geometry geo;
    uint64_t version[DISKS][BLOCKS]; /* of every sector of the block */
    uint64_t last_version;
    uint8_t buf[BLOCK];
    char *why;
    size_t why_bytes;
    bool failed;
};

static bool expect(struct rig *r, bool good, const char *what, int64_t got)
{
    if (!good && !r->failed) {
        r->failed = true;
        snprintf(r->why, r->why_bytes, "%s (got %lld)", what, (long long)got);
    }
    return good && !r->failed;
}

static void overtake(struct rig *r);

static bool progress(void *arg)
{
    struct rig *r = arg;

    if (r->overtake) {
        r->overtake = false;
        overtake(r);
        return true;
    }
    for (uint32_t n = 0; n < DISKS; n++) {
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
    struct rig *r = (struct rig *)env;

    return r->no_memory ? NULL : r->real->alloc(env, len_bytes);
}

static void create(struct rig *r, enum sim_model model, uint32_t logical_block_bytes)
{
    struct sim_disk_config disk = {
        .size_bytes = DISK_BYTES,
        .logical_block_bytes = logical_block_bytes,
        .volatile_cache = true,
        .discard_zeroes = true,
    };

    sim_env_init(&r->env, 1);
    r->real = r->env.env.ops;
    r->ops = *r->real;
    r->ops.alloc = rig_alloc;
    r->env.env.ops = &r->ops;
    r->env.progress = progress;
    r->env.progress_arg = r;
    r->pmem = sim_pmem_create(PM_BYTES, model);
    for (uint32_t n = 0; n < DISKS; n++)
        r->disk[n] = sim_disk_create(&disk);
}

static void destroy(struct rig *r)
{
    for (uint32_t n = 0; n < DISKS; n++)
        sim_disk_destroy(r->disk[n]);
    sim_pmem_destroy(r->pmem);
    sim_env_destroy(&r->env);
}

static void format(struct rig *r, uint64_t salt)
{
    struct cbd_format_options options = {
        .uuid = {0xc0}, .segment_bytes = SEGMENT_BYTES, .salt = salt};
    int error = cbd_format(&r->pmem->pm, &r->env.env, &options, &r->geo);

    expect(r, error == 0, "format", error);
}

static void open_cache(struct rig *r)
{
    int error;

    sim_env_reset(&r->env, 1);
    memset(r->backend, 0, sizeof(r->backend));
    r->cache = NULL;
    error = cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache);
    expect(r, error == 0, "open", error);
}

static int add(struct rig *r, uint32_t n, uint32_t segments, uint32_t streams)
{
    struct cbd_backend_options options = {
        .uuid = {(uint8_t)(n + 1)},
        .name = n == 0 ? "one" : "two",
        .size_bytes = r->disk[n]->disk.size_bytes,
        .logical_block_bytes = r->disk[n]->disk.logical_block_bytes,
        .cache_bytes = (uint64_t)segments * SEGMENT_BYTES,
        .streams = streams,
    };
    uint32_t id = n;
    int error = r->failed ? CBD_E_INVALID : cbd_backend_add(r->cache, &options, &id);

    expect(r, error != 0 || id == n, "add gave another id", id);
    return error;
}

static int attach(struct rig *r, uint32_t n)
{
    struct cbd_attach_options options = {.no_fill = !r->fills, .dirty_start_percent = 100};

    if (r->failed)
        return CBD_E_INVALID;
    return cbd_backend_attach(r->cache, n, &r->disk[n]->disk, &options, &r->backend[n]);
}

static void begin(struct rig *r, uint32_t n, uint64_t salt)
{
    int error;

    if (n == 0) {
        format(r, salt);
        if (!r->failed)
            open_cache(r);
    }
    error = add(r, n, SHARE, 1);
    expect(r, error == 0, "add", error);
    error = attach(r, n);
    expect(r, error == 0, "attach", error);
}

static int write_block(struct rig *r, uint32_t n, uint32_t block)
{
    uint64_t version = ++r->last_version;
    int error;

    if (r->failed)
        return CBD_E_INVALID;
    for (uint32_t i = 0; i < BLOCK_SECTORS; i++)
        sim_sector_fill(r->buf + i * SIM_SECTOR_BYTES, block * BLOCK_SECTORS + i, version);
    error = cbd_write(r->backend[n], r->pmem->thread, (uint64_t)block * BLOCK, r->buf, BLOCK, 0);
    if (error == 0)
        r->version[n][block] = version;
    return error;
}

/* Everything reads as it was written. */
static void compare(struct rig *r, uint32_t n, const char *what)
{
    for (uint32_t block = 0; block < BLOCKS && !r->failed; block++) {
        int error = cbd_read(r->backend[n], 0, (uint64_t)block * BLOCK, r->buf, BLOCK);
        uint64_t got;

        expect(r, error == 0, "a read failed", error);
        for (uint32_t i = 0; i < BLOCK_SECTORS && !r->failed; i++) {
            got = sim_sector_decode(r->buf + i * SIM_SECTOR_BYTES, block * BLOCK_SECTORS + i);
            expect(r, got == r->version[n][block], what, (int64_t)got);
        }
    }
}

static void compare_disk(struct rig *r, uint32_t n)
{
    for (uint32_t i = 0; i < BLOCKS * BLOCK_SECTORS && !r->failed; i++) {
        uint64_t got = sim_disk_peek(r->disk[n], i);

        expect(r, got == r->version[n][i / BLOCK_SECTORS], "the detached disk is wrong",
               (int64_t)got);
    }
}

/* The process dies and the power fails; everything that was stored has reached the medium. */
static void power_cut(struct rig *r)
{
    static const struct sim_crash all = {.kind = SIM_CRASH_ALL};

    sim_pmem_crash(r->pmem, &all);
    for (uint32_t n = 0; n < DISKS; n++)
        sim_disk_crash(r->disk[n], &all);
    r->no_memory = false;
}

static void restart(struct rig *r, uint32_t backends)
{
    power_cut(r);
    if (!r->failed)
        open_cache(r);
    for (uint32_t n = 0; n < backends; n++) {
        int error = attach(r, n);

        expect(r, error == 0, "attach after a power cut", error);
    }
}

/* The disk has answered with old data; now its block is written, written back and forgotten. */
static void overtake(struct rig *r)
{
    sim_disk_complete(r->disk[0], 0);
    r->background = true;
    r->pmem->thread = 1;
    for (uint32_t i = 0; i < 6 * SHARE * (SEGMENT_BYTES / BLOCK); i++) {
        expect(r, write_block(r, 0, i == 0 ? 0 : 1 + i % (BLOCKS - 1)) == 0, "write", i);
        if (i % 8 == 0)
            expect(r, cbd_flush(r->backend[0], 1) == 0, "flush", i);
    }
    r->background = false;
    r->pmem->thread = 0;
}

/* D10: a read fill that comes after all this is too old. */
static void late_fill(struct rig *r)
{
    create(r, SIM_ADR, 512);
    r->fills = true;
    begin(r, 0, 1);
    r->overtake = true;
    expect(r, !r->failed && cbd_read(r->backend[0], 0, 0, r->buf, BLOCK) == 0, "read", 0);
    compare(r, 0, "a read fill hides a newer write");
}

/* W1: what is written after a drain is of a later epoch, and reaches the disk as well. */
static void drained(struct rig *r)
{
    create(r, SIM_ADR, 512);
    begin(r, 0, 1);
    for (uint32_t i = 0; i < 3; i++) {
        expect(r, write_block(r, 0, i) == 0, "write", i);
        if (r->failed)
            return;
        cbd_backend_drain(r->backend[0], true);
        r->background = true;
        while (progress(r))
            ;
        r->background = false;
        cbd_backend_drain(r->backend[0], false);
    }
    expect(r, write_block(r, 0, 3) == 0, "write", 3);
    expect(r, !r->failed && cbd_backend_detach(r->backend[0]) == 0, "detach", 0);
    compare_disk(r, 0);
}

static void die(void *arg, const struct sim_pm_event *ev)
{
    struct rig *r = arg;

    if (ev->step == CBD_STEP_INSERT_RECORD)
        r->record_off = ev->off;
    if (ev->step == r->die_at)
        longjmp(r->died, 1);
}

static void write_and_die(struct rig *r, uint32_t block, enum cbd_step step)
{
    r->die_at = step;
    r->pmem->hook = die;
    r->pmem->hook_arg = r;
    if (setjmp(r->died) == 0)
        (void)!write_block(r, 0, block);
    r->pmem->hook = NULL;
}

/*
 * D12: a write dies before its record; the next one of the stream takes the same place, and of it
 * only the record reaches the medium. Header and data are whole, and belong to the first.
 */
static void foreign_payload(struct rig *r)
{
    static const struct sim_crash none = {.kind = SIM_CRASH_NONE};
    uint8_t record[CBD_LINE_BYTES];

    create(r, SIM_ADR, 512);
    begin(r, 0, 1);
    expect(r, write_block(r, 0, 1) == 0, "write", 0);
    write_and_die(r, 2, CBD_STEP_INSERT_RECORD);
    restart(r, 1);
    write_and_die(r, 3, CBD_STEP_INSERT_RECORD_FENCE);
    memcpy(record, r->pmem->pm.base + r->record_off, sizeof(record));
    sim_pmem_crash(r->pmem, &none);
    sim_pmem_poke(r->pmem, r->record_off, record, sizeof(record));
    restart(r, 1);
    compare(r, 0, "a record was given the data of another write");
}

/* D7, D8, D21: a disk that is not the one that was added. */
static void wrong_disk(struct rig *r)
{
    int error;

    create(r, SIM_ADR, 512);
    format(r, 1);
    open_cache(r);
    error = add(r, 0, SHARE, 1);
    expect(r, error == 0, "add", error);
    r->disk[0]->disk.size_bytes -= BLOCK;
    error = attach(r, 0);
    expect(r, error == CBD_E_MISMATCH, "a disk of another size is attached", error);
    r->disk[0]->disk.size_bytes += BLOCK;
    r->disk[0]->disk.logical_block_bytes = 4096;
    error = attach(r, 0);
    expect(r, error == CBD_E_MISMATCH, "a disk with another logical block is attached", error);
}

/* D7, D8: requests that no disk of this kind can have. */
static void wrong_requests(struct rig *r)
{
    create(r, SIM_ADR, 4096);
    begin(r, 0, 1);
    if (r->failed)
        return;
    expect(r, cbd_write(r->backend[0], 0, 512, r->buf, 512, 0) == CBD_E_INVALID,
           "a write of a part of a logical block is taken", 0);
    expect(r, cbd_zero(r->backend[0], 0, 0, 512, 0) == CBD_E_INVALID,
           "a discard of a part of a logical block is taken", 0);
    expect(r, cbd_read(r->backend[0], 0, 512, r->buf, 512) == CBD_E_INVALID,
           "a read of a part of a logical block is taken", 0);
    expect(r, cbd_zero(r->backend[0], 0, DISK_BYTES, BLOCK, 0) == CBD_E_RANGE,
           "a discard beyond the end is taken", 0);
    expect(r, cbd_write(r->backend[0], 0, DISK_BYTES, r->buf, BLOCK, 0) == CBD_E_RANGE,
           "a write beyond the end is taken", 0);
}

/* D17: a share that could not be reclaimed. And: no backend takes what another one has. */
static void shares(struct rig *r)
{
    int error;

    create(r, SIM_ADR, 512);
    format(r, 1);
    open_cache(r);
    error = add(r, 0, 1 + CBD_SHARE_RESERVE - 1, 1);
    expect(r, error == CBD_E_NOSPACE, "a share without a reserve is accepted", error);
    error = add(r, 0, SHARE, 1);
    expect(r, error == 0, "add", error);
    error = attach(r, 0);
    expect(r, error == 0, "attach", error);
    for (uint32_t i = 0; i < BLOCKS / 2; i++)
        expect(r, write_block(r, 0, i) == 0, "write", i);
    restart(r, 0);
    error = add(r, 1, SHARE, 1);
    expect(r, error == 0, "add of a second backend", error);
    restart(r, 2);
    compare(r, 0, "a backend lost data when another one was added");
    compare(r, 1, "a new backend shows foreign data");
}

/* D10: a shortage of memory fails one write and changes nothing. */
static void no_memory(struct rig *r)
{
    int error;

    create(r, SIM_ADR, 512);
    begin(r, 0, 1);
    for (uint32_t i = 0; i < 4; i++) {
        r->no_memory = true;
        error = write_block(r, 0, i);
        expect(r, error == 0 || error == CBD_E_NOMEM, "a write without memory", error);
        r->no_memory = false;
        r->pmem->thread = (i + 1) % 2; /* what failed was stored by the other one, and not fenced */
        error = write_block(r, 0, i);
        expect(r, error == 0, "a write after a shortage of memory", error);
    }
    expect(r, r->pmem->counts.mixed.count == 0, "two threads store to one place without a fence",
           (int64_t)r->pmem->counts.mixed.line_off);
    compare(r, 0, "after a shortage of memory");
    restart(r, 1);
    compare(r, 0, "after a shortage of memory and a power cut");
}

/* D20: persistent memory that does not persist ends the service. */
static void fence_fails(struct rig *r)
{
    int error;

    create(r, SIM_PAGE, 512);
    begin(r, 0, 1);
    expect(r, write_block(r, 0, 0) == 0, "write", 0);
    r->pmem->fail_fences = 1;
    error = write_block(r, 0, 1);
    expect(r, error != 0, "a write is acknowledged although its fence failed", error);
    error = write_block(r, 0, 2);
    expect(r, error != 0, "the cache goes on although a fence failed", error);
}

/* D11: a detach that cannot write back is an error, and nothing is lost by it. */
static void detach_fails(struct rig *r)
{
    struct cbd_backend_info info;
    int error;

    create(r, SIM_ADR, 512);
    begin(r, 0, 1);
    for (uint32_t i = 0; i < 8; i++)
        expect(r, write_block(r, 0, i) == 0, "write", i);
    sim_disk_set_gone(r->disk[0], true);
    error = r->failed ? 0 : cbd_backend_detach(r->backend[0]);
    expect(r, error != 0, "a detach succeeds although the disk is gone", error);
    sim_disk_set_gone(r->disk[0], false);
    power_cut(r);
    if (!r->failed)
        open_cache(r);
    expect(r, !r->failed && cbd_backend_info(r->cache, 0, &info) && info.was_attached,
           "a failed detach says clean", 0);
    error = attach(r, 0);
    expect(r, error == 0, "attach", error);
    error = r->failed ? 0 : cbd_backend_detach(r->backend[0]);
    expect(r, error == 0, "detach", error);
    compare_disk(r, 0);
}

/* D18: nobody frees what the disk still uses. */
static void abandon_waits(struct rig *r)
{
    create(r, SIM_ADR, 512);
    begin(r, 0, 1);
    for (uint32_t i = 0; i < 8; i++)
        expect(r, write_block(r, 0, 2 * i) == 0, "write", i);
    if (r->failed)
        return;
    cbd_backend_drain(r->backend[0], true);
    for (uint32_t i = 0; i < 4; i++)
        (void)!cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK);
    expect(r, sim_disk_inflight(r->disk[0]) != 0, "the scene has nothing in flight", 0);
    cbd_backend_abandon(r->backend[0]);
    expect(r, sim_disk_inflight(r->disk[0]) == 0, "memory was freed below a request in flight",
           (int64_t)sim_disk_inflight(r->disk[0]));
}

static void wipe_superblocks(struct rig *r)
{
    const uint64_t at[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, r->geo.super2_off};
    static const uint8_t zeroes[sizeof(struct cbd_m_super)];

    for (uint32_t i = 0; i < CBD_SUPER_COPIES; i++)
        sim_pmem_poke(r->pmem, at[i], zeroes, sizeof(zeroes));
}

/* D5: an old cache, a new one over it, and a few writes. Nothing old shows, however it ends. */
static void reborn(struct rig *r, uint64_t salt, bool wipe)
{
    create(r, SIM_ADR, 512);
    begin(r, 0, 1);
    for (uint32_t i = 0; i < 40; i++)
        expect(r, write_block(r, 0, i) == 0, "write", i);
    power_cut(r);
    if (wipe)
        wipe_superblocks(r);
    memset(r->version, 0, sizeof(r->version));
    begin(r, 0, salt);
    compare(r, 0, "the cache before the format shows");
    for (uint32_t i = 0; i < 6; i++) {
        expect(r, write_block(r, 0, BLOCKS - 1 - i) == 0, "write", i);
        restart(r, 1);
        compare(r, 0, "the cache before the format is back");
    }
}

static void format_again(struct rig *r)
{
    reborn(r, 1, false);
}

static void format_wiped(struct rig *r)
{
    reborn(r, 2, true);
}

static const struct {
    const char *name;
    void (*play)(struct rig *r);
} scenes[] = {
    {"wrong disk", wrong_disk},
    {"wrong requests", wrong_requests},
    {"shares", shares},
    {"no memory", no_memory},
    {"a fence fails", fence_fails},
    {"a detach fails", detach_fails},
    {"abandon waits", abandon_waits},
    {"a fill comes late", late_fill},
    {"drained, and on", drained},
    {"a payload of another write", foreign_payload},
    {"format with the same salt", format_again},
    {"format of a wiped device", format_wiped},
};

uint32_t sim_contract_scenes(void)
{
    return sizeof(scenes) / sizeof(scenes[0]);
}

const char *sim_contract_name(uint32_t scene)
{
    return scenes[scene].name;
}

bool sim_contract_play(uint32_t scene, char *why, size_t why_bytes)
{
    struct rig *r = sim_zalloc(1, sizeof(*r));
    bool good;

    r->why = why;
    r->why_bytes = why_bytes;
    scenes[scene].play(r);
    good = !r->failed;
    destroy(r);
    free(r);
    return good;
}
