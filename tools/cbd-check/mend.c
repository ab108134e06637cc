/* SPDX-License-Identifier: BSD-2-Clause */
/* Repairs: says what each would do and cost, asks, saves what is replaced. */
#include "mend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool_answer.h"
#include "cbd/repair.h"
#include "tool_interrupt.h"
#include "report.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_progress.h"
#include "undo.h"

struct mend {
    const struct mend_options *options;
    struct cbd_pmem *pm;
    struct cbd_env *env;
    struct report report;
    struct cbd_tool_progress progress;
    struct undo undo;
    struct cbd_repair_result result;
    bool passing;
    bool all; /* yes to all that follow */
    bool cancelled;
    bool undo_open;
};

static int progress(void *arg, uint64_t done, uint64_t total)
{
    struct mend *m = arg;

    if (cbd_tool_interrupt_came()) {
        m->cancelled = true;
        return CBD_E_TIMEDOUT;
    }
    if (m->options->quiet)
        return 0;
    if (m->passing && done == 0) {
        cbd_tool_progress_end(&m->progress);
        m->passing = false;
    }
    if (!m->passing)
        cbd_tool_progress_begin(&m->progress, "segments", total);
    m->passing = true;
    cbd_tool_progress_update(&m->progress, done);
    return 0;
}

/* The bar makes room for lines. */
static void pause_progress(struct mend *m)
{
    if (m->passing)
        cbd_tool_progress_end(&m->progress);
    m->passing = false;
}

/* An empty line takes the default. What is no answer is asked again. */
static enum cbd_repair_answer ask(struct mend *m, bool yes)
{
    char answer[4];

    for (;;) {
        printf("    repair it? %s, a for all, q to end: ", yes ? "[y]/n" : "y/[n]");
        fflush(stdout);
        if (!cbd_tool_answer(answer, sizeof(answer)) || answer[0] == 'q') {
            m->cancelled = true;
            return CBD_REPAIR_STOP;
        }
        if (answer[0] == '\0')
            return yes ? CBD_REPAIR_FIX : CBD_REPAIR_SKIP;
        if (answer[0] == 'a')
            m->all = true;
        if (answer[0] == 'a' || answer[0] == 'y')
            return CBD_REPAIR_FIX;
        if (answer[0] == 'n')
            return CBD_REPAIR_SKIP;
    }
}

static enum cbd_repair_answer decide(void *arg, const struct cbd_repair_offer *offer)
{
    struct mend *m = arg;
    enum cbd_repair_answer answer = CBD_REPAIR_SKIP;

    pause_progress(m);
    report_offer(&m->report, offer);
    if (cbd_tool_interrupt_came()) {
        m->cancelled = true;
        answer = CBD_REPAIR_STOP;
    } else if (offer->possible && (m->options->policy == MEND_YES || m->all)) {
        answer = CBD_REPAIR_FIX;
    } else if (offer->possible && m->options->policy == MEND_PREEN) {
        answer = offer->preen ? CBD_REPAIR_FIX : CBD_REPAIR_SKIP;
    } else if (offer->possible) {
        answer = ask(m, offer->preen);
    }
    report_answer(&m->report, offer, answer == CBD_REPAIR_FIX);
    return answer;
}

/* The file is made with the first block, so that a run without repairs leaves none. */
static int before(void *arg, uint64_t off_bytes, uint64_t len_bytes)
{
    struct mend *m = arg;

    if (!m->undo_open) {
        struct cbd_super super;
        uint32_t bad;
        int error = cbd_super_read(m->pm, m->env, &super, &bad);

        if (error != 0)
            return error;
        if (undo_create(&m->undo, m->options->undo_path, m->pm, &super) != 0) {
            undo_close(&m->undo);
            return CBD_E_SYSTEM;
        }
        m->undo_open = true;
    }
    return undo_save(&m->undo, off_bytes, len_bytes);
}

static int exit_code(struct mend *m, int error)
{
    int code = CBD_EXIT_CLEAN;

    if (m->result.fixed != 0)
        code |= CBD_EXIT_CORRECTED;
    if (m->cancelled)
        return code | CBD_EXIT_CANCELLED | (m->result.summary.errors != 0 ? CBD_EXIT_LEFT : 0);
    if (error != 0) {
        cbd_tool_error_code(m->options->path, "cannot be checked and repaired", error);
        return code | CBD_EXIT_OPERATIONAL;
    }
    if (m->result.summary.errors != 0)
        code |= CBD_EXIT_LEFT;
    return code;
}

int mend_run(struct cbd_pmem *pm, struct cbd_env *env, const struct mend_options *options)
{
    struct cbd_repair_options repair = {
        .flags = options->flags,
        .disks = options->disks,
        .allow_data_loss = options->allow_data_loss,
        .progress = progress,
        .decide = decide,
        .before = options->undo_path != NULL ? before : NULL,
    };
    struct mend *m = calloc(1, sizeof(*m));
    int error, code;

    if (m == NULL) {
        cbd_tool_error_code(options->path, "cannot be checked", CBD_E_NOMEM);
        return CBD_EXIT_OPERATIONAL;
    }
    cbd_tool_interrupt_catch();
    m->options = options;
    m->pm = pm;
    m->env = env;
    cbd_tool_progress_open(&m->progress, options->progress_fd);
    report_open(&m->report, options->path, options->json, options->verbose, options->quiet);
    error = cbd_repair_run(pm, env, &repair, m, &m->result);
    pause_progress(m);
    code = exit_code(m, error);
    report_repairs(&m->report, &m->result);
    if (error == 0 || options->json)
        report_summary(&m->report, &m->result.summary, options->flags);
    if (m->undo_open)
        undo_close(&m->undo);
    if (report_close(&m->report, code) != 0) {
        cbd_tool_error(NULL, "standard output: cannot be written");
        code |= CBD_EXIT_OPERATIONAL;
    }
    free(m);
    return code;
}
