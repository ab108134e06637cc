/* SPDX-License-Identifier: BSD-2-Clause */
/* The run of the administrative scenario: what is called, and what must be true meanwhile. */
#include "admin.h"

#include <string.h>

#include "admin_impl.h"
#include "sim_base.h"

#define WRITE_SECTORS 24u /* 12 KiB: some of them fill a segment */
#define THREADS 8u

const char *const sim_admin_names[ADMIN_SLOTS] = {"one", "two"};

struct cbd_backend_options sim_admin_options(uint32_t slot)
{
    return (struct cbd_backend_options){
        .uuid = {(uint8_t)(slot + 1)},
        .name = sim_admin_names[slot],
        .size_bytes = ADMIN_DISK_BYTES,
        .logical_block_bytes = 512,
        .cache_bytes = (uint64_t)ADMIN_SEGMENTS * ADMIN_SEGMENT_BYTES,
        .streams = 1,
    };
}

struct cbd_format_options sim_admin_format_options(const struct admin *a, uint64_t salt)
{
    return (struct cbd_format_options){
        .uuid = {0xad},
        .segment_bytes = ADMIN_SEGMENT_BYTES,
        .no_data_checksum = a->config->no_data_checksum,
        .salt = salt,
    };
}

bool sim_admin_progress(void *admin)
{
    struct admin *a = admin;

    for (uint32_t i = 0; i < ADMIN_DISKS; i++) {
        if (sim_disk_inflight(a->disk[i]) != 0) {
            sim_disk_complete(a->disk[i], 0);
            return true;
        }
    }
    return false;
}

void sim_admin_set_hooks(struct admin *a, void (*pm)(void *, const struct sim_pm_event *),
                         void (*disk)(void *, const struct sim_disk_event *))
{
    a->pmem->hook = pm;
    a->pmem->hook_arg = a;
    for (uint32_t i = 0; i < ADMIN_DISKS; i++) {
        a->disk[i]->hook = disk;
        a->disk[i]->hook_arg = a;
    }
}

static void at_step(struct admin *a)
{
    for (uint64_t s = 0; s < a->config->subsets && !a->stop; s++)
        sim_admin_judge_subset(a, s);
    a->step++;
}

static void on_pm(void *arg, const struct sim_pm_event *ev)
{
    (void)ev;
    at_step(arg);
}

static void on_disk(void *arg, const struct sim_disk_event *ev)
{
    (void)ev;
    at_step(arg);
}

/* Without a crash every call succeeds, whatever is dropped. */
static void expect(struct admin *a, int error, int want, const char *what)
{
    if (error == want || a->result->failures != 0)
        return;
    a->result->failures = 1;
    a->result->first = (struct sim_admin_failure){
        .what = what, .stage = a->stage, .step = a->step, .error = error};
    a->stop = true;
}

/* Each call of the administrator comes from another thread. */
static void begin(struct admin *a, enum sim_admin_stage stage)
{
    a->stage = stage;
    a->pmem->thread = (a->pmem->thread + 1) % THREADS;
}

static void quiet(struct admin *a)
{
    a->stage = SIM_ADMIN_QUIET;
    for (uint64_t s = 0; s < a->config->subsets && !a->stop; s++)
        sim_admin_judge_subset(a, s);
    sim_admin_judge_copies(a);
}

static void *env_alloc(struct cbd_env *base, size_t len_bytes)
{
    struct admin_env *env = (struct admin_env *)base;

    return env->no_memory ? NULL : env->real->alloc(base, len_bytes);
}

static void format(struct admin *a, uint64_t salt)
{
    struct cbd_format_options options = sim_admin_format_options(a, salt);

    expect(a, cbd_format(&a->pmem->pm, &a->env.sim.env, &options, &a->geo), 0, "format");
}

static void open_cache(struct admin *a)
{
    sim_env_reset(&a->env.sim, a->config->seed);
    expect(a, cbd_cache_open(&a->pmem->pm, &a->env.sim.env, 0, &a->cache), 0, "open");
}

static void add(struct admin *a, struct admin_slot *slots, uint32_t n, uint32_t disk)
{
    struct cbd_backend_options options = sim_admin_options(n);
    struct admin_slot *s = &slots[n];
    uint32_t id = 0;

    begin(a, SIM_ADMIN_ADD);
    memset(s, 0, sizeof(*s)); /* the content of an untouched disk */
    s->disk = disk;
    s->present = ADMIN_EITHER;
    expect(a, cbd_backend_add(a->cache, &options, &id), 0, "add");
    expect(a, (int)id, (int)n, "add gave another id");
    s->present = ADMIN_YES;
}

static void attach(struct admin *a, struct admin_slot *slots, uint32_t n)
{
    struct cbd_attach_options options = {.no_fill = true};
    struct admin_slot *s = &slots[n];

    begin(a, SIM_ADMIN_ATTACH);
    s->unclean = ADMIN_EITHER;
    expect(a, cbd_backend_attach(a->cache, n, &a->disk[s->disk]->disk, &options, &a->backend[n]), 0,
           "attach");
    s->unclean = ADMIN_YES;
}

/* Sectors [first, first + WRITE_SECTORS) get one new version. */
static void write_at(struct admin *a, struct admin_slot *slots, uint32_t n, uint32_t first,
                     int want)
{
    struct admin_slot *s = &slots[n];
    uint64_t version = 1 + s->open_version; /* of this backend so far */
    uint8_t *buf = sim_zalloc(WRITE_SECTORS, SIM_SECTOR_BYTES);

    for (uint32_t i = 0; i < WRITE_SECTORS; i++)
        sim_sector_fill(buf + i * SIM_SECTOR_BYTES, first + i, version);
    s->open_version = version;
    s->open_first = first;
    s->open_sectors = WRITE_SECTORS;
    expect(a,
           cbd_write(a->backend[n], a->pmem->thread, first * (uint64_t)SIM_SECTOR_BYTES, buf,
                     WRITE_SECTORS * SIM_SECTOR_BYTES, 0),
           want, "write");
    for (uint32_t i = 0; i < WRITE_SECTORS && want == 0; i++)
        s->version[first + i] = version;
    s->open_sectors = 0;
    free(buf);
}

/*
 * The first write opens a segment and then fails for lack of memory, the others come from another
 * thread and fill that segment and the next: nothing of the first thread makes them durable.
 */
static void write_some(struct admin *a, struct admin_slot *slots, uint32_t n, bool shortage)
{
    begin(a, SIM_ADMIN_WRITE);
    if (shortage) {
        a->env.no_memory = true;
        write_at(a, slots, n, 0, CBD_E_NOMEM);
        a->env.no_memory = false;
    }
    a->pmem->thread = (a->pmem->thread + 1) % THREADS;
    for (uint32_t i = 0; i < 10; i++)
        write_at(a, slots, n, i * 16, 0);
}

static void detach(struct admin *a, uint32_t n)
{
    begin(a, SIM_ADMIN_DETACH);
    a->slot[n].unclean = ADMIN_EITHER;
    expect(a, cbd_backend_detach(a->backend[n]), 0, "detach");
    a->slot[n].unclean = ADMIN_NO;
}

static void remove_backend(struct admin *a, uint32_t n)
{
    begin(a, SIM_ADMIN_REMOVE);
    a->slot[n].present = ADMIN_EITHER;
    expect(a, cbd_backend_remove(a->cache, n), 0, "remove");
    a->slot[n].present = ADMIN_NO;
}

/* Two backends with data that no disk has, and the machine without power. */
static void make_old_cache(struct admin *a)
{
    static const struct sim_crash everything = {.kind = SIM_CRASH_ALL};
    enum cbd_step drop = a->pmem->drop_step;

    a->pmem->drop_step = CBD_STEP_NONE;
    a->pmem->pm.size_bytes = a->old_bytes;
    format(a, ADMIN_OLD_SALT);
    open_cache(a);
    for (uint32_t n = 0; n < ADMIN_SLOTS; n++)
        add(a, a->old, n, n);
    for (uint32_t n = 0; n < ADMIN_SLOTS; n++) {
        attach(a, a->old, n);
        write_some(a, a->old, n, false);
    }
    sim_pmem_crash(a->pmem, &everything);
    a->pmem->pm.size_bytes = ADMIN_BYTES;
    a->pmem->drop_step = drop;
}

static void format_over(struct admin *a)
{
    begin(a, SIM_ADMIN_FORMAT);
    a->formatting = true;
    format(a, ADMIN_NEW_SALT);
    a->formatting = false;
    quiet(a);
}

static void first_life(struct admin *a)
{
    begin(a, SIM_ADMIN_ADD);
    open_cache(a);
    for (uint32_t n = 0; n < ADMIN_SLOTS && !a->stop; n++) {
        add(a, a->slot, n, ADMIN_SLOTS + n);
        quiet(a);
    }
    for (uint32_t n = 0; n < ADMIN_SLOTS && !a->stop; n++) {
        attach(a, a->slot, n);
        quiet(a);
        write_some(a, a->slot, n, true);
        quiet(a);
    }
}

static void second_life(struct admin *a)
{
    detach(a, 0);
    quiet(a);
    cbd_backend_abandon(a->backend[1]);
    for (uint32_t n = 0; n < ADMIN_SLOTS && !a->stop; n++) {
        remove_backend(a, n);
        quiet(a);
    }
    for (uint32_t n = 0; n < ADMIN_SLOTS && !a->stop; n++) {
        add(a, a->slot, n, 2 * ADMIN_SLOTS + n);
        quiet(a);
    }
    for (uint32_t n = 0; n < ADMIN_SLOTS && !a->stop; n++) {
        attach(a, a->slot, n);
        quiet(a);
    }
    for (uint32_t n = 0; n < ADMIN_SLOTS && !a->stop; n++) {
        write_some(a, a->slot, n, false);
        detach(a, n);
        quiet(a);
    }
}

static void create(struct admin *a)
{
    struct sim_disk_config disk = {
        .size_bytes = ADMIN_DISK_BYTES,
        .logical_block_bytes = 512,
        .volatile_cache = true,
        .discard_zeroes = true,
    };

    a->pmem = sim_pmem_create(ADMIN_BYTES, a->config->model);
    a->pmem->drop_step = a->config->drop_step;
    for (uint32_t i = 0; i < ADMIN_DISKS; i++)
        a->disk[i] = sim_disk_create(&disk);
    a->buf = sim_zalloc(ADMIN_DISK_BYTES, 1);
    sim_env_init(&a->env.sim, a->config->seed);
    a->env.real = a->env.sim.env.ops;
    a->env.ops = *a->env.real;
    a->env.ops.alloc = env_alloc;
    a->env.sim.env.ops = &a->env.ops;
    a->env.sim.progress = sim_admin_progress;
    a->env.sim.progress_arg = a;
    sim_env_init(&a->judge_env, a->config->seed);
    a->judge_env.progress = sim_admin_progress;
    a->judge_env.progress_arg = a;
}

static void destroy(struct admin *a)
{
    sim_env_destroy(&a->judge_env);
    sim_env_destroy(&a->env.sim);
    free(a->buf);
    for (uint32_t i = 0; i < ADMIN_DISKS; i++)
        sim_disk_destroy(a->disk[i]);
    sim_pmem_destroy(a->pmem);
    free(a);
}

/* From a cache that was made on old_bytes of the device. */
static void one_cache(const struct sim_admin_config *config, struct sim_admin_result *result,
                      uint64_t old_bytes)
{
    struct admin *a = sim_zalloc(1, sizeof(*a));
    uint64_t calls;

    a->config = config;
    a->result = result;
    a->step = result->steps;
    a->old_bytes = old_bytes;
    create(a);
    make_old_cache(a);
    calls = a->pmem->counts.by_step[config->drop_step];
    sim_admin_set_hooks(a, on_pm, on_disk);
    if (!a->stop)
        format_over(a);
    if (!a->stop && old_bytes == ADMIN_BYTES)
        first_life(a);
    if (!a->stop && old_bytes == ADMIN_BYTES)
        second_life(a);
    result->steps = a->step;
    result->drop_calls += a->pmem->counts.by_step[config->drop_step] - calls;
    destroy(a);
}

void sim_admin_run(const struct sim_admin_config *config, struct sim_admin_result *result)
{
    memset(result, 0, sizeof(*result));
    one_cache(config, result, ADMIN_OLD_BYTES);
    if (result->failures == 0 || !config->stop_at_first)
        one_cache(config, result, ADMIN_BYTES);
}

const char *sim_admin_stage_name(enum sim_admin_stage stage)
{
    static const char *const names[SIM_ADMIN_STAGE_COUNT] = {
        [SIM_ADMIN_FORMAT] = "format",       [SIM_ADMIN_ADD] = "add",
        [SIM_ADMIN_ATTACH] = "attach",       [SIM_ADMIN_WRITE] = "write",
        [SIM_ADMIN_DETACH] = "detach",       [SIM_ADMIN_REMOVE] = "remove",
        [SIM_ADMIN_QUIET] = "between calls",
    };

    return (unsigned)stage < SIM_ADMIN_STAGE_COUNT ? names[stage] : "unknown";
}

const char *sim_admin_failure_text(const struct sim_admin_failure *f, char *buf, size_t buf_bytes)
{
    int n = snprintf(buf, buf_bytes, "%s, step %llu, subset %llu: %s",
                     sim_admin_stage_name(f->stage), (unsigned long long)f->step,
                     (unsigned long long)f->subset, f->what != NULL ? f->what : "nothing");

    if (n < 0 || (size_t)n >= buf_bytes)
        return buf;
    buf += n;
    buf_bytes -= (size_t)n;
    if (f->problem != 0)
        snprintf(buf, buf_bytes, ": problem %u at 0x%llx", f->problem,
                 (unsigned long long)f->problem_off);
    else if (f->got != f->want)
        snprintf(buf, buf_bytes, ": backend %u sector %llu holds %llu, not %llu", f->backend,
                 (unsigned long long)f->sector, (unsigned long long)f->got,
                 (unsigned long long)f->want);
    else if (f->error != 0)
        snprintf(buf, buf_bytes, ": %s%s%s%s%s", cbd_error_name(f->error),
                 f->report.sentence != NULL ? ": " : "",
                 f->report.what != NULL ? f->report.what : "", f->report.what != NULL ? " " : "",
                 f->report.sentence != NULL ? f->report.sentence : "");
    return buf - n;
}
