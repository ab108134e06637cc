/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judges what the bare backing device shows when the pmem is lost (P4).
 *
 * P4 asks for one moment T that explains every sector.  A sector that holds version v allows
 *
 *     submit(v) < T <= min( ack(F): FLUSH F submitted after the ack of a write newer than v,
 *                           ack(w): FUA write w newer than v )
 *
 * where w is newer than v when w was submitted after v ended.  What recovery settled counts as a
 * write that was submitted and acknowledged at once.  As the ack of the first FLUSH after a time
 * never falls when that time grows, the newer write that was acknowledged first decides.
 *
 * A sector of zeroes may be due to any request of zeroes, so it allows a union of such intervals.
 * Its hull narrows the common interval, and the gaps inside are kept.  At the end the first
 * moment of the common interval is moved up out of each gap that contains it, in order: the state
 * is explained exactly when it stays within the interval.
 */
#include "oracle_impl.h"

#include <assert.h>
#include <stdlib.h>

#define GAPS_LIMIT_MIN 4096u

struct feed {
    struct sim_oracle *o;
    uint64_t version;
};

static int compare_gaps(const void *a, const void *b)
{
    const struct oracle_gap *x = a;
    const struct oracle_gap *y = b;
    if (x->lo != y->lo)
        return x->lo < y->lo ? -1 : 1;
    if (x->hi != y->hi)
        return x->hi < y->hi ? -1 : 1;
    return x->sector < y->sector ? -1 : x->sector > y->sector;
}

/* Sorts the gaps and joins those that overlap or meet. */
static void merge_gaps(struct oracle_backing *b)
{
    if (b->gaps_n == 0)
        return;
    qsort(b->gaps, b->gaps_n, sizeof(*b->gaps), compare_gaps);
    size_t last = 0;
    for (size_t i = 1; i < b->gaps_n; i++) {
        if (b->gaps[i].lo > b->gaps[last].hi)
            b->gaps[++last] = b->gaps[i];
        else if (b->gaps[i].hi > b->gaps[last].hi)
            b->gaps[last].hi = b->gaps[i].hi;
    }
    b->gaps_n = last + 1;
}

static void gap_add(struct sim_oracle *o, uint64_t lo, uint64_t hi, uint64_t sector)
{
    struct oracle_backing *b = &o->backing;
    if (b->gaps_n >= b->gaps_limit) {
        merge_gaps(b);
        b->gaps_limit = b->gaps_n * 2 < GAPS_LIMIT_MIN ? GAPS_LIMIT_MIN : b->gaps_n * 2;
    }
    struct oracle_gap *gaps = hist_grow(&o->hist, b->gaps, b->gaps_n, &b->gaps_cap, sizeof(*gaps));
    if (gaps == NULL)
        return;
    b->gaps = gaps;
    b->gaps[b->gaps_n++] = (struct oracle_gap){.lo = lo, .hi = hi, .sector = sector};
}

static void refresh_flushes(struct sim_oracle *o)
{
    uint32_t first = 0;
    for (size_t i = o->flushes_n; i-- > 0;) {
        const struct hist_event *events = o->hist.events;
        uint32_t id = o->flushes[i].event;
        if (events[id].state == HIST_DONE && (first == 0 || events[id].end < events[first].end))
            first = id;
        o->flushes[i].first = first;
    }
    o->flushes_stale = false;
}

/* Of the FLUSHes submitted after `time`, the one acknowledged first; 0: none. */
static uint32_t first_flush_after(const struct sim_oracle *o, uint64_t time)
{
    size_t low = 0;
    size_t high = o->flushes_n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (o->hist.events[o->flushes[mid].event].submit > time)
            high = mid;
        else
            low = mid + 1;
    }
    return low < o->flushes_n ? o->flushes[low].first : 0;
}

/* Index of the first entry that was submitted after `time`. */
static uint32_t first_entry_after(const struct hist *h, const struct hist_list *list, uint64_t time)
{
    uint32_t low = 0;
    uint32_t high = list->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (h->events[list->at[mid].event].submit > time)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static bool same_content(const struct hist *h, uint32_t a, uint32_t b)
{
    return a == b || (hist_is_zero(h, a) && hist_is_zero(h, b));
}

/* The last moment that allows `value` in this group; *by becomes the request that ends it. */
static uint64_t last_moment(const struct sim_oracle *o, const struct hist_path *path,
                            uint32_t value, uint32_t *by)
{
    const struct hist *h = &o->hist;
    uint64_t limit = HIST_TIME_NEVER;
    uint64_t first_ack = HIST_TIME_NEVER;
    uint64_t ended = h->events[value].end;
    *by = 0;
    for (unsigned level = path->low; level <= path->top; level++) {
        const struct hist_list *list = &h->nodes[path->node[level]].hist;
        for (uint32_t i = first_entry_after(h, list, ended); i < list->n; i++) {
            const struct hist_event *w = &h->events[list->at[i].event];
            if (w->submit >= limit)
                break; /* it cannot end earlier than that */
            if ((list->at[i].mask & path->bit[level]) == 0 || w->state != HIST_DONE ||
                (w->kind == HIST_ADOPT && same_content(h, w->value, value)))
                continue;
            if (w->fua && w->end < limit) {
                limit = w->end;
                *by = list->at[i].event;
            }
            if (w->end >= first_ack)
                continue;
            first_ack = w->end;
            uint32_t flush = first_flush_after(o, first_ack);
            if (flush != 0 && h->events[flush].end < limit) {
                limit = h->events[flush].end;
                *by = flush;
            }
        }
    }
    return limit;
}

static void narrow(struct oracle_backing *b, uint64_t after, uint64_t until, uint32_t by,
                   uint64_t sector, uint64_t got)
{
    if (after > b->after.moment)
        b->after = (struct oracle_bound){.moment = after, .sector = sector, .got = got};
    if (until < b->until.moment)
        b->until = (struct oracle_bound){.moment = until, .sector = sector, .got = got, .by = by};
}

static void feed_foreign(struct sim_oracle *o, uint64_t sector, uint64_t got)
{
    if (o->backing.foreign.promise == SIM_ORACLE_NONE)
        oracle_report(&o->backing.foreign, SIM_ORACLE_P4, SIM_ORACLE_FOREIGN, sector, got, 0);
}

static int compare_events(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void zero_add(struct sim_oracle *o, uint32_t event)
{
    struct oracle_scratch *s = o->scratch;
    uint32_t *zeroes = hist_grow(&o->hist, s->zeroes, s->zeroes_n, &s->zeroes_cap, sizeof(*zeroes));
    if (zeroes == NULL)
        return;
    s->zeroes = zeroes;
    s->zeroes[s->zeroes_n++] = event;
}

/* Collects the requests of zeroes that touched the group, by submission. */
static void gather_zeroes(struct sim_oracle *o, const struct hist_path *path)
{
    const struct hist *h = &o->hist;
    o->scratch->zeroes_n = 0;
    if (h->initial_is_zero)
        zero_add(o, 0);
    for (unsigned level = path->low; level <= path->top; level++) {
        const struct hist_list *list = &h->nodes[path->node[level]].hist;
        for (uint32_t i = 0; i < list->n; i++) {
            if ((list->at[i].mask & path->bit[level]) != 0 &&
                h->events[list->at[i].event].kind == HIST_ZERO)
                zero_add(o, list->at[i].event);
        }
    }
    if (o->scratch->zeroes_n > 1)
        qsort(o->scratch->zeroes, o->scratch->zeroes_n, sizeof(*o->scratch->zeroes),
              compare_events);
}

static void feed_zero(struct sim_oracle *o, const struct hist_path *path, uint64_t sector)
{
    const struct hist *h = &o->hist;
    gather_zeroes(o, path);
    if (h->no_memory)
        return;
    if (o->scratch->zeroes_n == 0) {
        feed_foreign(o, sector, SIM_ORACLE_ZERO);
        return;
    }
    uint64_t until = 0;
    uint32_t until_by = 0;
    for (size_t i = 0; i < o->scratch->zeroes_n && until != HIST_TIME_NEVER; i++) {
        uint32_t by;
        uint64_t after = h->events[o->scratch->zeroes[i]].submit;
        uint64_t limit = last_moment(o, path, o->scratch->zeroes[i], &by);
        if (i > 0 && after > until)
            gap_add(o, until, after, sector);
        if (limit > until) {
            until = limit;
            until_by = by;
        }
    }
    narrow(&o->backing, h->events[o->scratch->zeroes[0]].submit, until, until_by, sector,
           SIM_ORACLE_ZERO);
}

static int feed_group(void *ctx, const struct hist_path *path, uint64_t start, uint64_t sectors)
{
    const struct feed *f = ctx;
    uint32_t value;
    if (f->version == SIM_ORACLE_ZERO) {
        feed_zero(f->o, path, start);
    } else if (!hist_lookup(&f->o->hist, f->version, start, sectors, &value)) {
        feed_foreign(f->o, start, f->version);
    } else {
        uint32_t by;
        uint64_t until = last_moment(f->o, path, value, &by);
        narrow(&f->o->backing, f->o->hist.events[value].submit, until, by, start, f->version);
    }
    return f->o->hist.no_memory ? SIM_ORACLE_NO_MEMORY : SIM_ORACLE_OK;
}

void sim_oracle_backing_begin(struct sim_oracle *o)
{
    struct oracle_backing *b = &o->backing;
    if (o->flushes_stale)
        refresh_flushes(o);
    b->after = (struct oracle_bound){.moment = 0};
    b->until = (struct oracle_bound){.moment = HIST_TIME_NEVER};
    b->gaps_n = 0;
    b->maybe_n = 0;
    b->gaps_limit = GAPS_LIMIT_MIN;
    b->foreign.promise = SIM_ORACLE_NONE;
}

void sim_oracle_backing_feed(struct sim_oracle *o, uint64_t start_sector, uint64_t sectors,
                             uint64_t version)
{
    struct feed f = {.o = o, .version = oracle_normal(o, version)};
    if (!o->hist.no_memory)
        (void)hist_walk(&o->hist, start_sector, sectors, feed_group, &f);
}

int sim_oracle_backing_end(struct sim_oracle *o, struct sim_oracle_violation *v)
{
    struct oracle_backing *b = &o->backing;
    if (o->hist.no_memory)
        return SIM_ORACLE_NO_MEMORY;
    if (b->foreign.promise != SIM_ORACLE_NONE) {
        if (v != NULL)
            *v = b->foreign;
        return SIM_ORACLE_VIOLATION;
    }
    /* The moment just after b->after: excluded by a gap with lo <= moment < hi. */
    struct oracle_bound after = b->after;
    merge_gaps(b);
    for (size_t i = 0; i < b->gaps_n; i++) {
        if (b->gaps[i].lo <= after.moment && after.moment < b->gaps[i].hi)
            after = (struct oracle_bound){
                .moment = b->gaps[i].hi, .sector = b->gaps[i].sector, .got = SIM_ORACLE_ZERO};
    }
    if (after.moment < b->until.moment)
        return SIM_ORACLE_OK;
    oracle_report(v, SIM_ORACLE_P4, SIM_ORACLE_NO_MOMENT, b->until.sector, b->until.got,
                  b->until.by);
    if (v != NULL) {
        v->other_sector = after.sector;
        v->other_got = after.got;
    }
    return SIM_ORACLE_VIOLATION;
}
