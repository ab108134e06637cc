/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-dump on a device of dm-pcache: records as text or JSON, a map, a metadata image. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cbd/pcache.h"
#include "dump.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"

#define ROW_CELLS 64u

struct show {
    struct dump *d;
    json_t *records;
    uint64_t omitted;
    /* of the map: live bytes and dirty bytes of each segment */
    uint64_t *live, *dirty;
    uint8_t *log; /* bool */
    uint32_t count;
    /* of the image */
    const struct cbd_pcache *pc;
    uint64_t key[2]; /* of what is hidden in it */
    int fd;
    uint64_t pieces;
};

static uint64_t field(const struct cbd_pcache_record *r, const char *name)
{
    for (uint32_t i = 0; i < r->field_count; i++)
        if (strcmp(r->fields[i].name, name) == 0)
            return r->fields[i].value;
    return 0;
}

static const char *state(const struct cbd_pcache_record *r)
{
    if (!r->readable)
        return "***UNREADABLE***";
    if (r->is_key)
        return !r->valid ? "***DAMAGED***" : r->stale ? "stale" : r->dirty ? "dirty" : "clean";
    if (r->zero)
        return "zero";
    if (strcmp(r->what, "end of log") == 0)
        return "not zeroed";
    return !r->valid ? "***DAMAGED***" : r->newest ? "newest" : "older";
}

static bool selected(const struct dump *d, const struct cbd_pcache_record *r)
{
    uint64_t first;

    if (d->range_end == 0)
        return true;
    if (!r->is_key)
        return false;
    first = field(r, "address_bytes");
    return first < d->range_end && first + field(r, "length_bytes") > d->range_first;
}

static void text_record(const struct dump *d, const struct cbd_pcache_record *r)
{
    printf("%s", r->what);
    if (r->segment != CBD_CHECK_NONE)
        printf(" %" PRIu32, r->segment);
    if (r->copy != CBD_CHECK_NONE)
        printf("%s%" PRIu32, r->is_key ? "." : " slot ", r->copy);
    printf(" at 0x%" PRIx64 " %s", r->off_bytes, state(r));
    for (uint32_t i = 0; i < r->field_count && r->readable && !r->zero; i++) {
        bool hex = strstr(r->fields[i].name, "crc") != NULL ||
                   strcmp(r->fields[i].name, "magic") == 0 ||
                   strcmp(r->fields[i].name, "flags") == 0;

        printf(hex ? " %s=0x%" PRIx64 : " %s=%" PRIu64, r->fields[i].name, r->fields[i].value);
    }
    printf("\n");
    for (uint32_t i = 0; i < r->len_bytes && d->hex && r->readable; i++)
        printf("%s%02x%s", i % 16 == 0 ? "    " : " ", r->bytes[i],
               i % 16 == 15 || i + 1 == r->len_bytes ? "\n" : "");
}

static void json_record(struct show *s, const struct cbd_pcache_record *r)
{
    json_t *o, *fields;

    if (json_array_size(s->records) == DUMP_JSON_KEYS_MAX) {
        s->omitted++;
        return;
    }
    o = cbd_tool_json_append_object(s->records);
    cbd_tool_json_text(o, "what", r->what);
    if (r->segment != CBD_CHECK_NONE)
        cbd_tool_json_u64(o, "segment", r->segment);
    if (r->copy != CBD_CHECK_NONE)
        cbd_tool_json_u64(o, r->is_key ? "key" : "slot", r->copy);
    cbd_tool_json_u64(o, "offset_bytes", r->off_bytes);
    cbd_tool_json_u64(o, "length_bytes", r->len_bytes);
    cbd_tool_json_bool(o, "readable", r->readable);
    cbd_tool_json_bool(o, "valid", r->valid);
    cbd_tool_json_bool(o, "newest", r->newest);
    if (r->is_key) {
        cbd_tool_json_bool(o, "stale", r->stale);
        cbd_tool_json_bool(o, "dirty", r->dirty);
    }
    fields = cbd_tool_json_object(o, "fields");
    for (uint32_t i = 0; i < r->field_count; i++)
        cbd_tool_json_u64(fields, r->fields[i].name, r->fields[i].value);
}

static int show_record(void *arg, const struct cbd_pcache_record *r)
{
    struct show *s = arg;

    if (!selected(s->d, r))
        return 0;
    if (s->records != NULL)
        json_record(s, r);
    else
        text_record(s->d, r);
    return 0;
}

/* --- map --- */

static int map_record(void *arg, const struct cbd_pcache_record *r)
{
    struct show *s = arg;
    uint64_t seg;

    if (!r->is_key) {
        if (r->segment < s->count)
            s->log[r->segment] = 1;
        return 0;
    }
    seg = field(r, "segment");
    if (!r->valid || r->stale || seg >= s->count)
        return 0;
    s->live[seg] += field(r, "length_bytes");
    if (r->dirty)
        s->dirty[seg] += field(r, "length_bytes");
    return 0;
}

static char cell(const struct show *s, uint32_t i, int row)
{
    if (row == 0)
        return s->log[i] ? 'L' : s->dirty[i] != 0 ? 'd' : s->live[i] != 0 ? 'c' : '.';
    if (s->dirty[i] == 0)
        return '.';
    return s->dirty[i] >= CBD_PCACHE_DATA_BYTES
               ? '#'
               : (char)('0' + s->dirty[i] * 10 / CBD_PCACHE_DATA_BYTES);
}

static int show_map(struct show *s, const struct cbd_pcache *pc)
{
    int error;

    s->count = pc->seg_count;
    s->live = calloc(s->count, sizeof(*s->live));
    s->dirty = calloc(s->count, sizeof(*s->dirty));
    s->log = calloc(s->count, 1);
    error = s->live == NULL || s->dirty == NULL || s->log == NULL
                ? CBD_E_NOMEM
                : cbd_pcache_records(pc, CBD_PCACHE_LIST_LOG, map_record, s);
    for (uint32_t first = 0; error == 0 && first < s->count; first += ROW_CELLS)
        for (int row = 0; row < 2; row++) {
            printf("%7" PRIu32 " %s ", first, row == 0 ? "state" : "dirty");
            for (uint32_t i = first; i < s->count && i < first + ROW_CELLS; i++)
                putchar(cell(s, i, row));
            printf("\n");
        }
    if (error == 0)
        printf("        L log, d dirty, c clean, . free; dirty share in tenths, # full\n");
    free(s->live);
    free(s->dirty);
    free(s->log);
    return error;
}

/* --- image --- */

static int put(struct show *s, uint64_t off, const uint8_t *bytes, uint32_t len_bytes)
{
    s->pieces++;
    return pwrite(s->fd, bytes, len_bytes, (off_t)off) == (ssize_t)len_bytes ? 0 : CBD_E_SYSTEM;
}

static int image_record(void *arg, const struct cbd_pcache_record *r)
{
    uint8_t bytes[CBD_PCACHE_RECORD_BYTES_MAX];
    struct show *s = arg;

    if (!r->readable || r->zero || r->is_key)
        return 0; /* keys come with their key set */
    if (s->d->anonymize) {
        cbd_pcache_hide(s->pc, s->key, r, bytes);
        return put(s, r->off_bytes, bytes, r->len_bytes);
    }
    return put(arg, r->off_bytes, r->bytes, r->len_bytes);
}

static int make_image(struct show *s, const struct cbd_pcache *pc)
{
    struct dump *d = s->d;
    uint32_t len_bytes;
    const uint8_t *mark = cbd_pcache_image_mark(&len_bytes);
    int error, code = d->anonymize ? dump_hide_key(s->key) : 0;

    if (code != 0)
        return code;
    s->pc = pc;
    s->fd = open(d->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        cbd_tool_error(d->image, "cannot be made: %s", strerror(errno));
        return CBD_EXIT_OPERATIONAL;
    }
    error = ftruncate(s->fd, (off_t)d->device.pm->size_bytes) != 0 ? CBD_E_SYSTEM : 0;
    if (error == 0)
        error = put(s, 0, mark, len_bytes);
    if (error == 0)
        error = cbd_pcache_records(
            pc, CBD_PCACHE_LIST_SUPER | CBD_PCACHE_LIST_SEGMENTS | CBD_PCACHE_LIST_LOG,
            image_record, s);
    if (error == 0 && fsync(s->fd) != 0)
        error = CBD_E_SYSTEM;
    close(s->fd);
    if (error != 0) {
        unlink(d->image);
        cbd_tool_error_code(d->image, "cannot be written", error);
        return CBD_EXIT_OPERATIONAL;
    }
    if (d->document != NULL) {
        cbd_tool_json_text(d->document, "image", d->image);
        cbd_tool_json_bool(d->document, "anonymized", d->anonymize);
        cbd_tool_json_u64(d->document, "records", s->pieces);
    } else {
        printf("%s: metadata image of %s%s: %" PRIu64 " records\n", d->image, d->path,
               d->anonymize ? ", without what tells of its data" : "", s->pieces);
    }
    return 0;
}

static int show_all(struct show *s, const struct cbd_pcache *pc)
{
    struct dump *d = s->d;
    unsigned which = (d->super ? (unsigned)CBD_PCACHE_LIST_SUPER : 0) |
                     (d->segments ? (unsigned)CBD_PCACHE_LIST_SEGMENTS : 0) |
                     (d->keys ? (unsigned)CBD_PCACHE_LIST_LOG : 0);
    int error;

    if (d->document != NULL)
        s->records = cbd_tool_json_array(d->document, "records");
    error = cbd_pcache_records(pc, which, show_record, s);
    if (error == 0 && d->map && d->document == NULL)
        error = show_map(s, pc);
    if (s->records != NULL)
        cbd_tool_json_u64(d->document, "records_omitted", s->omitted);
    if (error == 0)
        return 0;
    cbd_tool_error_code(d->path, "cannot be shown", error);
    return CBD_EXIT_OPERATIONAL;
}

int dump_pcache(struct dump *d)
{
    struct cbd_pcache_sink sink = {0};
    struct show s = {.d = d};
    struct cbd_pcache pc;
    int error = cbd_pcache_open(d->device.pm, d->device.env, &sink, &pc), code;

    if (d->document != NULL) {
        cbd_tool_json_text(d->document, "device", d->path);
        cbd_tool_json_text(d->document, "media", "dm-pcache");
    }
    if (error != 0) {
        cbd_tool_error_code(d->path, "cannot be shown", error);
        code = CBD_EXIT_OPERATIONAL;
    } else {
        code = d->image != NULL ? make_image(&s, &pc) : show_all(&s, &pc);
        if (sink.errors != 0)
            code |= CBD_EXIT_LEFT;
    }
    cbd_pcache_close(&pc);
    return code;
}
