/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a cache device: check it, open it, attach and use every backend, twice.
 *
 * The first byte of the input says what the rest is: below FUZZ_BASE_COUNT, changes to that base
 * image (image/patch.h); else the device itself. Nothing may crash, hang, leak or touch what is
 * not there. And the parts must agree with each other:
 *
 * F1  a check stores nothing, and neither does opening;
 * F2  where the check finds no error, opening and attaching succeed, every read succeeds, and
 *     after a clean detach the check finds no error again; a metadata image without an error
 *     opens for reading only, and says so;
 * F3  what was attached once can be attached again, after a detach or after the process died.
 *
 * FUZZ_VERBOSE in the environment shows what the core has to say about an input.
 *
 * Injected faults excuse F2 and F3. Unreadable lines excuse F3 and a failing read or detach: what
 * is stored there later is lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbd/check.h"
#include "engine.h"
#include "image/patch.h"
#include "image/seams.h"

#define EXTENTS_MAX 24u
#define IO_BYTES 65536u
#define STEPS_MAX 24u
#define TIMEOUT_NS UINT64_C(1000000)
#define COUNTS_MAX (UINT64_C(1) << 24) /* more than one input can count */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static struct fuzz_base bases[FUZZ_BASE_COUNT];
static struct fuzz_env env;
static uint8_t buffer[IO_BYTES];

/* One input. */
struct run {
    struct fuzz_pmem *pm;
    struct fuzz_plan plan;
    struct fuzz_disk disks[CBD_BACKENDS];
    struct cbd_backend *backends[CBD_BACKENDS];
    struct cbd_cache *cache;
    bool sound;    /* the check found no error */
    bool faults;   /* something was made to fail, or may */
    bool attached; /* every backend was, the first time */
    bool accepts;  /* another disk is being accepted: nobody else gets in */
    bool no_data;  /* the check found a metadata image */
};

struct extents {
    struct {
        uint64_t addr, len;
    } items[EXTENTS_MAX];
    uint32_t count;
};

/*
 * Forged media may hold the highest value that an attach still accepts: then it is the last one, as
 * it counts on from there.
 */
static void see_counter(struct run *run, uint64_t value, uint64_t start_max)
{
    if (value <= start_max && start_max - value < COUNTS_MAX)
        run->faults = true;
}

/* --- check --- */

static int on_finding(void *arg, const struct cbd_check_finding *finding)
{
    struct run *run = arg;

    FUZZ_REQUIRE(finding->problem != NULL && finding->what != NULL);
    run->accepts = run->accepts || finding->problem->code == CBD_PROBLEM_DROPPING;
    run->no_data = run->no_data || finding->problem->code == CBD_PROBLEM_SUPER_NO_DATA;
    if (getenv("FUZZ_VERBOSE") != NULL)
        fprintf(stderr, "check: %s: %s\n", finding->what, finding->problem->sentence);
    FUZZ_REQUIRE(cbd_problem_find(finding->problem->code) == finding->problem);
    FUZZ_REQUIRE(finding->off_bytes == CBD_CHECK_NOWHERE ||
                 finding->off_bytes <= run->pm->buf_bytes);
    FUZZ_REQUIRE(!finding->range_known || finding->len_bytes <= UINT64_MAX - finding->addr_bytes);
    return 0;
}

static void on_record(void *arg, const struct cbd_check_record *record)
{
    struct run *run = arg;
    struct cbd_m_record m;

    FUZZ_REQUIRE(record->off_bytes <= run->pm->pm.size_bytes - sizeof(struct cbd_m_record));
    FUZZ_REQUIRE(record->backend < CBD_BACKENDS);
    memcpy(&m, run->pm->buf + record->off_bytes, sizeof(m));
    see_counter(run, cbd_get64(m.order), CBD_ORDER_START_MAX);
    see_counter(run, cbd_get64(m.epoch), CBD_EPOCH_START_MAX);
}

static void on_segment(void *arg, const struct cbd_check_segment *segment)
{
    struct run *run = arg;
    struct cbd_m_segment m;

    see_counter(run, segment->generation, CBD_GENERATION_START_MAX);
    memcpy(&m, run->pm->buf + segment->entry_off_bytes, sizeof(m));
    see_counter(run, cbd_get64(m.order_max), CBD_ORDER_START_MAX);
    see_counter(run, cbd_get64(m.epoch_max), CBD_EPOCH_START_MAX);
    FUZZ_REQUIRE(segment->damaged <= segment->records);
    FUZZ_REQUIRE(segment->dirty_bytes <= segment->live_bytes);
}

/* True: it ran to its end and found no error. */
static bool check(struct run *run)
{
    static struct cbd_check_summary out;
    const struct cbd_check_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA,
        .record = on_record,
        .segment = on_segment,
    };
    uint64_t stores = run->pm->stores;
    int error = cbd_check_run(&run->pm->pm, &env.env, &options, on_finding, run, &out);

    FUZZ_REQUIRE(run->pm->stores == stores); /* F1 */
    FUZZ_REQUIRE(error <= 0 && (error != 0 || out.super_valid));
    return error == 0 && out.errors == 0;
}

/* --- using a backend --- */

static void on_extent(void *arg, const struct cbd_extent_view *extent)
{
    struct extents *all = arg;

    if (all->count < EXTENTS_MAX) {
        all->items[all->count].addr = extent->addr_bytes;
        all->items[all->count].len = extent->len_bytes;
        all->count++;
    }
}

static void read_at(struct run *run, uint32_t id, uint64_t off, uint64_t len)
{
    int error;

    if (len > IO_BYTES)
        len = IO_BYTES;
    error = cbd_read(run->backends[id], 0, off, buffer, len);
    FUZZ_REQUIRE(error == 0 || !run->sound || run->faults || run->pm->poison_count != 0); /* F2 */
}

/* The ends of the space, and what the index says is cached. */
static void read_all(struct run *run, uint32_t id)
{
    uint64_t size = run->disks[id].disk.size_bytes;
    uint64_t len = size < IO_BYTES ? size : IO_BYTES;
    struct extents all = {.count = 0};

    cbd_backend_extents(run->backends[id], on_extent, &all);
    for (uint32_t i = 0; i < all.count; i++)
        read_at(run, id, all.items[i].addr, all.items[i].len);
    read_at(run, id, 0, len);
    read_at(run, id, size - len, len);
}

/* Errors are fine here: there may be no space, no sound data, no disk. */
static void use(struct run *run, uint32_t id)
{
    struct cbd_backend *b = run->backends[id];
    uint64_t size = run->disks[id].disk.size_bytes;
    uint32_t lbs = run->disks[id].disk.logical_block_bytes;
    uint64_t len = size < IO_BYTES ? size : IO_BYTES;
    struct cbd_stats stats;
    int errors = 0;

    memset(buffer, (int)id + 1, sizeof(buffer));
    errors += cbd_write(b, 1, 0, buffer, lbs, 0);
    errors += cbd_write(b, 2, size - lbs, buffer, lbs, CBD_WRITE_FUA);
    errors += cbd_write(b, 3, size / 2 / lbs * lbs, buffer, lbs, 0);
    errors += cbd_write(b, 4, size - len, buffer, len, 0);
    errors += cbd_flush(b, 5);
    errors += cbd_zero(b, 6, size / 2 / lbs * lbs, size / 4 / lbs * lbs, CBD_WRITE_PUNCH);
    errors += cbd_zero(b, 7, 0, lbs, 0);
    for (uint32_t i = 0; i < STEPS_MAX; i++) {
        errors += cbd_backend_step(b, i % 4 == 3 ? CBD_WORK_RECLAIM : CBD_WORK_WRITEBACK);
        fuzz_disk_complete(&run->disks[id]);
    }
    cbd_backend_stats(b, &stats);
    FUZZ_REQUIRE(stats.segments_free <= stats.segments);
    (void)errors;
}

/* --- the cache --- */

static void attach(struct run *run, uint32_t id, bool again)
{
    /* The disk of a fuzz run holds nothing of what the image says: most often a mismatch. */
    bool compares = (run->plan.options & FUZZ_OPTION_COMPARES) != 0;
    const struct cbd_attach_options options = {
        .space_timeout_ns = TIMEOUT_NS,
        .trees = run->plan.trees,
        .no_fill = (run->plan.options & FUZZ_OPTION_NO_FILL) != 0,
        .dirty_start_percent = (run->plan.options & FUZZ_OPTION_EAGER) != 0 ? 0 : 30,
        .identity_places = compares ? 0 : CBD_IDENTITY_NONE,
        .accept_backing = run->accepts,
    };
    struct cbd_backend *b = NULL;
    struct cbd_backend_info info;
    int error;

    FUZZ_REQUIRE(cbd_backend_info(run->cache, id, &info));
    see_counter(run, info.epoch_written, CBD_EPOCH_START_MAX);
    see_counter(run, info.horizon, CBD_ORDER_START_MAX);
    fuzz_disk_init(&run->disks[id], info.size_bytes, info.logical_block_bytes);
    run->disks[id].newest_first = (run->plan.options & FUZZ_OPTION_NEWEST_FIRST) != 0;
    run->disks[id].disk.volatile_cache = (run->plan.options & FUZZ_OPTION_WRITE_THROUGH) == 0;
    run->disks[id].disk.discard_zeroes = (run->plan.options & FUZZ_OPTION_KEEPS) == 0;
    if (!again)
        run->disks[id].fault.left = run->plan.fault[FUZZ_FAULT_DISK];
    error = cbd_backend_attach(run->cache, id, &run->disks[id].disk, &options, &b);
    FUZZ_REQUIRE(error <= 0);
    if (error == 0)
        run->backends[id] = b;
    else
        run->attached = false;
    FUZZ_REQUIRE(error == 0 || run->faults || !(run->sound || again) ||
                 (compares && error == CBD_E_MISMATCH)); /* F2, F3 */
}

/* True: everything was detached cleanly; else nobody waits for the rest. */
static bool detach_all(struct run *run, bool clean)
{
    for (uint32_t id = 0; id < CBD_BACKENDS; id++) {
        int error = CBD_E_BUSY;

        if (run->backends[id] == NULL)
            continue;
        fuzz_env_settle(&env);
        env.background = false; /* a detach does all steps itself */
        if (clean)
            error = cbd_backend_detach(run->backends[id]);
        env.background = true;
        FUZZ_REQUIRE(!clean || error == 0 || !run->sound || run->faults ||
                     run->pm->poison_count != 0); /* F2 */
        if (error != 0) {
            clean = false;
            fuzz_env_settle(&env);
            cbd_backend_abandon(run->backends[id]);
        }
        run->backends[id] = NULL;
    }
    return clean;
}

/* Opens, attaches and uses everything; again: as it was left by the turn before. */
static bool serve(struct run *run, bool again, bool clean)
{
    struct cbd_backend_info info;
    int error = cbd_cache_open(&run->pm->pm, &env.env, 0, &run->cache);
    bool ended;

    FUZZ_REQUIRE(error <= 0 && (error != 0 || !run->no_data));
    FUZZ_REQUIRE(error == 0 || run->faults || !(run->sound || again) ||
                 (run->no_data && error == CBD_E_NODATA)); /* F2, F3 */
    if (error != 0)
        return false;
    FUZZ_REQUIRE(cbd_cache_unowned(run->cache) <= cbd_cache_super(run->cache)->geo.segment_count);
    run->attached = true;
    for (uint32_t id = 0; id < CBD_BACKENDS; id++)
        if (cbd_backend_info(run->cache, id, &info))
            attach(run, id, again);
    for (uint32_t id = 0; id < CBD_BACKENDS; id++)
        if (run->backends[id] != NULL) {
            read_all(run, id);
            use(run, id);
        }
    ended = detach_all(run, clean);
    cbd_cache_close(run->cache);
    return ended && run->attached;
}

static void open_readonly(struct run *run)
{
    uint64_t stores = run->pm->stores;
    int error = cbd_cache_open(&run->pm->pm, &env.env, CBD_OPEN_READONLY, &run->cache);

    if (error == 0)
        cbd_cache_close(run->cache);
    FUZZ_REQUIRE(run->pm->stores == stores);                /* F1 */
    FUZZ_REQUIRE(error == 0 || run->faults || !run->sound); /* F2 */
}

static void examine(struct run *run)
{
    bool all_attached, ended;

    fuzz_env_reset(&env, run->disks, run->backends, CBD_BACKENDS);
    for (int i = 0; i < FUZZ_FAULT_COUNT; i++)
        run->faults = run->faults || run->plan.fault[i] != 0;
    run->sound = check(run);
    open_readonly(run);
    env.alloc_fault.left = run->plan.fault[FUZZ_FAULT_ALLOC];
    run->pm->fence_fault.left = run->plan.fault[FUZZ_FAULT_FENCE];
    ended = serve(run, false, (run->plan.options & 1u << 7) == 0);
    all_attached = run->attached && run->pm->poison_count == 0;
    env.alloc_fault.left = 0;
    run->pm->fence_fault.left = 0;
    run->sound = run->sound && run->pm->poison_count == 0;
    if (ended && run->sound && !run->faults)
        FUZZ_REQUIRE(check(run)); /* F2 */
    if (run->cache != NULL)
        ended = serve(run, all_attached && !run->faults, true);
    if (ended && run->sound && !run->faults)
        FUZZ_REQUIRE(check(run));
    FUZZ_REQUIRE(env.blocks == 0 && env.bytes == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (bases[0].image == NULL)
        fuzz_bases_build(bases);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct run run = {.pm = NULL};
    struct fuzz_pmem device;

    LLVMFuzzerInitialize(NULL, NULL);
    if (size_bytes > 0 && data[0] < FUZZ_BASE_COUNT) {
        struct fuzz_base *base = &bases[data[0]];

        run.pm = &base->pmem;
        fuzz_pmem_reset(run.pm);
        fuzz_patch_run(base, data + 1, size_bytes - 1, &run.plan);
        examine(&run);
        return 0;
    }
    fuzz_pmem_init(&device, size_bytes > 0 ? data + 1 : data, size_bytes > 0 ? size_bytes - 1 : 0);
    run.pm = &device;
    examine(&run);
    fuzz_pmem_destroy(&device);
    return 0;
}
