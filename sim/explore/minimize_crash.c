/* SPDX-License-Identifier: BSD-2-Clause */
/* The power cut made simple: what happens besides, and what survives. */
#include <string.h>

#include "minimize_impl.h"
#include "sim_base.h"

static void begin(struct minimizer *z)
{
    sim_workload_copy(&z->next, &z->w);
}

/* With a flag of the cut off, if it is on. */
static bool without(struct minimizer *z, size_t offset)
{
    bool off = false, on;

    memcpy(&on, (const char *)&z->w.cut + offset, sizeof(on));
    if (!on)
        return false;
    begin(z);
    memcpy((char *)&z->next.cut + offset, &off, sizeof(off));
    return minimize_accept(z, true);
}

static bool without_later(struct minimizer *z)
{
    if (z->w.cut.later == SIM_LATER_NONE)
        return false;
    begin(z);
    z->next.cut.later = SIM_LATER_NONE;
    z->next.cut.later_at = 0;
    z->next.cut.later_crash = (struct sim_crash){.kind = SIM_CRASH_NONE};
    return minimize_accept(z, true);
}

static bool less_besides(struct minimizer *z)
{
    static const size_t flags[] = {
        offsetof(struct sim_work_cut, kill),    offsetof(struct sim_work_cut, again),
        offsetof(struct sim_work_cut, faulty),  offsetof(struct sim_work_cut, lost_copy),
        offsetof(struct sim_work_cut, twice),   offsetof(struct sim_work_cut, full),
        offsetof(struct sim_work_cut, written), offsetof(struct sim_work_cut, backing),
    };
    bool any = without_later(z);

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        any = without(z, flags[i]) || any;
    return any;
}

/* How simple it is to say what survives: lower is simpler. */
static unsigned rank(const struct sim_survive *s)
{
    if (s->kind == SIM_SURVIVE_CRASH)
        return s->crash.kind == SIM_CRASH_NONE ? 0 : s->crash.kind == SIM_CRASH_ALL ? 1 : 100;
    if (s->names == 1)
        return s->name[0].number == SIM_SURVIVE_ALL_OF ? 2 : 3;
    return 3 + s->names;
}

static bool survive(struct minimizer *z, const struct sim_survive *s)
{
    if (rank(s) >= rank(&z->w.cut.survive))
        return false;
    begin(z);
    z->next.cut.survive = *s;
    return minimize_accept(z, true);
}

/* One name, of a whole step or of one unit. */
static bool one_name(struct minimizer *z, const struct sim_survive_name *names, size_t count,
                     bool whole)
{
    for (size_t i = 0; i < count; i++) {
        struct sim_survive s = {.names = 1};

        if (whole && names[i].number != 0)
            continue;
        s.name[0] = names[i];
        if (whole)
            s.name[0].number = SIM_SURVIVE_ALL_OF;
        s.kind = SIM_SURVIVE_ALL_BUT;
        if (survive(z, &s))
            return true;
        s.kind = SIM_SURVIVE_ONLY;
        if (survive(z, &s))
            return true;
    }
    return false;
}

static bool named_survivors(struct minimizer *z)
{
    struct sim_survive_name *names = z->shared->pending;
    struct sim_survive_name kept[MINIMIZE_NAMES_MAX];
    size_t count;

    begin(z);
    if (!minimize_accept(z, true))
        return false;
    count = z->shared->tried.pendings;
    count = count < MINIMIZE_NAMES_MAX ? count : MINIMIZE_NAMES_MAX;
    memcpy(kept, names, count * sizeof(kept[0]));
    return one_name(z, kept, count, true) || one_name(z, kept, count, false);
}

/* The crash at this place of the cut, if there is one of this kind. */
static bool simpler_second(struct minimizer *z, size_t offset)
{
    bool any = false;

    for (int kind = SIM_CRASH_NONE; kind <= SIM_CRASH_ALL; kind++) {
        struct sim_crash crash = {.kind = (enum sim_crash_kind)kind}, now;

        memcpy(&now, (const char *)&z->w.cut + offset, sizeof(now));
        if (now.kind <= crash.kind)
            break;
        begin(z);
        memcpy((char *)&z->next.cut + offset, &crash, sizeof(crash));
        any = minimize_accept(z, true) || any;
    }
    return any;
}

static bool simpler_again(struct minimizer *z)
{
    bool any = z->w.cut.again && simpler_second(z, offsetof(struct sim_work_cut, again_crash));

    return (z->w.cut.later != SIM_LATER_NONE &&
            simpler_second(z, offsetof(struct sim_work_cut, later_crash))) ||
           any;
}

bool minimize_crash(struct minimizer *z)
{
    struct sim_survive none = {.kind = SIM_SURVIVE_CRASH}, all = none;
    bool any;

    if (z->signal != 0 || z->w.cut.where == SIM_WORK_NOWHERE)
        return false;
    all.crash.kind = SIM_CRASH_ALL;
    any = less_besides(z);
    any = simpler_again(z) || any;
    any = survive(z, &none) || survive(z, &all) || any;
    if (rank(&z->w.cut.survive) > 2)
        any = named_survivors(z) || any;
    return any;
}
