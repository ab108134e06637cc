/* SPDX-License-Identifier: BSD-2-Clause */
/* What a replay found, for people. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim_tool.h"
#include "tool_size.h"

struct text {
    char buf[CBD_TOOL_SIZE_TEXT_BYTES];
};

static const char *size(uint64_t bytes, struct text *t)
{
    return cbd_tool_size_human(bytes, t->buf);
}

/* 12345678 as "12,345,678": large counts are read, not measured. */
static const char *count(uint64_t n, struct text *t)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
    char *out = t->buf;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return t->buf;
}

static void requests(const struct sim_result *r)
{
    static const char *const names[SIM_REQUEST_OP_COUNT] = {"reads", "writes", "discards",
                                                            "flushes"};
    struct text a, b;

    printf("  requests     %11s\n", count(r->requests_total, &a));
    for (int op = 0; op < SIM_REQUEST_OP_COUNT; op++) {
        printf("    %-10s %11s", names[op], count(r->requests[op], &a));
        if (op != SIM_REQUEST_FLUSH)
            printf("   %10s", size(r->bytes[op], &b));
        printf("\n");
    }
}

static void faults(const struct cbd_sim_replay *replay, const struct sim_result *r)
{
    struct text a, b;

    if (replay->faults == 0)
        return;
    for (int f = 0; f < SIM_FAULT_COUNT; f++)
        if (((replay->faults & ~SIM_FAULTS_MEMORY) >> f & 1) != 0)
            printf("  %-12s %11s   times in the run\n", sim_fault_name((enum sim_fault)f),
                   count(r->faults[f], &a));
    printf("    requests   %11s   failed by that\n", count(r->requests_failed, &b));
    printf("    recoveries %11s   with a fault; %s were refused for it\n",
           count(r->judged.faults, &a), count(r->judged.refused, &b));
    printf("    damaged    %11s   of these have a damaged line of memory\n",
           count(r->judged.damaged, &a));
    printf("    reads      %11s   after these failed; %s found what was reported as lost\n\n",
           count(r->judged.excused, &a), count(r->judged.lost, &b));
}

static void cache(const struct sim_result *r)
{
    const struct cbd_stats *s = &r->total;
    struct text a, b, c;

    printf("  read hits    %11s   %10s of %s\n",
           cbd_tool_percent(s->hit_bytes, s->read_bytes, a.buf), size(s->hit_bytes, &b),
           size(s->read_bytes, &c));
    printf("  written back %11s   in %s requests and %s flushes\n", size(s->writeback_bytes, &a),
           count(s->writeback_ios, &b), count(s->writeback_flushes, &c));
    printf("    for        %11s   that was written\n", size(s->write_bytes, &a));
    printf("  epochs       %11s\n", count(s->writeback_epochs, &a));
    printf("  reclaimed    %11s segments in %s rounds\n", count(s->segments_reclaimed, &a),
           count(s->reclaims, &b));
    printf("  restarts     %11s   %s records recovered, %s unfinished writes dropped\n",
           count(r->restarts, &a), count(s->recovered_records, &b),
           count(s->recovered_suspects, &c));
}

static void cuts(const struct sim_result *r)
{
    uint64_t column[SIM_STEP_KIND_COUNT] = {0};
    struct text a;

    printf("  power cuts at         ");
    for (int k = 0; k < SIM_STEP_KIND_COUNT; k++)
        printf("%9s", sim_step_kind_name((enum sim_step_kind)k));
    printf("%12s\n", "of steps");
    for (int class = 0; class < SIM_CLASS_COUNT; class ++) {
        uint64_t steps = 0;

        printf("    %-20s", sim_class_name((enum sim_class) class));
        for (int k = 0; k < SIM_STEP_KIND_COUNT; k++) {
            steps += r->steps_by[class][k];
            column[k] += r->cuts_by[class][k];
            printf("%9s", r->steps_by[class][k] == 0 ? "-" : count(r->cuts_by[class][k], &a));
        }
        printf("%12s\n", count(steps, &a));
    }
    printf("    %-20s", "sum");
    for (int k = 0; k < SIM_STEP_KIND_COUNT; k++)
        printf("%9s", count(column[k], &a));
    printf("%12s\n", count(r->steps, &a));
    printf("    %-20s", "again, in recovery");
    for (int k = 0; k < SIM_STEP_KIND_COUNT; k++)
        printf("%9s", count(r->judged.nested_at[k], &a));
    printf("\n");
    for (int later = SIM_LATER_WRITEBACK; later < SIM_LATER_COUNT; later++) {
        char row[32];

        snprintf(row, sizeof(row), "later, in %s",
                 later == SIM_LATER_WRITEBACK ? "write-back" : "reclaim");
        printf("    %-20s", row);
        for (int k = 0; k < SIM_STEP_KIND_COUNT; k++)
            printf("%9s", count(r->judged.later_at[later][k], &a));
        printf("\n");
    }
}

static void states(const struct sim_result *r)
{
    const struct sim_judged *j = &r->judged;
    struct text a, b;

    printf("  crash states %11s   each recovered, checked and compared\n", count(j->states, &a));
    printf("    %-10s %11s   power failed again inside recovery\n", "nested", count(j->nested, &a));
    printf("    %-10s %11s   power failed again inside write-back of what was recovered\n", "later",
           count(j->later[SIM_LATER_WRITEBACK], &a));
    printf("    %-10s %11s   the same inside reclaim\n", "",
           count(j->later[SIM_LATER_RECLAIM], &a));
    printf("    %-10s %11s   power failed again after recovery was read\n", "twice",
           count(j->twice, &a));
    printf("    %-10s %11s   only the process died\n", "killed", count(j->killed, &a));
    printf("    %-10s %11s   a copy of some metadata was lost as well\n", "one copy",
           count(j->lost_copies, &a));
    printf("    %-10s %11s   the disk alone was judged, the pmem thrown away\n", "bare disk",
           count(j->backing, &a));
    printf("    %-10s %11s   all data read, written back, detached, compared\n", "in full",
           count(j->full, &a));
    printf("  sectors      %11s   compared, 512 bytes each\n", count(j->sectors, &b));
}

static void failures(const struct cbd_sim_replay *replay, const struct sim_result *r)
{
    char text[2048], id[CBD_SIM_ID_BYTES];

    if (r->run_failed)
        printf("\n  THE RUN FAILED: %s\n", sim_verdict_text(&r->run_verdict, text, sizeof(text)));
    for (uint32_t i = 0; i < r->failed_kept; i++) {
        cbd_sim_id_print(replay, &r->failed[i], id);
        printf("\n  VIOLATION: %s\n  again with: cbd-sim rerun '%s'\n",
               sim_verdict_text(&r->failed[i].verdict, text, sizeof(text)), id);
    }
    if (r->failures > r->failed_kept)
        printf("\n  ... and %" PRIu64 " more\n", r->failures - r->failed_kept);
}

void cbd_sim_report_text(const struct cbd_sim_replay *r, const struct cbd_sim_trace *t,
                         const struct sim_campaign *c, const struct sim_result *result)
{
    struct text a, b, d;
    uint64_t disks = 0;

    for (uint32_t n = 0; n < c->config.backends; n++)
        disks += c->config.disk_bytes[n];
    printf("%s (%s)\n", r->trace, sim_trace_format_name(t->totals.format));
    printf("  %s of pmem in %u segments of %s before %u disk%s of %s, seed %" PRIu64 "\n",
           size(c->config.cache_bytes, &a), result->segments * c->config.backends,
           size(c->config.segment_bytes, &b), c->config.backends,
           c->config.backends == 1 ? "" : "s", size(disks, &d), r->seed);
    if (r->schedule != SIM_SCHEDULE_SERIAL)
        printf("  %u requests at a time, schedule %s\n", r->threads,
               sim_schedule_name(r->schedule));
    if (t->totals.stats.lines_bad != 0)
        printf("  %s lines could not be read and were passed over\n",
               count(t->totals.stats.lines_bad, &a));
    printf("\n");
    requests(result);
    printf("\n");
    faults(r, result);
    cache(result);
    printf("\n");
    cuts(result);
    printf("\n");
    if (r->exhaustive)
        cbd_sim_certificate_text(r, result);
    else
        states(result);
    failures(r, result);
    if (r->image != NULL)
        printf("\n  image        %s%s\n", r->image,
               result->image_failed ? ": COULD NOT BE WRITTEN" : "");
    if (r->report != NULL)
        printf("\n  report       %s\n", r->report);
    printf("\n  violations   %11s\n", count(result->failures + (result->run_failed ? 1 : 0), &a));
}
