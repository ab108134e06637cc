/* SPDX-License-Identifier: BSD-2-Clause */
/* One line for a finding. core/ never prints; whoever gave the environment does. */
#ifndef CBD_REPORT_H
#define CBD_REPORT_H

#include "cbd/env.h"

static inline void cbd_report(struct cbd_env *env, enum cbd_severity severity, int error,
                              const char *what, const char *sentence, uint64_t index,
                              uint64_t off_bytes, uint64_t got, uint64_t limit)
{
    struct cbd_report report = {
        .severity = severity,
        .error = error,
        .what = what,
        .sentence = sentence,
        .index = index,
        .off_bytes = off_bytes,
        .got = got,
        .limit = limit,
    };

    env->ops->report(env, &report);
}

#endif
