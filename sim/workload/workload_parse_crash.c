/* SPDX-License-Identifier: BSD-2-Clause */
/* The lines of a workload that say how the power fails, what survives, and who judges. */
#include <string.h>

#include "workload_parse_impl.h"

static bool crash_words(struct parser *p, struct sim_crash *c)
{
    memset(c, 0, sizeof(*c));
    if (parse_take(p, "none"))
        return true;
    c->kind = SIM_CRASH_ALL;
    if (parse_take(p, "all"))
        return true;
    c->kind = SIM_CRASH_RANDOM;
    if (parse_take(p, "random"))
        return parse_number(p, "keep random", false, 0, UINT64_MAX, &c->seed);
    c->kind = SIM_CRASH_PREFIX;
    if (parse_take(p, "first"))
        return parse_number(p, "keep first", false, 0, UINT64_MAX, &c->k);
    c->kind = SIM_CRASH_ONE_KEPT;
    if (parse_take(p, "one"))
        return parse_number(p, "keep one", false, 0, UINT64_MAX, &c->k);
    c->kind = SIM_CRASH_ONE_LOST;
    if (parse_take(p, "all-but-one"))
        return parse_number(p, "keep all-but-one", false, 0, UINT64_MAX, &c->k);
    return parse_bad(p,
                     "keep: got '%.40s', limit none, all, random N, first N, one N, all-but-one N, "
                     "only NAMES or all-but NAMES",
                     parse_peek(p) != NULL ? parse_peek(p) : "");
}

static bool name_word(struct parser *p, char *word, struct sim_survive_name *name)
{
    char *bracket = strchr(word, '[');
    const char *rest;
    uint64_t n = SIM_SURVIVE_ALL_OF;
    bool ok = true;

    memset(name, 0, sizeof(*name));
    if (bracket != NULL) {
        char *end = strchr(bracket, ']');

        ok = end != NULL && end[1] == '\0';
        if (ok) {
            *bracket = *end = '\0';
            ok = sim_work_number(bracket + 1, false, &n) && n < SIM_SURVIVE_ALL_OF;
            *bracket = '[';
            if (ok)
                *bracket = '\0';
            *end = ']';
        }
    }
    name->number = (uint32_t)n;
    if (ok && parse_disk_number(word, &name->disk, &rest) && *rest == '\0')
        return true;
    if (ok && sim_step_parse(word, &name->step))
        return true;
    return parse_bad(p,
                     "keep: got '%.60s', limit a name of core/include/cbd/steps.def or diskN, "
                     "perhaps with [NUMBER]",
                     word);
}

static bool survive_words(struct parser *p, struct sim_survive *s)
{
    memset(s, 0, sizeof(*s));
    if (!parse_take(p, "keep"))
        return true;
    if (parse_take(p, "only"))
        s->kind = SIM_SURVIVE_ONLY;
    else if (parse_take(p, "all-but"))
        s->kind = SIM_SURVIVE_ALL_BUT;
    else
        return crash_words(p, &s->crash);
    while (parse_peek(p) != NULL) {
        if (s->names == SIM_SURVIVE_NAMES_MAX)
            return parse_bad(p, "keep: got more than %u names, limit %u", SIM_SURVIVE_NAMES_MAX,
                             SIM_SURVIVE_NAMES_MAX);
        if (!name_word(p, p->line.word[p->line.at++], &s->name[s->names]))
            return false;
        s->names++;
    }
    return s->names != 0 || parse_bad(p, "keep: got no name, limit one at least");
}

bool parse_keep_words(struct parser *p, struct sim_crash *c)
{
    memset(c, 0, sizeof(*c));
    return !parse_take(p, "keep") || crash_words(p, c);
}

static bool again_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;

    if (c->where == SIM_WORK_NOWHERE || c->again)
        return parse_bad(p, "crash again: got %s, limit one behind a crash",
                         c->again ? "a second one" : "no crash before it");
    c->again = true;
    if (!parse_take(p, "at") || !parse_take(p, "step"))
        return parse_bad(p, "crash again: got '%.40s', limit at step N",
                         parse_peek(p) != NULL ? parse_peek(p) : "");
    return parse_number(p, "step", false, 0, UINT64_MAX, &c->again_at) &&
           parse_keep_words(p, &c->again_crash) && parse_done(p);
}

static bool later_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;
    const char *name;

    if (c->where == SIM_WORK_NOWHERE || c->later != SIM_LATER_NONE)
        return parse_bad(p, "crash later: got %s, limit one behind a crash",
                         c->later != SIM_LATER_NONE ? "a second one" : "no crash before it");
    name = parse_take(p, "in") && parse_peek(p) != NULL ? parse_peek(p) : "";
    if (!sim_later_parse(name, &c->later))
        return parse_bad(p, "crash later: got '%.40s', limit in writeback or in reclaim", name);
    p->line.at++;
    if (!parse_take(p, "at") || !parse_take(p, "step"))
        return parse_bad(p, "crash later: got '%.40s', limit at step N",
                         parse_peek(p) != NULL ? parse_peek(p) : "");
    return parse_number(p, "step", false, 0, UINT64_MAX, &c->later_at) &&
           parse_keep_words(p, &c->later_crash) && parse_done(p);
}

static bool before_words(struct parser *p, struct sim_work_cut *c)
{
    const char *name = parse_peek(p) != NULL ? parse_peek(p) : "";
    uint64_t v;

    c->where = SIM_WORK_NOWHERE;
    if (sim_step_parse(name, &c->store))
        c->where = SIM_WORK_AT_STORE;
    for (int op = CBD_DISK_READ; op <= CBD_DISK_ZERO; op++) {
        if (strcmp(name, sim_disk_op_name((enum cbd_disk_op)op)) == 0) {
            c->disk_op = (enum cbd_disk_op)op;
            c->where = SIM_WORK_AT_DISK;
        }
    }
    if (c->where == SIM_WORK_NOWHERE)
        return parse_bad(p,
                         "crash before: got '%.40s', limit a name of core/include/cbd/steps.def or "
                         "DISK_READ, _WRITE, _FLUSH, _DISCARD, _ZERO",
                         name);
    p->line.at++;
    c->nth = 1;
    if (parse_peek(p) != NULL && sim_work_number(parse_peek(p), false, &v) &&
        !parse_number32(p, "crash before: the how many-th", 1, UINT32_MAX, &c->nth))
        return false;
    if (!parse_take(p, "of"))
        return true;
    if (!parse_take(p, "op"))
        return parse_bad(p, "crash: got '%.40s', limit of op N",
                         parse_peek(p) != NULL ? parse_peek(p) : "");
    return parse_number32(p, "op", 0, SIM_WORK_OPS_MAX, &c->op);
}

bool parse_crash_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;

    if (parse_take(p, "again"))
        return again_line(p);
    if (parse_take(p, "later"))
        return later_line(p);
    if (c->where != SIM_WORK_NOWHERE)
        return parse_bad(p, "crash: got a second one, limit one");
    c->kill = parse_take(p, "kill");
    if (parse_take(p, "before")) {
        if (!before_words(p, c))
            return false;
    } else if (parse_take(p, "at")) {
        if (parse_take(p, "end")) {
            c->where = SIM_WORK_AT_END;
        } else if (parse_take(p, "step")) {
            c->where = SIM_WORK_AT_STEP;
            if (!parse_number(p, "step", false, 0, UINT64_MAX, &c->step))
                return false;
        } else {
            return parse_bad(p, "crash at: got '%.40s', limit end or step N",
                             parse_peek(p) != NULL ? parse_peek(p) : "");
        }
    } else {
        return parse_bad(p, "crash: got '%.40s', limit at end, at step N or before NAME",
                         parse_peek(p) != NULL ? parse_peek(p) : "");
    }
    return survive_words(p, &c->survive) && parse_done(p);
}

bool parse_lose_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;

    if (!parse_take(p, "copy") || c->lost_copy)
        return parse_bad(p, "lose: got '%.40s', limit one line `lose copy N`",
                         parse_peek(p) != NULL ? parse_peek(p) : "");
    c->lost_copy = true;
    return parse_number(p, "lose copy", false, 0, UINT64_MAX, &c->lost_draw) && parse_done(p);
}

bool parse_fault_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;
    uint32_t mask = 0;

    if (c->faulty || parse_peek(p) == NULL || !sim_fault_parse(parse_peek(p), &mask) ||
        (mask & (mask - 1)) != 0 || mask == 0)
        return parse_bad(p, "fault: got '%.40s', limit one line with one name and a number",
                         parse_peek(p) != NULL ? parse_peek(p) : "");
    p->line.at++;
    c->faulty = true;
    while ((mask >> c->fault & 1) == 0)
        c->fault++;
    return parse_number(p, "fault", false, 0, UINT64_MAX, &c->fault_draw) && parse_done(p);
}

bool parse_judge_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;

    if (p->judge_seen || parse_peek(p) == NULL)
        return parse_bad(p, "judge: got %s, limit one line with twice, backing, written, full",
                         p->judge_seen ? "it twice" : "nothing");
    p->judge_seen = true;
    while (parse_peek(p) != NULL) {
        if (parse_take(p, "twice"))
            c->twice = true;
        else if (parse_take(p, "backing"))
            c->backing = true;
        else if (parse_take(p, "written"))
            c->written = true;
        else if (parse_take(p, "full"))
            c->full = true;
        else
            return parse_bad(p, "judge: got '%.40s', limit twice, backing, written, full",
                             parse_peek(p));
    }
    return true;
}
