/* SPDX-License-Identifier: BSD-2-Clause */
/* Findings and summary of a check as text and as JSON. */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cbd/pcache.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_size.h"

static const char *severity(const struct cbd_problem *problem)
{
    return problem->severity == CBD_CHECK_ERROR ? "error" : "note";
}

void report_open(struct report *r, const char *path, bool json, bool verbose, bool quiet)
{
    *r = (struct report){.path = path, .verbose = verbose, .quiet = quiet};
    if (!json)
        return;
    r->document = cbd_tool_json_document("cbd-check", 1);
    cbd_tool_json_text(r->document, "device", path);
    r->findings = cbd_tool_json_array(r->document, "findings");
}

static void place(json_t *o, const char *key, uint32_t value)
{
    if (value != CBD_CHECK_NONE)
        cbd_tool_json_u64(o, key, value);
}

static void json_finding(struct report *r, const struct cbd_check_finding *f)
{
    json_t *o;

    r->last = NULL;
    if (json_array_size(r->findings) == REPORT_FINDINGS_MAX) {
        r->findings_omitted++;
        return;
    }
    r->last = o = cbd_tool_json_append_object(r->findings);
    cbd_tool_json_u64(o, "code", f->problem->code);
    cbd_tool_json_text(o, "name", f->problem->name);
    cbd_tool_json_text(o, "severity", severity(f->problem));
    if (cbd_pcache_problem_hole(f->problem->code)[0] != '\0')
        cbd_tool_json_text(o, "driver_fault", cbd_pcache_problem_hole(f->problem->code));
    cbd_tool_json_text(o, "what", f->what);
    cbd_tool_json_text(o, "sentence", f->problem->sentence);
    cbd_tool_json_text(o, "repair", f->problem->repair);
    cbd_tool_json_text(o, "cost", f->problem->cost);
    place(o, "copy", f->copy);
    place(o, "segment", f->segment);
    place(o, "slot", f->slot);
    place(o, "backend", f->backend);
    if (f->off_bytes != CBD_CHECK_NOWHERE)
        cbd_tool_json_u64(o, "offset_bytes", f->off_bytes);
    if (f->got != 0 || f->limit != 0) {
        cbd_tool_json_u64(o, "got", f->got);
        cbd_tool_json_u64(o, "limit", f->limit);
    }
    cbd_tool_json_bool(o, "dirty", f->dirty);
    if (f->range_known) {
        cbd_tool_json_u64(o, "address_bytes", f->addr_bytes);
        cbd_tool_json_u64(o, "length_bytes", f->len_bytes);
    }
}

/* "record 12.3", "superblock copy 1", "backend entry 4 copy 0", "segment entry 7" */
static void print_what(const struct cbd_check_finding *f)
{
    printf("%s", f->what);
    if (f->segment != CBD_CHECK_NONE)
        printf(" %" PRIu32, f->segment);
    else if (f->backend != CBD_CHECK_NONE)
        printf(" %" PRIu32, f->backend);
    if (f->slot != CBD_CHECK_NONE)
        printf(".%" PRIu32, f->slot);
    if (f->copy != CBD_CHECK_NONE)
        printf(" copy %" PRIu32, f->copy);
    if (f->off_bytes != CBD_CHECK_NOWHERE)
        printf(" at 0x%" PRIx64, f->off_bytes);
}

static void text_finding(const struct report *r, const struct cbd_check_finding *f)
{
    const char *hole = cbd_pcache_problem_hole(f->problem->code);
    bool error = f->problem->severity == CBD_CHECK_ERROR;

    if (r->quiet && f->problem->severity != CBD_CHECK_ERROR)
        return;
    printf("%s: %s %" PRIu32 ": ", r->path, severity(f->problem), f->problem->code);
    print_what(f);
    printf(": %s%s%s", f->problem->sentence, hole[0] != '\0' ? ": dm-pcache " : "", hole);
    if (f->got != 0 || f->limit != 0)
        printf(": got %" PRIu64 ", limit %" PRIu64, f->got, f->limit);
    if (f->range_known)
        printf(": backend %" PRIu32 ", bytes %" PRIu64 "..%" PRIu64 "%s", f->backend, f->addr_bytes,
               f->addr_bytes + f->len_bytes - 1, f->dirty ? ", dirty" : "");
    printf("\n");
    /* A repair says it by the offer. What to do about the faults of that driver is always said. */
    if ((!r->repairing && !r->quiet && (error || r->verbose)) || (hole[0] != '\0' && error))
        printf("    repair: %s\n    costs: %s\n", f->problem->repair, f->problem->cost);
}

/* "4096 dirty bytes of backend 0, bytes 8192..12287" */
static void text_cost(const struct cbd_repair_offer *o)
{
    if (!o->loses)
        printf("nothing");
    else if (o->range_known)
        printf("%" PRIu64 " dirty bytes of backend %" PRIu32 ", bytes %" PRIu64 "..%" PRIu64,
               o->dirty_bytes, o->backend, o->addr_bytes, o->addr_bytes + o->len_bytes - 1);
    else
        printf("%" PRIu64 " dirty bytes or more, anywhere in backend %" PRIu32, o->dirty_bytes,
               o->backend);
}

void report_offer(struct report *r, const struct cbd_repair_offer *offer)
{
    bool note = offer->finding->problem->severity != CBD_CHECK_ERROR;

    r->repairing = true;
    report_finding(r, offer->finding);
    if (r->document != NULL || note || r->quiet)
        return;
    printf("    repair: %s\n", offer->what);
    if (!offer->possible && !offer->loses)
        return;
    printf("    costs: ");
    text_cost(offer);
    printf("%s\n", offer->possible ? "" : " (needs --allow-data-loss)");
}

void report_answer(struct report *r, const struct cbd_repair_offer *offer, bool accepted)
{
    if (r->document == NULL || r->last == NULL ||
        offer->finding->problem->severity != CBD_CHECK_ERROR)
        return;
    cbd_tool_json_text(r->last, "repair_here", offer->what);
    cbd_tool_json_bool(r->last, "repair_possible", offer->possible);
    cbd_tool_json_bool(r->last, "repair_accepted", accepted);
    cbd_tool_json_bool(r->last, "loses_dirty_data", offer->loses);
    if (!offer->loses)
        return;
    cbd_tool_json_u64(r->last, "lost_dirty_bytes", offer->dirty_bytes);
    cbd_tool_json_u64(r->last, "lost_backend", offer->backend);
    if (!offer->range_known)
        return;
    cbd_tool_json_u64(r->last, "lost_address_bytes", offer->addr_bytes);
    cbd_tool_json_u64(r->last, "lost_length_bytes", offer->len_bytes);
}

void report_repairs(struct report *r, const struct cbd_repair_result *result)
{
    json_t *o;

    if (r->document == NULL) {
        if (!r->quiet && result->found != 0)
            printf("%s: %" PRIu64 " problem%s, %" PRIu64 " repaired, %" PRIu64 " left, %" PRIu64
                   " dirty bytes given up\n",
                   r->path, result->found, result->found == 1 ? "" : "s", result->fixed,
                   result->summary.errors, result->lost_bytes);
        return;
    }
    o = cbd_tool_json_object(r->document, "repair");
    cbd_tool_json_u64(o, "problems", result->found);
    cbd_tool_json_u64(o, "repaired", result->fixed);
    cbd_tool_json_u64(o, "failed", result->failed);
    cbd_tool_json_u64(o, "left", result->summary.errors);
    cbd_tool_json_u64(o, "lost_dirty_bytes", result->lost_bytes);
    cbd_tool_json_u64(o, "rounds", result->rounds);
}

void report_finding(struct report *r, const struct cbd_check_finding *f)
{
    if (r->document != NULL)
        json_finding(r, f);
    else
        text_finding(r, f);
}

static void json_backend(json_t *array, uint32_t id, const struct cbd_check_backend *b,
                         bool scanned)
{
    json_t *o = cbd_tool_json_append_object(array);

    cbd_tool_json_u64(o, "id", id);
    cbd_tool_json_text(o, "name", b->name);
    cbd_tool_json_text(o, "path", b->path);
    cbd_tool_json_bool(o, "unclean", b->unclean);
    cbd_tool_json_u64(o, "segments", b->segments);
    if (!scanned)
        return;
    cbd_tool_json_u64(o, "records", b->records);
    cbd_tool_json_u64(o, "live_bytes", b->live_bytes);
    cbd_tool_json_u64(o, "dirty_records", b->dirty_records);
    cbd_tool_json_u64(o, "dirty_bytes", b->dirty_bytes);
    cbd_tool_json_u64(o, "dirty_zero_bytes", b->dirty_zero_bytes);
    cbd_tool_json_u64(o, "suspects", b->suspects);
}

static void json_summary(struct report *r, const struct cbd_check_summary *s, unsigned flags)
{
    bool scanned = (flags & CBD_CHECK_SCAN) != 0;
    json_t *backends;
    json_t *o;

    cbd_tool_json_u64(r->document, "findings_omitted", r->findings_omitted);
    o = cbd_tool_json_object(r->document, "summary");
    cbd_tool_json_bool(o, "records_checked", scanned);
    cbd_tool_json_bool(o, "data_checked", (flags & CBD_CHECK_DATA) != 0);
    cbd_tool_json_u64(o, "errors", s->errors);
    cbd_tool_json_u64(o, "notes", s->infos);
    if (s->super_valid) {
        cbd_tool_json_uuid(o, "uuid", s->super.uuid);
        cbd_tool_json_text(o, "label", s->super.label);
        cbd_tool_json_u64(o, "segment_bytes", s->super.geo.segment_bytes);
        cbd_tool_json_u64(o, "segments", s->super.geo.segment_count);
    }
    cbd_tool_json_u64(o, "segments_unowned", s->segments_unowned);
    cbd_tool_json_u64(o, "segments_free", s->segments_free);
    cbd_tool_json_u64(o, "segments_open", s->segments_open);
    cbd_tool_json_u64(o, "segments_closed", s->segments_closed);
    cbd_tool_json_u64(o, "records_damaged", s->records_damaged);
    cbd_tool_json_u64(o, "data_bytes", s->data_bytes);
    backends = cbd_tool_json_array(r->document, "backends");
    for (uint32_t i = 0; i < CBD_BACKENDS; i++)
        if (s->backends[i].used)
            json_backend(backends, i, &s->backends[i], scanned);
}

static void text_backend(const struct report *r, const struct cbd_check_backend *b, bool scanned)
{
    char live[CBD_TOOL_SIZE_TEXT_BYTES], dirty[CBD_TOOL_SIZE_TEXT_BYTES];
    char zero[CBD_TOOL_SIZE_TEXT_BYTES], name[sizeof(b->name)];

    memcpy(name, b->name, sizeof(name));
    cbd_tool_clean_text(name);
    printf("%s: backend '%s': %" PRIu32 " segments", r->path, name, b->segments);
    if (scanned)
        printf(", %" PRIu64 " records, %s cached, %s and %s of zeroes dirty", b->records,
               cbd_tool_size_human(b->live_bytes, live), cbd_tool_size_human(b->dirty_bytes, dirty),
               cbd_tool_size_human(b->dirty_zero_bytes, zero));
    printf("%s\n", b->unclean ? ", not detached cleanly" : "");
}

static void text_summary(const struct report *r, const struct cbd_check_summary *s, unsigned flags)
{
    bool scanned = (flags & CBD_CHECK_SCAN) != 0;
    const char *what = "superblocks and tables only (-f checks all)";

    if (r->quiet)
        return;
    if (scanned)
        what = (flags & CBD_CHECK_DATA) != 0 ? "records and data" : "records";
    for (uint32_t i = 0; i < CBD_BACKENDS; i++)
        if (s->backends[i].used && (r->verbose || s->backends[i].unclean))
            text_backend(r, &s->backends[i], scanned);
    if (r->verbose)
        printf("%s: %" PRIu32 " segments: %" PRIu32 " unowned, %" PRIu32 " free, %" PRIu32
               " open, %" PRIu32 " closed; %" PRIu64 " bytes of data verified\n",
               r->path, s->super.geo.segment_count, s->segments_unowned, s->segments_free,
               s->segments_open, s->segments_closed, s->data_bytes);
    if (s->errors == 0)
        printf("%s: clean, checked %s\n", r->path, what);
    else
        printf("%s: %" PRIu64 " problem%s, checked %s%s\n", r->path, s->errors,
               s->errors == 1 ? "" : "s", what, r->repairing ? "" : "; nothing was changed");
}

void report_summary(struct report *r, const struct cbd_check_summary *s, unsigned flags)
{
    if (r->document != NULL)
        json_summary(r, s, flags);
    else
        text_summary(r, s, flags);
}

int report_close(struct report *r, int exit_code)
{
    int error;

    if (r->document == NULL)
        return fflush(stdout) == 0 && !ferror(stdout) ? 0 : CBD_E_SYSTEM;
    cbd_tool_json_u64(r->document, "exit_code", (uint64_t)exit_code);
    error = cbd_tool_json_print(r->document, stdout);
    json_decref(r->document);
    return error;
}
