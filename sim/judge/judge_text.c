/* SPDX-License-Identifier: BSD-2-Clause */
/* Verdicts in words. */
#include <stdio.h>

#include "judge_impl.h"

bool judge_bad(struct sim_verdict *v, enum sim_failure failure, int error, const char *where)
{
    v->failure = failure;
    v->error = error;
    v->where = where;
    return false;
}

const char *sim_failure_name(enum sim_failure failure)
{
    static const char *const names[SIM_FAILURE_COUNT] = {
        [SIM_FAILURE_NONE] = "none",
        [SIM_FAILURE_REFUSED] = "recovery refused",
        [SIM_FAILURE_CHECK] = "check found damage",
        [SIM_FAILURE_READ] = "read failed",
        [SIM_FAILURE_SERVED] = "served device wrong",
        [SIM_FAILURE_BACKING] = "backing device alone wrong",
        [SIM_FAILURE_UNSTABLE] = "second recovery differs",
        [SIM_FAILURE_FINAL] = "detached device wrong",
        [SIM_FAILURE_DRAIN] = "write-back failed",
        [SIM_FAILURE_STORES] = "mixed stores",
        [SIM_FAILURE_RUN] = "run failed",
    };

    return (unsigned)failure < SIM_FAILURE_COUNT ? names[failure] : "unknown";
}

const char *sim_verdict_text(const struct sim_verdict *v, char *buf, size_t buf_bytes)
{
    char oracle[256];

    if (v->stuck[0] != '\0')
        snprintf(buf, buf_bytes, "%s: %s", sim_failure_name(v->failure), v->stuck);
    else if (v->violation.promise != SIM_ORACLE_NONE)
        snprintf(buf, buf_bytes, "%s: %s: disk%u: %s", sim_failure_name(v->failure),
                 v->where != NULL ? v->where : "", v->backend,
                 sim_oracle_describe(&v->violation, oracle, sizeof(oracle)));
    else if (v->failure == SIM_FAILURE_CHECK && v->problem != 0)
        snprintf(buf, buf_bytes, "%s: %s: problem %u (%s) at 0x%llx", sim_failure_name(v->failure),
                 v->where, v->problem, cbd_problem_find(v->problem)->name,
                 (unsigned long long)v->problem_off);
    else
        snprintf(buf, buf_bytes, "%s: %s: %s%s%s%s%s", sim_failure_name(v->failure),
                 v->where != NULL ? v->where : "", v->error != 0 ? cbd_error_name(v->error) : "",
                 v->report.what != NULL ? ": " : "", v->report.what != NULL ? v->report.what : "",
                 v->report.what != NULL ? " " : "",
                 v->report.sentence != NULL ? v->report.sentence : "");
    return buf;
}
