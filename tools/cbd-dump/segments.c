/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments and records, as the check walks over them.
 *
 * A bar shows what a segment holds: '#' dirty, '=' clean, '.' free or forgotten; 20 cells.
 * Neighbours of which there is nothing to tell share one line.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dump.h"
#include "tool_json.h"

#define BAR_CELLS 20u

/* Not a single dirty byte is rounded away. */
static void make_bar(uint64_t live, uint64_t dirty, uint64_t whole, char bar[BAR_CELLS + 1])
{
    uint64_t full = (live * BAR_CELLS + whole - 1) / whole;
    uint64_t hash = (dirty * BAR_CELLS + whole - 1) / whole;

    for (uint32_t i = 0; i < BAR_CELLS; i++)
        bar[i] = i < hash ? '#' : i < full ? '=' : '.';
    bar[BAR_CELLS] = '\0';
}

static void print_owner(uint32_t first, uint32_t last, uint32_t backend)
{
    char ids[32], owner[16] = "-";

    if (first == last)
        snprintf(ids, sizeof(ids), "%" PRIu32, first);
    else
        snprintf(ids, sizeof(ids), "%" PRIu32 "-%" PRIu32, first, last);
    if (backend != CBD_CHECK_NONE)
        snprintf(owner, sizeof(owner), "%" PRIu32, backend);
    printf("%15s %5s", ids, owner);
}

void dump_end_segments(struct dump *d)
{
    if (d->run_count == 0)
        return;
    print_owner(d->run_first, d->run_first + d->run_count - 1, d->run_backend);
    printf(" free or forgotten\n");
    d->run_count = 0;
}

/* Whether the segment went into the run of those of which there is nothing to tell. */
static bool joins_run(struct dump *d, const struct cbd_check_segment *s)
{
    bool dull = s->entry_valid && !s->scanned && s->problem == NULL;

    if (d->run_count != 0 && (!dull || s->backend != d->run_backend))
        dump_end_segments(d);
    if (!dull)
        return false;
    if (d->run_count++ == 0)
        d->run_first = s->id;
    d->run_backend = s->backend;
    return true;
}

static void hex_entry(struct dump *d, const struct cbd_check_segment *s)
{
    struct cbd_pmem *pm = d->device.pm;
    uint8_t bytes[sizeof(struct cbd_m_segment)];

    if (d->hex && pm->ops->read(pm, s->entry_off_bytes, bytes, sizeof(bytes)) == 0)
        dump_fields_text(&dump_segment, bytes, true);
}

static void text_segment(struct dump *d, const struct cbd_check_segment *s)
{
    char bar[BAR_CELLS + 1];

    if (!d->heading)
        printf("       segments owner status stream generation  records  live       dirty      "
               "#dirty =clean .free\n");
    d->heading = true;
    if (!d->hex && joins_run(d, s))
        return;
    print_owner(s->id, s->id, s->backend);
    if (!s->entry_valid) {
        printf(" ***DAMAGED*** %s\n", s->problem->sentence);
        hex_entry(d, s);
        return;
    }
    make_bar(s->live_bytes, s->dirty_bytes, d->summary->super.geo.segment_bytes, bar);
    printf(" %-6s %6u %10" PRIu64 " %8" PRIu32 "  %-10" PRIu64 " %-10" PRIu64 " [%s]",
           dump_word(DUMP_STATUS, s->status), (unsigned)s->stream, s->generation, s->records,
           s->live_bytes, s->dirty_bytes, bar);
    if (s->damaged != 0)
        printf("  ***DAMAGED*** %" PRIu32 " records", s->damaged);
    if (s->suspect)
        printf("  unfinished write");
    if (s->problem != NULL)
        printf("  %s%s", s->problem->severity == CBD_CHECK_ERROR ? "***DAMAGED*** " : "",
               s->problem->sentence);
    printf("\n");
    hex_entry(d, s);
}

static void json_segment(struct dump *d, const struct cbd_check_segment *s)
{
    struct cbd_pmem *pm = d->device.pm;
    uint8_t bytes[sizeof(struct cbd_m_segment)];
    json_t *o = cbd_tool_json_append_object(d->json_segments);

    cbd_tool_json_u64(o, "id", s->id);
    cbd_tool_json_u64(o, "entry_offset_bytes", s->entry_off_bytes);
    if (s->problem != NULL) {
        cbd_tool_json_u64(o, "problem", s->problem->code);
        cbd_tool_json_text(o, "sentence", s->problem->sentence);
    }
    if (pm->ops->read(pm, s->entry_off_bytes, bytes, sizeof(bytes)) == 0)
        dump_fields_json(&dump_segment, bytes, d->hex, o);
    cbd_tool_json_bool(o, "scanned", s->scanned);
    if (!s->scanned)
        return;
    cbd_tool_json_u64(o, "slots_used", s->records);
    cbd_tool_json_u64(o, "slots_damaged", s->damaged);
    cbd_tool_json_bool(o, "unfinished", s->suspect);
    cbd_tool_json_u64(o, "live_bytes", s->live_bytes);
    cbd_tool_json_u64(o, "dirty_bytes", s->dirty_bytes);
}

void dump_segment_found(void *arg, const struct cbd_check_segment *segment)
{
    struct dump *d = arg;

    if (d->backend != CBD_CHECK_NONE && segment->backend != d->backend)
        return;
    if (d->map_data != NULL)
        dump_map_segment(d, segment);
    if (!d->segments)
        return;
    if (d->document != NULL)
        json_segment(d, segment);
    else
        text_segment(d, segment);
}

/* Whether any byte of the record is in the range that was asked for. */
static bool in_range(const struct dump *d, const struct cbd_m_record *m)
{
    uint64_t first = cbd_get64(m->addr_bytes), len = cbd_get64(m->len_bytes);

    if (d->range_end == 0)
        return true;
    return m->type != CBD_M_RECORD_VOID && first < d->range_end &&
           (first >= d->range_first || len > d->range_first - first);
}

/* The checksum line or header at `off`, as far as it can be read. */
static void show_line(struct dump *d, const struct dump_struct *s, uint64_t off, json_t *parent)
{
    struct cbd_pmem *pm = d->device.pm;
    uint8_t bytes[CBD_LINE_BYTES];
    bool readable = off <= pm->size_bytes && sizeof(bytes) <= pm->size_bytes - off &&
                    pm->ops->read(pm, off, bytes, sizeof(bytes)) == 0;

    if (parent != NULL) {
        cbd_tool_json_u64(parent, "offset_bytes", off);
        if (readable)
            dump_fields_json(s, bytes, true, parent);
        return;
    }
    printf("  %s at 0x%" PRIx64 "%s\n", s->name, off, readable ? "" : ": cannot be read");
    if (readable)
        dump_fields_text(s, bytes, true);
}

/* The lines of block checksums and the header before the payload of a valid record. */
static void show_header(struct dump *d, const struct cbd_check_record *r,
                        const struct cbd_m_record *m, json_t *parent)
{
    const struct cbd_geometry *geo = &d->summary->super.geo;
    uint64_t base = geo->data_off + (uint64_t)r->segment * geo->segment_bytes;
    uint64_t end = base + cbd_get32(m->payload_off);
    uint64_t addr = cbd_get64(m->addr_bytes), len = cbd_get64(m->len_bytes);
    uint64_t blocks = (addr + len - 1) / CBD_BLOCK_BYTES - addr / CBD_BLOCK_BYTES + 1;
    uint64_t lines = blocks <= CBD_HEADER_CRCS
                         ? 0
                         : (blocks - CBD_HEADER_CRCS + CBD_CRC_LINE_CRCS - 1) / CBD_CRC_LINE_CRCS;
    json_t *array = parent != NULL && lines != 0 ? cbd_tool_json_array(parent, "lines") : NULL;

    if (m->type != CBD_M_RECORD_WRITE && m->type != CBD_M_RECORD_FILL)
        return;
    show_line(d, &dump_header, end - sizeof(struct cbd_m_header),
              parent != NULL ? cbd_tool_json_object(parent, "header") : NULL);
    for (uint64_t n = 2; n < lines + 2; n++)
        show_line(d, &dump_crc_line, end - n * sizeof(struct cbd_m_crc_line),
                  array != NULL ? cbd_tool_json_append_object(array) : NULL);
}

static void json_record(struct dump *d, const struct cbd_check_record *r, const char *state,
                        const struct cbd_m_record *m)
{
    json_t *o;

    if (json_array_size(d->json_keys) >= DUMP_JSON_KEYS_MAX) {
        d->json_omitted++;
        return;
    }
    o = cbd_tool_json_append_object(d->json_keys);
    cbd_tool_json_u64(o, "segment", r->segment);
    cbd_tool_json_u64(o, "slot", r->slot);
    cbd_tool_json_u64(o, "backend", r->backend);
    cbd_tool_json_u64(o, "offset_bytes", r->off_bytes);
    cbd_tool_json_text(o, "state", state);
    dump_fields_json(&dump_record, (const uint8_t *)m, d->hex, o);
    if (d->hex)
        show_header(d, r, m, o);
}

void dump_record_found(void *arg, const struct cbd_check_record *r)
{
    struct dump *d = arg;
    struct cbd_pmem *pm = d->device.pm;
    const char *state = r->dirty ? "dirty" : r->live ? "clean" : "forgotten";
    struct cbd_m_record m;

    if (!d->keys || (d->backend != CBD_CHECK_NONE && r->backend != d->backend) ||
        pm->ops->read(pm, r->off_bytes, &m, sizeof(m)) != 0 || !in_range(d, &m))
        return;
    if (d->document != NULL) {
        json_record(d, r, state, &m);
        return;
    }
    dump_end_segments(d);
    printf("record %" PRIu32 ".%" PRIu32 " backend=%" PRIu32 " %s", r->segment, r->slot, r->backend,
           state);
    if (!d->hex) {
        dump_fields_line(&dump_record, (const uint8_t *)&m);
        printf("\n");
        return;
    }
    printf(" at 0x%" PRIx64 "\n", r->off_bytes);
    dump_fields_text(&dump_record, (const uint8_t *)&m, true);
    show_header(d, r, &m, NULL);
}

/* The tables are shown later, with what was noted here. */
static bool note_table(struct dump *d, const struct cbd_check_finding *f)
{
    uint32_t first = f->copy == 1 ? 1 : 0;
    uint32_t last = f->copy == 0 ? 0 : 1; /* no copy named: both */
    bool state = strcmp(f->what, "backend state") == 0;

    if (f->problem->code < 2000) {
        if (f->copy < CBD_SUPER_COPIES)
            d->super_problem[f->copy] = f->problem;
        return true;
    }
    if (f->segment != CBD_CHECK_NONE || f->backend >= CBD_BACKENDS ||
        f->problem->code > CBD_PROBLEM_COPY_MEDIA)
        return false;
    for (uint32_t copy = first; copy <= last; copy++)
        (state ? d->state_problem : d->backend_problem)[f->backend][copy] = f->problem;
    return true;
}

int dump_finding(void *arg, const struct cbd_check_finding *f)
{
    struct dump *d = arg;

    if (note_table(d, f) || f->problem->code < 3000 || !d->keys ||
        (d->backend != CBD_CHECK_NONE && f->backend != CBD_CHECK_NONE && f->backend != d->backend))
        return 0;
    dump_end_segments(d);
    if (d->document == NULL) {
        printf("***%s*** %s %" PRIu32 ".%" PRIu32 ": %s",
               f->problem->severity == CBD_CHECK_ERROR ? "DAMAGED" : "NOTE", f->what, f->segment,
               f->slot == CBD_CHECK_NONE ? 0 : f->slot, f->problem->sentence);
        if (f->range_known)
            printf(": backend %" PRIu32 " bytes %" PRIu64 "..%" PRIu64, f->backend, f->addr_bytes,
                   f->addr_bytes + f->len_bytes - 1);
        printf("\n");
    } else if (json_array_size(d->json_damage) < DUMP_JSON_KEYS_MAX) {
        json_t *o = cbd_tool_json_append_object(d->json_damage);

        cbd_tool_json_u64(o, "problem", f->problem->code);
        cbd_tool_json_text(o, "sentence", f->problem->sentence);
        if (f->segment != CBD_CHECK_NONE)
            cbd_tool_json_u64(o, "segment", f->segment);
        if (f->slot != CBD_CHECK_NONE)
            cbd_tool_json_u64(o, "slot", f->slot);
    }
    return 0;
}
