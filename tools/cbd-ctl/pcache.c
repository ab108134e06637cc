/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cbd-ctl writeback and stat on a device of dm-pcache: what its driver does not write back by
 * itself goes to the disk here, and the device is clean for the driver afterwards.
 */
#include "pcache.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cbd/pcache.h"
#include "cbd/shim/disk.h"
#include "copy.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_progress.h"
#include "tool_size.h"

bool ctl_is_pcache(const char *path)
{
    struct cbd_pmem *pm;
    bool is;

    if (cbd_shim_pmem_open(path, CBD_SHIM_PMEM_READONLY | CBD_SHIM_PMEM_GUARD_SIGBUS, 0, &pm,
                           NULL) != 0)
        return false;
    is = cbd_pcache_probe(pm);
    cbd_shim_pmem_close(pm);
    return is;
}

/* --- stat --- */

static int stat_json(const struct ctl *ctl, const struct cbd_pcache_summary *s)
{
    json_t *document = cbd_tool_json_document("cbd-ctl stat", 1);

    cbd_tool_json_text(document, "device", ctl->path);
    cbd_tool_json_text(document, "media", "dm-pcache");
    cbd_tool_json_u64(document, "problems", s->errors);
    cbd_tool_json_u64(document, "segments", s->seg_count);
    cbd_tool_json_u64(document, "used_segments", s->view.used_segments);
    cbd_tool_json_u64(document, "keys", s->view.key_count);
    cbd_tool_json_u64(document, "dirty_keys", s->view.dirty_key_count);
    cbd_tool_json_u64(document, "dirty_key_sets", s->view.dirty_kset_count);
    cbd_tool_json_u64(document, "dirty_bytes", s->view.dirty_bytes);
    return ctl_end_output(document);
}

int pcache_stat(const struct ctl *ctl)
{
    struct cbd_pcache_check_options options = {0};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_summary s;
    struct cbd_tool_device device;
    char dirty[CBD_TOOL_SIZE_TEXT_BYTES];
    int code = cbd_tool_device_open(&device, ctl->path, CBD_SHIM_PMEM_READONLY, 0), error;

    if (code != 0)
        return code;
    error = cbd_pcache_check(device.pm, device.env, &options, &sink, &s);
    cbd_tool_device_close(&device);
    if (error != 0) {
        cbd_tool_error_code(ctl->path, "cannot be examined", error);
        return CBD_EXIT_OPERATIONAL;
    }
    if (ctl->json) {
        code = stat_json(ctl, &s);
    } else {
        printf("dm-pcache\n");
        printf("  segments    %" PRIu32 " of 16 MiB, %" PRIu32 " used\n", s.seg_count,
               s.view.used_segments);
        printf("  keys        %" PRIu64 " in %" PRIu64 " key sets\n", s.view.key_count,
               s.view.kset_count);
        printf("  dirty       %s in %" PRIu64 " keys, %" PRIu64 " key sets\n",
               cbd_tool_size_human(s.view.dirty_bytes, dirty), s.view.dirty_key_count,
               s.view.dirty_kset_count);
        code = ctl_end_output(NULL);
    }
    if (s.errors != 0)
        cbd_tool_error(ctl->path, "%" PRIu64 " problems (cbd-check names them)", s.errors);
    return code | (s.errors != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN);
}

/* --- writeback --- */

struct drain {
    const struct ctl *ctl;
    struct cbd_tool_device device;
    struct cbd_pcache pc;
    struct cbd_disk *disk;
    struct cbd_tool_progress progress;
    json_t *document, *ranges; /* of a dry run */
    bool doubtful;             /* the check found what makes the data doubtful */
    bool empty;                /* the check found what the driver must not see */
};

#define RANGES_MAX 1000000u

static void on_range(void *arg, uint64_t addr_bytes, uint64_t len_bytes, bool lost)
{
    struct drain *d = arg;

    if (lost)
        cbd_tool_error(d->ctl->path, "left out, cannot be trusted: bytes %" PRIu64 "..%" PRIu64,
                       addr_bytes, addr_bytes + len_bytes - 1);
    if (!d->ctl->dry_run || lost)
        return;
    if (d->ranges == NULL) {
        printf("%s: dirty: bytes %" PRIu64 "..%" PRIu64 "\n", d->ctl->path, addr_bytes,
               addr_bytes + len_bytes - 1);
    } else if (json_array_size(d->ranges) < RANGES_MAX) {
        json_t *o = cbd_tool_json_append_object(d->ranges);

        cbd_tool_json_u64(o, "address_bytes", addr_bytes);
        cbd_tool_json_u64(o, "length_bytes", len_bytes);
    }
}

static void on_progress(void *arg, uint64_t ksets)
{
    struct drain *d = arg;

    cbd_tool_progress_update(&d->progress, ksets);
}

/* Problems are listed by cbd-check; here they decide what is done. */
static int examine(struct drain *d)
{
    struct cbd_pcache_check_options options = {.backing_bytes =
                                                   d->disk != NULL ? d->disk->size_bytes : 0};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_summary s;
    int error = cbd_pcache_check(d->device.pm, d->device.env, &options, &sink, &s);

    if (error != 0) {
        cbd_tool_error_code(d->ctl->path, "cannot be examined", error);
        return CBD_EXIT_OPERATIONAL;
    }
    d->doubtful = s.drain_doubtful;
    d->empty = s.errors != 0;
    cbd_tool_progress_begin(&d->progress, "key sets", s.view.dirty_kset_count);
    return 0;
}

/* The disk must be the one that the cache belongs to, as far as that can be told. */
static int identify(struct drain *d)
{
    struct cbd_pcache_view view;
    uint64_t addr = 0;
    int error = cbd_pcache_view(&d->pc, 0, &view);

    if (error == 0)
        error = cbd_pcache_identify(&d->pc, &view, d->disk, &addr);
    cbd_pcache_view_free(&d->pc, &view);
    if (error == 0 || (error == CBD_E_MISMATCH && d->ctl->accept_backing))
        return 0;
    if (error == CBD_E_RANGE)
        cbd_tool_error(d->ctl->backing,
                       "is not the disk of this cache: got %" PRIu64 " bytes, limit above %" PRIu64,
                       d->disk->size_bytes, addr);
    else if (error == CBD_E_MISMATCH)
        cbd_tool_error(d->ctl->backing,
                       "is not the disk of this cache, or was changed: byte %" PRIu64
                       " and behind are not as the cache has them (--accept-backing)",
                       addr);
    else
        cbd_tool_error_code(d->ctl->path, "cannot be compared with the disk", error);
    return CBD_EXIT_OPERATIONAL;
}

static unsigned drain_flags(const struct drain *d)
{
    const struct ctl *ctl = d->ctl;

    return (ctl->dry_run ? (unsigned)CBD_PCACHE_DRAIN_DRY : 0) |
           (ctl->output != NULL ? (unsigned)CBD_PCACHE_DRAIN_DISK_ONLY : 0) |
           (ctl->empty || d->empty ? (unsigned)CBD_PCACHE_DRAIN_EMPTY : 0) |
           (ctl->from_key_tail ? (unsigned)CBD_PCACHE_DRAIN_FROM_KEY_TAIL : 0) |
           (ctl->past_damage ? (unsigned)CBD_PCACHE_DRAIN_PAST_DAMAGE : 0) |
           (ctl->allow_loss ? (unsigned)CBD_PCACHE_DRAIN_ALLOW_LOSS : 0) |
           (ctl->log_end_given ? (unsigned)CBD_PCACHE_DRAIN_LOG_END : 0);
}

static int show_json(struct drain *d, const struct cbd_pcache_drained *out, int code)
{
    json_t *o = d->document;

    cbd_tool_json_bool(o, "dry_run", d->ctl->dry_run);
    cbd_tool_json_u64(o, "key_sets", out->ksets);
    cbd_tool_json_u64(o, "keys", out->keys);
    cbd_tool_json_u64(o, "bytes", out->bytes);
    cbd_tool_json_u64(o, "flushes", out->flushes);
    cbd_tool_json_u64(o, "stale_keys", out->stale_keys);
    cbd_tool_json_u64(o, "lost_keys", out->lost_keys);
    cbd_tool_json_u64(o, "lost_bytes", out->lost_bytes);
    cbd_tool_json_bool(o, "emptied", out->emptied);
    cbd_tool_json_u64(o, "exit_code", (uint64_t)code);
    return code | ctl_end_output(o);
}

static int show(struct drain *d, const struct cbd_pcache_drained *out)
{
    int code = out->lost_keys != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
    char size[CBD_TOOL_SIZE_TEXT_BYTES];

    if (d->document != NULL)
        return show_json(d, out, code);
    printf("%s: %s in %" PRIu64 " keys, %" PRIu64 " key sets, %s %s\n", d->ctl->path,
           cbd_tool_size_human(out->bytes, size), out->keys, out->ksets,
           d->ctl->dry_run ? "would go to" : "written to",
           d->ctl->output != NULL    ? d->ctl->output
           : d->ctl->backing != NULL ? d->ctl->backing
                                     : "the disk");
    if (!d->ctl->dry_run && d->ctl->output == NULL)
        printf("%s: nothing is dirty%s\n", d->ctl->path,
               out->emptied ? ", and nothing is cached" : "");
    return code | ctl_end_output(NULL);
}

static int explain(const struct drain *d, const struct cbd_pcache_drained *out, int error)
{
    cbd_tool_error(d->ctl->path, "not all was written back: stopped at %" PRIu32 ":%" PRIu32 ": %s",
                   out->head.seg, out->head.off_bytes, cbd_error_sentence(error));
    if (error == CBD_E_CORRUPT || error == CBD_E_MEDIA)
        cbd_tool_error(d->ctl->path, "cbd-check --data says what is wrong, and what to do: "
                                     "--past-damage, --log-end, --from-key-tail, "
                                     "--allow-data-loss");
    return CBD_EXIT_OPERATIONAL;
}

static int run_drain(struct drain *d)
{
    const struct ctl *ctl = d->ctl;
    struct cbd_pcache_drain_options options = {
        .flags = drain_flags(d),
        .log_end = {ctl->log_end_seg, ctl->log_end_off},
        .range = on_range,
        .progress = on_progress,
        .arg = d,
    };
    struct cbd_pcache_drained out;
    int error;

    if (d->doubtful && !ctl->dry_run && !ctl->allow_loss && !ctl->past_damage &&
        !ctl->log_end_given && !ctl->from_key_tail) {
        cbd_tool_error(ctl->path, "not written back: the device has problems that make its data "
                                  "doubtful; cbd-check names them, and the option that each takes");
        return CBD_EXIT_OPERATIONAL;
    }
    if (ctl->json) {
        d->document = cbd_tool_json_document("cbd-ctl writeback", 1);
        cbd_tool_json_text(d->document, "device", ctl->path);
        cbd_tool_json_text(d->document, "media", "dm-pcache");
        d->ranges = ctl->dry_run ? cbd_tool_json_array(d->document, "ranges") : NULL;
    }
    error = cbd_pcache_drain(&d->pc, d->disk, &options, &out);
    cbd_tool_progress_end(&d->progress);
    if (error == 0)
        return show(d, &out);
    json_decref(d->document);
    return explain(d, &out, error);
}

static int open_disk(struct drain *d)
{
    const struct ctl *ctl = d->ctl;
    const char *path = ctl->output != NULL ? ctl->output : ctl->backing;
    int code;

    if (ctl->dry_run && path == NULL)
        return 0;
    if (ctl->output != NULL && !ctl->dry_run) {
        code = ctl_copy(ctl->backing, ctl->output);
        if (code != 0)
            return code;
    } else {
        path = ctl->backing;
    }
    return ctl_open_disk(path, ctl->logical_block, ctl->dry_run, &d->disk);
}

static int with_device(struct drain *d)
{
    struct cbd_pcache_sink silent = {0};
    int error, code = open_disk(d);

    if (code == 0)
        code = examine(d);
    if (code != 0)
        return code;
    error = cbd_pcache_open(d->device.pm, d->device.env, &silent, &d->pc);
    if (error != 0) {
        cbd_tool_error_code(d->ctl->path, "cannot be opened", error);
        code = CBD_EXIT_OPERATIONAL;
    } else if (!d->pc.key_tail_valid || !d->pc.dirty_tail_valid) {
        cbd_tool_error(d->ctl->path, "where the log begins is not known (cbd-check says more)");
        code = CBD_EXIT_OPERATIONAL;
    } else if (d->disk != NULL) {
        code = identify(d);
    }
    if (code == 0)
        code = run_drain(d);
    cbd_pcache_close(&d->pc);
    return code;
}

int pcache_writeback(const struct ctl *ctl)
{
    struct drain d = {.ctl = ctl};
    bool readonly = ctl->dry_run || ctl->output != NULL;
    int code;

    if (ctl->backing == NULL && !ctl->dry_run) {
        cbd_tool_error(ctl->path, "dm-pcache does not keep the name of its disk: --backing");
        return CBD_EXIT_USAGE;
    }
    code = cbd_tool_device_open(&d.device, ctl->path, readonly ? CBD_SHIM_PMEM_READONLY : 0, 0);
    if (code != 0)
        return code;
    cbd_tool_progress_open(&d.progress, -1);
    code = with_device(&d);
    cbd_shim_disk_close(d.disk);
    cbd_tool_device_close(&d.device);
    /* A copy that holds only a part is of no use to anybody. */
    if (ctl->output != NULL && !ctl->dry_run && d.disk != NULL && (code & CBD_EXIT_OPERATIONAL))
        (void)!unlink(ctl->output);
    return code;
}
