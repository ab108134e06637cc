/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cbd-ctl salvage: writes what is certainly good of a backend's dirty data to its disk, or to a copy
 * of it, and lists what is lost. The cache stays as it is, so it can be run again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cbd/shim/disk.h"
#include "copy.h"
#include "ctl.h"
#include "ranges.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_progress.h"
#include "tool_size.h"

static const char WHY_SUSPECT[] = "may be older than something that is lost";

struct salvage {
    const struct ctl *ctl;
    struct cbd_backend_info info;
    struct cbd_disk *out;
    const char *out_path;
    uint64_t data_bytes, zero_bytes, suspect_bytes; /* suspect: written all the same */
    struct ctl_ranges written, lost, suspect;
    uint64_t unknown; /* lost records that nobody knows the place of */
    int disk_error;
    struct cbd_tool_progress progress;
};

static void on_done(struct cbd_disk_io *io, int error)
{
    *(int *)io->owner = error;
}

/* The disk completes in submit(). */
static int request(struct salvage *s, enum cbd_disk_op op, uint64_t addr, uint64_t len, void *buf)
{
    struct cbd_disk_io io = {
        .op = op,
        .off_bytes = addr,
        .len_bytes = len,
        .buf = buf,
        .done = on_done,
        .owner = &s->disk_error,
    };

    s->out->ops->submit(s->out, &io);
    return s->disk_error;
}

static int write_piece(struct salvage *s, const struct cbd_salvage_piece *p)
{
    bool zero = p->kind == CBD_SALVAGE_ZERO;
    int error = request(s, zero ? CBD_DISK_ZERO : CBD_DISK_WRITE, p->addr_bytes, p->len_bytes,
                        (void *)p->data);

    if (error != 0)
        return error;
    *(zero ? &s->zero_bytes : &s->data_bytes) += p->len_bytes;
    s->suspect_bytes += p->suspect ? p->len_bytes : 0;
    cbd_tool_progress_update(&s->progress, s->data_bytes);
    return ctl_ranges_add(&s->written, p->addr_bytes, p->len_bytes, NULL);
}

static int on_piece(void *arg, const struct cbd_salvage_piece *p)
{
    struct salvage *s = arg;

    if (p->kind == CBD_SALVAGE_LOST)
        return ctl_ranges_add(&s->lost, p->addr_bytes, p->len_bytes, cbd_error_sentence(p->error));
    if (p->suspect && !s->ctl->suspect)
        return ctl_ranges_add(&s->suspect, p->addr_bytes, p->len_bytes, WHY_SUSPECT);
    return write_piece(s, p);
}

static void on_lost(void *arg, const struct cbd_lost_view *lost)
{
    struct salvage *s = arg;

    s->unknown += !lost->range_known;
}

static void json_ranges(json_t *document, const char *key, const struct ctl_ranges *ranges)
{
    json_t *array = cbd_tool_json_array(document, key);

    for (size_t i = 0; i < ranges->count; i++) {
        json_t *o = cbd_tool_json_append_object(array);

        cbd_tool_json_u64(o, "addr_bytes", ranges->at[i].addr_bytes);
        cbd_tool_json_u64(o, "len_bytes", ranges->at[i].len_bytes);
        if (ranges->at[i].why != NULL)
            cbd_tool_json_text(o, "why", ranges->at[i].why);
    }
}

static int print_json(const struct salvage *s)
{
    json_t *document = cbd_tool_json_document("cbd-ctl salvage", 1);

    cbd_tool_json_text(document, "device", s->ctl->path);
    cbd_tool_json_text(document, "backend", s->info.name);
    cbd_tool_json_text(document, "output", s->out_path);
    cbd_tool_json_u64(document, "data_bytes", s->data_bytes);
    cbd_tool_json_u64(document, "zero_bytes", s->zero_bytes);
    cbd_tool_json_u64(document, "suspect_written_bytes", s->suspect_bytes);
    cbd_tool_json_u64(document, "lost_records_of_unknown_place", s->unknown);
    json_ranges(document, "written", &s->written);
    json_ranges(document, "lost", &s->lost);
    json_ranges(document, "suspect", &s->suspect);
    return ctl_end_output(document);
}

static void print_ranges(const char *what, const struct ctl_ranges *ranges)
{
    for (size_t i = 0; i < ranges->count; i++)
        printf("  %s: bytes %" PRIu64 "..%" PRIu64 ": %s\n", what, ranges->at[i].addr_bytes,
               ranges->at[i].addr_bytes + ranges->at[i].len_bytes - 1, ranges->at[i].why);
}

static int print_text(const struct salvage *s)
{
    char data[CBD_TOOL_SIZE_TEXT_BYTES], zero[CBD_TOOL_SIZE_TEXT_BYTES];
    char lost[CBD_TOOL_SIZE_TEXT_BYTES], suspect[CBD_TOOL_SIZE_TEXT_BYTES];

    printf("%s: backend '%s': %s of data and %s of zeroes written to %s, in %zu ranges\n",
           s->ctl->path, s->info.name, cbd_tool_size_human(s->data_bytes, data),
           cbd_tool_size_human(s->zero_bytes, zero), s->out_path, s->written.count);
    print_ranges("lost", &s->lost);
    print_ranges("suspect, not written (--suspect)", &s->suspect);
    if (s->unknown != 0)
        printf("  lost: %" PRIu64 " records, and nothing says which ranges they covered\n",
               s->unknown);
    if (s->lost.count + s->suspect.count + s->unknown == 0)
        printf("  nothing is lost\n");
    else
        printf("  lost: %s; suspect: %s. The disk keeps what it had there.\n",
               cbd_tool_size_human(ctl_ranges_bytes(&s->lost), lost),
               cbd_tool_size_human(ctl_ranges_bytes(&s->suspect), suspect));
    printf(
        "  The cache is as it was. To give it up: cbd-ctl %s backend remove %s --discard-dirty\n",
        s->ctl->path, s->info.name);
    return ctl_end_output(NULL);
}

/* Everything of the attached backend, and a flush behind it. */
static int save(struct salvage *s, struct cbd_backend *b)
{
    struct cbd_stats stats;
    int error;

    cbd_backend_stats(b, &stats);
    cbd_tool_progress_open(&s->progress, -1);
    cbd_tool_progress_begin(&s->progress, "salvaging", stats.dirty_bytes);
    cbd_backend_lost(b, on_lost, s);
    error = cbd_backend_salvage(b, on_piece, s);
    if (error == 0)
        error = request(s, CBD_DISK_FLUSH, 0, 0, NULL);
    cbd_tool_progress_end(&s->progress);
    if (error != 0)
        cbd_tool_error_code(s->out_path, "salvage stopped", error);
    return error == 0 ? 0 : CBD_EXIT_OPERATIONAL;
}

static int attach_and_save(struct salvage *s, struct cbd_cache *cache, struct cbd_disk *disk)
{
    struct cbd_attach_options options = {.no_fill = true};
    struct cbd_backend *b;
    int error = cbd_backend_attach(cache, s->info.id, disk, &options, &b);
    int code;

    if (error != 0) {
        cbd_tool_error(s->ctl->path, "backend '%s': cannot be attached: %s", s->info.name,
                       cbd_error_sentence(error));
        if (error == CBD_E_CORRUPT)
            cbd_tool_error(s->ctl->path, "cbd-check -f says what is damaged");
        return CBD_EXIT_OPERATIONAL;
    }
    code = save(s, b);
    cbd_backend_abandon(b);
    if (code != 0)
        return code;
    ctl_ranges_join(&s->written);
    ctl_ranges_join(&s->lost);
    ctl_ranges_join(&s->suspect);
    code = s->ctl->json ? print_json(s) : print_text(s);
    return code | (s->lost.count + s->suspect.count + s->unknown != 0 ? CBD_EXIT_LEFT : 0);
}

/* To the disk itself, or to a copy of it which is made first. */
static int with_disks(struct salvage *s, struct cbd_cache *cache, const char *path)
{
    struct cbd_disk *disk, *copy = NULL;
    int code = ctl_open_disk(path, s->info.logical_block_bytes, s->ctl->output != NULL, &disk);

    if (code != 0)
        return code;
    s->out = disk;
    s->out_path = path;
    if (s->ctl->output != NULL) {
        code = ctl_copy(path, s->ctl->output);
        if (code == 0)
            code = ctl_open_disk(s->ctl->output, s->info.logical_block_bytes, false, &copy);
        s->out = copy;
        s->out_path = s->ctl->output;
    }
    if (code == 0)
        code = attach_and_save(s, cache, disk);
    cbd_shim_disk_close(copy);
    cbd_shim_disk_close(disk);
    return code;
}

int ctl_salvage(const struct ctl *ctl)
{
    struct salvage s = {.ctl = ctl};
    struct cbd_tool_device device;
    struct cbd_cache *cache;
    const char *path;
    uint32_t id = 0;
    int code = ctl_open(ctl, false, &device, &cache);

    if (code != 0)
        return code;
    code = ctl_lookup(ctl, cache, &id);
    if (code == 0 && !cbd_backend_info(cache, id, &s.info))
        abort();
    cbd_tool_clean_text(s.info.name);
    path = ctl->backing != NULL ? ctl->backing : s.info.path;
    if (code == 0 && path[0] == '\0') {
        cbd_tool_error(ctl->path, "backend '%s': its backing device is not known (--backing)",
                       s.info.name);
        code = CBD_EXIT_OPERATIONAL;
    }
    if (code == 0)
        code = with_disks(&s, cache, path);
    ctl_ranges_free(&s.written);
    ctl_ranges_free(&s.lost);
    ctl_ranges_free(&s.suspect);
    ctl_close(&device, cache);
    return code;
}
