/* SPDX-License-Identifier: BSD-2-Clause */
/* What a replay found, for programs. Nothing in it depends on the machine or on --jobs. */
#include <stdio.h>

#include "sim_tool.h"
#include "tool_json.h"

static void put_requests(json_t *doc, const struct sim_result *r)
{
    static const char *const names[SIM_REQUEST_OP_COUNT] = {"read", "write", "discard", "flush"};
    json_t *all = cbd_tool_json_object(doc, "requests");

    cbd_tool_json_u64(all, "total", r->requests_total);
    for (int op = 0; op < SIM_REQUEST_OP_COUNT; op++) {
        json_t *one = cbd_tool_json_object(all, names[op]);

        cbd_tool_json_u64(one, "count", r->requests[op]);
        cbd_tool_json_u64(one, "bytes", r->bytes[op]);
    }
}

static void put_faults(json_t *doc, const struct cbd_sim_replay *replay, const struct sim_result *r)
{
    json_t *o = cbd_tool_json_object(doc, "faults");

    for (int f = 0; f < SIM_FAULT_COUNT; f++)
        if (((replay->faults & ~SIM_FAULTS_MEMORY) >> f & 1) != 0)
            cbd_tool_json_u64(o, sim_fault_name((enum sim_fault)f), r->faults[f]);
    if (replay->faults == 0)
        return;
    cbd_tool_json_u64(o, "requests_failed", r->requests_failed);
    cbd_tool_json_u64(o, "recoveries", r->judged.faults);
    cbd_tool_json_u64(o, "refused", r->judged.refused);
    cbd_tool_json_u64(o, "damaged", r->judged.damaged);
    cbd_tool_json_u64(o, "reads_failed", r->judged.excused);
    cbd_tool_json_u64(o, "reads_lost", r->judged.lost);
}

static void put_cache(json_t *doc, const struct sim_result *r)
{
    const struct cbd_stats *s = &r->total;
    json_t *o = cbd_tool_json_object(doc, "cache");

    cbd_tool_json_u64(o, "read_bytes", s->read_bytes);
    cbd_tool_json_u64(o, "hit_bytes", s->hit_bytes);
    cbd_tool_json_u64(o, "miss_bytes", s->miss_bytes);
    cbd_tool_json_u64(o, "fill_bytes", s->fill_bytes);
    cbd_tool_json_u64(o, "write_bytes", s->write_bytes);
    cbd_tool_json_u64(o, "zero_bytes", s->zero_bytes);
    cbd_tool_json_u64(o, "records", s->records);
    cbd_tool_json_u64(o, "writeback_bytes", s->writeback_bytes);
    cbd_tool_json_u64(o, "writeback_zero_bytes", s->writeback_zero_bytes);
    cbd_tool_json_u64(o, "writeback_ios", s->writeback_ios);
    cbd_tool_json_u64(o, "writeback_flushes", s->writeback_flushes);
    cbd_tool_json_u64(o, "writeback_epochs", s->writeback_epochs);
    cbd_tool_json_u64(o, "segments_opened", s->segments_opened);
    cbd_tool_json_u64(o, "segments_reclaimed", s->segments_reclaimed);
    cbd_tool_json_u64(o, "reclaims", s->reclaims);
    cbd_tool_json_u64(o, "recovered_records", s->recovered_records);
    cbd_tool_json_u64(o, "recovered_suspects", s->recovered_suspects);
    cbd_tool_json_u64(o, "restarts", r->restarts);
}

static void put_table(json_t *parent, const char *key,
                      const uint64_t by[SIM_CLASS_COUNT][SIM_STEP_KIND_COUNT])
{
    json_t *table = cbd_tool_json_object(parent, key);

    for (int class = 0; class < SIM_CLASS_COUNT; class ++) {
        json_t *row = cbd_tool_json_object(table, sim_class_name((enum sim_class) class));

        for (int k = 0; k < SIM_STEP_KIND_COUNT; k++)
            cbd_tool_json_u64(row, sim_step_kind_name((enum sim_step_kind)k), by[class][k]);
    }
}

static void put_later(json_t *o, const struct sim_judged *j)
{
    for (int later = SIM_LATER_WRITEBACK; later < SIM_LATER_COUNT; later++) {
        char key[48];
        json_t *kinds;

        snprintf(key, sizeof(key), "cut_later_in_%s", sim_later_name((enum sim_later)later));
        kinds = cbd_tool_json_object(o, key);
        for (int k = 0; k < SIM_STEP_KIND_COUNT; k++)
            cbd_tool_json_u64(kinds, sim_step_kind_name((enum sim_step_kind)k),
                              j->later_at[later][k]);
        cbd_tool_json_u64(kinds, "at_rest", j->later_rest[later]);
    }
}

static void put_states(json_t *doc, const struct sim_result *r)
{
    const struct sim_judged *j = &r->judged;
    json_t *o = cbd_tool_json_object(doc, "states");
    json_t *nested = cbd_tool_json_object(o, "cut_again_in_recovery");

    cbd_tool_json_u64(o, "executed", j->states);
    for (int k = 0; k < SIM_STEP_KIND_COUNT; k++)
        cbd_tool_json_u64(nested, sim_step_kind_name((enum sim_step_kind)k), j->nested_at[k]);
    put_later(o, j);
    cbd_tool_json_u64(o, "nested", j->nested);
    cbd_tool_json_u64(o, "twice", j->twice);
    cbd_tool_json_u64(o, "killed", j->killed);
    cbd_tool_json_u64(o, "lost_copies", j->lost_copies);
    cbd_tool_json_u64(o, "bare_disk", j->backing);
    cbd_tool_json_u64(o, "full", j->full);
    cbd_tool_json_u64(o, "sectors_compared", j->sectors);
}

static void put_violations(json_t *doc, const struct cbd_sim_replay *replay,
                           const struct sim_result *r)
{
    json_t *list;
    char text[2048], id[CBD_SIM_ID_BYTES];

    cbd_tool_json_u64(doc, "violations", r->failures + (r->run_failed ? 1 : 0));
    list = cbd_tool_json_array(doc, "violation_list");
    if (r->run_failed) {
        json_t *one = cbd_tool_json_append_object(list);

        cbd_tool_json_text(one, "what", sim_verdict_text(&r->run_verdict, text, sizeof(text)));
    }
    for (uint32_t i = 0; i < r->failed_kept; i++) {
        json_t *one = cbd_tool_json_append_object(list);

        cbd_sim_id_print(replay, &r->failed[i], id);
        cbd_tool_json_text(one, "what",
                           sim_verdict_text(&r->failed[i].verdict, text, sizeof(text)));
        cbd_tool_json_u64(one, "step", r->failed[i].step);
        cbd_tool_json_u64(one, "subset", r->failed[i].subset);
        cbd_tool_json_text(one, "id", id);
    }
}

int cbd_sim_report_json(const struct cbd_sim_replay *r, const struct cbd_sim_trace *t,
                        const struct sim_campaign *c, const struct sim_result *result, FILE *out)
{
    json_t *doc = cbd_tool_json_document("cbd-sim-replay", 1);
    char hash[20];
    int error;

    cbd_tool_json_text(doc, "trace", r->trace);
    cbd_tool_json_text(doc, "trace_format", sim_trace_format_name(t->totals.format));
    cbd_tool_json_u64(doc, "trace_lines_bad", t->totals.stats.lines_bad);
    cbd_tool_json_u64(doc, "seed", r->seed);
    cbd_tool_json_text(doc, "model", cbd_sim_model_name(r->model));
    cbd_tool_json_text(doc, "schedule", sim_schedule_name(r->schedule));
    if (r->schedule != SIM_SCHEDULE_SERIAL) {
        cbd_tool_json_u64(doc, "threads", r->threads);
        cbd_tool_json_u64(doc, "depth", r->depth);
    }
    put_faults(doc, r, result);
    cbd_tool_json_u64(doc, "cache_bytes", c->config.cache_bytes);
    cbd_tool_json_u64(doc, "segment_bytes", c->config.segment_bytes);
    cbd_tool_json_u64(doc, "streams", c->config.streams);
    cbd_tool_json_u64(doc, "backends", c->config.backends);
    put_requests(doc, result);
    put_cache(doc, result);
    cbd_tool_json_u64(doc, "steps", result->steps);
    put_table(doc, "steps_by_kind", result->steps_by);
    cbd_tool_json_u64(doc, "cuts", result->cuts);
    put_table(doc, "cuts_by_kind", result->cuts_by);
    if (r->exhaustive)
        cbd_sim_certificate_json(doc, r, c, result);
    else
        put_states(doc, result);
    put_violations(doc, r, result);
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)result->hash);
    cbd_tool_json_text(doc, "run_hash", hash);
    error = cbd_tool_json_print(doc, out);
    json_decref(doc);
    return error;
}
