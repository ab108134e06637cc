/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of one cache as its administrator sees it, with the power cut at every single step:
 *
 *   an old cache with dirty data of two backends; in a first run the device grows then
 *   format over it, same uuid      old cache as it was, no cache, or the new one; the first run ends
 *   add two backends               there or not; there once the call has returned
 *   attach both, write             one write fails for lack of memory, others fill a segment
 *   detach one, leave one dirty
 *   remove both, add them again    under the same names and ids, on other disks
 *   attach both                    nothing old is to be seen
 *   write, detach
 *
 * Each cut is judged like a real crash: check, open, attach, read everything, add and remove one
 * more backend, detach, and check again after a power cut. Between two calls every copy of every
 * superblock and table entry in use is destroyed in turn as well (P7).
 * One thread; deterministic.
 */
#ifndef SIM_ADMIN_H
#define SIM_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "cbd/env.h"
#include "sim_pmem.h"

enum sim_admin_stage {
    SIM_ADMIN_FORMAT,
    SIM_ADMIN_ADD,
    SIM_ADMIN_ATTACH,
    SIM_ADMIN_WRITE,
    SIM_ADMIN_DETACH,
    SIM_ADMIN_REMOVE,
    SIM_ADMIN_QUIET, /* between two calls */
    SIM_ADMIN_STAGE_COUNT,
};

struct sim_admin_config {
    uint64_t seed;
    uint32_t subsets; /* crash states of each cut, at least 1 */
    enum sim_model model;
    bool no_data_checksum;
    enum cbd_step drop_step;
    bool stop_at_first;
};

/* What went wrong in one state. Strings are static. */
struct sim_admin_failure {
    const char *what; /* NULL: nothing */
    enum sim_admin_stage stage;
    uint64_t step; /* of the run */
    uint64_t subset;
    int error;        /* what a call returned, or 0 */
    uint32_t problem; /* code of the finding of core/check, or 0 */
    uint64_t problem_off;
    uint32_t backend;
    uint64_t sector, got, want;
    struct cbd_report report; /* what the core said first; sentence NULL: nothing */
};

struct sim_admin_result {
    uint64_t steps; /* numbered steps of the run: pmem operations and disk completions */
    uint64_t states;
    uint64_t states_by[SIM_ADMIN_STAGE_COUNT];
    uint64_t nested;      /* with a second power cut while the first is recovered from */
    uint64_t killed;      /* where at first only the process dies */
    uint64_t lost_copies; /* with one copy of something destroyed */
    /* Cuts in format: what was found. */
    uint64_t found_old, found_none, found_new;
    uint64_t drop_calls; /* how often drop_step was called in the run */
    uint64_t failures;
    struct sim_admin_failure first;
};

void sim_admin_run(const struct sim_admin_config *config, struct sim_admin_result *result);

const char *sim_admin_stage_name(enum sim_admin_stage stage);

/* One sentence; returns buf. */
const char *sim_admin_failure_text(const struct sim_admin_failure *f, char *buf, size_t buf_bytes);

#endif
