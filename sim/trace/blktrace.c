/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What blktrace records of a block device: its binary files, and the text that blkparse makes of
 * them. A request passes several events; one of them is taken, or each would count several times:
 *
 *   blktrace, blkparse       Q  as the application handed it over
 *   blktrace-d, blkparse-d   D  as it went to the driver: merged and cut by the kernel
 *
 * A binary file has the events of one CPU. Blocks are 512 bytes. A preflush is given as FLUSH before
 * the write, FUA as FUA, discard as TRIM. Time counts from the start of the trace.
 *
 *   binary   48 bytes: magic and version, sequence, time ns, sector, bytes, action, pid, device, CPU,
 *            error, length of what follows; then that. Either byte order, told by the magic.
 *   text     major,minor CPU sequence seconds pid event rwbs [sector + sectors] [process], then a
 *            summary that begins with "CPU" or "Total"
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "trace/reader.h"

#define MAGIC 0x65617407u /* "eat" and version 7 */
#define HEADER_BYTES 48u
#define SECTOR_BYTES 512u

/* The event is the low half of the action, the category the high half. */
#define EVENT_MASK 0xffffu
#define EVENT_QUEUE 1u
#define EVENT_ISSUE 7u
#define CATEGORY_WRITE (1u << 17)
#define CATEGORY_FLUSH (1u << 18)
#define CATEGORY_NOTIFY (1u << 26)
#define CATEGORY_DISCARD (1u << 29)
#define CATEGORY_FUA (1u << 31)

/* Which event counts. */
struct event {
    uint32_t code;
    char letter;
};

static const struct event queued = {EVENT_QUEUE, 'Q'};
static const struct event issued = {EVENT_ISSUE, 'D'};

struct text_state {
    bool summary; /* the rest is not about requests */
};

/* What an event says of a request. */
struct what {
    bool preflush, write, discard, fua;
    uint64_t sector, bytes, time_us;
};

/* One or two requests of a volume. */
static int emit(struct sim_parse *p, const struct what *w, uint32_t volume)
{
    int n = 0;

    if (w->preflush || (w->bytes == 0 && w->write)) {
        p->requests[n++] =
            (struct sim_request){.op = SIM_REQUEST_FLUSH, .volume = volume, .time_us = w->time_us};
    }
    if (w->bytes != 0) {
        p->requests[n++] = (struct sim_request){
            .op = w->discard ? SIM_REQUEST_TRIM
                  : w->write ? SIM_REQUEST_WRITE
                             : SIM_REQUEST_READ,
            .fua = w->fua && w->write && !w->discard,
            .volume = volume,
            .off_bytes = w->sector * SECTOR_BYTES,
            .len_bytes = w->bytes,
            .time_us = w->time_us,
        };
    }
    return n;
}

static int bad_place(struct sim_parse *p, unsigned field, const struct sim_field *got)
{
    return sim_parse_bad(p, field, "sector", got, "a range that ends below 2^63 bytes");
}

static bool place_fits(uint64_t sector, uint64_t bytes)
{
    return bytes <= INT64_MAX && sector <= (INT64_MAX - bytes) / SECTOR_BYTES;
}

/* --- binary --- */

static uint32_t get32(const uint8_t *b, bool swapped)
{
    return swapped ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]
                   : (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static uint64_t get64(const uint8_t *b, bool swapped)
{
    uint64_t low = get32(b + (swapped ? 4 : 0), swapped);

    return (uint64_t)get32(b + (swapped ? 0 : 4), swapped) << 32 | low;
}

static bool is_magic(const uint8_t *b, bool *swapped)
{
    *swapped = get32(b, true) == MAGIC;
    return *swapped || get32(b, false) == MAGIC;
}

static int frame_binary(struct sim_stream *stream, const char **record, size_t *len_bytes)
{
    const uint8_t *b;
    bool swapped;
    size_t len;
    int rc = sim_stream_peek(stream, HEADER_BYTES, record, &len);

    if (rc != 0 || len == 0) {
        return rc;
    }
    b = (const uint8_t *)*record;
    if (len < HEADER_BYTES) {
        return sim_stream_bad(stream, "the last record has %zu bytes, expected %u or more", len,
                              HEADER_BYTES);
    }
    if (!is_magic(b, &swapped)) {
        return sim_stream_bad(stream,
                              "got 0x%08" PRIx32 " at the start of a record, expected the "
                              "magic 0x%08" PRIx32,
                              get32(b, false), MAGIC);
    }
    *len_bytes = HEADER_BYTES + (swapped ? (size_t)b[46] << 8 | b[47] : (size_t)b[47] << 8 | b[46]);
    return sim_stream_take(stream, *len_bytes, record);
}

static int parse_binary(struct sim_parse *p, const char *record, size_t len_bytes)
{
    const struct event *event = p->columns;
    const uint8_t *b = (const uint8_t *)record;
    char text[32];
    struct sim_field name = {text, 0};
    struct what w;
    uint32_t action, device, volume;
    bool swapped;
    int rc;

    (void)len_bytes; /* at least a header: frame_binary() */
    (void)is_magic(b, &swapped);
    action = get32(b + 28, swapped);
    if ((action & CATEGORY_NOTIFY) != 0 || (action & EVENT_MASK) != event->code) {
        return 0;
    }
    w = (struct what){
        .preflush = (action & CATEGORY_FLUSH) != 0,
        .write = (action & CATEGORY_WRITE) != 0,
        .discard = (action & CATEGORY_DISCARD) != 0,
        .fua = (action & CATEGORY_FUA) != 0,
        .sector = get64(b + 16, swapped),
        .bytes = get32(b + 24, swapped),
        .time_us = get64(b + 8, swapped) / 1000,
    };
    if (!place_fits(w.sector, w.bytes)) {
        snprintf(text, sizeof(text), "%" PRIu64, w.sector);
        name.len_bytes = strlen(text);
        return bad_place(p, 4, &name);
    }
    device = get32(b + 36, swapped);
    snprintf(text, sizeof(text), "%" PRIu32 ",%" PRIu32, device >> 20, device & 0xfffff);
    name.len_bytes = strlen(text);
    rc = sim_parse_volume(p, 8, &name, &volume);
    return rc != 0 ? rc : emit(p, &w, volume);
}

static bool probe_binary(const char *bytes, size_t len_bytes)
{
    bool swapped;

    return len_bytes >= HEADER_BYTES && is_magic((const uint8_t *)bytes, &swapped);
}

/* --- text --- */

enum { DEVICE, CPU, SEQUENCE, TIME, PID, EVENT, RWBS, SECTOR, PLUS, SECTORS, TEXT_FIELDS };

/* N,N */
static bool is_device(const struct sim_field *field)
{
    struct sim_field half[2];
    uint64_t ignored;

    return sim_fields_split_comma(field->text, field->len_bytes, half, 2) == 2 &&
           sim_field_u64(&half[0], &ignored) && sim_field_u64(&half[1], &ignored);
}

static bool is_event_line(const struct sim_field *fields, unsigned count)
{
    uint64_t ignored;

    return count >= RWBS && is_device(&fields[DEVICE]) && sim_field_u64(&fields[CPU], &ignored) &&
           sim_field_seconds(&fields[TIME], &ignored);
}

/* "R", "FWFS", "DS", ...: F before the direction is a preflush, behind it FUA. */
static int parse_rwbs(struct sim_parse *p, const struct sim_field *field, struct what *w)
{
    bool direction = false;

    for (size_t i = 0; i < field->len_bytes; i++) {
        switch (field->text[i]) {
        case 'W':
            w->write = direction = true;
            break;
        case 'R':
            direction = true;
            break;
        case 'D':
        case 'E': /* secure erase */
            w->discard = direction = true;
            break;
        case 'F':
            if (direction) {
                w->fua = true;
            } else {
                w->preflush = true;
            }
            break;
        case 'N':
        case 'S':
        case 'M':
        case 'A':
        case 'B':
            break;
        default:
            return sim_parse_bad(p, RWBS + 1, "rwbs", field, "letters of FWDERNSMAB");
        }
    }
    return 0;
}

static int parse_sectors(struct sim_parse *p, const struct sim_field *fields, struct what *w)
{
    uint64_t sectors = 0;
    int rc = sim_parse_u64(p, SECTOR + 1, "sector", &fields[SECTOR], &w->sector);

    if (rc == 0) {
        rc = sim_parse_u64(p, SECTORS + 1, "sectors", &fields[SECTORS], &sectors);
    }
    if (rc != 0) {
        return rc;
    }
    if (sectors > INT64_MAX / SECTOR_BYTES || !place_fits(w->sector, sectors * SECTOR_BYTES)) {
        return bad_place(p, SECTOR + 1, &fields[SECTOR]);
    }
    w->bytes = sectors * SECTOR_BYTES;
    return 0;
}

static int parse_text(struct sim_parse *p, const char *record, size_t len_bytes)
{
    const struct event *event = p->columns;
    struct text_state *state = p->state;
    struct sim_field fields[TEXT_FIELDS];
    unsigned count = sim_fields_split_blank(record, len_bytes, fields, TEXT_FIELDS);
    struct what w = {.bytes = 0};
    uint32_t volume;
    uint64_t ns;
    int rc;

    if (count == 0 || state->summary) {
        return 0;
    }
    if (!is_event_line(fields, count)) {
        if (fields[0].len_bytes >= 3 &&
            (memcmp(fields[0].text, "CPU", 3) == 0 || sim_field_is(&fields[0], "Total"))) {
            state->summary = true;
            return 0;
        }
        return sim_parse_bad(p, 1, "device", &fields[0],
                             "major,minor CPU sequence seconds pid event rwbs, or a summary");
    }
    if (fields[EVENT].len_bytes != 1 || fields[EVENT].text[0] != event->letter || count <= RWBS) {
        return 0;
    }
    rc = parse_rwbs(p, &fields[RWBS], &w);
    if (rc == 0 && count >= TEXT_FIELDS && sim_field_is(&fields[PLUS], "+")) {
        rc = parse_sectors(p, fields, &w);
    }
    if (rc != 0) {
        return rc;
    }
    if (w.bytes == 0 && !w.preflush && !w.write) {
        return 0; /* no data and no flush */
    }
    (void)sim_field_seconds(&fields[TIME], &ns);
    w.time_us = ns / 1000;
    rc = sim_parse_volume(p, DEVICE + 1, &fields[DEVICE], &volume);
    return rc != 0 ? rc : emit(p, &w, volume);
}

static bool probe_text(const char *bytes, size_t len_bytes)
{
    struct sim_field line = sim_probe_line(bytes, len_bytes);
    struct sim_field fields[TEXT_FIELDS];

    return is_event_line(fields,
                         sim_fields_split_blank(line.text, line.len_bytes, fields, TEXT_FIELDS));
}

/* Asked for by name only: the bytes do not say which event is wanted. */
static bool probe_never(const char *bytes, size_t len_bytes)
{
    (void)bytes;
    (void)len_bytes;
    return false;
}

#define BINARY(id, name_, title_, event_, probe_)                                                  \
    const struct sim_reader sim_reader_##id = {                                                    \
        .name = name_,                                                                             \
        .title = title_,                                                                           \
        .columns = event_,                                                                         \
        .probe = probe_,                                                                           \
        .frame = frame_binary,                                                                     \
        .parse = parse_binary,                                                                     \
    }

#define TEXT(id, name_, title_, event_, probe_)                                                    \
    const struct sim_reader sim_reader_##id = {                                                    \
        .name = name_,                                                                             \
        .title = title_,                                                                           \
        .state_bytes = sizeof(struct text_state),                                                  \
        .columns = event_,                                                                         \
        .probe = probe_,                                                                           \
        .frame = sim_stream_line,                                                                  \
        .parse = parse_text,                                                                       \
    }

BINARY(blktrace, "blktrace", "binary blktrace", &queued, probe_binary);
BINARY(blktrace_d, "blktrace-d", "binary blktrace, issued requests", &issued, probe_never);
TEXT(blkparse, "blkparse", "blkparse text", &queued, probe_text);
TEXT(blkparse_d, "blkparse-d", "blkparse text, issued requests", &issued, probe_never);
