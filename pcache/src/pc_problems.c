/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of what a check can find, and how a finding is told. */
#include "pc_report.h"

static const struct cbd_problem rows[] = {
#define X(number, id, level, hole, about, text, mend, price)                                       \
    {.code = (number),                                                                             \
     .name = #id,                                                                                  \
     .severity = CBD_CHECK_##level,                                                                \
     .what = (about),                                                                              \
     .sentence = (text),                                                                           \
     .repair = (mend),                                                                             \
     .cost = (price)},
#include "cbd/pcache_problems.def"
#undef X
};

static const char *const holes[] = {
#define X(number, id, level, hole, about, text, mend, price) hole,
#include "cbd/pcache_problems.def"
#undef X
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

const struct cbd_problem *cbd_pcache_problem_find(uint32_t code)
{
    for (uint32_t i = 0; i < ROWS; i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

const struct cbd_problem *cbd_pcache_problem_row(uint32_t n)
{
    return n < ROWS ? &rows[n] : NULL;
}

const char *cbd_pcache_problem_hole(uint32_t code)
{
    for (uint32_t i = 0; i < ROWS; i++)
        if (rows[i].code == code)
            return holes[i];
    return "";
}

struct cbd_check_finding pc_finding(uint32_t code)
{
    const struct cbd_problem *problem = cbd_pcache_problem_find(code);

    return (struct cbd_check_finding){
        .problem = problem,
        .what = problem->what,
        .copy = CBD_CHECK_NONE,
        .segment = CBD_CHECK_NONE,
        .slot = CBD_CHECK_NONE,
        .backend = CBD_CHECK_NONE,
        .off_bytes = CBD_CHECK_NOWHERE,
    };
}

void pc_report(struct cbd_pcache_sink *sink, const struct cbd_check_finding *f)
{
    if (sink->stop != 0)
        return;
    if (f->problem->severity == CBD_CHECK_ERROR)
        sink->errors++;
    else
        sink->infos++;
    if (sink->found != NULL)
        sink->stop = sink->found(sink->arg, f);
}

void pc_say(struct cbd_pcache_sink *sink, uint32_t code, const char *what, uint32_t copy,
            uint64_t off_bytes, uint64_t got, uint64_t limit)
{
    struct cbd_check_finding f = pc_finding(code);

    if (what != NULL)
        f.what = what;
    f.copy = copy;
    f.off_bytes = off_bytes;
    f.got = got;
    f.limit = limit;
    pc_report(sink, &f);
}
