/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judges whether the pieces of writes are whole (P2).
 *
 * Within one aligned piece a write is one step.  So all writes that show in a piece are there,
 * and they have one order in it:
 *   - a sector that shows X although Y covers it, too, says that Y came before X;
 *   - Y ended before X began says the same.
 * A piece is torn when two versions X and Y are each before the other.  Longer cycles are not
 * looked for.
 *
 * A sector of zeroes stands for any request of zeroes there: it contradicts Y only when all of
 * them ended before Y began.  Requests of zeroes themselves may be torn: P2 is about writes.
 */
#include "oracle_impl.h"

#define PIECE_MAX SIM_ORACLE_ATOMIC_SECTORS_MAX

struct piece {
    const struct sim_oracle *o;
    uint64_t start;
    const uint64_t *versions;
    unsigned sectors;
    unsigned shown_n;
    uint32_t shown[PIECE_MAX];    /* distinct events that show */
    unsigned shown_at[PIECE_MAX]; /* first sector of each, from start */
    unsigned which[PIECE_MAX];    /* by sector: index into shown; PIECE_MAX: none, or zeroes */
    unsigned over[PIECE_MAX][PIECE_MAX]; /* [x][y]: 1 + a sector that shows x and y covers */
};

static bool covers(const struct sim_oracle *o, uint32_t event, uint64_t sector)
{
    const struct hist_event *ev = &o->hist.events[event];
    return sector >= ev->start && sector - ev->start < ev->sectors;
}

struct newest_zero {
    const struct hist *h;
    uint64_t end;
};

static int newest_zero_group(void *ctx, const struct hist_path *path, uint64_t start,
                             uint64_t sectors)
{
    struct newest_zero *nz = ctx;
    (void)start;
    (void)sectors;
    for (unsigned level = path->low; level <= path->top; level++) {
        const struct hist_list *live = &nz->h->nodes[path->node[level]].live;
        for (uint32_t i = 0; i < live->n; i++) {
            const struct hist_event *ev = &nz->h->events[live->at[i].event];
            if ((live->at[i].mask & path->bit[level]) != 0 && ev->kind == HIST_ZERO &&
                ev->end > nz->end)
                nz->end = ev->end;
        }
    }
    return 0;
}

static int report_torn(const struct piece *p, unsigned x_at, unsigned y_at,
                       struct sim_oracle_violation *v)
{
    int rc =
        oracle_report(v, SIM_ORACLE_P2, SIM_ORACLE_TORN, p->start + x_at, p->versions[x_at], 0);
    if (v != NULL) {
        v->other_sector = p->start + y_at;
        v->other_got = p->versions[y_at];
    }
    return rc;
}

/* Fills shown, shown_at, which.  An unknown version is left to the other checks. */
static void find_shown(struct piece *p)
{
    p->shown_n = 0;
    for (unsigned i = 0; i < p->sectors; i++) {
        uint32_t event;
        p->which[i] = PIECE_MAX;
        if (oracle_normal(p->o, p->versions[i]) == SIM_ORACLE_ZERO ||
            !hist_lookup(&p->o->hist, p->versions[i], p->start + i, 1, &event))
            continue;
        unsigned k = i > 0 && p->which[i - 1] < PIECE_MAX && p->shown[p->which[i - 1]] == event
                         ? p->which[i - 1]
                         : 0;
        while (k < p->shown_n && p->shown[k] != event)
            k++;
        if (k == p->shown_n) {
            p->shown[k] = event;
            p->shown_at[k] = i;
            p->shown_n++;
        }
        p->which[i] = k;
    }
}

/* Zeroes where a write that shows elsewhere in the piece should be. */
static int judge_zeroes(const struct piece *p, struct sim_oracle_violation *v)
{
    for (unsigned i = 0; i < p->sectors; i++) {
        if (oracle_normal(p->o, p->versions[i]) != SIM_ORACLE_ZERO)
            continue;
        struct newest_zero nz = {.h = &p->o->hist};
        hist_walk(&p->o->hist, p->start + i, 1, newest_zero_group, &nz);
        for (unsigned k = 0; k < p->shown_n; k++) {
            if (covers(p->o, p->shown[k], p->start + i) &&
                nz.end < p->o->hist.events[p->shown[k]].submit)
                return report_torn(p, i, p->shown_at[k], v);
        }
    }
    return SIM_ORACLE_OK;
}

static int judge_order(struct piece *p, struct sim_oracle_violation *v)
{
    const struct hist_event *events = p->o->hist.events;
    for (unsigned x = 0; x < p->shown_n; x++) {
        for (unsigned y = 0; y < p->shown_n; y++)
            p->over[x][y] = 0;
    }
    for (unsigned i = 0; i < p->sectors; i++) {
        for (unsigned y = 0; p->which[i] < PIECE_MAX && y < p->shown_n; y++) {
            if (y != p->which[i] && covers(p->o, p->shown[y], p->start + i))
                p->over[p->which[i]][y] = i + 1;
        }
    }
    /* Old against new first: it says more than two writes that overlapped in time. */
    for (unsigned x = 0; x < p->shown_n; x++) {
        for (unsigned y = 0; y < p->shown_n; y++) {
            if (p->over[x][y] != 0 && events[p->shown[x]].end < events[p->shown[y]].submit)
                return report_torn(p, p->over[x][y] - 1, p->shown_at[y], v);
        }
    }
    for (unsigned x = 0; x < p->shown_n; x++) {
        for (unsigned y = 0; y < x; y++) {
            if (p->over[x][y] != 0 && p->over[y][x] != 0)
                return report_torn(p, p->over[x][y] - 1, p->over[y][x] - 1, v);
        }
    }
    return SIM_ORACLE_OK;
}

static bool is_uniform(const uint64_t *versions, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        if (versions[i] != versions[0])
            return false;
    }
    return true;
}

int sim_oracle_check_pieces(const struct sim_oracle *o, uint64_t start_sector,
                            const uint64_t *versions, size_t sectors,
                            struct sim_oracle_violation *v)
{
    struct piece p;
    p.o = o;
    if (o->hist.no_memory)
        return SIM_ORACLE_NO_MEMORY;
    for (size_t at = 0; at < sectors; at += p.sectors) {
        p.start = start_sector + at;
        p.versions = versions + at;
        uint64_t left = o->atomic_sectors - p.start % o->atomic_sectors;
        p.sectors = (unsigned)(left < sectors - at ? left : sectors - at);
        if (is_uniform(p.versions, p.sectors))
            continue;
        find_shown(&p);
        int rc = judge_order(&p, v);
        if (rc == SIM_ORACLE_OK)
            rc = judge_zeroes(&p, v);
        if (rc != SIM_ORACLE_OK)
            return rc;
    }
    return SIM_ORACLE_OK;
}
