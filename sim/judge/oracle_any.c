/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * P4 when some sectors may hold one of several versions (a power cut that is not decided).
 *
 * A version of a sector is explained by the moments of one interval (oracle_backing.c). Intervals
 * on a line have a point in common exactly when each two of them have. So some combination is not
 * explained exactly when two versions of different sectors exclude each other: one needs a moment
 * after `after`, the other one until `until`, and after >= until. For each version that is one look
 * at the highest `after` of all other sectors; the two highest of different sectors are enough.
 *
 *      after(x)---------------> T        x of sector 1
 *   T <-----until(y)                     y of sector 2: no moment for both
 *
 * Zeroes of several requests are explained by a union of intervals, whose hull is taken, and the
 * gaps are kept aside. Where a gap could close what the hulls leave open the answer is "undecided".
 */
#include "oracle_impl.h"

#include <assert.h>
#include <stdlib.h>

void sim_oracle_backing_any(struct sim_oracle *o, uint64_t sector, const uint64_t *versions,
                            size_t count)
{
    struct oracle_backing *b = &o->backing;

    for (size_t i = 0; i < count; i++) {
        struct oracle_maybe *grown =
            hist_grow(&o->hist, b->maybe, b->maybe_n, &b->maybe_cap, sizeof(*grown));

        if (grown == NULL)
            return;
        b->maybe = grown;
        b->maybe[b->maybe_n++] = (struct oracle_maybe){.sector = sector, .version = versions[i]};
    }
}

/* The interval of one version, by feeding it alone. Its gaps are added to all others. */
static void find_interval(struct sim_oracle *o, struct oracle_maybe *m)
{
    struct oracle_backing *b = &o->backing;
    struct oracle_bound after = b->after, until = b->until;

    b->after = (struct oracle_bound){.moment = 0};
    b->until = (struct oracle_bound){.moment = HIST_TIME_NEVER};
    sim_oracle_backing_feed(o, m->sector, 1, m->version);
    m->after = b->after.moment;
    m->until = b->until.moment;
    m->by = b->until.by;
    b->after = after;
    b->until = until;
}

/* The two highest `after` of different sectors. */
struct highest {
    const struct oracle_maybe *first, *second;
};

static void raise(struct highest *h, const struct oracle_maybe *m)
{
    if (h->first == NULL || m->after > h->first->after) {
        if (h->first != NULL && h->first->sector != m->sector)
            h->second = h->first;
        h->first = m;
    } else if (m->sector != h->first->sector &&
               (h->second == NULL || m->after > h->second->after)) {
        h->second = m;
    }
}

static int contradiction(struct sim_oracle_violation *v, uint64_t sector, uint64_t got, uint64_t by,
                         uint64_t other_sector, uint64_t other_got)
{
    int rc = oracle_report(v, SIM_ORACLE_P4, SIM_ORACLE_NO_MOMENT, sector, got, by);

    if (v != NULL) {
        v->other_sector = other_sector;
        v->other_got = other_got;
    }
    return rc;
}

/* Each two of all that may be there. */
static int judge_pairs(const struct oracle_backing *b, const struct highest *h,
                       struct sim_oracle_violation *v)
{
    for (size_t i = 0; i < b->maybe_n; i++) {
        const struct oracle_maybe *m = &b->maybe[i];
        const struct oracle_maybe *other = h->first->sector != m->sector ? h->first : h->second;

        if (m->after >= m->until)
            return contradiction(v, m->sector, m->version, m->by, m->sector, m->version);
        if (m->after >= b->until.moment)
            return contradiction(v, b->until.sector, b->until.got, b->until.by, m->sector,
                                 m->version);
        if (b->after.moment >= m->until)
            return contradiction(v, m->sector, m->version, m->by, b->after.sector, b->after.got);
        if (other != NULL && other->after >= m->until)
            return contradiction(v, m->sector, m->version, m->by, other->sector, other->version);
    }
    return SIM_ORACLE_OK;
}

static int compare_gaps(const void *a, const void *b)
{
    const struct oracle_gap *x = a, *y = b;

    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* The first moment behind `after` that no gap excludes, if all of them were there at once. */
static uint64_t beyond_gaps(const struct oracle_backing *b, uint64_t after)
{
    for (size_t i = 0; i < b->gaps_n; i++)
        if (b->gaps[i].lo <= after && after < b->gaps[i].hi)
            after = b->gaps[i].hi;
    return after;
}

/* Whether the gaps may exclude what the hulls allow. */
static int judge_gaps(const struct oracle_backing *b)
{
    uint64_t until = b->until.moment, after = b->after.moment;

    if (b->gaps_n == 0)
        return SIM_ORACLE_OK;
    qsort(b->gaps, b->gaps_n, sizeof(*b->gaps), compare_gaps);
    for (size_t i = 0; i < b->maybe_n; i++)
        until = b->maybe[i].until < until ? b->maybe[i].until : until;
    for (size_t i = 0; i <= b->maybe_n; i++) {
        uint64_t from = i < b->maybe_n ? b->maybe[i].after : after;

        from = from > after ? from : after;
        if (beyond_gaps(b, from) != from && beyond_gaps(b, from) >= until)
            return SIM_ORACLE_UNDECIDED;
    }
    return SIM_ORACLE_OK;
}

int sim_oracle_backing_any_end(struct sim_oracle *o, struct sim_oracle_violation *v)
{
    struct oracle_backing *b = &o->backing;
    struct highest h = {NULL, NULL};
    int rc = sim_oracle_backing_end(o, v);

    if (rc != SIM_ORACLE_OK || b->maybe_n == 0)
        return rc;
    for (size_t i = 0; i < b->maybe_n; i++) {
        find_interval(o, &b->maybe[i]);
        raise(&h, &b->maybe[i]);
    }
    if (o->hist.no_memory)
        return SIM_ORACLE_NO_MEMORY;
    if (b->foreign.promise != SIM_ORACLE_NONE) {
        if (v != NULL)
            *v = b->foreign;
        return SIM_ORACLE_VIOLATION;
    }
    rc = judge_pairs(b, &h, v);
    return rc != SIM_ORACLE_OK ? rc : judge_gaps(b);
}

uint64_t sim_oracle_backing_age(const struct sim_oracle *o)
{
    return o->backing.age;
}
