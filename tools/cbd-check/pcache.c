/* SPDX-License-Identifier: BSD-2-Clause */
/* Findings come as those of our own format; what differs is the summary. */
#include "pcache.h"

#include <inttypes.h>
#include <stdio.h>

#include "cbd/pcache.h"
#include "tool_interrupt.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_progress.h"
#include "tool_size.h"

struct run {
    struct cbd_tool_progress progress;
    bool passing;
    bool quiet;
    bool cancelled;
};

static int found(void *arg, const struct cbd_check_finding *finding)
{
    report_finding(arg, finding);
    return 0;
}

static int progress(void *arg, uint64_t done, uint64_t total)
{
    struct run *run = arg;

    run->cancelled = run->cancelled || cbd_tool_interrupt_came();
    if (run->cancelled || run->quiet)
        return run->cancelled;
    if (!run->passing)
        cbd_tool_progress_begin(&run->progress, "key sets", total);
    run->passing = true;
    cbd_tool_progress_update(&run->progress, done);
    return 0;
}

static void json_pos(json_t *o, const char *key, struct cbd_pcache_pos pos)
{
    json_t *p = cbd_tool_json_object(o, key);

    cbd_tool_json_u64(p, "segment", pos.seg);
    cbd_tool_json_u64(p, "offset_bytes", pos.off_bytes);
}

static void json_summary(struct report *r, const struct cbd_pcache_summary *s)
{
    json_t *o;

    cbd_tool_json_u64(r->document, "findings_omitted", r->findings_omitted);
    o = cbd_tool_json_object(r->document, "summary");
    cbd_tool_json_text(o, "media", "dm-pcache");
    cbd_tool_json_u64(o, "errors", s->errors);
    cbd_tool_json_u64(o, "notes", s->infos);
    cbd_tool_json_bool(o, "driver_refuses", s->driver_refuses);
    if (!s->loaded)
        return;
    cbd_tool_json_u64(o, "segments", s->seg_num);
    cbd_tool_json_u64(o, "cache_segments", s->seg_count);
    cbd_tool_json_u64(o, "segment_bytes", CBD_PCACHE_SEGMENT_BYTES);
    if (s->info_valid)
        cbd_tool_json_u64(o, "gc_percent", s->gc_percent);
    cbd_tool_json_bool(o, "big_endian", s->big_endian);
    cbd_tool_json_bool(o, "data_checksums", s->data_crc);
    cbd_tool_json_bool(o, "metadata_image", s->image);
    json_pos(o, "key_tail", s->key_tail);
    json_pos(o, "dirty_tail", s->dirty_tail);
    if (!s->walked)
        return;
    json_pos(o, "head", s->head);
    if (s->log_end_known)
        json_pos(o, "log_end", s->log_end);
    cbd_tool_json_u64(o, "used_segments", s->view.used_segments);
    cbd_tool_json_u64(o, "key_sets", s->view.kset_count);
    cbd_tool_json_u64(o, "keys", s->view.key_count);
    cbd_tool_json_u64(o, "stale_keys", s->view.stale_count);
    cbd_tool_json_u64(o, "dirty_key_sets", s->view.dirty_kset_count);
    cbd_tool_json_u64(o, "dirty_keys", s->view.dirty_key_count);
    cbd_tool_json_u64(o, "dirty_bytes", s->view.dirty_bytes);
    cbd_tool_json_u64(o, "data_bytes", s->data_bytes);
}

static void text_summary(const struct report *r, const struct cbd_pcache_summary *s, bool data,
                         bool repaired)
{
    char dirty[CBD_TOOL_SIZE_TEXT_BYTES], percent[12];

    if (r->quiet)
        return;
    snprintf(percent, sizeof(percent), "%" PRIu32, s->gc_percent);
    if (s->loaded)
        printf("%s: dm-pcache: %" PRIu32 " segments of 16 MiB, %s data checksums%s%s%s\n", r->path,
               s->seg_count, s->data_crc ? "with" : "without", s->info_valid ? ", gc_percent " : "",
               s->info_valid ? percent : "", s->big_endian ? ", big-endian" : "");
    if (s->walked)
        printf("%s: key_tail %" PRIu32 ":%" PRIu32 ", dirty_tail %" PRIu32 ":%" PRIu32
               ", head %" PRIu32 ":%" PRIu32 "; %" PRIu64 " keys, %" PRIu64
               " of them dirty (%s); %" PRIu32 " segments used\n",
               r->path, s->key_tail.seg, s->key_tail.off_bytes, s->dirty_tail.seg,
               s->dirty_tail.off_bytes, s->head.seg, s->head.off_bytes, s->view.key_count,
               s->view.dirty_key_count, cbd_tool_size_human(s->view.dirty_bytes, dirty),
               s->view.used_segments);
    if (s->log_end_known)
        printf("%s: to end the log where an earlier life begins: cbd-ctl --log-end %" PRIu32
               ":%" PRIu32 "\n",
               r->path, s->log_end.seg, s->log_end.off_bytes);
    if (r->verbose && s->data_bytes != 0)
        printf("%s: %" PRIu64 " bytes of data verified\n", r->path, s->data_bytes);
    if (s->errors == 0)
        printf("%s: clean, checked %s%s\n", r->path, data ? "the log and data" : "the log",
               s->view.dirty_key_count != 0 ? "; the backing device alone is stale" : "");
    else
        printf("%s: %" PRIu64 " problem%s%s%s%s\n", r->path, s->errors, s->errors == 1 ? "" : "s",
               repaired ? " left" : "",
               s->driver_refuses ? "; the driver would refuse the device" : "",
               repaired ? "" : "; nothing was changed");
}

static void json_repaired(struct report *r, unsigned what)
{
    json_t *list = cbd_tool_json_array(r->document, "repaired");
    const char *name;

    for (unsigned n = 0; (name = cbd_pcache_repair_name(n)) != NULL; n++)
        if ((what & 1u << n) != 0)
            json_array_append_new(list, json_string(name));
}

/* Findings are those of the first look, the summary is of the last. */
int pcache_check(const struct cbd_tool_device *device, const struct pcache_options *o)
{
    struct run run = {.quiet = o->quiet};
    struct cbd_pcache_check_options options = {
        .data = o->data, .progress = progress, .progress_arg = &run};
    struct cbd_pcache_sink sink = {.found = found}, silent = {0};
    struct cbd_pcache_summary summary;
    struct report report;
    unsigned what = 0;
    int code = CBD_EXIT_CLEAN, error;

    cbd_tool_interrupt_catch();
    cbd_tool_progress_open(&run.progress, o->progress_fd);
    report_open(&report, device->path, o->json, o->verbose, o->quiet);
    sink.arg = &report;
    error = cbd_pcache_check(device->pm, device->env, &options, &sink, &summary);
    if (run.passing)
        cbd_tool_progress_end(&run.progress);
    run.quiet = true; /* a second look is not shown */
    if (summary.errors != 0 && !run.cancelled)
        code = pcache_mend(device, o, &what);
    if (what != 0 && code == 0) {
        error = cbd_pcache_check(device->pm, device->env, &options, &silent, &summary);
        code |= CBD_EXIT_CORRECTED;
    }
    if (summary.errors != 0)
        code |= CBD_EXIT_LEFT;
    if (run.cancelled) {
        code |= CBD_EXIT_CANCELLED;
    } else if (error != 0) {
        cbd_tool_error_code(device->path, "cannot be checked", error);
        code |= CBD_EXIT_OPERATIONAL;
    }
    if (o->json) {
        json_repaired(&report, what);
        json_summary(&report, &summary);
    } else if (error == 0 && !run.cancelled) {
        text_summary(&report, &summary, o->data, what != 0);
    }
    if (report_close(&report, code) != 0) {
        cbd_tool_error(NULL, "standard output: cannot be written");
        code |= CBD_EXIT_OPERATIONAL;
    }
    return code;
}
