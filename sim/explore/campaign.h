/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A campaign: replays a workload, cuts the power at many numbered steps of it, and judges what
 * every cut leaves behind.
 *
 * The first pass runs the workload without cuts and notes the class of every step. The cuts are
 * then spread evenly over all steps; a class that would get less than a twentieth of them gets
 * that much, spread evenly over its own steps. The second pass, shared out to worker processes, is
 * the same run again, step for step; at a cut it stands still while `subsets` crash states are
 * judged, and then goes on as if nothing had happened.
 */
#ifndef SIM_CAMPAIGN_H
#define SIM_CAMPAIGN_H

#include "lazy.h"

/* What the engine was doing at a step. */
enum sim_class {
    SIM_CLASS_WRITE_PATH,
    SIM_CLASS_WRITEBACK, /* its stores and what it has the disk do */
    SIM_CLASS_RECLAIM,
    SIM_CLASS_RECOVERY,
    SIM_CLASS_READ, /* disk reads of misses */
    SIM_CLASS_COUNT,
};

enum sim_step_kind {
    SIM_STEP_STORE,
    SIM_STEP_FLUSH,
    SIM_STEP_FENCE,
    SIM_STEP_DISK,
    SIM_STEP_KIND_COUNT,
};

#define SIM_FAILURES_KEPT 16u
#define SIM_WORKERS_MAX 64u

/* Where requests come from; rewound before each pass. */
struct sim_source {
    int (*rewind)(void *arg, struct sim_trace_error *error);
    /* 1: one; 0: the end; negative: an error of the trace. */
    int (*next)(void *arg, struct sim_request *request, struct sim_trace_error *error);
    void *arg;
    uint64_t requests; /* how many there are */
};

struct sim_campaign {
    struct sim_config config;
    struct sim_source source;
    uint64_t crashes;  /* cuts; more than there are steps: every step */
    uint32_t subsets;  /* crash states of each */
    uint32_t restarts; /* power cuts of the run itself, which then goes on */
    uint32_t workers;
    bool stop_at_first;
    bool exhaustive; /* all states of each cut (lazy.h), instead of subsets */
    struct sim_lazy_options lazy;
    /* A single state: rerun. only_step UINT64_MAX: all. */
    uint64_t only_step;
    uint64_t only_subset;
    uint64_t only_number; /* of the state in the campaign */
    const char *only_trail; /* exhaustive: of the state in its cut */
    const char *image;    /* where the devices after a last power cut go, or NULL: image.h */
    void (*progress)(void *arg, uint64_t states_done, uint64_t states_total);
    void *progress_arg;
};

struct sim_failed {
    uint64_t step, subset, number;
    struct sim_verdict verdict;
    char trail[SIM_LAZY_TRAIL_BYTES]; /* exhaustive: the state; else empty */
};

struct sim_result {
    uint64_t steps;
    uint64_t steps_by[SIM_CLASS_COUNT][SIM_STEP_KIND_COUNT];
    uint64_t cuts;
    uint64_t cuts_by[SIM_CLASS_COUNT][SIM_STEP_KIND_COUNT];
    uint64_t executed_by[SIM_CLASS_COUNT]; /* states that were judged, by the class of their cut */
    struct sim_judged judged;
    struct sim_lazy_counts lazy;
    uint64_t failures;
    struct sim_failed failed[SIM_FAILURES_KEPT]; /* those with the lowest steps */
    uint32_t failed_kept;
    uint64_t requests[SIM_REQUEST_OP_COUNT];
    uint64_t bytes[SIM_REQUEST_OP_COUNT];
    uint64_t requests_total;
    uint64_t requests_failed;         /* with an error that a fault explains */
    uint64_t faults[SIM_FAULT_COUNT]; /* of the run */
    uint64_t restarts;
    struct cbd_stats stats[SIM_BACKENDS_MAX]; /* of the last process, before detach */
    struct cbd_stats total;                   /* sums over all processes of the run */
    uint64_t hash; /* of everything the run stored: same on every machine */
    uint32_t segments;
    bool image_failed; /* it could not be written: see errno */
    bool run_failed;
    struct sim_verdict run_verdict;
    struct sim_trace_error trace_error;
};

/* 0, or a negative error: the trace (see result->trace_error), memory, or the world. */
int sim_campaign_run(const struct sim_campaign *c, struct sim_result *result) CBD_MUST_CHECK;

/* What a step of the pmem belongs to. */
enum sim_class sim_class_of(enum cbd_step step, bool recovering);

const char *sim_class_name(enum sim_class class);
const char *sim_step_kind_name(enum sim_step_kind kind);

#endif
