/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening, starting and closing a cache that is served. */
#include "front.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cbd/shim/disk.h"
#include "cbd/shim/env.h"
#include "cbd/shim/pmem.h"
#include "front_impl.h"
#include "tool_message.h"
#include "tool_size.h"

__attribute__((format(printf, 3, 4))) static void
say(const struct front *f, enum cbd_severity severity, const char *format, ...)
{
    char line[FRONT_TEXT_BYTES * 2];
    va_list args;

    if (f->log == NULL)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    f->log(f->log_arg, severity, line);
}

/* A finding of the engine as one line. */
static void on_report(void *arg, const struct cbd_report *r)
{
    const struct front *f = arg;
    char place[64] = "", code[128] = "";

    if (r->off_bytes != UINT64_MAX)
        snprintf(place, sizeof(place), " at byte %" PRIu64, r->off_bytes);
    if (r->error != 0)
        snprintf(code, sizeof(code), " (%s)", cbd_error_sentence(r->error));
    say(f, r->severity, "%s: %s %" PRIu64 "%s %s: got %" PRIu64 ", limit %" PRIu64 "%s",
        f->config->device, r->what, r->index, place, r->sentence, r->got, r->limit, code);
}

__attribute__((format(printf, 3, 4))) static int fail(char why[FRONT_TEXT_BYTES], int sys_errno,
                                                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, FRONT_TEXT_BYTES, format, args);
    va_end(args);
    return sys_errno;
}

static int fail_shim(char why[FRONT_TEXT_BYTES], const struct cbd_shim_error *err)
{
    return fail(why, err->sys_errno != 0 ? err->sys_errno : front_errno(err->code), "%s",
                err->text);
}

static int open_device(struct front *f, char why[FRONT_TEXT_BYTES])
{
    const char *path = f->config->device, *advice;
    struct cbd_shim_bad_blocks bad;
    struct cbd_shim_error err;
    int error;

    if (path == NULL)
        return fail(why, EINVAL, "device=PATH: the device with the cache is not given");
    if (cbd_shim_env_open(on_report, f, &f->env, &err) != 0 ||
        cbd_shim_pmem_open(path, CBD_SHIM_PMEM_GUARD_SIGBUS, 0, &f->file, &err) != 0)
        return fail_shim(why, &err);
    f->pm = f->file;
    if (f->config->record != NULL) {
        if (cbd_recorder_open(f->config->record, f->config->record_max_bytes, f->file, &f->recorder,
                              &err) != 0)
            return fail_shim(why, &err);
        f->pm = cbd_recorder_pmem(f->recorder);
    }
    cbd_shim_pmem_bad_blocks(f->file, &bad);
    if (bad.count != 0)
        say(f, CBD_WARNING, "%s: bad blocks: %" PRIu64 " ranges with %" PRIu64 " bytes", path,
            bad.count, bad.bytes);
    advice = cbd_shim_pmem_advice(f->file);
    if (advice != NULL)
        say(f, CBD_INFO, "%s: %s", path, advice);
    error = cbd_cache_open(f->pm, f->env, 0, &f->cache);
    if (error != 0)
        return fail(why, front_errno(error), "%s: cannot be opened: %s", path,
                    cbd_error_sentence(error));
    return 0;
}

static int open_disk(struct front_export *e, char why[FRONT_TEXT_BYTES])
{
    struct cbd_shim_disk_options options = {.logical_block_bytes = e->info.logical_block_bytes};
    struct cbd_shim_error err;
    struct stat st;

    e->node = stat(e->backing, &st) == 0 && S_ISBLK(st.st_mode);
    if (e->node)
        options.logical_block_bytes = 0; /* a node has its own */
    if (cbd_shim_disk_open(e->backing, &options, &e->file, &err) != 0)
        return fail_shim(why, &err);
    e->disk = e->file;
    if (e->disk->size_bytes == e->info.size_bytes &&
        e->disk->logical_block_bytes == e->info.logical_block_bytes)
        return 0;
    return fail(why, EINVAL,
                "%s: size and logical block: got %" PRIu64 " and %" PRIu32 ", limit %" PRIu64
                " and %" PRIu32 " of backend '%s'",
                e->backing, e->disk->size_bytes, e->disk->logical_block_bytes, e->info.size_bytes,
                e->info.logical_block_bytes, e->info.name);
}

static int record_disk(struct front_export *e, char why[FRONT_TEXT_BYTES])
{
    const struct cbd_attach_options *o = &e->front->config->attach;
    unsigned flags = (o->backend_consistency_off ? 0u : CBD_RECORD_DISK_ALONE) |
                     (o->durability == CBD_DURABLE_ON_FLUSH ? CBD_RECORD_ON_FLUSH : 0u);
    struct cbd_shim_error err;

    if (cbd_recorder_add_disk(e->front->recorder, e->info.name, flags, e->file, &e->disk,
                              &e->recorded, &err) != 0)
        return fail_shim(why, &err);
    return 0;
}

static void on_lost(void *arg, const struct cbd_lost_view *lost)
{
    const struct front_export *e = arg;

    if (lost->range_known)
        say(e->front, CBD_ERROR, "backend '%s': lost: %" PRIu64 " bytes at %" PRIu64, e->info.name,
            lost->len_bytes, lost->addr_bytes);
    else
        say(e->front, CBD_ERROR, "backend '%s': lost: a write whose place is not known",
            e->info.name);
}

static void on_conflict(void *arg, uint64_t addr_bytes, uint64_t len_bytes)
{
    const struct front *f = arg;

    say(f, CBD_WARNING,
        "accept-backing: dirty, goes over what the disk has: %" PRIu64 " bytes at %" PRIu64,
        len_bytes, addr_bytes);
}

static int attach(struct front_export *e, char why[FRONT_TEXT_BYTES])
{
    struct front *f = e->front;
    struct cbd_attach_options options = f->config->attach;
    struct cbd_stats s;
    int error = front_lanes_init(&e->lanes);

    if (error != 0)
        return fail(why, error, "backend '%s': no lanes", e->info.name);
    e->lanes_ready = true;
    options.conflict = on_conflict;
    options.conflict_arg = f;
    error = cbd_backend_attach(f->cache, e->info.id, e->disk, &options, &e->backend);
    if (error != 0)
        return fail(why, front_errno(error), "backend '%s' on %s: cannot be attached: %s%s",
                    e->info.name, e->backing, cbd_error_sentence(error),
                    error == CBD_E_MISMATCH ? ". If that is the right disk, changed on purpose: "
                                              "accept-backing=true"
                                            : "");
    cbd_backend_stats(e->backend, &s);
    e->readonly = s.degraded;
    e->fills = !options.no_fill;
    if (s.degraded) {
        say(f, CBD_ERROR, "backend '%s': %" PRIu64 " records are lost: served for reading only",
            e->info.name, s.lost_records);
        cbd_backend_lost(e->backend, on_lost, e);
    } else if (e->info.was_attached) {
        say(f, CBD_INFO,
            "backend '%s': recovered %" PRIu64 " records, %" PRIu64 " dirty bytes, %" PRIu64
            " unfinished writes",
            e->info.name, s.recovered_records, s.recovered_dirty_bytes, s.recovered_suspects);
    }
    return 0;
}

static int add_export(struct front *f, uint32_t id, const char *backing, char why[FRONT_TEXT_BYTES])
{
    struct front_export *e = &f->exports[f->count];
    char size[CBD_TOOL_SIZE_TEXT_BYTES];
    int error;

    memset(e, 0, sizeof(*e));
    e->front = f;
    f->count++;
    if (!cbd_backend_info(f->cache, id, &e->info))
        return fail(why, ENOENT, "%s: there is no backend %" PRIu32, f->config->device, id);
    cbd_tool_clean_text(e->info.name);
    if (backing == NULL && e->info.path[0] == '\0')
        return fail(why, EINVAL, "backend '%s': its disk is not known: backing=PATH", e->info.name);
    e->backing = strdup(backing != NULL ? backing : e->info.path);
    if (e->backing == NULL)
        return fail(why, ENOMEM, "no memory");
    snprintf(e->description, sizeof(e->description), "%s of cache for %.300s",
             cbd_tool_size_human(
                 (uint64_t)e->info.segments * cbd_cache_super(f->cache)->geo.segment_bytes, size),
             e->backing);
    cbd_tool_clean_text(e->description);
    error = open_disk(e, why);
    return error != 0 || f->recorder == NULL ? error : record_disk(e, why);
}

static int add_exports(struct front *f, char why[FRONT_TEXT_BYTES])
{
    const struct front_config *c = f->config;
    struct cbd_backend_info info;
    uint32_t id;
    int error = 0;

    for (unsigned i = 0; i < c->backend_count && error == 0; i++) {
        if (cbd_backend_lookup(f->cache, c->backends[i].name, &id) != 0)
            return fail(why, ENOENT, "%s: backend '%s': there is none of this name", c->device,
                        c->backends[i].name);
        error = add_export(f, id, c->backends[i].backing, why);
    }
    for (id = 0; id < CBD_BACKENDS && c->backend_count == 0 && error == 0; id++)
        if (cbd_backend_info(f->cache, id, &info))
            error = add_export(f, id, NULL, why);
    if (error == 0 && f->count == 0)
        return fail(why, ENOENT, "%s: has no backends: cbd-ctl %s backend add", c->device,
                    c->device);
    return error;
}

int front_open(const struct front_config *config, front_log_fn *log, void *arg,
               struct front **front, char why[FRONT_TEXT_BYTES])
{
    struct front *f = calloc(1, sizeof(*f));
    struct cbd_shim_error err;
    int error;

    *front = NULL;
    if (f == NULL)
        return fail(why, ENOMEM, "no memory");
    f->config = config;
    f->log = log;
    f->log_arg = arg;
    error = open_device(f, why);
    if (error == 0)
        error = add_exports(f, why);
    if (error == 0 && f->recorder != NULL && cbd_recorder_begin(f->recorder, &err) != 0)
        error = fail_shim(why, &err);
    for (unsigned i = 0; i < f->count && error == 0; i++)
        error = attach(&f->exports[i], why);
    if (error == 0) {
        *front = f;
        return 0;
    }
    /* Nothing was served, so nothing is written back: the media stay as attach left them. */
    for (unsigned i = 0; i < f->count; i++) {
        if (f->exports[i].backend == NULL)
            continue;
        cbd_backend_abandon(f->exports[i].backend);
        f->exports[i].backend = NULL;
    }
    if (f->recorder != NULL)
        unlink(config->record); /* of a server that never was */
    front_close(f);
    return error;
}

int front_start(struct front *f, char why[FRONT_TEXT_BYTES])
{
    struct cbd_shim_error err;
    int error;

    for (unsigned i = 0; i < f->count; i++) {
        struct front_export *e = &f->exports[i];

        if (f->config->disk_threads != 0) {
            error = cbd_shim_disk_start(e->file, f->config->disk_threads);
            if (error != 0)
                return fail(why, front_errno(error), "%s: %u threads cannot be started", e->backing,
                            f->config->disk_threads);
        }
        if (!e->readonly && cbd_shim_runner_start(f->env, e->backend, NULL, &e->runner, &err) != 0)
            return fail_shim(why, &err);
    }
    return 0;
}

/* False: it had to be detached and was not. */
static bool end(struct front_export *e)
{
    struct front *f = e->front;
    int error = 0;

    cbd_shim_runner_stop(e->runner);
    if (e->backend == NULL)
        return true;
    if (f->config->leave || e->readonly) {
        cbd_backend_abandon(e->backend);
        return true;
    }
    error = cbd_backend_detach(e->backend);
    if (error == 0)
        return true;
    say(f, CBD_ERROR,
        "backend '%s': not all was written back: %s. What is left is safe in the cache: serve it "
        "again, or cbd-ctl %s writeback %s",
        e->info.name, cbd_error_sentence(error), f->config->device, e->info.name);
    cbd_backend_abandon(e->backend);
    return false;
}

unsigned front_close(struct front *f)
{
    unsigned left = 0;

    if (f == NULL)
        return 0;
    atomic_store(&f->closing, true);
    for (unsigned i = 0; i < f->count; i++)
        left += !end(&f->exports[i]);
    if (f->cache != NULL)
        cbd_cache_close(f->cache);
    for (unsigned i = 0; i < f->count; i++) {
        struct front_export *e = &f->exports[i];

        cbd_shim_disk_close(e->file);
        if (e->lanes_ready)
            front_lanes_destroy(&e->lanes);
        free(e->backing);
    }
    if (f->recorder != NULL && cbd_recorder_stopped(f->recorder) != NULL)
        say(f, CBD_WARNING, "%s: %s", f->config->record, cbd_recorder_stopped(f->recorder));
    cbd_recorder_close(f->recorder);
    cbd_shim_pmem_close(f->file);
    cbd_shim_env_close(f->env);
    free(f);
    return left;
}

unsigned front_export_count(const struct front *f)
{
    return f->count;
}

struct front_export *front_export_at(struct front *f, unsigned n)
{
    return n < f->count ? &f->exports[n] : NULL;
}

struct front_export *front_export_find(struct front *f, const char *name)
{
    for (unsigned i = 0; i < f->count; i++)
        if (strcmp(f->exports[i].info.name, name) == 0)
            return &f->exports[i];
    return NULL;
}

void front_export_info(const struct front_export *e, struct front_export_info *info)
{
    *info = (struct front_export_info){
        .name = e->info.name,
        .description = e->description,
        .size_bytes = e->info.size_bytes,
        .logical_block_bytes = e->info.logical_block_bytes,
        .readonly = e->readonly,
        .fills = e->fills,
    };
}

void front_export_stats(const struct front_export *e, struct cbd_stats *stats)
{
    cbd_backend_stats(e->backend, stats);
}
