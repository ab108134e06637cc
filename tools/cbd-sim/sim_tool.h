/* SPDX-License-Identifier: BSD-2-Clause */
/* What the subcommands of cbd-sim share. */
#ifndef CBD_SIM_TOOL_H
#define CBD_SIM_TOOL_H

#include <stdio.h>

#include "campaign.h"
#include "tool_json.h"
#include "tool_progress.h"

#define CBD_SIM_ID_BYTES 1024

/* Everything that makes a replay what it is; the same settings give the same bytes. */
struct cbd_sim_replay {
    const char *trace;
    enum sim_trace_format format;
    bool lenient;
    uint32_t trace_crc; /* of the file as it is */
    uint64_t seed;
    uint64_t crashes;
    uint32_t subsets;
    uint32_t restarts;
    uint64_t cache_bytes;   /* 0: by what the trace writes; set by cbd_sim_prepare */
    uint32_t cache_percent; /* not 0: of the footprint of the trace, instead */
    uint32_t segment_bytes;
    uint32_t streams;
    bool no_data_checksum;
    bool durable_on_flush;
    enum sim_model model;
    enum sim_schedule schedule;
    uint32_t threads; /* requests at a time, unless serial */
    uint32_t depth;
    uint32_t faults; /* mask of enum sim_fault */
    uint32_t jobs;
    const char *report; /* where the report goes as JSON, beside the text, or NULL */
    const char *image;  /* where the pmem of a last power cut goes, or NULL */
    bool exhaustive;      /* all states of each cut */
    uint32_t crash_depth; /* power cuts in a row, exhaustive */
    /* rerun */
    uint64_t step, subset, number;
    const char *trail; /* exhaustive: of the state, or NULL */
};

void cbd_sim_replay_defaults(struct cbd_sim_replay *r);

/* The state `f` of replay r as one word that rerun takes. */
void cbd_sim_id_print(const struct cbd_sim_replay *r, const struct sim_failed *f,
                      char id[CBD_SIM_ID_BYTES]);

/* 0, or CBD_E_INVALID and a sentence in why. r->trace points into text, which is changed. */
int cbd_sim_id_parse(char *text, struct cbd_sim_replay *r, char *why, size_t why_len_bytes);

/* An open trace as a source of requests, with what its first pass found. */
struct cbd_sim_trace {
    const struct cbd_sim_replay *replay;
    struct sim_trace *trace;
    struct sim_trace_totals totals;
};

/* Scans the trace, fills the campaign. An exit code; a message was printed unless it is 0. */
int cbd_sim_prepare(struct cbd_sim_replay *r, struct cbd_sim_trace *t, struct sim_campaign *c);
void cbd_sim_release(struct cbd_sim_trace *t);

/* CRC-32 of a file; false with a message. */
bool cbd_sim_file_crc(const char *path, uint32_t *crc);

void cbd_sim_report_text(const struct cbd_sim_replay *r, const struct cbd_sim_trace *t,
                         const struct sim_campaign *c, const struct sim_result *result);
/* 0 or CBD_E_SYSTEM: out is gone or full. */
int cbd_sim_report_json(const struct cbd_sim_replay *r, const struct cbd_sim_trace *t,
                        const struct sim_campaign *c, const struct sim_result *result, FILE *out);

/* What the exhaustive strategy has covered: lines of text, or an object of the report. */
/* Into a certificate: what of the build decides what was run. */
void cbd_sim_build_json(json_t *object);
void cbd_sim_certificate_text(const struct cbd_sim_replay *r, const struct sim_result *result);
void cbd_sim_certificate_json(json_t *doc, const struct cbd_sim_replay *r,
                              const struct sim_campaign *c, const struct sim_result *result);

/* Subcommands: an exit code. */
int cbd_sim_cmd_replay(int argc, char **argv);
int cbd_sim_cmd_rerun(int argc, char **argv);
int cbd_sim_cmd_explore(int argc, char **argv);
int cbd_sim_cmd_minimize(int argc, char **argv);
int cbd_sim_cmd_run(int argc, char **argv);
int cbd_sim_drops(int argc, char **argv);
int cbd_sim_cmd_writeback(int argc, char **argv);
int cbd_sim_hits(int argc, char **argv);
int cbd_sim_cmd_litmus(int argc, char **argv);
int cbd_sim_cmd_pcache(int argc, char **argv);
int cbd_sim_canaries(int argc, char **argv);
int cbd_sim_cmd_cut(int argc, char **argv);

const char *cbd_sim_model_name(enum sim_model model);
bool cbd_sim_model_parse(const char *name, enum sim_model *model);

#endif
